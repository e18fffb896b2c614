//! Devices whose agents are gone: what is said of them, and what becomes of the series that only they could measure.

use std::time::Duration;

use batchstep_proto::domain::DeviceSelector;

use super::{
    fixtures::{shared, spec},
    restrictions::drain,
    world::{World, answer},
};
use crate::fleet::{Answer, Input, Refusal, ReplyKey, SeriesState};

fn remove(world: &mut World, agent: usize, replaced: bool) -> Answer {
    let (reply, agent) = (ReplyKey(world.key()), world.agents[agent].id);
    let effects = world.feed(Input::Remove {
        reply,
        agent,
        replaced,
        enrolled: None,
    });
    answer(&effects)
}

const fn removed(failed: usize, waiting: usize) -> Answer {
    Answer::Removed { failed, waiting }
}

fn ends(world: &World) -> Vec<(SeriesState, &str)> {
    let series = world.ledger.sweeps.iter().flat_map(|sweep| &sweep.series);
    series
        .map(|series| (series.state, series.message.as_str()))
        .collect()
}

#[test]
fn an_agent_that_is_gone_can_be_removed() {
    let mut world = World::new(1, &[&["GPU-x"], &["GPU-x"]]);
    world.connect(0);
    world.submit(spec());
    world.step(0);
    let Answer::Refused(Refusal::Conflict(message)) = remove(&mut world, 0, true) else {
        panic!("a connected agent was removed");
    };
    assert!(message.contains("is connected"), "{message}");
    drain(&mut world, 0, true);
    world.disconnect(0);
    assert_eq!(remove(&mut world, 0, true), removed(0, 1));
    assert!(world.state.agents().is_empty());
    assert!(world.ledger.restrictions.is_empty());
    // Its round does not wait for its lease.
    world.connect(1);
    world.agents[0].held.clear();
    while world.step(1) {}
    assert_eq!(world.ledger.blocks(), [2]);
    assert!(matches!(
        remove(&mut world, 0, true),
        Answer::Refused(Refusal::NotFound(_))
    ));
    // One that comes back after all is an agent like any other.
    world.connect(0);
    assert_eq!(world.state.agents().len(), 2);
}

#[test]
fn what_only_a_removed_agent_could_measure_fails() {
    let mut world = World::new(1, &[&["GPU-x"], &["GPU-y"]]);
    world.connect(0);
    world.connect(1);
    let (sweep, _) = world.submit(spec());
    let mut own = spec();
    own.devices = DeviceSelector::Listed(vec!["GPU-x".to_owned()]);
    world.submit(own);
    world.disconnect(0);
    assert_eq!(remove(&mut world, 0, false), removed(2, 0));
    let why = format!(
        "the agent {0} on host-{0}, which had device GPU-x, was removed, and no other agent offers it",
        world.agents[0].id
    );
    assert_eq!(
        ends(&world),
        [
            (SeriesState::Failed, &*why),
            (SeriesState::Waiting, ""),
            (SeriesState::Failed, &why)
        ]
    );
    assert!(world.state.sweep(sweep).is_some(), "the other host goes on");
    world.agents[0].held.clear();
    while world.step(1) {}
    assert_eq!(world.ledger.ended[1].2, "1 of 2 series done");
}

#[test]
fn what_another_agent_offers_goes_on_whoever_is_removed() {
    for lost in [false, true] {
        let mut world = World::new(1, &[&["GPU-x"], &["GPU-x"]]);
        world.connect(0);
        world.connect(1);
        let (sweep, _) = world.submit(spec());
        world.disconnect(0);
        world.disconnect(1);
        if lost {
            world.wait(Duration::from_mins(5));
        }
        // The other one is away, and may come back.
        assert_eq!(remove(&mut world, 0, false), removed(0, 0));
        let why = world.explanation(sweep, 0);
        assert!(why.contains("is not connected"), "{why}");
        world.agents[0].held.clear();
        world.connect(1);
        while world.step(1) {}
        assert_eq!(world.ledger.blocks(), [2]);
    }
}

#[test]
fn what_waits_for_a_replaced_agent_waits_for_its_devices() {
    let mut world = World::new(1, &[&["GPU-x"], &["GPU-x"]]);
    world.connect(0);
    let (sweep, _) = world.submit(spec());
    let (other, _) = world.submit(spec());
    world.disconnect(0);
    assert_eq!(remove(&mut world, 0, true), removed(0, 2));
    let why = world.explanation(sweep, 0);
    assert!(
        why.ends_with("was removed; the one that replaces it has not offered it yet"),
        "{why}"
    );
    world.cancel(other);
    world.connect(1);
    while world.step(1) {}
    assert_eq!(world.ledger.blocks()[0], 2);
}

#[test]
fn whoever_said_that_an_agent_is_replaced_can_think_better_of_it() {
    let mut world = World::new(1, &[&["GPU-x"]]);
    world.connect(0);
    world.submit(spec());
    world.disconnect(0);
    assert_eq!(remove(&mut world, 0, true), removed(0, 1));
    assert_eq!(remove(&mut world, 0, false), removed(1, 0));
    assert!(world.state.idle());
}

#[test]
fn an_agent_that_was_forgotten_can_still_be_removed_and_so_can_one_that_has_not_been_back_since_a_restart()
 {
    for restarted in [false, true] {
        let mut world = World::new(1, &[&["GPU-x"]]);
        world.connect(0);
        let (sweep, _) = world.submit(spec());
        world.disconnect(0);
        let enrolled = if restarted {
            world.restart();
            // First what may still run there is waited for.
            world.wait(Duration::from_mins(2));
            assert_eq!(
                world.explanation(sweep, 0),
                "no agent with device GPU-x has connected since the coordinator started"
            );
            Some(world.enrolled(0))
        } else {
            world.now += Duration::from_hours(8 * 24);
            world.feed(Input::Tick);
            assert!(world.state.agents().is_empty());
            let why = world.explanation(sweep, 0);
            assert!(
                why.contains("was forgotten after 192 h without a word; if it is gone for good"),
                "{why}"
            );
            None
        };
        let (reply, agent) = (ReplyKey(world.key()), world.agents[0].id);
        let effects = world.feed(Input::Remove {
            reply,
            agent,
            replaced: false,
            enrolled,
        });
        assert_eq!(answer(&effects), removed(1, 0));
        assert_eq!(ends(&world)[0].0, SeriesState::Failed);
        assert!(ends(&world)[0].1.contains("was removed"));
    }
}

#[test]
fn a_device_that_its_agent_comes_back_without_is_said_to_be_gone() {
    let mut world = World::new(1, &[&["GPU-x", "GPU-y"]]);
    world.connect(0);
    let (sweep, _) = world.submit(spec());
    world.disconnect(0);
    let gone = world.agents[0].devices.remove(0);
    world.agents[0].held.clear();
    world.connect(0);
    let why = world.explanation(sweep, 0);
    assert!(why.ends_with("has no device GPU-x any more"), "{why}");
    world.run();
    assert_eq!(world.ledger.blocks(), [0, 2]);
    world.agents[0].devices.push(gone);
    world.connect(0);
    world.run();
    assert_eq!(world.ledger.blocks(), [2, 2]);
}

#[test]
fn a_shared_series_goes_on_with_the_devices_that_are_left() {
    let mut world = World::new(6, &[&["GPU-x"], &["GPU-y"]]);
    world.connect(0);
    world.connect(1);
    world.submit(shared());
    world.disconnect(0);
    world.agents[0].held.clear();
    assert_eq!(remove(&mut world, 0, false), removed(0, 0));
    world.step(1);
    world.disconnect(1);
    // That one of them is gone for good is on record.
    world.restart();
    world.connect(1);
    world.disconnect(1);
    assert_eq!(remove(&mut world, 1, false), removed(1, 0));
    let (state, why) = ends(&world)[0];
    assert_eq!(state, SeriesState::Failed);
    assert_eq!(why.matches("was removed").count(), 2, "{why}");
}

#[test]
fn a_shared_series_waits_for_the_one_device_that_is_to_come() {
    let mut world = World::new(6, &[&["GPU-x"], &["GPU-y"], &["GPU-x"]]);
    world.connect(0);
    world.connect(1);
    world.submit(shared());
    world.disconnect(0);
    // The other device can go on without it.
    assert_eq!(remove(&mut world, 0, true), removed(0, 0));
    let id = world.agents[1].id;
    world.cordon(id);
    assert_eq!(ends(&world)[0].0, SeriesState::Waiting);
    while world.step(1) {}
    world.connect(2);
    while world.step(2) {}
    assert_eq!(world.ledger.blocks(), [12]);
}
