//! The round behind the one that runs: given out early, started without a word, called back when nothing more is wanted.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use batchstep_proto::domain::{AttemptOutcome, Round};

use super::{
    fixtures::{Script, spec},
    world::World,
};
use crate::{
    fleet::{AttemptState, HeldState, Planner},
    sweep::{Ahead, History, Next, RoundRecord, SeriesPlan},
};

/// Counts how often it is asked for what is left of a budget, which is a sum over the whole history.
struct Counting {
    script: Script,
    asked: Arc<AtomicUsize>,
}

impl Planner for Counting {
    fn next(&self, plan: &SeriesPlan, history: &History) -> Next {
        self.script.next(plan, history)
    }

    fn ahead(&self, plan: &SeriesPlan, history: &History, open: &[&RoundRecord]) -> Option<Ahead> {
        self.script.ahead(plan, history, open)
    }

    fn repeated(&self, plan: &SeriesPlan, round: &Round, index: u32) -> Round {
        self.script.repeated(plan, round, index)
    }

    fn remaining(&self, plan: &SeriesPlan, history: &History) -> Duration {
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.script.remaining(plan, history)
    }
}

fn states(world: &World, agent: usize) -> Vec<HeldState> {
    let mut held: Vec<_> = world.agents[agent].held.values().collect();
    held.sort_by_key(|held| held.order);
    held.iter().map(|held| held.state).collect()
}

#[test]
fn a_device_has_its_next_round_while_it_measures() {
    let mut world = World::new(3, &[&["GPU-x"]]);
    world.connect(0);
    world.submit(spec());
    assert_eq!(
        world.agents[0].held.len(),
        1,
        "nothing waits behind an offer"
    );
    world.step(0);
    assert_eq!(states(&world, 0), [HeldState::Running, HeldState::Accepted]);
    world.step(0);
    let running = world.held(0);
    world.finish(0, running, AttemptOutcome::Finished, 2);
    // No message of the coordinator was needed.
    assert_eq!(states(&world, 0), [HeldState::Spooled, HeldState::Running]);
    world.run();
    assert_eq!(world.ledger.blocks(), [6]);
    assert!(world.state.idle());
}

#[test]
fn what_is_left_of_the_budget_is_asked_for_once_a_round() {
    const ROUNDS: usize = 6;
    let mut world = World::new(ROUNDS, &[&["GPU-x"]]);
    let asked = Arc::new(AtomicUsize::new(0));
    world.state.planner = Box::new(Counting {
        script: world.script,
        asked: Arc::clone(&asked),
    });
    world.connect(0);
    world.submit(spec());
    world.run();
    assert_eq!(world.ledger.blocks(), [2 * ROUNDS]);
    // Once more for the series when it is new.
    assert_eq!(asked.load(Ordering::Relaxed), ROUNDS + 1);
}

/// The planner foresees the second round together with the first, and its batch sizes tell what it took to be measured.
#[test]
fn a_round_that_is_foreseen_is_planned_again_when_another_brings_something_else() {
    for (blocks, first_size) in [(2, 5), (1, 4)] {
        let mut world = World::new(8, &[&["GPU-x"]]);
        world.connect(0);
        world.submit(spec());
        world.step(0);
        world.step(0);
        let series = world.state.series.values().next().unwrap();
        let open: Vec<u32> = series.open.keys().copied().collect();
        assert_eq!(open, [0, 1]);
        assert_eq!(series.foreseen.map(|it| it.end), Some(3));
        let running = world.held(0);
        world.finish(0, running, AttemptOutcome::Finished, blocks);
        world.step(0);
        world.step(0);
        let held = world.agents[0].held.values();
        let last = held.max_by_key(|held| held.round.index).unwrap();
        let sizes = (last.round.index, last.round.visits[0].batch_size);
        assert_eq!(sizes, (2, first_size), "after {blocks} blocks");
        world.run();
        assert_eq!(world.ledger.blocks(), [14 + blocks]);
    }
}

#[test]
fn what_waits_is_called_back_when_nothing_more_is_wanted() {
    let mut world = World::new(5, &[&["GPU-x"]]);
    world.script.settles = true;
    world.state.planner = Box::new(world.script);
    world.connect(0);
    world.submit(spec());
    world.step(0);
    world.step(0);
    let running = world.held(0);
    // A single block is an answer, and the next round has begun.
    world.finish(0, running, AttemptOutcome::Finished, 1);
    assert_eq!(states(&world, 0), [HeldState::Spooled, HeldState::Running]);
    world.step(0);
    assert!(
        world.ledger.ended.is_empty(),
        "what was called back may still bring something"
    );
    world.run();
    assert_eq!(world.ledger.ended.len(), 1);
    assert_eq!(world.ledger.blocks(), [1]);
    let series = &world.ledger.sweeps[0].series[0];
    assert!(series.rounds.iter().all(|round| round.ended));
    assert!(world.state.idle());
}

#[test]
fn a_second_series_waits_behind_one_that_must_be_waited_for() {
    let mut world = World::new(1, &[&["GPU-x"]]);
    world.connect(0);
    let mut two = spec();
    two.workloads.push("matmul".parse().unwrap());
    world.submit(two);
    world.step(0);
    let workloads: Vec<String> = world.agents[0]
        .held
        .values()
        .map(|held| held.round.workload.to_string())
        .collect();
    assert_eq!(workloads.len(), 2);
    assert_ne!(workloads[0], workloads[1]);
    world.run();
    assert_eq!(world.ledger.blocks(), [2, 2]);
}

#[test]
fn the_time_of_what_waits_begins_when_it_starts() {
    let mut world = World::new(2, &[&["GPU-x"]]);
    world.connect(0);
    world.submit(spec());
    world.step(0);
    world.step(0);
    // Nearly all the time that one round may take; the next one would be overdue if it had begun with the first.
    world.wait(Duration::from_mins(6));
    let running = world.held(0);
    world.finish(0, running, AttemptOutcome::Finished, 2);
    world.step(0);
    world.wait(Duration::from_mins(6));
    assert!(
        world.ledger.states().contains(&AttemptState::Accepted),
        "{:?}",
        world.ledger.states()
    );
    world.run();
    assert_eq!(world.ledger.blocks(), [4]);
}
