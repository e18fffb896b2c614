//! What happens when something dies, is missing, or is not reached.

use std::{path::Path, time::Duration};

use batchstep_proto::{
    domain::AttemptOutcome,
    wire::{agent_message::Message, held_attempt::State},
};

use crate::{
    coordinator::Coordinator,
    host::{DYING, HANGING, Host, OBEDIENT, attempt, eventually, round},
};

const BRISK: Duration = Duration::from_millis(2);
const SLOW: Duration = Duration::from_millis(50);

#[test]
fn a_killed_worker_costs_its_round_and_is_replaced() {
    let coordinator = Coordinator::start();
    let host = Host::new();
    let _agent = host.agent("a", &coordinator.url());
    let device = coordinator.device();
    let [id, next] = [attempt(), attempt()];
    coordinator.assign(&id, &round(&device, DYING, 6, BRISK));
    coordinator.assign(&next, &round(&device, OBEDIENT, 6, BRISK));
    let report = coordinator.finished(&id);
    assert_eq!(report.outcome, AttemptOutcome::Broken.to_wire());
    assert_eq!(report.blocks.len(), 3);
    for part in ["SIGKILL", "batch size 4", "3 of 6 visits"] {
        assert!(report.message.contains(part), "{}", report.message);
    }
    let second = coordinator.finished(&next);
    assert_eq!(second.outcome, AttemptOutcome::Finished.to_wire());
    assert_ne!(
        second.facts.unwrap().device_name,
        report.facts.unwrap().device_name
    );
}

#[test]
fn a_round_over_its_time_is_ended() {
    let coordinator = Coordinator::start();
    let host = Host::new();
    let _agent = host.agent("a", &coordinator.url());
    let device = coordinator.device();
    let id = attempt();
    let mut hanging = round(&device, HANGING, 6, BRISK);
    hanging.time_limit_ns = 500_000_000;
    coordinator.assign(&id, &hanging);
    let report = coordinator.finished(&id);
    assert_eq!(
        (report.outcome, report.blocks.len()),
        (AttemptOutcome::TimedOut.to_wire(), 3)
    );
    assert!(
        report.message.contains("time limit") && report.message.contains("batch size 4"),
        "{}",
        report.message
    );
}

#[test]
fn a_worker_without_libtorch_refuses_with_the_remedy() {
    let coordinator = Coordinator::start();
    let host = Host::new();
    let worker = host.script(
        "echo \"$0: error while loading shared libraries: libtorch_cpu.so: cannot open shared object file\" >&2; exit 127",
    );
    let _agent = host.agent_with("a", &coordinator.url(), &worker);
    let device = coordinator.device();
    let id = attempt();
    coordinator.assign(&id, &round(&device, OBEDIENT, 2, BRISK));
    let report = coordinator.finished(&id);
    assert_eq!(report.outcome, AttemptOutcome::Refused.to_wire());
    for part in ["libtorch_cpu.so", "make libtorch", "LD_LIBRARY_PATH"] {
        assert!(report.message.contains(part), "{}", report.message);
    }
}

#[test]
fn reports_outlive_an_outage_and_a_killed_agent() {
    let mut coordinator = Coordinator::start();
    let host = Host::new();
    let mut agent = host.agent("a", &coordinator.url());
    let device = coordinator.device();
    let id = attempt();
    coordinator.assign(&id, &round(&device, OBEDIENT, 20, SLOW));
    coordinator.wait_for("the round", |memory| memory.progress(&id));
    coordinator.stop();
    // The running round is finished without a coordinator.
    eventually("a spooled report", || (host.spooled("a") > 0).then_some(()));
    agent.kill();
    assert!(coordinator.change(|memory| memory.reports.is_empty()));

    coordinator.restart();
    let _agent = host.agent("a", &coordinator.url());
    let hello = coordinator.wait_for("a second hello", |memory| memory.hellos.get(1).cloned());
    let first = coordinator.change(|memory| memory.hellos[0].clone());
    assert_eq!(hello.agent_id, first.agent_id);
    assert_ne!(hello.boot_id, first.boot_id);
    assert_eq!(
        (hello.held[0].attempt_id.as_str(), hello.held[0].state()),
        (id.as_str(), State::Spooled)
    );
    let report = coordinator.finished(&id);
    assert_eq!(
        (report.outcome, report.blocks.len()),
        (AttemptOutcome::Finished.to_wire(), 20)
    );
    eventually("an empty spool", || (host.spooled("a") == 0).then_some(()));
}

#[test]
fn a_killed_agent_takes_its_worker_along_and_reports_the_attempt_stopped() {
    let coordinator = Coordinator::start();
    let host = Host::new();
    let mut agent = host.agent("a", &coordinator.url());
    let device = coordinator.device();
    let [warm, id] = [attempt(), attempt()];
    coordinator.assign(&warm, &round(&device, OBEDIENT, 1, BRISK));
    let worker = coordinator
        .finished(&warm)
        .facts
        .unwrap()
        .device_name
        .unwrap();
    coordinator.assign(&id, &round(&device, HANGING, 6, BRISK));
    coordinator.wait_for("the round", |memory| memory.progress(&id));
    assert!(Path::new("/proc").join(&worker).exists());
    agent.kill();
    eventually("the worker's end", || {
        let stat = std::fs::read_to_string(format!("/proc/{worker}/stat"));
        stat.map_or(true, |stat| stat.contains(") Z "))
            .then_some(())
    });
    let _agent = host.agent("a", &coordinator.url());
    let report = coordinator.finished(&id);
    assert_eq!(report.outcome, AttemptOutcome::Stopped.to_wire());
    assert!(report.message.contains("restarted"), "{}", report.message);
}

#[test]
fn a_report_that_was_refused_for_now_is_sent_again() {
    let coordinator = Coordinator::start();
    coordinator.change(|memory| memory.refuse_reports = 1);
    let host = Host::new();
    let agent = host.agent("a", &coordinator.url());
    let device = coordinator.device();
    let id = attempt();
    coordinator.assign(&id, &round(&device, OBEDIENT, 2, BRISK));
    coordinator.finished(&id);
    assert!(agent.log().contains("the disk is full"));
    assert_eq!(coordinator.change(|memory| memory.reports.len()), 1);
}

#[test]
fn a_device_is_measured_by_one_agent_at_a_time() {
    let host = Host::new();
    let (first, second) = (Coordinator::start(), Coordinator::start());
    let _agents = [
        host.agent("a", &first.url()),
        host.agent("b", &second.url()),
    ];
    let device = first.device();
    assert_eq!(second.device(), device);
    let [id, other] = [attempt(), attempt()];
    first.assign(&id, &round(&device, OBEDIENT, 1000, SLOW));
    first.wait_for("the round", |memory| memory.progress(&id));
    second.assign(&other, &round(&device, OBEDIENT, 1, BRISK));
    let declined = second.wait_for("the refusal", |memory| {
        memory.messages.iter().find_map(|message| match message {
            Message::Declined(declined) => declined.reason.clone(),
            _ => None,
        })
    });
    assert_eq!(declined.code, "device_locked");
    assert!(declined.message.contains(&device));
    first.stop_attempt(&id, true);
    first.finished(&id);
    // The lock is given back when the device is idle; the coordinator asks again.
    eventually("the device", || {
        let again = attempt();
        second.assign(&again, &round(&device, OBEDIENT, 1, BRISK));
        second.wait_for("an answer", |memory| {
            memory.messages.iter().find_map(|message| match message {
                Message::Accepted(accepted) if accepted.attempt_id == again => Some(Some(())),
                Message::Declined(declined) if declined.attempt_id == again => Some(None),
                _ => None,
            })
        })
    });
}

#[test]
fn what_cannot_be_run_is_declined_with_its_reason() {
    let coordinator = Coordinator::start();
    let host = Host::new();
    let _agent = host.agent("a", &coordinator.url());
    let device = coordinator.device();
    let [unknown, invalid] = [attempt(), attempt()];
    coordinator.assign(&unknown, &round("GPU-elsewhere", OBEDIENT, 1, BRISK));
    coordinator.assign(&invalid, &round(&device, "no-such-network", 1, BRISK));
    let reason = |id: String| {
        coordinator.wait_for("the refusal", move |memory| {
            memory.messages.iter().find_map(|message| match message {
                Message::Declined(declined) if declined.attempt_id == id => declined.reason.clone(),
                _ => None,
            })
        })
    };
    assert_eq!(reason(unknown).code, "unknown_device");
    let reason = reason(invalid);
    assert_eq!(reason.code, "invalid_round");
    assert!(
        reason.message.contains("round.workload"),
        "{}",
        reason.message
    );
}

#[test]
fn without_a_coordinator_for_too_long_the_round_is_given_up() {
    let mut coordinator = Coordinator::start();
    coordinator.change(|memory| memory.offline_budget = Some(Duration::from_millis(300)));
    let host = Host::new();
    let _agent = host.agent("a", &coordinator.url());
    let device = coordinator.device();
    let id = attempt();
    coordinator.assign(&id, &round(&device, OBEDIENT, 8000, SLOW));
    coordinator.wait_for("the round", |memory| memory.progress(&id));
    coordinator.stop();
    eventually("a spooled report", || (host.spooled("a") > 0).then_some(()));
    coordinator.restart();
    let report = coordinator.finished(&id);
    assert_eq!(report.outcome, AttemptOutcome::Stopped.to_wire());
    assert!(
        report.message.contains("out of reach"),
        "{}",
        report.message
    );
}

#[test]
fn a_coordinator_that_does_not_answer_is_dialled_again() {
    let coordinator = Coordinator::start();
    coordinator.change(|memory| memory.mute = true);
    let host = Host::new();
    let agent = host.agent("a", &coordinator.url());
    coordinator.wait_for("a second hello", |memory| memory.hellos.get(1).cloned());
    assert!(agent.log().contains("does not answer heartbeats"));
}
