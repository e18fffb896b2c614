//! Settings of `batchstep-agent run` from a file. How files are read is the daemons' common matter and tested with the coordinator; here is what is the agent's own.

use std::{collections::BTreeMap, fs};

use crate::host::Host;

const EXAMPLE: &str = include_str!("../../../deploy/config/agent.toml");

/// What would be used; `None` for what is not set.
fn used(host: &Host, file: &str, arguments: &[&str]) -> BTreeMap<String, Option<String>> {
    let path = host.path("c.toml");
    fs::write(&path, file).unwrap();
    let output = host
        .command()
        .env_remove("BATCHSTEP_LOG")
        .args(["run", "--check-config", "--config"])
        .arg(path)
        .args(arguments)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{:?}", output.stderr);
    text.lines()
        .map(|line| match line.split_once(" = ") {
            Some((key, rest)) => {
                let (value, _) = rest.split_once(" # ").unwrap();
                (key.to_owned(), Some(value.trim().to_owned()))
            }
            None => {
                let key = line.strip_prefix("# ").unwrap();
                let key = key.strip_suffix(" is not set").unwrap();
                (key.to_owned(), None)
            }
        })
        .collect()
}

#[test]
fn the_example_says_the_defaults_and_every_setting() {
    let host = Host::new();
    let uncommented: String = EXAMPLE
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(setting) if !setting.starts_with([' ', '#']) => setting.to_owned() + "\n",
            _ => line.to_owned() + "\n",
        })
        .collect();
    let defaults = used(&host, EXAMPLE, &[]);
    assert_eq!(used(&host, &uncommented, &[]), defaults);
    for (key, default) in defaults {
        // What has no default is shown as an example behind a blank.
        let line = match default {
            Some(value) => format!("\n{key} = {value}\n"),
            None => format!("\n# {key} = "),
        };
        assert!(uncommented.contains(&line), "{line}");
    }
}

#[test]
fn a_flag_can_take_back_what_the_file_says() {
    let host = Host::new();
    let file = "coordinator = \"http://127.0.0.1:1\"\nstate_dir = \"state\"\nshare_gpus = true\n";
    let share = |arguments: &[&str]| used(&host, file, arguments)["share_gpus"].clone().unwrap();
    assert_eq!(share(&[]), "true");
    assert_eq!(share(&["--share-gpus=false"]), "false");
    assert_eq!(share(&["--share-gpus"]), "true");
}

#[test]
fn what_cannot_be_followed_is_told_before_anything_starts() {
    let host = Host::new();
    for (file, said) in [
        ("drain_limit = 5\n", "c.toml:1: drain_limit"),
        ("telemetry_interval = \"1ms\"\n", "100ms or more"),
        (
            "exit_with_parent = true\n",
            "no setting \"exit_with_parent\"",
        ),
        (
            "coordinator = \"here\"\nstate_dir = \"s\"\n",
            "http://HOST:PORT",
        ),
        (
            "coordinator = \"http://a:1\"\nstate_dir = \"s\"\nlog = \"==\"\n",
            "log filter",
        ),
    ] {
        fs::write(host.path("c.toml"), file).unwrap();
        let output = host
            .command()
            .env_remove("BATCHSTEP_LOG")
            .args(["run", "--check-config", "--config"])
            .arg(host.path("c.toml"))
            .output()
            .unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{file}: {stderr}");
        assert!(stderr.contains(said), "{file}: {stderr}");
    }
}
