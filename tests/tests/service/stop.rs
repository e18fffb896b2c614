//! Both daemons end within the time that their units give them: idle, at work, and with something that hangs.

use std::{fs, time::Duration};

use batchstep_tests::{
    Agent, Coordinator, Finished, Lab, Process,
    binaries::{root, scripted_worker},
    eventually,
};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::Locked;

/// `TimeoutStopSec` of a unit: after it systemd kills.
fn stop_limit(unit: &str) -> Duration {
    let text = fs::read_to_string(root().join("deploy/systemd").join(unit)).unwrap();
    let line = text
        .lines()
        .find_map(|it| it.strip_prefix("TimeoutStopSec="));
    let seconds = line.unwrap().strip_suffix('s').unwrap();
    Duration::from_secs(seconds.parse().unwrap())
}

fn within(end: &Finished, limit: Duration) {
    assert_eq!(end.code(), 0, "{}", end.stderr);
    assert!(end.waited < limit, "{:?}\n{}", end.waited, end.stderr);
}

/// An agent whose worker follows a script: `outputs` of the workload `linear` is its number.
fn agent(lab: &Lab, drain_limit: &str) -> Agent {
    let worker = scripted_worker();
    let worker = worker.to_str().unwrap();
    let arguments = [
        "--devices",
        "cpu",
        "--worker",
        worker,
        "--drain-limit",
        drain_limit,
    ];
    lab.start_agent_with("agent", &arguments)
}

/// A sweep with a round that is running.
fn running(lab: &Lab, agent: &Agent, script: &str) -> Pid {
    let workload = format!("linear:outputs={script}");
    let sweep = ["sweep", "run", "--detach", "--workload", &workload];
    let asked = lab.ask(&[&sweep[..], &["--batch-sizes", "1-4", "--budget", "60s"]].concat());
    assert_eq!(asked.code(), 0, "{}", asked.stderr);
    let worker = eventually("a worker", || Lab::workers_of(&agent.0).first().copied());
    Pid::from_raw(worker)
}

fn stop(process: Process) -> Finished {
    process.signal(Signal::SIGTERM);
    process.finish()
}

#[test]
fn idle_daemons_end() {
    let lab = Lab::new();
    let Coordinator(coordinator) = lab.start_coordinator();
    let Agent(idle) = agent(&lab, "1h");
    within(&stop(idle), stop_limit("batchstep-agent.service"));
    within(&stop(coordinator), stop_limit("batchstep.service"));
}

#[test]
fn a_coordinator_with_sessions_ends() {
    let lab = Lab::new();
    let Coordinator(coordinator) = lab.start_coordinator();
    let agent = agent(&lab, "1s");
    running(&lab, &agent, "4");
    within(&stop(coordinator), stop_limit("batchstep.service"));
}

#[test]
fn a_coordinator_whose_database_is_locked_ends() {
    let lab = Lab::new();
    let Coordinator(coordinator) = lab.start_coordinator();
    let agent = agent(&lab, "1s");
    running(&lab, &agent, "4");
    let _locked = Locked::hold(&lab.path("data/coordinator.db"));
    within(&stop(coordinator), stop_limit("batchstep.service"));
}

#[test]
fn an_agent_whose_worker_hangs_ends_soon_after_its_drain_limit() {
    let lab = Lab::new();
    let _coordinator = lab.start_coordinator();
    let agent = agent(&lab, "1s");
    let worker = running(&lab, &agent, "4");
    // Not even SIGTERM reaches it now.
    kill(worker, Signal::SIGSTOP).unwrap();
    let usual = Duration::from_secs(120);
    let margin = stop_limit("batchstep-agent.service") - usual;
    within(&stop(agent.0), Duration::from_secs(1) + margin);
    assert!(kill(worker, None).is_err(), "the worker is gone, too");
}

#[test]
fn a_second_signal_ends_a_drain() {
    let lab = Lab::new();
    let _coordinator = lab.start_coordinator();
    let Agent(mut process) = {
        let agent = agent(&lab, "1h");
        running(&lab, &agent, "2");
        agent
    };
    process.signal(Signal::SIGTERM);
    process.wait_for_stderr("Draining");
    assert!(!process.has_ended());
    within(&stop(process), stop_limit("batchstep-agent.service"));
}
