//! What people and networks do to a fleet, one story each.

use std::time::Duration;

use batchstep_proto::{
    domain::{AttemptOutcome, DeviceKind, Ineligibility},
    wire,
};

use super::{
    fixtures::{device, spec, uuid},
    world::{World, answer},
};
use crate::fleet::{
    Answer, Effect, Input, Progress, Refusal, ReplyKey, SeriesState, SweepState, ToAgent,
};

#[test]
fn a_sweep_runs_to_its_end_and_leaves_memory() {
    let mut world = World::new(3, &[&["CPU-a"], &["GPU-b", "CPU-b"]]);
    world.connect(0);
    world.connect(1);
    let (sweep, submitted) = world.submit(spec());
    assert_eq!(submitted, Answer::Submitted(sweep));
    let view = world.state.sweep(sweep).unwrap();
    let devices: Vec<&str> = view
        .series
        .iter()
        .map(|series| series.device_id.as_str())
        .collect();
    // The processors of a host with a GPU are left alone; threads are the physical cores.
    assert_eq!(devices, ["CPU-a", "GPU-b"]);
    assert_eq!(view.series[0].threads, Some(2));
    assert_eq!(view.series[1].threads, None);
    assert_eq!(view.series[0].state, wire::SeriesState::Running as i32);
    assert!(!world.state.idle());

    world.run();
    assert_eq!(world.ledger.blocks(), [6, 6]);
    assert_eq!(
        world.ledger.ended,
        [(sweep, SweepState::Done, "2 of 2 series done".to_owned())]
    );
    assert!(world.state.idle());
    assert_eq!(world.state.sweep(sweep), None);
    assert!(world.state.series.is_empty() && world.state.attempts.is_empty());
    let rounds_ended = world
        .ledger
        .events
        .iter()
        .filter(|event| matches!(event.kind, wire::event::Kind::RoundEnded(_)))
        .count();
    assert_eq!(rounds_ended, 6);
}

#[test]
fn nothing_is_sent_before_it_is_on_record() {
    let mut world = World::new(1, &[&["CPU-a"]]);
    world.connect(0);
    let effects = world.feed(Input::Submit {
        reply: ReplyKey(1),
        request: uuid(1),
        sweep: uuid(2),
        spec: Box::new(spec()),
    });
    let position = |wanted: fn(&Effect) -> bool| effects.iter().position(wanted).unwrap();
    let recorded = position(|effect| {
        matches!(effect, Effect::Persist(record)
            if matches!(**record, crate::fleet::Record::AttemptAssigned { .. }))
    });
    let sent = position(
        |effect| matches!(effect, Effect::Send { message, .. } if matches!(**message, ToAgent::Assign { .. })),
    );
    assert!(recorded < sent);
}

#[test]
fn cancelling_stops_what_runs_and_keeps_what_was_measured() {
    let mut world = World::new(5, &[&["GPU-x"]]);
    world.connect(0);
    let (first, _) = world.submit(spec());
    let (second, _) = world.submit(spec());
    // Accepts, accepts what waits behind it, measures.
    for _ in 0..3 {
        world.step(0);
    }
    let attempt = world.held(0);
    assert_eq!(world.cancel(first), Answer::Cancelled(true));
    assert_eq!(world.ledger.ended[0].1, SweepState::Cancelled);
    assert_eq!(world.state.sweep(first), None);
    assert!(world.agents[0].held[&attempt].is_over());
    assert_eq!(world.cancel(first), Answer::Cancelled(false));
    world.run();
    assert_eq!(world.ledger.blocks()[0], 1);
    assert_eq!(
        world.ledger.sweeps[0].series[0].state,
        SeriesState::Cancelled
    );
    assert_eq!(world.ledger.ended[1].0, second);
    assert!(matches!(
        world.cancel(second),
        Answer::Refused(Refusal::NotFound(_))
    ));
    assert!(world.state.idle());
}

fn decline(world: &mut World) {
    decline_with(world, "busy", "pid 7 computes on it");
}

fn decline_with(world: &mut World, code: &str, message: &str) {
    let (session, attempt) = (world.agents[0].session.unwrap(), world.held(0));
    world.agents[0].held.clear();
    world.feed(Input::Declined {
        session,
        attempt,
        reason: Ineligibility {
            code: code.to_owned(),
            message: message.to_owned(),
        },
    });
}

#[test]
fn a_device_that_another_batchstep_measures_on_is_waited_for() {
    let mut world = World::new(1, &[&["GPU-x"]]);
    world.connect(0);
    let (sweep, _) = world.submit(spec());
    for _ in 0..30 {
        decline_with(&mut world, Ineligibility::DEVICE_LOCKED, "pid 7 has it");
        let why = world.explanation(sweep, 0);
        assert!(
            why.ends_with("another batchstep measures on it: pid 7 has it"),
            "{why}"
        );
        world.wait(Duration::from_mins(1));
    }
    // What is declined for another reason then is the first in a row, and after a restart.
    for _ in 0..2 {
        decline(&mut world);
        world.wait(Duration::from_mins(1));
        assert_eq!(world.ledger.ended, []);
        world.restart();
        world.connect(0);
    }
    world.run();
    assert_eq!(world.ledger.ended[0].1, SweepState::Done);
}

#[test]
fn a_declined_round_is_offered_again_after_a_growing_pause() {
    let mut world = World::new(1, &[&["GPU-x"]]);
    world.connect(0);
    let (sweep, _) = world.submit(spec());
    for pause in [1, 2, 4] {
        decline(&mut world);
        assert_eq!(
            world.explanation(sweep, 0).split(':').next_back(),
            Some(" pid 7 computes on it")
        );
        assert!(world.agents[0].held.is_empty());
        world.now += Duration::from_secs(pause) - Duration::from_millis(1);
        world.feed(Input::Tick);
        assert!(world.agents[0].held.is_empty());
        assert_eq!(
            world.state.next_tick(),
            Some(world.now + Duration::from_millis(1))
        );
        world.now += Duration::from_millis(1);
        world.feed(Input::Tick);
        assert_eq!(world.agents[0].held.len(), 1);
    }
    world.run();
    assert_eq!(world.ledger.ended[0].1, SweepState::Done);

    // A device that never becomes free fails the series, with the reason.
    let (sweep, _) = world.submit(spec());
    for _ in 0..10 {
        decline(&mut world);
        world.wait(Duration::from_mins(1));
    }
    assert_eq!(world.state.sweep(sweep), None);
    assert_eq!(
        world.ledger.sweeps[1].series[0].message,
        "declined 10 times in a row: pid 7 computes on it"
    );
    assert_eq!(world.ledger.ended[1].1, SweepState::Failed);
}

#[test]
fn a_worker_that_cannot_start_fails_the_series_quickly() {
    let mut world = World::new(1, &[&["GPU-x"]]);
    world.connect(0);
    world.submit(spec());
    for _ in 0..3 {
        world.step(0);
        let attempt = world.held(0);
        world.finish(0, attempt, AttemptOutcome::Refused, 0);
        world.step(0);
        world.wait(Duration::from_secs(2));
    }
    assert_eq!(world.ledger.ended[0].1, SweepState::Failed);
    assert_eq!(
        world.ledger.sweeps[0].series[0].message,
        "refused 3 times in a row: Refused"
    );
    assert!(world.state.idle());
}

#[test]
fn a_new_process_does_not_wait_for_its_predecessors_pause() {
    let mut world = World::new(1, &[&["GPU-x"]]);
    world.connect(0);
    world.submit(spec());
    decline(&mut world);
    world.connect(0);
    assert!(world.agents[0].held.is_empty());
    world.agents[0].boot = uuid(79);
    world.connect(0);
    assert_eq!(world.agents[0].held.len(), 1);
}

#[test]
fn a_plan_that_fails_fails_the_sweep() {
    let mut world = World::new(1, &[&["GPU-x"]]);
    world.state.planner = Box::new(super::fixtures::Script {
        rounds: 1,
        fails: true,
        settles: false,
    });
    world.connect(0);
    let (sweep, _) = world.submit(spec());
    assert_eq!(
        world.ledger.ended,
        [(
            sweep,
            SweepState::Failed,
            "none of 1 series is done".to_owned()
        )]
    );
    assert!(world.state.idle());
}

#[test]
fn a_broken_round_costs_one_round() {
    let mut world = World::new(3, &[&["GPU-x"]]);
    world.connect(0);
    world.submit(spec());
    for _ in 0..3 {
        world.step(0);
    }
    let attempt = world.held(0);
    world.finish(0, attempt, AttemptOutcome::Broken, 0);
    world.run();
    assert_eq!(world.ledger.blocks(), [5]);
    let series = &world.ledger.sweeps[0].series[0];
    assert_eq!(
        series.rounds[0].record.outcomes,
        [(AttemptOutcome::Broken, "Broken".to_owned())]
    );
}

#[test]
fn draining_agents_get_nothing_new_until_it_is_taken_back() {
    let mut world = World::new(3, &[&["GPU-x"]]);
    world.connect(0);
    let (sweep, _) = world.submit(spec());
    let drain = |world: &mut World, drain| {
        let reply = ReplyKey(world.key());
        let agent = world.agents[0].id;
        let reason = "new fans".to_owned();
        let effects = world.feed(Input::Drain {
            reply,
            agent,
            drain,
            reason,
            enrolled: None,
        });
        assert_eq!(answer(&effects), Answer::Drained);
        let told = effects.iter().any(|effect| {
            matches!(effect, Effect::Send { message, .. }
                if matches!(**message, ToAgent::Drain { .. }))
        });
        assert_eq!(told, drain);
    };
    world.step(0);
    drain(&mut world, true);
    let state = |world: &World| world.state.agents()[0].state;
    assert_eq!(state(&world), wire::AgentState::Draining as i32);
    world.run();
    assert_eq!(state(&world), wire::AgentState::Drained as i32);
    assert_eq!(world.ledger.blocks(), [2]);
    assert!(
        world
            .explanation(sweep, 0)
            .ends_with("is draining: new fans")
    );
    world.disconnect(0);
    world.connect(0);
    assert!(
        world.agents[0].held.is_empty(),
        "a new session changes nothing"
    );
    drain(&mut world, false);
    world.run();
    assert_eq!(world.ledger.blocks(), [6]);

    // An agent that is told to stop drains by itself, and its sweep waits for its return.
    let (sweep, _) = world.submit(spec());
    world.step(0);
    world.agents[0].draining = true;
    world.heartbeat(0);
    let attempt = world.held(0);
    world.finish(0, attempt, AttemptOutcome::Stopped, 1);
    world.run();
    assert!(world.explanation(sweep, 0).ends_with("is draining"));
    world.agents[0].draining = false;
    world.agents[0].boot = uuid(78);
    world.disconnect(0);
    world.wait(Duration::from_secs(5));
    world.run();
    assert_eq!(world.ledger.blocks()[1], 5);
}

#[test]
fn a_device_that_may_not_start_a_trial_gets_none() {
    let mut world = World::new(1, &[&["GPU-x"]]);
    let mut hot = device("GPU-x", DeviceKind::Cuda);
    hot.ineligible = vec![Ineligibility {
        code: "hot".to_owned(),
        message: "97 degrees".to_owned(),
    }];
    world.agents[0].devices = vec![hot];
    world.connect(0);
    let (sweep, _) = world.submit(spec());
    assert_eq!(world.explanation(sweep, 0), "device GPU-x: 97 degrees");
    let session = world.agents[0].session.unwrap();
    world.feed(Input::Heartbeat {
        session,
        sequence: 4,
        draining: false,
        changed: vec![device("GPU-x", DeviceKind::Cuda)],
    });
    assert_eq!(world.agents[0].held.len(), 1);
}

#[test]
fn progress_is_shown_with_what_remains_and_never_kept() {
    let mut world = World::new(4, &[&["GPU-x"]]);
    world.connect(0);
    let (sweep, _) = world.submit(spec());
    world.step(0);
    let (session, attempt) = (world.agents[0].session.unwrap(), world.held(0));
    let progress = Progress {
        attempt,
        visits_done: 1,
        visits_total: 2,
        batch_size: 7,
        warming_up: false,
    };
    let effects = world.feed(Input::Progress { session, progress });
    let [Effect::Show(event)] = &effects[..] else {
        panic!("{effects:?}");
    };
    assert_eq!(event.sweep, Some(sweep));
    let wire::event::Kind::Progress(shown) = &event.kind else {
        panic!("{event:?}");
    };
    assert_eq!(shown.remaining_ns, 4_000_000_000);
    let progress = Progress {
        attempt: uuid(5),
        ..progress
    };
    assert_eq!(world.feed(Input::Progress { session, progress }), []);
}
