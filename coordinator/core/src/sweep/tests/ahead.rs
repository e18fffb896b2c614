//! Rounds that are planned while others are out: what they cost, and that they change no answer.

use std::collections::BTreeSet;

use batchstep_inference::{Inference, Options, Trace, infer};
use batchstep_proto::{
    domain::{AttemptOutcome, Round, RoundKind, Strategy, Visit},
    ids::RoundId,
};

use super::super::{
    History, Next, RoundRecord, SeriesPlan, ahead, correct, next, repeated, settled,
    simulator::{Prefetched, Simulator, plan, spec, staircase},
    spent,
};

fn answer(plan: &SeriesPlan, history: &History) -> Inference {
    let observations = settled(&correct(plan, history).observations(), 5).unwrap();
    infer(&Trace::new(observations).unwrap(), &Options::default())
}

fn series(strategy: Strategy) -> SeriesPlan {
    let mut spec = spec("1-64", 600);
    spec.strategy = strategy;
    plan(spec, "SIM-a")
}

#[test]
fn planning_ahead_changes_no_answer_and_wastes_little() {
    for strategy in [Strategy::Dense, Strategy::Adaptive] {
        let plan = series(strategy);
        let device = Simulator::new(staircase(16));
        let (history, _) = device.run(&plan);
        let early = device.run_ahead(&plan);
        assert!(matches!(early.end, Next::Done(_)), "{:?}", early.end);
        let (usual, other) = (answer(&plan, &history), answer(&plan, &early.history));
        assert_eq!((other.verdict, other.step), (usual.verdict, usual.step));
        // An adaptive sweep is short, and looks before it goes on.
        let (rounds, prefetched) = (early.history.rounds.len(), early.prefetched);
        let enough = strategy == Strategy::Adaptive || prefetched * 2 >= rounds;
        assert!(enough, "{prefetched} of {rounds}: {strategy:?}");
        let (usual, other) = (spent(&history), spent(&early.history));
        assert!(
            other <= usual.mul_f64(1.25),
            "{other:?} for {usual:?}: {strategy:?}"
        );
    }
}

/// A device that is too noisy for the precision asked for is not looked at again after every round; one that is nearly precise is.
#[test]
fn the_planner_is_asked_seldom_where_much_is_lacking() {
    let series = |sizes: &str, precision: f64| {
        let mut spec = spec(sizes, 100_000);
        (spec.strategy, spec.precision) = (Strategy::Dense, precision);
        plan(spec, "SIM-a")
    };
    let mut device = Simulator::new(staircase(4));
    device.noise = 0.05;
    // Of the second hardly a round is steady, so that few of its blocks count.
    for (sizes, seldom) in [("1-48", 0.4), ("1-27", 0.9)] {
        let plan = series(sizes, 0.001);
        let far = device.run_ahead(&plan);
        let rounds = far.history.rounds.len();
        println!("{sizes}: {rounds} rounds, {} questions", far.questions);
        let often = far.questions as f64 / rounds as f64;
        assert!(often < seldom, "{} {rounds}", far.questions);
        let (usual, _) = device.run(&plan);
        assert!(rounds <= usual.rounds.len() + 1, "{rounds}");
    }
    // Single disturbed blocks make few batch sizes look worse than they are, and not for long.
    for (noise, bursts) in [
        (0.0005, 0.05),
        (0.001, 0.1),
        (0.005, 0.0),
        (0.01, 0.0),
        (0.01, 0.1),
        (0.02, 0.0),
        (0.03, 0.0),
    ] {
        (device.noise, device.bursts) = (noise, bursts);
        let plan = series("1-48", 0.01);
        let (usual, _) = device.run(&plan);
        let early = device.run_ahead(&plan);
        let (usual, rounds) = (usual.rounds.len(), early.history.rounds.len());
        println!(
            "noise {noise}, bursts {bursts}: {usual} rounds, {rounds} with foresight and {} questions",
            early.questions
        );
        assert!(
            rounds <= usual + 2,
            "{rounds} for {usual}: {noise} {bursts}"
        );
    }
}

/// One block has no error that could be too large, and fixed iterations ask for no more than one.
#[test]
fn nothing_is_foreseen_from_a_single_block() {
    let mut spec = spec("1-32", 3600);
    (spec.iterations, spec.precision) = (Some(50), 0.02);
    let plan = plan(spec, "SIM-a");
    let device = Simulator::new(staircase(4));
    let (usual, _) = device.run(&plan);
    let early = device.run_ahead(&plan);
    let (usual, rounds) = (usual.rounds.len(), early.history.rounds.len());
    assert!(rounds <= usual + 1, "{rounds} for {usual}");
}

/// With its own index a round is itself, so that what is repeated is what the planner would have said.
#[test]
fn a_repeated_round_differs_in_its_order_alone() {
    let plan = series(Strategy::Dense);
    let (history, _) = Simulator::new(staircase(16)).run(&plan);
    let rounds = history.rounds.iter().map(|record| &record.round);
    let measuring: Vec<_> = rounds
        .filter(|round| round.kind == RoundKind::Measure)
        .collect();
    assert!(measuring.len() > 3);
    for round in measuring {
        assert_eq!(repeated(&plan, round, round.index), *round);
        let next = repeated(&plan, round, round.index + 1);
        assert_eq!(next.id, RoundId::of(plan.id, next.index));
        assert_ne!(next.visits, round.visits);
        let sorted = |round: &Round| {
            let visit = |it: &Visit| (it.batch_size, it.role, it.iterations);
            let mut visits: Vec<_> = round.visits.iter().map(visit).collect();
            visits.sort_unstable();
            visits
        };
        assert_eq!(sorted(&next), sorted(round));
    }
}

#[test]
fn nothing_is_planned_behind_a_probe() {
    let plan = series(Strategy::Dense);
    let history = History::default();
    let Next::Round(probe) = next(&plan, &history) else {
        panic!("a series begins with a probe");
    };
    assert_eq!(ahead(&plan, &history, &[&RoundRecord::new(probe)]), None);
}

#[test]
fn what_is_out_counts_towards_the_end() {
    let plan = series(Strategy::Dense);
    let (history, _) = Simulator::new(staircase(16)).run(&plan);
    let mut before = history.clone();
    let last = before.rounds.pop().unwrap();
    assert!(matches!(next(&plan, &before), Next::Round(_)));
    assert_eq!(
        ahead(&plan, &before, &[&RoundRecord::new(last.round)]),
        None
    );
}

/// Two crashes leave a batch size out. What is planned after the first, and before it is known how the second ends, leaves it alone.
#[test]
fn a_batch_size_that_crashes_is_in_two_rounds() {
    let plan = series(Strategy::Dense);
    let mut device = Simulator::new(staircase(16));
    device.crashes_at = BTreeSet::from([24]);
    let Prefetched { history, end, .. } = device.run_ahead(&plan);
    assert!(matches!(end, Next::Done(_)), "{end:?}");
    let is_broken = |record: &&RoundRecord| {
        let mut ends = record.outcomes.iter();
        ends.any(|(outcome, _)| *outcome == AttemptOutcome::Broken)
    };
    let crashes = history.rounds.iter().filter(is_broken).count();
    assert_eq!(crashes, 2);
}
