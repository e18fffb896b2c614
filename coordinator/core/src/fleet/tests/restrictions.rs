//! Agents that get no work: drained by a person, cordoned for failing at everything, taken off the list.

use std::time::Duration;

use batchstep_proto::{
    domain::{AttemptOutcome, DeviceSelector, SweepSpec},
    ids::AttemptId,
    wire,
};

use super::{
    fixtures::spec,
    world::{World, answer},
};
use crate::fleet::{
    Answer, AttemptState, Effect, HeldState, Input, Refusal, ReplyKey, SeriesState, ToAgent,
};

pub fn drain(world: &mut World, agent: usize, drain: bool) -> Answer {
    let (reply, agent) = (ReplyKey(world.key()), world.agents[agent].id);
    let reason = "new fans".to_owned();
    let effects = world.feed(Input::Drain {
        reply,
        agent,
        drain,
        reason,
        enrolled: None,
    });
    answer(&effects)
}

fn of(workloads: &[&str]) -> SweepSpec {
    let workloads = workloads.iter().map(|one| one.parse().unwrap()).collect();
    SweepSpec {
        workloads,
        ..spec()
    }
}

/// The agent refuses whatever it is given, until nothing is out at it.
fn refuse_all(world: &mut World, agent: usize) {
    for _ in 0..200 {
        let running = world.agents[agent]
            .held
            .iter()
            .find(|(_, held)| held.state == HeldState::Running)
            .map(|(id, _)| *id);
        match running {
            Some(attempt) => world.finish(agent, attempt, AttemptOutcome::Refused, 0),
            None if world.step(agent) => {}
            None => {
                // A pause may be over.
                world.wait(Duration::from_secs(60));
                if world.agents[agent].held.is_empty() {
                    return;
                }
            }
        }
    }
    panic!("the agent is given work without end");
}

#[test]
fn a_drained_agent_stays_so_over_restarts_of_the_coordinator() {
    let mut world = World::new(1, &[&["GPU-x"]]);
    world.connect(0);
    assert_eq!(drain(&mut world, 0, true), Answer::Drained);
    world.restart();
    // It is listed before it is back.
    let agents = world.state.agents();
    assert_eq!(agents[0].drain_reason.as_deref(), Some("new fans"));
    assert_eq!(agents[0].state, wire::AgentState::Unreachable as i32);
    assert_eq!(agents[0].since_last_message_ns, None);
    assert!(
        agents[0]
            .host
            .as_ref()
            .unwrap()
            .hostname
            .starts_with("host-")
    );
    world.connect(0);
    let (sweep, _) = world.submit(spec());
    world.run();
    assert!(world.explanation(sweep, 0).contains("draining: new fans"));
    assert_eq!(drain(&mut world, 0, false), Answer::Drained);
    world.run();
    assert_eq!(world.ledger.blocks(), [2]);
    assert!(world.ledger.restrictions.is_empty());
}

/// One round that runs at the agent, with one behind it on the same device.
fn at_work(world: &mut World) -> (AttemptId, AttemptId) {
    world.connect(0);
    world.submit(spec());
    world.step(0);
    let mut held: Vec<_> = world.agents[0].held.iter().collect();
    held.sort_by_key(|(_, held)| held.order);
    let states: Vec<HeldState> = held.iter().map(|(_, held)| held.state).collect();
    assert_eq!(states, [HeldState::Running, HeldState::Accepted]);
    let at_work = (*held[0].0, *held[1].0);
    world.step(0);
    at_work
}

#[test]
fn what_waits_at_an_agent_that_is_drained_is_given_back_and_what_runs_is_finished() {
    let mut world = World::new(3, &[&["GPU-x"]]);
    let (running, waiting) = at_work(&mut world);
    drain(&mut world, 0, true);
    assert_eq!(world.agents[0].held[&running].state, HeldState::Running);
    assert!(world.agents[0].held[&waiting].is_over());
    world.run();
    assert_eq!(world.ledger.blocks(), [2]);
    drain(&mut world, 0, false);
    // It was no failure, so nothing pauses.
    world.run();
    assert_eq!(world.ledger.blocks(), [6]);
}

#[test]
fn what_waits_does_not_begin_where_the_drain_came_while_the_stream_was_down() {
    for noticed in [true, false] {
        for restarted in [true, false] {
            let mut world = World::new(3, &[&["GPU-x"]]);
            let (running, waiting) = at_work(&mut world);
            if noticed {
                world.disconnect(0);
            } else {
                world.cut(0);
            }
            drain(&mut world, 0, true);
            if restarted {
                world.restart();
            }
            world.finish(0, running, AttemptOutcome::Finished, 2);
            let effects = world.connect(0);
            assert!(world.agents[0].held[&waiting].is_over());
            let is_told = |effect: &Effect| {
                matches!(effect, Effect::Send { message, .. }
                    if matches!(&**message, ToAgent::Drain { reason } if reason == "drained: new fans"))
            };
            assert!(effects.iter().any(is_told), "{effects:?}");
            world.run();
            assert_eq!(world.ledger.blocks(), [2]);
            drain(&mut world, 0, false);
            world.run();
            assert_eq!(world.ledger.blocks(), [6]);
        }
    }
}

#[test]
fn what_runs_at_an_agent_that_was_drained_meanwhile_is_finished() {
    let mut world = World::new(3, &[&["GPU-x"]]);
    let (running, waiting) = at_work(&mut world);
    world.disconnect(0);
    drain(&mut world, 0, true);
    world.connect(0);
    assert_eq!(world.agents[0].held[&running].state, HeldState::Running);
    assert!(world.agents[0].held[&waiting].is_over());
    // Also where its round was given up in the meantime.
    world.step(0);
    world.disconnect(0);
    world.wait(Duration::from_mins(5));
    assert!(world.ledger.states().contains(&AttemptState::Expired));
    world.connect(0);
    assert_eq!(world.agents[0].held[&running].state, HeldState::Running);
    world.run();
    assert_eq!(world.ledger.blocks(), [2]);
}

#[test]
fn what_waits_at_a_host_that_is_cordoned_is_called_back() {
    for connected in [true, false] {
        // Somebody else may measure the series, so it does not fail.
        let mut world = World::new(4, &[&["GPU-x"], &["GPU-y"]]);
        world.connect(0);
        world.connect(1);
        let mut shared = spec();
        shared.scheduling.share_across_model = true;
        world.submit(shared);
        world.step(0);
        world.step(0);
        let waiting = world.agents[0].held.iter();
        let waiting: Vec<AttemptId> = waiting
            .filter(|(_, held)| held.state == HeldState::Accepted)
            .map(|(attempt, _)| *attempt)
            .collect();
        assert_eq!(waiting.len(), 1);
        if !connected {
            world.disconnect(0);
        }
        let id = world.agents[0].id;
        world.cordon(id);
        if !connected {
            world.connect(0);
        }
        let held = &world.agents[0].held;
        assert!(held[&waiting[0]].is_over());
        let runs = held.values().any(|held| held.state == HeldState::Running);
        assert!(runs, "what runs is finished");
        world.run();
        assert_eq!(world.ledger.blocks(), [8]);
    }
}

#[test]
fn an_agent_that_is_enrolled_can_be_drained_before_it_has_ever_connected() {
    let mut world = World::new(1, &[&["GPU-x"]]);
    let enrolled = world.enrolled(0);
    let agent = world.agents[0].id;
    let drain = |world: &mut World, drain, enrolled| {
        let reply = ReplyKey(world.key());
        let effects = world.feed(Input::Drain {
            reply,
            agent,
            drain,
            reason: String::new(),
            enrolled,
        });
        answer(&effects)
    };
    let refused = drain(&mut world, true, None);
    assert!(matches!(refused, Answer::Refused(Refusal::NotFound(_))));
    assert_eq!(
        drain(&mut world, false, Some(enrolled.clone())),
        Answer::Drained
    );
    assert!(world.state.agents().is_empty());
    let hostname = enrolled.hostname.clone();
    assert_eq!(drain(&mut world, true, Some(enrolled)), Answer::Drained);
    let listed = &world.state.agents()[0];
    assert_eq!(listed.host.as_ref().unwrap().hostname, hostname);
    world.restart();
    world.connect(0);
    let (sweep, _) = world.submit(spec());
    world.run();
    assert!(world.explanation(sweep, 0).ends_with("is draining"));
    assert_eq!(drain(&mut world, false, None), Answer::Drained);
    world.run();
    assert!(world.state.idle());
}

#[test]
fn a_host_that_fails_at_everything_is_cordoned() {
    let mut world = World::new(1, &[&["GPU-x"], &["GPU-y"]]);
    world.connect(0);
    world.connect(1);
    world.submit(of(&["linear", "matmul", "cnn"]));
    refuse_all(&mut world, 0);
    let view = world.state.agents();
    assert_eq!(view[0].state, wire::AgentState::Cordoned as i32);
    assert_eq!(
        view[0].cordon_reason.as_deref(),
        Some("5 attempts in a row measured nothing; the last: Refused")
    );
    assert_eq!(view[1].state, wire::AgentState::Online as i32);
    // The sweep does not wait for somebody to mend the host.
    world.run();
    let series = &world.ledger.sweeps[0].series;
    let failed: Vec<&str> = series
        .iter()
        .filter(|series| series.state == SeriesState::Failed)
        .map(|series| series.message.as_str())
        .collect();
    assert_eq!(failed.len(), 3);
    assert!(
        failed[0].starts_with("refused 3 times in a row"),
        "{failed:?}"
    );
    assert!(failed[2].contains("is cordoned"), "{failed:?}");
    assert_eq!(world.ledger.ended[0].2, "3 of 6 series done");
    // The next one leaves it out, or says why it waits.
    let (next, _) = world.submit(spec());
    let view = world.state.sweep(next).unwrap();
    assert_eq!(view.series.len(), 1);
    assert!(
        view.explanation[1].contains("its agent is cordoned"),
        "{view:?}"
    );
    let named = SweepSpec {
        devices: DeviceSelector::Listed(vec!["GPU-x".to_owned()]),
        ..spec()
    };
    let (named, _) = world.submit(named);
    world.run();
    let why = world.explanation(named, 0);
    assert!(
        why.contains("is cordoned: 5 attempts") && why.contains("batchstep agents undrain"),
        "{why}"
    );
    // Undraining is also the way back from here, over a restart.
    world.restart();
    world.connect(0);
    assert_eq!(drain(&mut world, 0, false), Answer::Drained);
    world.run();
    assert!(world.state.idle());
}

#[test]
fn a_network_that_runs_nowhere_cordons_nobody() {
    let mut world = World::new(1, &[&["GPU-x"]]);
    world.connect(0);
    for _ in 0..4 {
        world.submit(spec());
        refuse_all(&mut world, 0);
    }
    assert_eq!(
        world.state.agents()[0].state,
        wire::AgentState::Online as i32
    );
}

#[test]
fn the_only_host_where_a_network_fails_is_cordoned() {
    let mut world = World::new(1, &[&["GPU-x"], &["GPU-y"]]);
    world.connect(0);
    world.connect(1);
    world.submit(spec());
    let (second, _) = world.submit(spec());
    for _ in 0..20 {
        world.step(1);
    }
    assert!(world.ledger.blocks().contains(&2));
    refuse_all(&mut world, 0);
    assert_eq!(
        world.state.agents()[0].state,
        wire::AgentState::Cordoned as i32
    );
    assert_eq!(world.state.sweep(second), None);
}

#[test]
fn one_measurement_makes_up_for_all_failures() {
    let mut world = World::new(1, &[&["GPU-x"]]);
    world.connect(0);
    for workload in ["linear", "matmul", "cnn", "resnet50"] {
        world.submit(of(&[workload]));
        refuse_all(&mut world, 0);
        world.submit(of(&["linear"]));
        world.run();
    }
    assert_eq!(
        world.state.agents()[0].state,
        wire::AgentState::Online as i32
    );
}

#[test]
fn an_id_that_is_lost_gives_no_hope_to_the_series_of_a_cordoned_agent() {
    let mut world = World::new(1, &[&["GPU-x"], &["GPU-x"]]);
    world.connect(0);
    world.disconnect(0);
    world.wait(Duration::from_mins(5));
    // The host was installed anew: another id with the same device.
    world.connect(1);
    world.submit(of(&["linear", "matmul", "cnn"]));
    refuse_all(&mut world, 1);
    assert_eq!(
        world.state.agents()[1].state,
        wire::AgentState::Cordoned as i32
    );
    assert_eq!(world.ledger.ended.len(), 1);
}

#[test]
fn rounds_that_were_given_back_are_no_refusals() {
    let mut world = World::new(1, &[&["GPU-x"]]);
    world.connect(0);
    let mut patient = spec();
    patient.scheduling.idle_only = true;
    world.submit(patient);
    let end = |world: &mut World, outcome| {
        while world.agents[0].held.is_empty() {
            world.wait(Duration::from_secs(60));
        }
        world.step(0);
        let attempt = world.held(0);
        world.finish(0, attempt, outcome, 0);
        while world.step(0) {}
    };
    for _ in 0..30 {
        end(&mut world, AttemptOutcome::Stopped);
    }
    end(&mut world, AttemptOutcome::Refused);
    assert!(
        world.ledger.ended.is_empty(),
        "whoever asked for idle devices waits"
    );
    world.wait(Duration::from_secs(60));
    world.run();
    assert_eq!(world.ledger.blocks(), [2]);
}

#[test]
fn a_sweep_that_waits_for_an_idle_device_leaves_it_to_others_meanwhile() {
    let mut world = World::new(1, &[&["GPU-x"]]);
    world.connect(0);
    let mut patient = spec();
    patient.scheduling.idle_only = true;
    let (patient, _) = world.submit(patient);
    world.step(0);
    let attempt = world.held(0);
    world.finish(0, attempt, AttemptOutcome::Stopped, 0);
    world.step(0);
    let why = world.explanation(patient, 0);
    assert_eq!(why, "waits for an idle device: Stopped; tries again in 1 s");
    assert!(world.agents[0].held.is_empty(), "it waits");

    // Without any time passing.
    let (other, _) = world.submit(spec());
    assert_eq!(world.agents[0].held.len(), 1, "the other one does not");
    while world.step(0) {}
    assert_eq!(world.state.sweep(other), None, "it is done");
    assert!(world.state.sweep(patient).is_some());
    world.wait(Duration::from_secs(60));
    world.run();
    assert_eq!(world.ledger.ended.len(), 2);
}
