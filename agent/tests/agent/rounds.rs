//! What happens when all goes well, and when people stop things.

use std::{thread, time::Duration};

use batchstep_agent::{
    Shutdown,
    config::Config,
    device::{self, LockDir},
    executor::ProcessExecutor,
    session::TcpDialer,
    state_dir::StateDir,
};
use batchstep_proto::{domain::AttemptOutcome, wire::held_attempt::State};
use nix::sys::signal::Signal;
use tokio::sync::watch;

use crate::{
    coordinator::Coordinator,
    host::{HANGING, Host, OBEDIENT, attempt, round, scripted_worker},
};

const BRISK: Duration = Duration::from_millis(2);
const SLOW: Duration = Duration::from_millis(50);

#[test]
fn a_round_starts_when_its_acceptance_is_on_record_and_is_reported_whole() {
    let coordinator = Coordinator::start();
    coordinator.change(|memory| memory.keep_acceptances = true);
    let host = Host::new();
    let agent = host.agent("a", &coordinator.url());
    let device = coordinator.device();
    let hello = coordinator.change(|memory| memory.hellos[0].clone());
    assert_eq!(hello.devices.len(), 1);
    assert!(device.starts_with("CPU-") && hello.held.is_empty() && hello.host.is_some());
    assert_eq!(hello.devices[0].ineligible, []);

    let id = attempt();
    coordinator.assign(&id, &round(&device, OBEDIENT, 6, BRISK));
    coordinator.wait_for("the acceptance", |memory| memory.accepted(&id));
    let beats = coordinator.change(|memory| memory.heartbeats());
    coordinator.wait_for("time to pass", |memory| {
        (memory.heartbeats() > beats + 3).then_some(())
    });
    assert!(!agent.log().contains("A worker was started"));

    coordinator.record(&id);
    let report = coordinator.finished(&id);
    assert_eq!(report.outcome, AttemptOutcome::Finished.to_wire());
    let sizes: Vec<u32> = report.blocks.iter().map(|block| block.batch_size).collect();
    assert_eq!(sizes, [1, 2, 3, 4, 5, 6]);
    assert_eq!((report.part, report.measuring_ns), (0, 6_000_000));
    assert!(report.facts.is_some());
    assert!(coordinator.change(|memory| memory.progress(&id)).is_some());
}

#[test]
fn one_worker_serves_the_rounds_that_wait_behind_each_other() {
    let coordinator = Coordinator::start();
    let host = Host::new();
    let _agent = host.agent("a", &coordinator.url());
    let device = coordinator.device();
    let ids = [attempt(), attempt(), attempt()];
    for id in &ids {
        coordinator.assign(id, &round(&device, OBEDIENT, 4, BRISK));
    }
    let workers: Vec<String> = ids
        .iter()
        .map(|id| coordinator.finished(id).facts.unwrap().device_name.unwrap())
        .collect();
    assert!(
        workers.iter().all(|worker| *worker == workers[0]),
        "{workers:?}"
    );
    let order = coordinator.change(|memory| {
        memory
            .reports
            .iter()
            .map(|report| report.attempt_id.clone())
            .collect::<Vec<_>>()
    });
    assert_eq!(order, ids);
}

#[test]
fn a_long_round_is_reported_in_disjoint_parts() {
    let coordinator = Coordinator::start();
    let host = Host::new();
    let (stop, stopped) = watch::channel(Shutdown::No);
    let (state, locks) = (host.path("state"), LockDir::at(host.path("locks")));
    let url = coordinator.url();
    // The whole agent as a library call, with short parts.
    let agent = thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let facts = device::Host::read();
            let devices = vec![device::processors(&facts)];
            let config = Config {
                locks,
                part_interval: Duration::from_millis(40),
                ..Config::new(facts.facts, devices)
            };
            let executor = ProcessExecutor::new(Ok(scripted_worker()));
            batchstep_agent::run(
                config,
                StateDir::open(&state).unwrap(),
                TcpDialer::new(&url).unwrap(),
                executor,
                stopped,
            )
            .await
        })
    });
    let device = coordinator.device();
    let id = attempt();
    coordinator.assign(
        &id,
        &round(&device, OBEDIENT, 30, Duration::from_millis(10)),
    );
    coordinator.finished(&id);
    let reports = coordinator.change(|memory| memory.reports.clone());
    assert!(reports.len() >= 3, "{} parts", reports.len());
    let visits: Vec<u32> = reports
        .iter()
        .flat_map(|report| &report.blocks)
        .map(|block| block.visit)
        .collect();
    assert_eq!(visits, (0..30).collect::<Vec<_>>());
    assert_eq!(
        reports.iter().map(|report| report.part).collect::<Vec<_>>(),
        (0..).take(reports.len()).collect::<Vec<_>>()
    );
    assert_eq!(
        reports
            .iter()
            .map(|report| report.measuring_ns)
            .sum::<u64>(),
        30_000_000
    );
    stop.send_replace(Shutdown::Drain);
    agent.join().unwrap().unwrap();
}

#[test]
fn a_stop_at_once_kills_the_worker_and_keeps_what_was_measured() {
    let coordinator = Coordinator::start();
    let host = Host::new();
    let _agent = host.agent("a", &coordinator.url());
    let device = coordinator.device();
    let id = attempt();
    coordinator.assign(&id, &round(&device, HANGING, 8, BRISK));
    coordinator.wait_for("the round", |memory| memory.progress(&id));
    coordinator.stop_attempt(&id, true);
    let report = coordinator.finished(&id);
    assert_eq!(report.outcome, AttemptOutcome::Stopped.to_wire());
    assert_eq!(report.message, "the sweep was cancelled");
    assert!(report.blocks.len() <= 4);
    // The device is free again.
    let next = attempt();
    coordinator.assign(&next, &round(&device, OBEDIENT, 2, BRISK));
    assert_eq!(
        coordinator.finished(&next).outcome,
        AttemptOutcome::Finished.to_wire()
    );
}

#[test]
fn a_gentle_stop_ends_the_round_and_keeps_the_worker() {
    let coordinator = Coordinator::start();
    let host = Host::new();
    let _agent = host.agent("a", &coordinator.url());
    let device = coordinator.device();
    let [id, waiting] = [attempt(), attempt()];
    coordinator.assign(&id, &round(&device, OBEDIENT, 1000, SLOW));
    coordinator.assign(&waiting, &round(&device, OBEDIENT, 1000, SLOW));
    coordinator.wait_for("the round", |memory| memory.progress(&id));
    coordinator.stop_attempt(&waiting, false);
    let report = coordinator.finished(&waiting);
    assert_eq!(
        (report.outcome, report.blocks.len()),
        (AttemptOutcome::Stopped.to_wire(), 0)
    );
    coordinator.stop_attempt(&id, false);
    let report = coordinator.finished(&id);
    assert_eq!(report.outcome, AttemptOutcome::Stopped.to_wire());
    let next = attempt();
    coordinator.assign(&next, &round(&device, OBEDIENT, 2, BRISK));
    assert_eq!(
        coordinator.finished(&next).facts.unwrap().device_name,
        report.facts.unwrap().device_name
    );
}

#[test]
fn a_lost_session_costs_nothing() {
    let coordinator = Coordinator::start();
    let host = Host::new();
    let _agent = host.agent("a", &coordinator.url());
    let device = coordinator.device();
    let id = attempt();
    coordinator.assign(&id, &round(&device, OBEDIENT, 60, SLOW));
    coordinator.wait_for("the round", |memory| memory.progress(&id));
    coordinator.drop_session();
    let hello = coordinator.wait_for("a second hello", |memory| memory.hellos.get(1).cloned());
    assert_eq!(
        hello.boot_id,
        coordinator.change(|memory| memory.hellos[0].boot_id.clone())
    );
    assert_eq!(hello.held.len(), 1);
    assert_eq!(
        (hello.held[0].attempt_id.as_str(), hello.held[0].state()),
        (id.as_str(), State::Running)
    );
    let report = coordinator.finished(&id);
    assert_eq!(
        (report.outcome, report.blocks.len()),
        (AttemptOutcome::Finished.to_wire(), 60)
    );
}

#[test]
fn an_acceptance_lost_with_its_session_is_said_again() {
    let coordinator = Coordinator::start();
    coordinator.change(|memory| memory.keep_acceptances = true);
    let host = Host::new();
    let _agent = host.agent("a", &coordinator.url());
    let device = coordinator.device();
    let id = attempt();
    coordinator.assign(&id, &round(&device, OBEDIENT, 2, BRISK));
    coordinator.wait_for("the acceptance", |memory| memory.accepted(&id));
    coordinator.change(|memory| {
        memory.messages.clear();
        memory.keep_acceptances = false;
    });
    coordinator.drop_session();
    let hello = coordinator.wait_for("a second hello", |memory| memory.hellos.get(1).cloned());
    assert_eq!(hello.held[0].state(), State::Accepted);
    assert_eq!(
        coordinator.finished(&id).outcome,
        AttemptOutcome::Finished.to_wire()
    );
}

#[test]
fn sigterm_finishes_the_round_and_a_second_one_stops_it() {
    let coordinator = Coordinator::start();
    let host = Host::new();
    let mut agent = host.agent("a", &coordinator.url());
    let device = coordinator.device();
    let [id, waiting] = [attempt(), attempt()];
    coordinator.assign(&id, &round(&device, OBEDIENT, 20, SLOW));
    coordinator.assign(&waiting, &round(&device, OBEDIENT, 20, SLOW));
    coordinator.wait_for("both", |memory| {
        memory.accepted(&waiting).and(memory.progress(&id))
    });
    agent.signal(Signal::SIGTERM);
    assert_eq!(
        coordinator.finished(&waiting).outcome,
        AttemptOutcome::Stopped.to_wire()
    );
    let report = coordinator.finished(&id);
    assert_eq!(
        (report.outcome, report.blocks.len()),
        (AttemptOutcome::Finished.to_wire(), 20)
    );
    assert!(agent.ended().success());
    assert_eq!(host.spooled("a"), 0);
    let in_order = coordinator.wait_for("the goodbye", |memory| memory.goodbye);
    assert!(in_order, "the stream was closed in order");

    // The first process's draining heartbeats must not be taken for the second's.
    coordinator.change(|memory| memory.messages.clear());
    let mut agent = host.agent("a", &coordinator.url());
    coordinator.wait_for("a second hello", |memory| memory.hellos.get(1).cloned());
    let id = attempt();
    coordinator.assign(&id, &round(&device, HANGING, 20, BRISK));
    coordinator.wait_for("the round", |memory| memory.progress(&id));
    agent.signal(Signal::SIGTERM);
    coordinator.wait_for("the draining heartbeat", |memory| {
        use batchstep_proto::wire::agent_message::Message::Heartbeat;
        memory
            .messages
            .iter()
            .rev()
            .find_map(|message| matches!(message, Heartbeat(beat) if beat.draining).then_some(()))
    });
    agent.signal(Signal::SIGTERM);
    assert_eq!(
        coordinator.finished(&id).outcome,
        AttemptOutcome::Stopped.to_wire()
    );
    assert!(agent.ended().success());
    assert_eq!(host.spooled("a"), 0);
}

#[test]
fn a_drain_that_takes_too_long_stops_the_round() {
    let coordinator = Coordinator::start();
    let host = Host::new();
    let mut command = host.run("a", &coordinator.url(), &scripted_worker());
    command.args(["--drain-limit", "200ms"]);
    let mut agent = host.start("a", command);
    let device = coordinator.device();
    let id = attempt();
    coordinator.assign(&id, &round(&device, OBEDIENT, 8000, SLOW));
    coordinator.wait_for("the round", |memory| memory.progress(&id));
    agent.signal(Signal::SIGTERM);
    let report = coordinator.finished(&id);
    assert_eq!(report.outcome, AttemptOutcome::Stopped.to_wire());
    assert!(report.message.contains("drained"), "{}", report.message);
    assert!(agent.ended().success());
}
