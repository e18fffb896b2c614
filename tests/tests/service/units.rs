//! The units as systemd reads them.

use std::{collections::BTreeMap, fs, process::Command};

use batchstep_tests::{Lab, Process, binaries, binaries::root};

const UNITS: [&str; 2] = ["batchstep.service", "batchstep-agent.service"];

fn text(unit: &str) -> String {
    fs::read_to_string(root().join("deploy/systemd").join(unit)).unwrap()
}

fn directives(unit: &str) -> BTreeMap<String, String> {
    let text = text(unit);
    let lines = text.lines().filter(|line| !line.starts_with(['#', '[']));
    lines
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// Where the units expect a program, and where it is here.
fn here(text: &str) -> String {
    let folder = binaries().batchstep.parent().unwrap();
    text.replace("/usr/local/bin", folder.to_str().unwrap())
}

#[test]
fn systemd_finds_nothing_to_complain_of() {
    let lab = Lab::new();
    for unit in UNITS {
        let path = lab.path(unit);
        fs::write(&path, here(&text(unit))).unwrap();
        let checked = Process::run(
            "systemd-analyze verify",
            Command::new("systemd-analyze")
                .args(["verify", "--man=no"])
                .arg(&path),
        );
        assert_eq!(checked.code(), 0, "{unit}: {}", checked.stderr);
        let about: Vec<&str> = checked
            .stderr
            .lines()
            .filter(|line| line.contains("batchstep"))
            .collect();
        assert!(about.is_empty(), "{about:?}");
    }
}

#[test]
fn both_are_notified_watched_and_given_time() {
    for unit in UNITS {
        let unit = directives(unit);
        assert_eq!(unit["Type"], "notify");
        assert_eq!(unit["Restart"], "on-failure");
        for name in ["WatchdogSec", "TimeoutStopSec", "StateDirectory"] {
            assert!(unit.contains_key(name), "{name}");
        }
    }
}

/// Exit codes of the agent that only a person can do something about.
#[test]
fn an_agent_that_is_not_wanted_is_not_started_again() {
    let unit = directives("batchstep-agent.service");
    assert_eq!(unit["RestartPreventExitStatus"], "2 4");
    let help = Process::run(
        "--help",
        Command::new(&binaries().agent).args(["run", "--help"]),
    );
    assert!(
        help.stdout.contains("4: the coordinator\ndoes not want it"),
        "{}",
        help.stdout
    );
}

#[test]
fn the_agent_is_not_denied_what_cuda_needs() {
    let unit = directives("batchstep-agent.service");
    for name in [
        "PrivateDevices",
        "MemoryDenyWriteExecute",
        "DeviceAllow",
        "DevicePolicy",
        "ProtectClock",
        "ProtectKernelModules",
        "ProtectKernelTunables",
        "ProtectProc",
        "PrivateUsers",
        "SystemCallFilter",
    ] {
        assert!(!unit.contains_key(name), "{name}");
    }
}

/// The command of a unit, on the example configuration as it is installed.
#[test]
fn the_units_commands_understand_the_example_configuration() {
    let lab = Lab::new();
    for (unit, file) in UNITS.into_iter().zip(["coordinator.toml", "agent.toml"]) {
        let command = here(&directives(unit)["ExecStart"]);
        let example = root().join("deploy/config").join(file);
        let installed = format!("/etc/batchstep/{file}");
        assert!(command.contains(&installed), "{command}");
        let command = command.replace(&installed, example.to_str().unwrap());
        let mut words = command.split_whitespace();
        let checked = Process::run(
            "--check-config",
            Command::new(words.next().unwrap())
                .args(words)
                .arg("--check-config")
                .current_dir(lab.path("")),
        );
        assert_eq!(checked.code(), 0, "{}", checked.stderr);
        let state = format!("/var/lib/{}\"", directives(unit)["StateDirectory"]);
        assert!(checked.stdout.contains(&state), "{}", checked.stdout);
    }
}
