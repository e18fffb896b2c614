//! What a service manager is told, with the test in its place.

use std::time::Duration;

use batchstep_tests::{Lab, NotifySocket, Process, eventually};
use nix::sys::signal::Signal;

use super::Locked;

/// Short, so that the test is: the daemons say how they are at half of it.
const WATCHDOG: Duration = Duration::from_secs(1);

fn readiness(told: &[String]) -> usize {
    told.iter().filter(|it| it.contains("READY=1")).count()
}

#[test]
fn a_coordinator_feeds_the_watchdog_only_while_its_store_takes_writes() {
    let lab = Lab::new();
    let manager = NotifySocket::new(&lab.path("notify"));
    let listen = lab.url().replace("http://", "");
    let mut command = lab.batchstep(&["serve", "--data-dir", "data", "--listen", &listen]);
    manager.env(&mut command, WATCHDOG);
    let process = Process::start("batchstep serve", &mut command);
    let ready = manager.wait_for(0, "READY=1");
    assert!(manager.told()[ready].contains("STATUS=Sweeps active: 0"));
    // Ready means that it answers.
    assert!(lab.get("/healthz").unwrap().starts_with("HTTP/1.1 200"));
    let fed = manager.wait_for(ready + 1, "WATCHDOG=1");

    let locked = Locked::hold(&lab.path("data/coordinator.db"));
    let failed = manager.wait_for(fed, "STATUS=the store takes no writes");
    let again = manager.wait_for(failed + 1, "STATUS=the store takes no writes");
    let told = manager.told();
    assert!(
        told[failed..=again]
            .iter()
            .all(|it| !it.contains("WATCHDOG")),
        "{told:?}"
    );
    let answer = lab.get("/healthz").unwrap();
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert!(answer.contains("takes no writes"), "{answer}");

    drop(locked);
    manager.wait_for(again, "WATCHDOG=1");
    eventually("health", || {
        let answer = lab.get("/healthz")?;
        answer.starts_with("HTTP/1.1 200").then_some(())
    });
    process.signal(Signal::SIGTERM);
    let end = process.finish();
    assert_eq!(end.code(), 0, "{}", end.stderr);
    manager.wait_for(0, "STOPPING=1");
    assert_eq!(readiness(&manager.told()), 1, "it is ready once");
}

#[test]
fn an_agent_is_ready_without_a_coordinator_and_says_when_it_has_one() {
    let lab = Lab::new();
    let manager = NotifySocket::new(&lab.path("notify"));
    let url = lab.url();
    let mut command = lab.agent_command(&["run", "--coordinator", &url]);
    command.args(["--state-dir", "agent", "--devices", "cpu"]);
    manager.env(&mut command, WATCHDOG);
    let process = Process::start("batchstep-agent", &mut command);
    let ready = manager.wait_for(0, "READY=1");
    assert!(manager.told()[ready].contains("No connection to the coordinator"));
    manager.wait_for(ready + 1, "WATCHDOG=1");
    let _coordinator = lab.start_coordinator();
    manager.wait_for(ready, "STATUS=Connected to the coordinator");
    process.signal(Signal::SIGTERM);
    let end = process.finish();
    assert_eq!(end.code(), 0, "{}", end.stderr);
    manager.wait_for(0, "STOPPING=1");
    assert_eq!(readiness(&manager.told()), 1, "it is ready once");
}

#[test]
fn logs_are_json_where_that_is_asked() {
    let lab = Lab::new();
    let listen = lab.url().replace("http://", "");
    let mut command = lab.batchstep(&["serve", "--data-dir", "data", "--listen", &listen]);
    command.args(["--log-format", "json"]);
    let mut process = Process::start("batchstep serve", &mut command);
    process.wait_for_stderr("The coordinator listens.");
    process.signal(Signal::SIGTERM);
    let end = process.finish();
    for line in end.stderr.lines() {
        let entry: serde_json::Value = serde_json::from_str(line).expect("a line is an object");
        for field in ["timestamp", "level", "target"] {
            assert!(entry[field].is_string(), "{line}");
        }
        assert!(entry["fields"]["message"].is_string(), "{line}");
    }
    assert!(
        end.stderr.contains(r#""data_dir":"data""#),
        "{}",
        end.stderr
    );
}
