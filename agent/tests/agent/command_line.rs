//! Exit codes and messages of the binary.

use assert_cmd::assert::OutputAssertExt as _;
use batchstep_agent::state_dir::{StateDir, StateDirError};
use nix::sys::signal::Signal;

use crate::{
    coordinator::Coordinator,
    host::{Host, eventually, scripted_worker},
};

fn stderr(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn two_agents_do_not_share_a_state_directory() {
    let host = Host::new();
    let _first = StateDir::open(&host.path("state")).unwrap();
    let output = host
        .command()
        .args(["run", "--coordinator", "http://127.0.0.1:1", "--state-dir"])
        .arg(host.path("state"))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(3));
    let text = stderr(&output);
    assert!(
        text.contains("in use by another agent") && text.contains("--state-dir"),
        "{text}"
    );
}

#[test]
fn bad_arguments_are_named_before_anything_starts() {
    let host = Host::new();
    // 2: it stays wrong, and its unit does not start it again. 3: it may come right by itself.
    for (arguments, named, code) in [
        (
            ["--coordinator", "localhost", "--devices", "cpu"],
            "http://HOST:PORT",
            2,
        ),
        (
            ["--coordinator", "http://192.0.2.1:1", "--devices", "cpu"],
            "write https://HOST:PORT",
            2,
        ),
        (
            ["--coordinator", "https://192.0.2.1:1", "--devices", "cpu"],
            "batchstep-agent enroll",
            3,
        ),
        (
            ["--coordinator", "http://127.0.0.1:1", "--devices", "GPU-7"],
            "there is no device GPU-7",
            3,
        ),
        (
            [
                "--coordinator",
                "http://127.0.0.1:1",
                "--worker",
                "/nowhere",
            ],
            "/nowhere",
            3,
        ),
        (
            ["--coordinator", "http://127.0.0.1:1", "--log", "=="],
            "log filter",
            2,
        ),
    ] {
        let output = host
            .command()
            .env_remove("BATCHSTEP_LOG")
            .args(["run", "--state-dir"])
            .arg(host.path("state"))
            .args(arguments)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}");
        assert!(stderr(&output).contains(named), "{}", stderr(&output));
    }
    host.command()
        .args(["run", "--devices", "cpu"])
        .assert()
        .code(2);
}

#[test]
fn an_agent_that_is_not_wanted_says_why_and_fails() {
    let coordinator = Coordinator::start();
    let host = Host::new();
    let mut agent = host.agent("a", &coordinator.url());
    coordinator.device();
    coordinator.close("a newer process has this agent's identity", true);
    // Not the code of what may go better when it is started again.
    assert_eq!(agent.ended().code(), Some(4));
    assert!(
        agent
            .log()
            .contains("a newer process has this agent's identity")
    );
}

#[test]
fn an_idle_agent_leaves_on_the_first_signal() {
    let coordinator = Coordinator::start();
    let host = Host::new();
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut agent = host.agent("a", &coordinator.url());
        coordinator.wait_for("a hello", |memory| {
            (!memory.hellos.is_empty()).then_some(())
        });
        agent.signal(signal);
        assert!(agent.ended().success());
        coordinator.change(|memory| memory.hellos.clear());
    }
}

#[test]
fn an_embedded_agent_ends_with_its_parent() {
    let coordinator = Coordinator::start();
    let host = Host::new();
    let state = host.path("a");
    // A parent that starts the agent and waits, as a shell does.
    let mut parent = host.command();
    let agent = parent.get_program().to_owned();
    parent = std::process::Command::new("sh");
    parent
        .args(["-c", "\"$0\" \"$@\" & wait"])
        .arg(agent)
        .args([
            "run",
            "--exit-with-parent",
            "--devices",
            "cpu",
            "--coordinator",
            &coordinator.url(),
            "--state-dir",
        ])
        .arg(&state)
        .arg("--worker")
        .arg(scripted_worker())
        .env("BATCHSTEP_LOCK_DIR", host.path("locks"));
    let mut parent = host.start("parent", parent);
    coordinator.device();
    assert!(matches!(
        StateDir::open(&state),
        Err(StateDirError::InUse { .. })
    ));
    parent.kill();
    eventually("the agent's end", || StateDir::open(&state).ok());
}

#[test]
fn the_doctor_tells_what_would_stop_trials() {
    let host = Host::new();
    let examine = |worker: &std::path::Path| {
        let output = host
            .command()
            .args(["doctor", "--format", "json", "--state-dir"])
            .arg(host.path("state"))
            .arg("--worker")
            .arg(worker)
            .output()
            .unwrap();
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(report["schema_version"], 1);
        (output.status.code(), report)
    };
    let find = |report: &serde_json::Value, name: &str| {
        report["checks"]
            .as_array()
            .unwrap()
            .iter()
            .find(|check| check["name"] == name)
            .cloned()
            .unwrap_or_default()
    };
    let (_, healthy) = examine(&scripted_worker());
    for name in ["worker", "libtorch", "state_dir", "lock_dir"] {
        assert_eq!(find(&healthy, name)["status"], "ok", "{healthy}");
    }
    let (code, missing) = examine(&host.path("nowhere"));
    assert_eq!(code, Some(3));
    assert_eq!(find(&missing, "worker")["status"], "fail");
    let broken = host.script("echo 'batchstep-worker: error while loading shared libraries: libtorch_cpu.so: cannot open shared object file' >&2; exit 127");
    let (code, broken) = examine(&broken);
    assert_eq!(code, Some(3));
    assert!(
        find(&broken, "libtorch")["mend"]
            .as_str()
            .unwrap()
            .contains("make libtorch"),
        "{broken}"
    );

    let table = host
        .command()
        .args(["doctor", "--worker"])
        .arg(host.path("nowhere"))
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&table.stdout).into_owned();
    assert!(
        text.contains("FAIL  worker") && text.contains("Trials cannot run here"),
        "{text}"
    );
}

#[test]
fn help_and_completions_are_there() {
    let host = Host::new();
    for arguments in [
        vec!["--help"],
        vec!["run", "--help"],
        vec!["doctor", "--help"],
    ] {
        let output = host.command().args(&arguments).output().unwrap();
        assert!(
            output.status.success() && String::from_utf8_lossy(&output.stdout).contains("Example"),
            "{arguments:?}"
        );
    }
    let output = host
        .command()
        .args(["completions", "bash"])
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).contains("batchstep-agent"));
}
