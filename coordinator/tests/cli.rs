//! The command line as people meet it: help, usage, exit codes, and a coordinator that is served, asked and stopped.

#![allow(clippy::unwrap_used, reason = "helpers of tests may fail loudly too")]

use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::TcpListener,
    path::Path,
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use assert_cmd::Command;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;
use tempfile::TempDir;

/// Longest wait for anything in these tests.
const PATIENCE: Duration = Duration::from_secs(30);

fn batchstep(home: &Path) -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("batchstep"));
    command
        .current_dir(home)
        .env("HOME", home)
        .env("NO_COLOR", "1")
        .env_remove("XDG_DATA_HOME")
        .env_remove("BATCHSTEP_LOG")
        .env_remove("BATCHSTEP_DATA_DIR")
        .env_remove("BATCHSTEP_COORDINATOR")
        .timeout(PATIENCE);
    command
}

/// Runs it and returns code, stdout and stderr.
fn run(home: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = batchstep(home).args(arguments).output().unwrap();
    (
        output.status.code(),
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

fn refused(home: &Path, arguments: &[&str], code: i32, said: &[&str]) {
    let (found, stdout, stderr) = run(home, arguments);
    assert_eq!(found, Some(code), "{arguments:?}\n{stderr}");
    assert_eq!(stdout, "", "{arguments:?} prints no data");
    for word in said {
        assert!(
            stderr.contains(word),
            "{arguments:?} does not say {word:?}:\n{stderr}"
        );
    }
}

#[test]
fn every_command_explains_itself_with_examples() {
    let home = TempDir::new().unwrap();
    for command in [
        &["--help"][..],
        &["local", "--help"],
        &["serve", "--help"],
        &["backup", "--help"],
        &["restore", "--help"],
        &["sweep", "run", "--help"],
        &["sweep", "list", "--help"],
        &["sweep", "show", "--help"],
        &["sweep", "watch", "--help"],
        &["sweep", "cancel", "--help"],
        &["inventory", "--help"],
        &["table", "--help"],
        &["advise", "--help"],
        &["export", "--help"],
        &["analyze", "--help"],
        &["workloads", "--help"],
        &["completions", "--help"],
    ] {
        let (code, stdout, stderr) = run(home.path(), command);
        assert_eq!(code, Some(0), "{command:?} {stderr}");
        assert!(stdout.contains("Examples:"), "{command:?} has no examples");
    }
    let (code, version, _) = run(home.path(), &["--version"]);
    assert_eq!(code, Some(0));
    assert!(version.contains("protocol 1"), "{version}");
    assert_eq!(
        run(home.path(), &[]).0,
        Some(2),
        "no command is wrong usage"
    );
}

#[test]
fn completions_know_the_commands() {
    let home = TempDir::new().unwrap();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let (code, stdout, _) = run(home.path(), &["completions", shell]);
        assert_eq!(code, Some(0), "{shell}");
        assert!(
            stdout.contains("batch-sizes") && stdout.contains("analyze"),
            "{shell}"
        );
    }
}

#[test]
fn the_catalogue_is_listed() {
    let home = TempDir::new().unwrap();
    let (code, stdout, _) = run(home.path(), &["workloads", "--format", "json"]);
    assert_eq!(code, Some(0));
    let list: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(list["schema_version"], 1);
    let names: Vec<&str> = list["workloads"]
        .as_array()
        .unwrap()
        .iter()
        .map(|workload| workload["name"].as_str().unwrap())
        .collect();
    assert!(
        names.contains(&"cnn") && names.contains(&"torchscript"),
        "{names:?}"
    );
}

#[test]
fn options_that_make_no_sense_are_named() {
    let home = TempDir::new().unwrap();
    let cases: &[(&[&str], &[&str])] = &[
        (
            &["--workload", "cmn"],
            &["--workload", "cmn", "did you mean cnn"],
        ),
        (
            &["--workload", "linear:input=3"],
            &["no parameter \"input\"", "inputs, outputs"],
        ),
        (&["--workload", "linear:inputs=0"], &["between 1 and 65536"]),
        (
            &["--workload", "linear", "--workload", "linear"],
            &["--workload", "listed twice"],
        ),
        (
            &["--batch-sizes", "64-1"],
            &["--batch-sizes", "reversed", "1-64"],
        ),
        (&["--batch-sizes", "0-8"], &["batch size 0"]),
        (&["--batch-sizes", "1-999999999"], &["largest allowed"]),
        (&["--batch-sizes", "1-100000"], &["more than 4096"]),
        (&["--batch-sizes", ""], &["--batch-sizes"]),
        (&["--budget", "soon"], &["--budget", "90s"]),
        (&["--budget", "0s"], &["--budget", "zero"]),
        (&["--precision", "0"], &["--precision", "0.3%"]),
        (&["--threads", "0"], &["--threads"]),
        (&["--iterations", "0"], &["--iterations"]),
        (&["--dtype", "f64"], &["--dtype", "f32"]),
        (&["--mode", "test"], &["--mode", "train"]),
        (&["--devices", "cpu,gpu"], &["--devices", "give it alone"]),
        (&["--preset", "articel"], &["--preset", "article"]),
        (
            &["--preset", "article", "--workload", "linear"],
            &["--preset article"],
        ),
        (&["--resume", "--budget", "5s"], &["--resume"]),
    ];
    for (options, said) in cases {
        let arguments: Vec<&str> = ["local"].iter().chain(*options).copied().collect();
        refused(home.path(), &arguments, 2, said);
    }
    refused(home.path(), &["export", "last"], 2, &["--output"]);
}

#[test]
fn the_whole_preset_is_not_submitted_unasked_where_a_cpu_may_take_it() {
    let home = TempDir::new().unwrap();
    fs::create_dir(home.path().join("data")).unwrap();
    let preset = ["sweep", "run", "--preset", "article", "--data-dir", "data"];
    let said = ["64000 in all", "--data-dir data --budget 10m", "--yes"];
    refused(home.path(), &preset, 2, &said);
    let (_, listed, _) = run(home.path(), &["sweep", "list", "--data-dir", "data"]);
    assert!(listed.contains("No sweeps yet"), "{listed}");
    for flags in [&["--yes"][..], &["--budget", "10m"], &["--devices", "gpu"]] {
        let (code, id, stderr) = run(home.path(), &[&preset[..], flags].concat());
        assert_eq!(code, Some(0), "{flags:?}: {stderr}");
        assert!(!id.trim().is_empty());
    }
    let (_, shown, _) = run(
        home.path(),
        &["sweep", "show", "last", "--data-dir", "data"],
    );
    assert!(
        shown.contains("200 iterations per block") && !shown.contains("budget"),
        "{shown}"
    );
}

#[test]
fn places_that_cannot_be_used_are_named() {
    let home = TempDir::new().unwrap();
    fs::write(home.path().join("file"), "not a folder").unwrap();
    let serve = |data_dir| ["serve", "--data-dir", data_dir, "--listen", "127.0.0.1:0"];
    refused(home.path(), &serve("file"), 3, &["file", "--data-dir"]);
    // Permissions do not stop root; a file system that nobody can write does.
    refused(
        home.path(),
        &serve("/proc/batchstep"),
        3,
        &["/proc/batchstep", "--data-dir"],
    );
    refused(
        home.path(),
        &["local", "--output", "file"],
        3,
        &["file", "--output"],
    );
    refused(
        home.path(),
        &["table", "--data-dir", "nowhere"],
        2,
        &["nowhere"],
    );
    refused(
        home.path(),
        &["table", "--data-dir", "."],
        2,
        &["holds no coordinator.db"],
    );
    assert!(!home.path().join("coordinator.db").exists());
    assert!(
        !home.path().join("nowhere").exists(),
        "asking makes no database"
    );
}

#[test]
fn going_on_takes_no_other_sweep() {
    let home = TempDir::new().unwrap();
    for flag in [
        ["--workload", "linear"],
        ["--mode", "infer"],
        ["--dtype", "bf16"],
        ["--precision", "1%"],
        ["--seed", "2"],
        ["--devices", "cpu"],
    ] {
        refused(
            home.path(),
            &["local", "--resume", flag[0], flag[1]],
            2,
            &["--resume", flag[0]],
        );
    }
}

#[test]
fn a_port_that_is_taken_is_named() {
    let home = TempDir::new().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    refused(
        home.path(),
        &["serve", "--data-dir", "data", "--listen", &address],
        3,
        &[&address, "--listen"],
    );
}

#[test]
fn a_coordinator_that_is_not_there_is_named() {
    let home = TempDir::new().unwrap();
    // Bound and closed: nobody listens there now.
    let address = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let url = format!("http://{address}");
    refused(
        home.path(),
        &["sweep", "list", "--coordinator", &url],
        3,
        &[&url, "batchstep serve"],
    );
    refused(
        home.path(),
        &["sweep", "list", "--coordinator", "localhost:1"],
        2,
        &["http://"],
    );
}

#[test]
fn an_agent_that_is_not_there_or_ends_is_told() {
    let home = TempDir::new().unwrap();
    let local = |agent: &str| {
        let output = batchstep(home.path())
            .args(["local", "--data-dir", "data", "--budget", "1s"])
            .env("BATCHSTEP_AGENT", agent)
            .output()
            .unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let (code, stderr) = local("/nowhere/agent");
    assert_eq!(code, Some(3), "{stderr}");
    assert!(
        stderr.contains("BATCHSTEP_AGENT") && stderr.contains("/nowhere/agent"),
        "{stderr}"
    );
    let (code, stderr) = local("/bin/false");
    assert_eq!(code, Some(3), "{stderr}");
    assert!(
        stderr.contains("ended before it reported") && stderr.contains("agent.log"),
        "{stderr}"
    );
}

/// A served coordinator; stopped by its own process id.
struct Served {
    child: Child,
    url: String,
}

impl Served {
    fn start(home: &Path) -> Self {
        let mut child = std::process::Command::new(assert_cmd::cargo::cargo_bin!("batchstep"))
            .args(["serve", "--data-dir", "data", "--listen", "127.0.0.1:0"])
            .current_dir(home)
            .env("NO_COLOR", "1")
            .env_remove("BATCHSTEP_LOG")
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        // Its log names the port it got.
        let line = lines
            .by_ref()
            .map(Result::unwrap)
            .find(|line| line.contains("listens"))
            .expect("it says where it listens before it ends");
        let address = line
            .split_whitespace()
            .find_map(|word| word.strip_prefix("address="))
            .expect("the line names the address");
        let url = format!("http://{address}");
        // The rest of its log must not fill the pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, url }
    }

    fn stop(mut self) -> Option<i32> {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        kill(pid, Signal::SIGTERM).unwrap();
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        None
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // Already gone after `stop`.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_sweep_is_submitted_listed_shown_and_cancelled_over_a_restart() {
    let home = TempDir::new().unwrap();
    let ask = |served: &Served, arguments: &[&str]| {
        let mut all = arguments.to_vec();
        all.extend(["--coordinator", &served.url]);
        let (code, stdout, stderr) = run(home.path(), &all);
        assert_eq!(code, Some(0), "{arguments:?}: {stderr}");
        stdout
    };
    let json = |text: &str| serde_json::from_str::<Value>(text).unwrap();

    let served = Served::start(home.path());
    let table = json(&ask(&served, &["table", "--format", "json"]));
    assert_eq!(table, serde_json::json!({"schema_version": 1, "rows": []}));
    let submit = [
        "sweep",
        "run",
        "--detach",
        "--workload",
        "linear",
        "--batch-sizes",
        "1-4",
        "--budget",
        "5s",
    ];
    let sweep = ask(&served, &submit).trim().to_owned();
    assert_eq!(served.stop(), Some(0), "a signal ends it well");

    let served = Served::start(home.path());
    let list = json(&ask(&served, &["sweep", "list", "--format", "json"]));
    assert_eq!(list["sweeps"][0]["sweep_id"], sweep.as_str());
    assert_eq!(list["sweeps"][0]["state"], "active");
    let end_of_id = &sweep[sweep.len() - 8..];
    let shown = ask(&served, &["sweep", "show", end_of_id, "--explain"]);
    assert!(
        shown.contains(&sweep) && shown.contains("batch sizes 1-4"),
        "{shown}"
    );
    refused(
        home.path(),
        &["sweep", "show", "none", "--coordinator", &served.url],
        2,
        &["sweep list"],
    );
    ask(&served, &["sweep", "cancel", "last"]);
    let shown = json(&ask(
        &served,
        &["sweep", "show", &sweep, "--format", "json"],
    ));
    assert_eq!(shown["sweep"]["state"], "cancelled");
    assert_eq!(shown["rows"], serde_json::json!([]));

    // A data directory in use is not opened twice; once it is free it can be asked without a server.
    refused(
        home.path(),
        &["sweep", "list", "--data-dir", "data"],
        3,
        &["data"],
    );
    assert_eq!(served.stop(), Some(0));
    let (code, stdout, stderr) = run(home.path(), &["sweep", "list", "--data-dir", "data"]);
    assert_eq!(code, Some(0), "{stderr}");
    assert!(
        stdout.contains(&sweep) && stdout.contains("cancelled"),
        "{stdout}"
    );
}
