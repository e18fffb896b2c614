//! Streams that drop, agents that are lost, return, forget or fall silent: nothing is lost, and nothing counts twice.

use std::time::Duration;

use batchstep_proto::{
    domain::{AttemptOutcome, DeviceSelector},
    wire,
};

use super::{
    fixtures::{report, spec, uuid},
    world::{ACCEPTED, DUPLICATE, QUARANTINED, SUPERSEDED, World},
};
use crate::fleet::{AttemptState, Effect, HeldState, Input, ToAgent};

#[test]
fn a_dropped_stream_loses_nothing() {
    let mut world = World::new(1, &[&["CPU-a"]]);
    world.connect(0);
    let (sweep, _) = world.submit(spec());
    world.step(0);
    let attempt = world.held(0);
    world.disconnect(0);
    assert_eq!(
        world.state.agents()[0].state,
        wire::AgentState::Unreachable as i32
    );
    world.now += Duration::from_secs(29);
    let effects = world.connect(0);
    assert!(effects.iter().any(|effect| matches!(effect,
        Effect::Send { message, .. } if matches!(&**message,
            ToAgent::Welcome { verdicts, .. } if verdicts == &[(attempt, crate::fleet::Verdict::Keep)]))));
    world.run();
    assert_eq!(world.ledger.states(), [AttemptState::Reported]);
    assert_eq!(world.ledger.ended[0].0, sweep);
}

#[test]
fn the_newest_hello_wins() {
    let mut world = World::new(1, &[&["CPU-a"]]);
    world.connect(0);
    let old = world.agents[0].session.unwrap();
    let closed = |effects: &[Effect]| {
        effects.iter().find_map(|effect| match effect {
            Effect::Close {
                session, permanent, ..
            } => Some((*session, *permanent)),
            _ => None,
        })
    };
    // The same process dials again before its old stream is noticed to be gone.
    let effects = world.connect(0);
    assert_eq!(closed(&effects), Some((old, false)));
    let old = world.agents[0].session.unwrap();
    world.agents[0].boot = uuid(77);
    let effects = world.connect(0);
    assert_eq!(closed(&effects), Some((old, true)));
    // What still comes from the old stream is not the agent's word.
    let (sweep, _) = world.submit(spec());
    let attempt = world.held(0);
    let effects = world.feed(Input::Accepted {
        session: old,
        attempt,
    });
    assert_eq!(effects, []);
    assert!(world.state.sweep(sweep).is_some());
    let reason = "late".to_owned();
    world.feed(Input::Disconnected {
        session: old,
        reason,
    });
    assert_eq!(
        world.state.agents()[0].state,
        wire::AgentState::Online as i32
    );
}

#[test]
fn reports_count_once_and_only_for_their_agent() {
    let mut world = World::new(2, &[&["CPU-a"], &["CPU-b"]]);
    world.connect(0);
    let mut only = spec();
    only.devices = DeviceSelector::Listed(vec!["CPU-a".to_owned()]);
    world.submit(only);
    world.step(0);
    let (agent, other, attempt) = (world.agents[0].id, world.agents[1].id, world.held(0));
    let mut counter = 500;
    let held = world.agents[0].held.get_mut(&attempt).unwrap();
    let part = report(attempt, held, None, 1, &mut counter);
    assert_eq!(world.send_report(agent, part.clone()), ACCEPTED);
    assert_eq!(world.send_report(agent, part.clone()), DUPLICATE);
    let mut stolen = part.clone();
    stolen.blocks.clear();
    assert_eq!(world.send_report(other, stolen.clone()), QUARANTINED);
    stolen.attempt = uuid(99);
    assert_eq!(world.send_report(agent, stolen), QUARANTINED);
    assert_eq!(world.ledger.blocks(), [1]);
    // Parts may overtake each other, but an attempt ends once.
    let held = world.agents[0].held.get_mut(&attempt).unwrap();
    let late = report(attempt, held, None, 1, &mut counter);
    let stopped = Some(AttemptOutcome::Stopped);
    let mut last = report(attempt, held, stopped, 0, &mut counter);
    assert_eq!(world.send_report(agent, last.clone()), ACCEPTED);
    assert_eq!(world.send_report(agent, late), ACCEPTED);
    last.message = "again".to_owned();
    assert_eq!(world.send_report(agent, last), SUPERSEDED);
    assert_eq!(world.ledger.blocks(), [2]);
}

#[test]
fn a_lost_agents_round_goes_to_whoever_offers_the_device() {
    let mut world = World::new(2, &[&["GPU-x"], &["GPU-x"]]);
    world.connect(0);
    world.submit(spec());
    world.step(0);
    world.disconnect(0);
    world.connect(1);
    assert!(
        world.agents[1].held.is_empty(),
        "the first agent may still run it"
    );
    world.wait(Duration::from_secs(59));
    assert!(world.agents[1].held.is_empty());
    world.wait(Duration::from_secs(2));
    assert_eq!(world.state.agents()[0].state, wire::AgentState::Lost as i32);
    // Both rounds that were out at it; the other agent has the first, and not yet what follows.
    assert_eq!(
        world.ledger.states(),
        [
            AttemptState::Expired,
            AttemptState::Assigned,
            AttemptState::Expired
        ]
    );
    // What the lost agent measured is kept beside what counts.
    let (agent, attempt) = (world.agents[0].id, world.held(0));
    let held = world.agents[0].held.get_mut(&attempt).unwrap();
    let mut counter = 900;
    let late = report(
        attempt,
        held,
        Some(AttemptOutcome::Finished),
        2,
        &mut counter,
    );
    assert_eq!(world.send_report(agent, late.clone()), SUPERSEDED);
    assert_eq!(world.send_report(agent, late), DUPLICATE);
    world.agents[0].held.clear();
    assert_eq!(world.ledger.blocks(), [0]);
    world.run();
    assert_eq!(world.ledger.blocks(), [4]);
}

#[test]
fn a_lost_agent_that_returns_in_time_is_adopted() {
    let mut world = World::new(1, &[&["GPU-x"]]);
    world.connect(0);
    world.submit(spec());
    world.step(0);
    let attempt = world.held(0);
    assert_eq!(world.agents[0].held[&attempt].state, HeldState::Running);
    world.disconnect(0);
    world.wait(Duration::from_secs(120));
    assert_eq!(world.ledger.states(), [AttemptState::Expired]);
    world.run();
    assert_eq!(world.ledger.states(), [AttemptState::Reported]);
    assert_eq!(world.ledger.blocks(), [2]);
}

#[test]
fn an_agent_that_lost_its_state_gets_the_round_again() {
    let mut world = World::new(1, &[&["GPU-x"]]);
    world.connect(0);
    world.submit(spec());
    world.step(0);
    world.disconnect(0);
    world.agents[0].held.clear();
    world.connect(0);
    assert_eq!(
        world.ledger.states(),
        [AttemptState::Expired, AttemptState::Assigned]
    );
    world.run();
    assert_eq!(world.ledger.blocks(), [2]);
}

#[test]
fn silence_of_a_connected_agent_ends_in_its_loss() {
    let mut world = World::new(1, &[&["GPU-x"]]);
    world.connect(0);
    world.submit(spec());
    world.step(0);
    world.now += Duration::from_secs(30);
    world.feed(Input::Tick);
    assert_eq!(
        world.state.agents()[0].state,
        wire::AgentState::Unreachable as i32
    );
    world.now += Duration::from_secs(30);
    let effects = world.feed(Input::Tick);
    assert!(effects.iter().any(|effect| matches!(
        effect,
        Effect::Close {
            permanent: false,
            ..
        }
    )));
    assert_eq!(world.ledger.states(), [AttemptState::Expired]);
    assert_eq!(world.state.agents()[0].state, wire::AgentState::Lost as i32);
    // A week later nobody speaks of it.
    world.now += Duration::from_hours(7 * 24);
    world.feed(Input::Tick);
    assert_eq!(world.state.agents(), []);
    assert_eq!(world.state.next_tick(), None);
}

#[test]
fn an_attempt_that_is_never_accepted_or_never_ends_does_not_block_its_device() {
    let mut world = World::new(1, &[&["GPU-x"]]);
    world.connect(0);
    world.submit(spec());
    world.agents[0].held.clear();
    world.wait(Duration::from_mins(1));
    assert_eq!(
        world.ledger.states(),
        [AttemptState::Expired, AttemptState::Assigned]
    );
    // This one runs, but its agent never says how it ends.
    world.step(0);
    world.agents[0].held.clear();
    world.wait(Duration::from_mins(2 + 5));
    assert_eq!(
        world.ledger.states()[1],
        AttemptState::Accepted,
        "told to stop"
    );
    world.wait(Duration::from_mins(1));
    assert_eq!(world.ledger.states()[1], AttemptState::Expired);
    assert_eq!(world.ledger.states()[2], AttemptState::Assigned);
    world.run();
    assert_eq!(world.ledger.blocks(), [2]);
}
