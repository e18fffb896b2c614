//! What the planner asks for, and how series end.

use std::collections::BTreeMap;

use batchstep_proto::domain::{AttemptOutcome, RoundKind, VisitRole};

use super::{
    super::{
        ConclusionReason, History, Next, RoundRecord, next,
        simulator::{Simulator, plan, spec, staircase},
        spent,
    },
    conclusion, counts,
};

#[test]
fn a_steady_device_is_measured_to_the_precision_asked_for() {
    let plan = plan(spec("1-24", 120), "SIM-a");
    let (history, end) = Simulator::new(staircase(8)).run(&plan);
    assert_eq!(conclusion(end).reason, ConclusionReason::PrecisionReached);
    let counts = counts(&history);
    assert_eq!(
        counts.keys().copied().collect::<Vec<_>>(),
        (1..=24).collect::<Vec<_>>()
    );
    assert!(counts.values().all(|&count| count >= 5), "{counts:?}");
    assert!(spent(&history) < plan.spec.budget);
    let first = &history.rounds[0].round;
    assert_eq!(first.kind, RoundKind::Probe);
    let probed: Vec<u32> = first.visits.iter().map(|visit| visit.batch_size).collect();
    assert_eq!(probed, [1, 2, 4, 8, 16, 24]);
}

#[test]
fn orders_are_permutations_that_differ_from_round_to_round_and_seed_to_seed() {
    let order = |seed: u64| {
        let mut spec = spec("1-60", 300);
        spec.seed = seed;
        let (history, _) = Simulator::new(staircase(8)).run(&plan(spec, "SIM-a"));
        history.rounds[1..3]
            .iter()
            .map(|record| {
                record
                    .round
                    .visits
                    .iter()
                    .map(|visit| visit.batch_size)
                    .collect::<Vec<_>>()
            })
            .collect::<Vec<_>>()
    };
    let one = order(1);
    assert_ne!(one[0], one[1]);
    assert_ne!(one, order(2));
    assert_eq!(one, order(1));
}

#[test]
fn blocks_keep_their_iterations() {
    let mut device = Simulator::new(staircase(8));
    device.drift = Box::new(|now| 1.0 + 0.2 * (now / 20.0).sin());
    let (history, _) = device.run(&plan(spec("1-24", 60), "SIM-a"));
    let mut iterations = BTreeMap::new();
    for record in &history.rounds[1..] {
        for block in &record.blocks {
            let known = iterations
                .entry((block.batch_size, block.role))
                .or_insert(block.iterations);
            assert_eq!(*known, block.iterations);
        }
    }
}

#[test]
fn listed_batch_sizes_that_take_too_long_are_left_out_and_told() {
    // 0.1 s per sample: 41 of them are over a 1/80 of the budget.
    let plan = plan(spec("1-3,64", 320), "SIM-a");
    let (history, end) = Simulator::new(|size| 0.1 * f64::from(size)).run(&plan);
    assert_eq!(
        counts(&history).keys().copied().collect::<Vec<_>>(),
        [1, 2, 3]
    );
    let message = conclusion(end).message;
    assert!(
        message.contains("from 64 on") && message.contains("--budget 15m"),
        "{message}"
    );
}

#[test]
fn a_fixed_count_out_of_all_proportion_to_the_budget_is_not_begun() {
    let mut spec = spec("1-8", 5);
    spec.iterations = Some(100_000);
    let (history, end) = Simulator::new(staircase(8)).run(&plan(spec, "SIM-a"));
    assert_eq!(counts(&history).len(), 0);
    assert!(conclusion(end).message.contains("--budget"));
}

#[test]
fn rounds_are_neither_tiny_nor_long() {
    for (iteration, sizes) in [(1e-4, "1-8"), (0.5, "1-40"), (0.05, "1-256")] {
        let mut spec = spec(sizes, 2000);
        spec.precision = 0.01;
        let (history, end) = Simulator::new(|size| iteration * (1.0 + 1e-3 * f64::from(size)))
            .run(&plan(spec, "SIM-a"));
        assert_eq!(conclusion(end).reason, ConclusionReason::PrecisionReached);
        for record in &history.rounds[1..] {
            let seconds = record.elapsed.as_secs_f64();
            assert!((3.0..60.0).contains(&seconds), "{sizes}: {seconds}");
        }
    }
}

#[test]
fn out_of_memory_bounds_the_range() {
    for sizes in ["auto", "1-64"] {
        let mut device = Simulator::new(staircase(8));
        device.out_of_memory_at = 41;
        let (history, end) = device.run(&plan(spec(sizes, 200), "SIM-a"));
        assert_eq!(conclusion(end).reason, ConclusionReason::PrecisionReached);
        assert_eq!(counts(&history).len(), 40, "{sizes}");
    }
    let mut device = Simulator::new(staircase(8));
    device.out_of_memory_at = 1;
    let (_, end) = device.run(&plan(spec("auto", 60), "SIM-a"));
    assert_eq!(conclusion(end).reason, ConclusionReason::RangeExhausted);
}

#[test]
fn the_largest_batch_size_that_fits_is_found_before_measuring() {
    let mut device = Simulator::new(staircase(8));
    device.out_of_memory_at = 45;
    let (history, _) = device.run(&plan(spec("auto", 200), "SIM-a"));
    let failed = |kind: RoundKind| -> Vec<u32> {
        let rounds = history.rounds.iter();
        rounds
            .filter(|record| record.round.kind == kind)
            .flat_map(|record| record.failures.iter().map(|failure| failure.batch_size))
            .collect()
    };
    // 64 by doubling; then 48, 40 (fits), 44 (fits), 46 between 32 and 64.
    assert_eq!(failed(RoundKind::Probe), [64, 48, 46]);
    assert_eq!(failed(RoundKind::Measure), [45]);
}

#[test]
fn a_crashing_batch_size_is_quarantined_and_the_others_are_measured() {
    // 16 is met by the probe, 13 only while measuring.
    for sizes in ["1-24", "1-24:2,16"] {
        let mut device = Simulator::new(staircase(4));
        device.crashes_at = [13, 16].into();
        let (history, end) = device.run(&plan(spec(sizes, 300), "SIM-a"));
        let end = conclusion(end);
        assert_eq!(end.reason, ConclusionReason::PrecisionReached);
        let told = "; batch sizes 13, 16 were left out: the worker crashed at each again";
        assert!(end.message.ends_with(told), "{}", end.message);
        let counts = counts(&history);
        assert!(!counts.contains_key(&13) && !counts.contains_key(&16));
        assert!(
            counts.contains_key(&23) && counts.values().all(|&count| count >= 5),
            "{counts:?}"
        );
        let broken = |size: u32| {
            history
                .rounds
                .iter()
                .filter(|record| {
                    record.outcomes[0].0 == AttemptOutcome::Broken
                        && record.round.visits[record.blocks.len()].batch_size == size
                })
                .count()
        };
        assert_eq!((broken(13), broken(16)), (2, 2));
    }
}

#[test]
fn a_hanging_batch_size_costs_two_rounds_and_not_the_budget() {
    let mut device = Simulator::new(staircase(4));
    device.hangs_at = [13].into();
    let (history, end) = device.run(&plan(spec("1-24", 30), "SIM-a"));
    let timed_out = history
        .rounds
        .iter()
        .filter(|record| record.outcomes[0].0 == AttemptOutcome::TimedOut);
    assert_eq!(timed_out.count(), 2);
    let counts = counts(&history);
    assert!(
        counts.len() == 23 && counts.values().all(|&count| count >= 5),
        "{counts:?}, {end:?}"
    );
}

#[test]
fn a_probe_that_kills_its_worker_ends_the_range_there() {
    let mut device = Simulator::new(staircase(4));
    device.crashes_at = (32..2000).collect();
    let (history, end) = device.run(&plan(spec("auto", 300), "SIM-a"));
    assert!(!matches!(end, Next::Failed(_)), "{end:?}");
    assert!(counts(&history).contains_key(&16));
}

#[test]
fn workers_killed_now_and_then_cost_their_rounds_only() {
    let mut device = Simulator::new(staircase(8));
    device.killed_every = 37;
    let (history, end) = device.run(&plan(spec("1-24", 300), "SIM-a"));
    assert!(!matches!(end, Next::Failed(_)));
    let counts = counts(&history);
    assert!(
        counts.len() == 24 && counts.values().all(|&count| count >= 5),
        "{counts:?}"
    );
}

#[test]
fn rounds_that_were_stopped_are_no_fault_of_a_batch_size_and_end_a_series_only_after_many() {
    let plan = plan(spec("1-24", 300), "SIM-a");
    let mut history = History::default();
    for rounds in 0.. {
        let round = match next(&plan, &history) {
            Next::Round(round) => round,
            Next::Failed(message) => {
                assert_eq!(rounds, 21);
                assert!(
                    message.ends_with("the last: its agent was restarted"),
                    "{message}"
                );
                break;
            }
            Next::Done(end) => panic!("{end:?}"),
        };
        // A worker that dies once in between is no series of crashes either.
        let outcome = if rounds == 10 {
            AttemptOutcome::Broken
        } else {
            AttemptOutcome::Stopped
        };
        let mut record = RoundRecord::new(round);
        let why = "its agent was restarted".to_owned();
        record.outcomes.push((outcome, why));
        history.rounds.push(record);
    }
}

#[test]
fn a_device_that_cannot_run_anything_fails_with_the_last_message() {
    let mut device = Simulator::new(staircase(8));
    device.crashes_at = (1..2000).collect();
    let (history, end) = device.run(&plan(spec("auto", 300), "SIM-a"));
    assert!(history.rounds.len() <= 4);
    assert!(matches!(end, Next::Failed(message) if message.contains("died")));

    let mut device = Simulator::new(staircase(8));
    device.errors_at = (1..2000).collect();
    let (_, end) = device.run(&plan(spec("1-8", 300), "SIM-a"));
    assert!(
        matches!(end, Next::Failed(message) if message.contains("the workload fails at batch size"))
    );
}

#[test]
fn a_batch_size_that_fails_in_itself_is_left_out() {
    let mut device = Simulator::new(staircase(8));
    device.errors_at = [1].into();
    let (history, end) = device.run(&plan(spec("1-24", 300), "SIM-a"));
    assert_eq!(conclusion(end).reason, ConclusionReason::PrecisionReached);
    assert_eq!(counts(&history).len(), 23);
}

#[test]
fn fixed_iterations_are_kept_and_one_round_is_enough() {
    let mut spec = spec("1-12", 50);
    spec.iterations = Some(1000);
    let plan = plan(spec, "SIM-a");
    let (history, _) = Simulator::new(staircase(8)).run(&plan);
    let blocks = || history.rounds[1..].iter().flat_map(|record| &record.blocks);
    assert!(blocks().all(|block| (block.iterations == 1000) == (block.role == VisitRole::Measure)));
    assert_eq!(counts(&history).len(), 12);
}

#[test]
fn drifting_rounds_are_repeated_three_times_at_most() {
    // A pass over 60 batch sizes is a round of its own; the precision is reached with the required blocks.
    let blocks_with = |drift: f64, budget: u64| {
        let mut spec = spec("1-60", budget);
        spec.precision = 0.2;
        let mut device = Simulator::new(staircase(8));
        device.drift = Box::new(move |now| 1.0 + drift * (now / 3.0).sin());
        let (history, _) = device.run(&plan(spec, "SIM-a"));
        counts(&history)
    };
    assert!(blocks_with(0.0, 600).values().all(|&count| count == 5));
    assert!(blocks_with(0.2, 600).values().all(|&count| count == 8));
    // A budget that cannot pay for repetition keeps them.
    assert!(blocks_with(0.2, 50).values().all(|&count| count == 5));
}
