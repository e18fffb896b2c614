//! What goes on, and what waits, while what was measured before a restart is still to be read back.

use std::time::Duration;

use batchstep_proto::domain::AttemptOutcome;

use super::{
    fixtures::{report, spec},
    world::{ACCEPTED, World},
};
use crate::fleet::{Answer, Event, HeldState, SeriesState, SweepState};

const READING: &str = "what it measured before the coordinator started is still being read back";

/// A sweep on one device with some rounds over and the next two at its agent, after a restart that has read no history.
fn restarted(rounds: usize, over: usize) -> World {
    let mut world = World::new(rounds, &[&["GPU-a"], &["GPU-b"]]);
    world.connect(0);
    world.submit(spec());
    while ended(&world) < over {
        assert!(world.step(0));
    }
    world.restart_unread();
    assert_eq!(world.state.unread().len(), 1);
    world
}

/// Rounds of the first series that are over.
fn ended(world: &World) -> usize {
    let rounds = world.ledger.sweeps[0].series[0].rounds.iter();
    rounds.filter(|round| round.ended).count()
}

fn batch_sizes(world: &World) -> Vec<u32> {
    let rounds = world.ledger.sweeps[0].series[0].rounds.iter();
    rounds
        .flat_map(|round| &round.record.blocks)
        .map(|block| block.batch_size)
        .collect()
}

#[test]
fn what_is_out_goes_on_and_nothing_is_planned() {
    let mut world = restarted(6, 2);
    let sweep = world.ledger.sweeps[0].id;
    world.connect(0);
    let given = world.ledger.attempts().count();
    assert_eq!(given, 4, "one runs, one waits behind it");
    world.run();
    assert_eq!(ended(&world), 4);
    assert_eq!(world.ledger.attempts().count(), given, "planned unread");
    let view = world.state.sweep(sweep).unwrap();
    assert_eq!(view.series[0].explanation, READING);
    assert_eq!(view.series[0].rounds_done, 4);

    world.read_all();
    assert_eq!(world.agents[0].held.len(), 1);
    world.run();
    // As the script plans it without a restart.
    let expected: Vec<u32> = (0..6)
        .flat_map(|round| [2 * round + 1, 2 * round + 101])
        .collect();
    assert_eq!(batch_sizes(&world), expected);
    assert!(world.state.idle());
}

#[test]
fn until_it_is_read_a_series_may_still_take_its_whole_budget() {
    let world = restarted(6, 2);
    let series = world.state.series.values().next().unwrap();
    assert_eq!(series.remaining, Duration::from_secs(6));
}

#[test]
fn a_round_that_waits_for_another_attempt_is_given_out() {
    let mut world = restarted(6, 2);
    // Its disk died: what it had comes back as lost, and is for it to do again.
    world.agents[0].held.clear();
    world.connect(0);
    world.step(0);
    let indices: Vec<u32> = world.agents[0]
        .held
        .values()
        .map(|held| held.round.index)
        .collect();
    assert_eq!(indices.len(), 2);
    assert!(indices.contains(&2) && indices.contains(&3));
}

#[test]
fn a_round_that_ended_meanwhile_is_not_forgotten_by_an_older_view() {
    let mut world = restarted(6, 2);
    let series = world.state.unread()[0].series;
    world.connect(0);
    world.run();
    world.read(series, true);
    assert_eq!(world.state.series[&series].history.rounds.len(), 4);
    // Once more, as another reading might: it means nothing now.
    assert_eq!(world.read(series, true), []);
}

#[test]
fn a_series_without_rounds_that_are_over_is_not_waited_for() {
    let mut world = World::new(3, &[&["GPU-a"]]);
    world.connect(0);
    world.submit(spec());
    world.restart_unread();
    assert!(!world.state.is_reading());
    world.run();
    assert_eq!(world.ledger.blocks(), [6]);
}

#[test]
fn a_late_report_waits_for_the_history_of_its_round() {
    let mut world = World::new(2, &[&["GPU-a"], &["GPU-b"]]);
    world.connect(0);
    world.submit(spec());
    world.step(0);
    world.step(0);
    // Its first part gets lost on the way; the rest ends the round.
    let attempt = world.held(0);
    let held = world.agents[0].held.get_mut(&attempt).unwrap();
    let first = report(attempt, held, None, 1, &mut 1000);
    world.finish(0, attempt, AttemptOutcome::Finished, 1);
    while ended(&world) == 0 {
        world.step(0);
    }
    world.restart_unread();
    assert!(world.state.may_be_unread(attempt));
    world.read_all();
    assert!(!world.state.may_be_unread(attempt));
    let agent = world.agents[0].id;
    assert_eq!(world.send_report(agent, first), ACCEPTED);
    assert_eq!(world.ledger.blocks(), [2]);
}

#[test]
fn what_is_cancelled_unread_leaves_its_count_to_the_store() {
    let mut world = restarted(6, 2);
    let sweep = world.ledger.sweeps[0].id;
    let series = world.state.unread()[0].series;
    assert_eq!(world.cancel(sweep), Answer::Cancelled(true));
    // Its rounds are still out: what they bring is kept.
    assert!(world.state.is_reading());
    world.connect(0);
    world.run();
    assert!(world.state.idle() && !world.state.is_reading());
    assert_eq!(world.read(series, false), []);
}

#[test]
fn a_history_that_cannot_be_read_fails_its_series_alone() {
    let mut world = World::new(6, &[&["GPU-a", "GPU-b"]]);
    world.connect(0);
    world.submit(spec());
    for _ in 0..24 {
        world.step(0);
    }
    world.restart_unread();
    let [bad, good] = [0, 1].map(|place| world.state.unread()[place].series);
    world.connect(0);
    world.fail_to_read(bad);
    world.read(good, false);
    world.run();
    let series = &world.ledger.sweeps[0].series;
    let states: Vec<_> = series.iter().map(|it| (it.plan.id, it.state)).collect();
    assert_eq!(
        states,
        [(bad, SeriesState::Failed), (good, SeriesState::Done)]
    );
    let message = &series[0].message;
    assert!(message.contains("a block that cannot be read"), "{message}");
    assert_eq!(world.ledger.ended[0].1, SweepState::Done);
}

#[test]
fn a_device_is_not_given_what_another_began_of_a_shared_series() {
    let mut world = World::new(6, &[&["GPU-a"], &["GPU-b"]]);
    world.connect(0);
    world.connect(1);
    let mut shared = spec();
    shared.scheduling.share_across_model = true;
    world.submit(shared);
    while ended(&world) == 0 {
        world.step(0);
    }
    // One round runs with a block on record when its host burns.
    while world.agents[0].held.values().all(|held| held.parts == 0) {
        world.step(0);
    }
    world.restart_unread();
    world.agents[0].held.clear();
    world.connect(0);
    let begun = |world: &World| {
        let rounds = world.ledger.sweeps[0].series[0].rounds.iter();
        rounds
            .filter(|round| !round.ended && !round.record.is_empty())
            .count()
    };
    assert_eq!(
        begun(&world),
        0,
        "what was begun has ended with what it has"
    );
    world.connect(1);
    world.run();
    world.read_all();
    world.run();
    assert!(world.state.idle());
}

#[test]
fn those_that_go_on_are_read_first_by_priority() {
    let mut world = World::new(9, &[&["GPU-a"]]);
    world.connect(0);
    let sweeps = [0, 5, 5, 9].map(|priority| {
        let mut one = spec();
        one.scheduling.priority = priority;
        let (sweep, _) = world.submit(one);
        // Each has a round that is over before the next one comes.
        let has_ended = |event: &Event| {
            let is_end = matches!(
                event.kind,
                batchstep_proto::wire::event::Kind::RoundEnded(_)
            );
            is_end && event.sweep == Some(sweep)
        };
        while !world.ledger.events.iter().any(has_ended) {
            assert!(world.step(0));
        }
        sweep
    });
    let out = |world: &World| {
        world.agents[0]
            .held
            .values()
            .any(|held| held.round.sweep == sweeps[3])
    };
    assert!(out(&world), "cancelled with a round out");
    world.cancel(sweeps[3]);
    world.restart_unread();
    let order: Vec<_> = world.state.unread().iter().map(|it| it.sweep).collect();
    assert_eq!(order, [sweeps[1], sweeps[2], sweeps[0], sweeps[3]]);
}

#[test]
fn an_attempt_of_a_round_that_is_over_is_stopped_whether_it_is_read_or_not() {
    for is_read in [false, true] {
        let mut world = restarted(6, 2);
        // A copy of the agent's disk from before: it runs what was reported long ago.
        let done = world.ledger.attempts().next().unwrap().1.id;
        let held = super::fixtures::Held {
            round: world.ledger.sweeps[0].series[0].rounds[0]
                .record
                .round
                .clone(),
            state: HeldState::Running,
            recorded: true,
            order: 0,
            parts: 2,
            last: None,
        };
        world.agents[0].held.insert(done, held);
        if is_read {
            world.read_all();
        }
        world.connect(0);
        assert!(world.agents[0].held[&done].is_over(), "read: {is_read}");
    }
}
