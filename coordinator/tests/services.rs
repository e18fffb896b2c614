//! The services over real gRPC on loopback: a scripted agent works, operators ask, coordinators stop and start again.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

#[path = "support/scripted.rs"]
mod scripted;
mod support;

use std::{sync::atomic::Ordering, time::Duration};

use batchstep_coordinator::store::{Memory, Sqlite, Store as _};
use batchstep_proto::{
    ids::{AttemptId, RoundId, SweepId},
    wire::{
        self, agent_message, attempt_verdict::Verdict, coordinator_message::Message, event::Kind,
        report_attempt_response::Disposition,
    },
};
use scripted::Scripted;
use support::{Agent, Coordinator, PATIENCE, hello, measured, soon};
use tempfile::TempDir;
use tonic::{Code, Streaming};

async fn watch(
    coordinator: &Coordinator,
    after_seq: u64,
    sweep_id: Option<String>,
) -> Streaming<wire::Event> {
    let request = wire::WatchEventsRequest {
        after_seq,
        sweep_id,
    };
    let mut operator = coordinator.operator().await;
    operator.watch_events(request).await.unwrap().into_inner()
}

async fn next_event(events: &mut Streaming<wire::Event>) -> Option<wire::Event> {
    soon("an event", events.message()).await.ok().flatten()
}

/// Works until the stream is quiet because the sweep is over; answers with the number of blocks.
async fn work_until_over(coordinator: &Coordinator, agent: &mut Agent, sweep: &str) -> u32 {
    let mut events = watch(coordinator, 0, Some(sweep.to_owned())).await;
    let mut blocks = 0;
    loop {
        tokio::select! {
            assignment = agent.assignment() => {
                let assignment = assignment.expect("the stream is open");
                blocks += agent.work(&assignment).await;
            }
            event = next_event(&mut events) => {
                let event = event.expect("the events go on");
                if let Some(Kind::SweepEnded(ended)) = event.kind {
                    assert_eq!(ended.state(), wire::SweepState::Done, "{}", ended.message);
                    return blocks;
                }
            }
        }
    }
}

#[tokio::test]
async fn a_sweep_runs_to_its_table() {
    let coordinator = Coordinator::start(Memory::new()).await;
    let mut agent = Agent::connect(&coordinator, "CPU-1").await;
    assert_eq!(agent.welcome.protocol, 1);
    assert!(agent.welcome.heartbeat_interval_ns > 0);
    let sweep = coordinator.submit().await;
    let mut operator = coordinator.operator().await;
    let active = wire::GetSweepRequest {
        sweep_id: sweep.clone(),
    };
    let shown = operator
        .get_sweep(active.clone())
        .await
        .unwrap()
        .into_inner()
        .sweep
        .unwrap();
    assert_eq!(shown.state(), wire::SweepState::Active);
    assert!(!shown.submitted_at.is_empty());
    assert_eq!(shown.series.len(), 1);

    let blocks = work_until_over(&coordinator, &mut agent, &sweep).await;

    let shown = operator
        .get_sweep(active)
        .await
        .unwrap()
        .into_inner()
        .sweep
        .unwrap();
    assert_eq!(shown.state(), wire::SweepState::Done);
    assert!(shown.finished_at.is_some());
    assert_eq!(shown.series[0].blocks, blocks);
    let listed = operator
        .list_sweeps(wire::ListSweepsRequest {})
        .await
        .unwrap()
        .into_inner();
    assert_eq!(listed.sweeps, [shown]);

    let table = wire::GetTableRequest {
        sweep_id: Some(sweep.clone()),
        device_model: Some("example".to_owned()),
        detailed: true,
        ..wire::GetTableRequest::default()
    };
    let json = operator
        .get_table(table.clone())
        .await
        .unwrap()
        .into_inner()
        .json;
    let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    assert_eq!(json["schema_version"], 1);
    assert_eq!(json["rows"].as_array().unwrap().len(), 1);
    assert_eq!(json["rows"][0]["workload"], "linear");
    assert_eq!(json["rows"][0]["blocks"], blocks);
    assert_eq!(json["rows"][0]["software"]["libtorch"], "2.11.0");
    assert!(!json["rows"][0]["points"].as_array().unwrap().is_empty());
    let other = wire::GetTableRequest {
        device_model: Some("nothing like it".to_owned()),
        ..table
    };
    let json = operator.get_table(other).await.unwrap().into_inner().json;
    assert_eq!(json, br#"{"schema_version":1,"rows":[]}"#);

    let export = wire::ExportBlocksRequest { sweep_id: sweep };
    let mut stream = operator.export_blocks(export).await.unwrap().into_inner();
    let mut exported = Vec::new();
    while let Some(record) = stream.message().await.unwrap() {
        exported.push(record);
    }
    assert_eq!(u32::try_from(exported.len()).unwrap(), blocks);
    assert!(
        exported
            .iter()
            .all(|record| !record.attempt_id.is_empty() && record.block.is_some())
    );
    assert!(
        exported
            .iter()
            .any(|record| record.corrected_seconds.is_some())
    );
    assert!(exported.is_sorted_by_key(|record| record.round));

    let agents = operator
        .list_agents(wire::ListAgentsRequest {})
        .await
        .unwrap()
        .into_inner();
    assert_eq!(agents.agents[0].state(), wire::AgentState::Online);
    coordinator.stop().await;
}

/// Finish what runs, start nothing: also where the stream was cut, or the coordinator restarted, before that could be said.
#[tokio::test]
async fn a_drain_holds_from_the_next_hello_on() {
    for restarts in [false, true] {
        let store = Memory::new();
        let mut coordinator = Coordinator::start(store.clone()).await;
        let mut agent = Agent::connect(&coordinator, "CPU-1").await;
        // What follows a first round is not known yet: the second sweep's waits behind it.
        coordinator.submit().await;
        coordinator.submit().await;
        let running = agent.assignment().await.unwrap();
        agent.accept(&running).await;
        let waiting = agent.assignment().await.unwrap();
        assert!(waiting.prefetched);
        agent.accept(&waiting).await;
        drop(agent);
        let drain = |drain| wire::DrainAgentRequest {
            agent_id: support::AGENT.to_owned(),
            drain,
            reason: "new fans".to_owned(),
        };
        let mut operator = coordinator.operator().await;
        operator.drain_agent(drain(true)).await.unwrap();
        if restarts {
            coordinator.stop().await;
            coordinator = Coordinator::start(store.clone()).await;
        }
        let held = |assignment: &wire::Assignment, state: wire::held_attempt::State| {
            let attempt_id = assignment.attempt_id.clone();
            let state = state as i32;
            wire::HeldAttempt { attempt_id, state }
        };
        let mut again = hello("CPU-1");
        again.held = vec![
            held(&running, wire::held_attempt::State::Running),
            held(&waiting, wire::held_attempt::State::Accepted),
        ];
        let again = agent_message::Message::Hello(again);
        let mut agent = Agent::try_connect(&coordinator, again).await.unwrap();
        let verdicts = agent.welcome.verdicts.iter();
        let verdicts: Vec<Verdict> = verdicts.map(wire::AttemptVerdict::verdict).collect();
        assert_eq!(verdicts, [Verdict::Keep, Verdict::Stop]);
        let told = agent.next().await;
        assert!(matches!(told, Some(Message::Drain(_))), "{told:?}");
        let counts = agent.report(measured(&running)).await.unwrap();
        assert_eq!(counts, Disposition::Accepted);
        let given_back = wire::AttemptReport {
            outcome: wire::AttemptOutcome::Stopped as i32,
            blocks: Vec::new(),
            measuring_ns: 0,
            elapsed_ns: 0,
            ..measured(&waiting)
        };
        let counts = agent.report(given_back).await.unwrap();
        assert_eq!(counts, Disposition::Accepted);
        let mut operator = coordinator.operator().await;
        operator.drain_agent(drain(false)).await.unwrap();
        let next = agent.assignment().await.unwrap();
        assert_eq!(
            next.round.unwrap().round_id,
            waiting.round.unwrap().round_id
        );
        coordinator.stop().await;
    }
}

#[tokio::test]
async fn reports_are_taken_once_and_strange_ones_are_kept() {
    let coordinator = Coordinator::start(Memory::new()).await;
    let mut agent = Agent::connect(&coordinator, "CPU-1").await;
    coordinator.submit().await;
    let assignment = agent.assignment().await.unwrap();
    agent.accept(&assignment).await;
    let report = measured(&assignment);
    assert_eq!(
        agent.report(report.clone()).await.unwrap(),
        Disposition::Accepted
    );
    assert_eq!(
        agent.report(report.clone()).await.unwrap(),
        Disposition::Duplicate
    );
    let stranger = wire::AttemptReport {
        attempt_id: AttemptId::of(
            RoundId::of(support::plan(SweepId::generate(), "x").id, 0),
            0,
        )
        .to_string(),
        ..report.clone()
    };
    assert_eq!(
        agent.report(stranger.clone()).await.unwrap(),
        Disposition::Quarantined
    );
    assert_eq!(
        agent.report(stranger).await.unwrap(),
        Disposition::Duplicate
    );
    let broken = wire::AttemptReport {
        blocks: vec![wire::Block {
            iterations: 0,
            ..report.blocks[0]
        }],
        ..report
    };
    let refused = agent.report(broken).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(
        refused.message().contains("`block.iterations`"),
        "{refused}"
    );
    coordinator.stop().await;
}

#[tokio::test]
async fn a_sweep_goes_on_after_a_restart_and_watchers_miss_nothing() {
    let folder = TempDir::new().unwrap();
    let coordinator = Coordinator::start(Sqlite::open(folder.path()).await.unwrap()).await;
    let mut agent = Agent::connect(&coordinator, "CPU-1").await;
    let incarnation = agent.welcome.incarnation;
    let mut events = watch(&coordinator, 0, None).await;
    let sweep = coordinator.submit().await;
    let first = agent.assignment().await.unwrap();
    agent.work(&first).await;
    // Accepted, and its result not yet reported when the coordinator stops.
    let second = agent.assignment().await.unwrap();
    agent.accept(&second).await;
    let mut seqs = Vec::new();
    while !matches!(seqs.last(), Some((_, Some(Kind::RoundAssigned(round)))) if round.round == 1) {
        let event = next_event(&mut events).await.unwrap();
        seqs.push((event.seq, event.kind));
    }
    coordinator.stop().await;
    let closing = agent.closing().await.expect("a reason");
    assert!(
        closing.reason.contains("stopping") && !closing.permanent,
        "{closing:?}"
    );
    while let Some(event) = next_event(&mut events).await {
        seqs.push((event.seq, event.kind));
    }

    let coordinator = Coordinator::start(Sqlite::open(folder.path()).await.unwrap()).await;
    let mut back = hello("CPU-1");
    back.held = vec![wire::HeldAttempt {
        attempt_id: second.attempt_id.clone(),
        state: wire::held_attempt::State::Spooled as i32,
    }];
    let mut agent = Agent::try_connect(&coordinator, agent_message::Message::Hello(back))
        .await
        .unwrap();
    assert!(agent.welcome.incarnation > incarnation);
    assert_eq!(
        agent.welcome.verdicts[0].verdict(),
        wire::attempt_verdict::Verdict::Keep
    );
    assert_eq!(
        agent.report(measured(&second)).await.unwrap(),
        Disposition::Accepted
    );
    // A result that was acknowledged before the restart is known after it.
    assert_eq!(
        agent.report(measured(&first)).await.unwrap(),
        Disposition::Duplicate
    );
    work_until_over(&coordinator, &mut agent, &sweep).await;

    let last = seqs.iter().map(|(seq, _)| *seq).max().unwrap();
    let mut events = watch(&coordinator, last, None).await;
    while !matches!(seqs.last(), Some((_, Some(Kind::SweepEnded(_))))) {
        let event = next_event(&mut events).await.unwrap();
        seqs.push((event.seq, event.kind));
    }
    let journalled: Vec<u64> = seqs
        .iter()
        .map(|(seq, _)| *seq)
        .filter(|seq| *seq > 0)
        .collect();
    let expected: Vec<u64> = (1..=journalled.len() as u64).collect();
    assert_eq!(journalled, expected);
    let ended: Vec<u32> = seqs
        .iter()
        .filter_map(|(_, kind)| match kind {
            Some(Kind::RoundEnded(round)) => Some(round.round),
            _ => None,
        })
        .collect();
    let each_once: Vec<u32> = (0..).take(ended.len()).collect();
    assert_eq!(ended, each_once);
    coordinator.stop().await;
}

#[tokio::test]
async fn the_journal_and_live_events_join_without_gap_or_repeat() {
    let store = Scripted::default();
    let coordinator = Coordinator::start(store.clone()).await;
    coordinator.submit().await;
    // Events are committed just before, and just after, a new watcher reads the journal.
    for gate in [&store.before_page, &store.after_page] {
        let held = gate.lock().await;
        let asked = store.pages.load(Ordering::SeqCst);
        let mut events = watch(&coordinator, 0, None).await;
        let reads = async {
            while store.pages.load(Ordering::SeqCst) == asked {
                tokio::task::yield_now().await;
            }
        };
        soon("the journal to be asked", reads).await;
        coordinator.submit().await;
        drop(held);
        coordinator.submit().await;
        let last = store.last_seq().await.unwrap();
        let mut seqs = Vec::new();
        while seqs.last() != Some(&last) {
            seqs.push(next_event(&mut events).await.unwrap().seq);
        }
        let expected: Vec<u64> = (1..=last).collect();
        assert_eq!(seqs, expected);
    }
    coordinator.stop().await;
}

#[tokio::test]
async fn stopping_is_bounded_while_streams_are_open() {
    let coordinator = Coordinator::start(Memory::new()).await;
    let mut agent = Agent::connect(&coordinator, "CPU-1").await;
    let mut events = watch(&coordinator, 0, None).await;
    next_event(&mut events).await.unwrap();
    // Bounded by the server's own timeout, far below the patience of tests.
    const { assert!(PATIENCE.as_secs() > 30) };
    coordinator.stop().await;
    assert!(agent.closing().await.is_some());
    let end = soon("the watcher's end", events.message())
        .await
        .unwrap_err();
    assert_eq!(end.code(), Code::Unavailable);
}

#[tokio::test]
async fn a_full_disk_refuses_retryably_and_loses_nothing() {
    let store = Scripted::default();
    let coordinator = Coordinator::start(store.clone()).await;
    let mut agent = Agent::connect(&coordinator, "CPU-1").await;
    let sweep = coordinator.submit().await;
    let assignment = agent.assignment().await.unwrap();
    agent.accept(&assignment).await;
    let mut events = watch(&coordinator, 0, None).await;

    store.full.store(true, Ordering::SeqCst);
    let refused = agent.report(measured(&assignment)).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable, "{refused}");
    assert!(agent.closing().await.is_some());
    let end = async {
        loop {
            match events.message().await {
                Ok(Some(_)) => {}
                other => return other,
            }
        }
    };
    let end = soon("the watcher's end", end).await.unwrap_err();
    assert_eq!(end.code(), Code::Unavailable, "{end}");

    store.full.store(false, Ordering::SeqCst);
    let mut back = hello("CPU-1");
    back.held = vec![wire::HeldAttempt {
        attempt_id: assignment.attempt_id.clone(),
        state: wire::held_attempt::State::Spooled as i32,
    }];
    // The state may still be on its way back from the store.
    let reconnect = async {
        loop {
            let hello = agent_message::Message::Hello(back.clone());
            match Agent::try_connect(&coordinator, hello).await {
                Ok(agent) => return agent,
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    };
    let mut agent = soon("the coordinator to recover", reconnect).await;
    assert_eq!(
        agent.report(measured(&assignment)).await.unwrap(),
        Disposition::Accepted
    );
    work_until_over(&coordinator, &mut agent, &sweep).await;
    coordinator.stop().await;
}
