//! The adaptive strategy on devices with a known answer: what it visits, when it stops, what it says.

use std::{collections::BTreeMap, time::Duration};

use batchstep_inference::{Inference, Options, Trace, Verdict, infer};
use batchstep_proto::domain::Strategy;

use super::{
    super::{
        ConclusionReason, History, SeriesPlan, correct, settled,
        simulator::{Simulator, plan, spec, staircase},
        spent,
    },
    conclusion, counts,
};

fn adaptive(sizes: &str, budget_seconds: u64) -> SeriesPlan {
    let mut spec = spec(sizes, budget_seconds);
    spec.strategy = Strategy::Adaptive;
    plan(spec, "SIM-a")
}

fn dense(sizes: &str, budget_seconds: u64) -> SeriesPlan {
    plan(spec(sizes, budget_seconds), "SIM-a")
}

/// As the step table answers.
fn answer(plan: &SeriesPlan, history: &History) -> Inference {
    let observations = settled(&correct(plan, history).observations(), 5).unwrap();
    infer(&Trace::new(observations).unwrap(), &Options::default())
}

/// Batch sizes by whether they were measured, as opposed to looked at.
fn measured(history: &History) -> BTreeMap<u32, bool> {
    let counts = counts(history).into_iter();
    counts.map(|(size, count)| (size, count >= 5)).collect()
}

fn measuring(history: &History) -> Duration {
    history.rounds.iter().map(|record| record.measuring).sum()
}

#[test]
fn a_step_is_settled_at_a_few_of_the_batch_sizes_that_are_listed() {
    let plan = adaptive("1-160", 3600);
    let device = Simulator::new(staircase(16));
    let (history, end) = device.run(&plan);
    let conclusion = conclusion(end);
    assert_eq!(conclusion.reason, ConclusionReason::VerdictSettled);
    assert!(
        conclusion
            .message
            .starts_with("the verdict cannot change: step 16 seen at")
            && conclusion.message.ends_with("of 160 batch sizes"),
        "{}",
        conclusion.message
    );
    let answer = answer(&plan, &history);
    assert_eq!((answer.verdict, answer.step), (Verdict::Step, Some(16.0)));
    let measured = measured(&history);
    assert!(measured.len() < 80 && measured.values().filter(|&&it| it).count() < 40);
    let (whole, _) = device.run(&dense("1-160", 3600));
    // On so quiet a device the dense sweep needs no more than five blocks of each: nowhere is less to be saved.
    assert!(10 * measuring(&history) < 3 * measuring(&whole));
}

#[test]
fn the_sides_of_the_reported_jump_are_as_precise_as_was_asked_for() {
    let mut plan = adaptive("1-96", 3600);
    let mut device = Simulator::new(staircase(12));
    device.noise = 0.01;
    for precision in [0.01, 0.002] {
        plan.spec.precision = precision;
        let (history, _) = device.run(&plan);
        let observations = settled(&correct(&plan, &history).observations(), 5).unwrap();
        let trace = Trace::new(observations).unwrap();
        let at = infer(&trace, &Options::default()).jump_at.unwrap();
        for point in trace.points() {
            let side = point.batch_size == at || point.batch_size == at + 1;
            assert!(
                !side || point.relative_standard_error <= precision || point.blocks >= 50,
                "{point:?}"
            );
        }
    }
}

#[test]
fn without_a_step_it_stops_once_one_would_have_been_seen() {
    let plan = adaptive("1-128", 3600);
    let line = |size: u32| 1e-3 + 1e-4 * f64::from(size);
    let (history, end) = Simulator::new(line).run(&plan);
    let settled = conclusion(end);
    assert_eq!(settled.reason, ConclusionReason::VerdictSettled);
    assert!(settled.message.contains("no step, and jumps from"));
    assert!(counts(&history).len() < 80);
    // Where noise would hide one, it goes on.
    let mut noisy = Simulator::new(line);
    noisy.noise = 0.04;
    let (longer, _) = noisy.run(&plan);
    let blocks = |history: &History| counts(history).values().sum::<usize>();
    assert!(blocks(&longer) > 2 * blocks(&history));
}

#[test]
fn a_change_of_algorithm_is_closed_in_on_and_is_no_step() {
    let plan = adaptive("1-200", 3600);
    let device =
        Simulator::new(|size| (1e-3 + 2e-5 * f64::from(size)) * if size > 131 { 1.3 } else { 1.0 });
    let (history, end) = device.run(&plan);
    assert_eq!(conclusion(end).reason, ConclusionReason::VerdictSettled);
    let answer = answer(&plan, &history);
    assert_eq!(answer.verdict, Verdict::Irregular, "{}", answer.reason);
    assert!(answer.reason.contains("131"), "{}", answer.reason);
}

#[test]
fn the_larger_of_two_steps_is_not_taken_for_the_smaller() {
    // Within every third round of 6 a larger jump hides.
    let device = Simulator::new(|size| {
        2e-3 + 1e-4 * f64::from(size.div_ceil(6)) + 3e-4 * f64::from(size.div_ceil(18))
    });
    let plan = adaptive("1-120", 3600);
    let (history, _) = device.run(&plan);
    assert_eq!(answer(&plan, &history).step, Some(18.0));
}

#[test]
fn an_automatic_range_grows_until_the_step_is_seen() {
    let mut plan = adaptive("auto", 900);
    plan.spec.precision = 0.01;
    let (history, end) = Simulator::new(staircase(100)).run(&plan);
    assert_eq!(conclusion(end).reason, ConclusionReason::VerdictSettled);
    assert!(counts(&history).len() < 300);
    let answer = answer(&plan, &history);
    assert_eq!(answer.step, Some(100.0), "{}", answer.reason);
}

#[test]
fn a_budget_that_does_not_pay_for_certainty_completes_the_smallest_batch_sizes() {
    for seconds in [20, 30, 45] {
        let mut device = Simulator::new(|size| 1e-3 + 1e-4 * f64::from(size));
        device.noise = 0.05;
        let plan = adaptive("1-128", seconds);
        let (history, end) = device.run(&plan);
        assert_eq!(conclusion(end).reason, ConclusionReason::BudgetSpent);
        let done = measured(&history);
        assert!(done.values().filter(|&&it| it).count() >= 12, "{done:?}");
        assert!((1..=12).all(|size| done[&size]), "{done:?}");
        assert!(spent(&history) <= plan.spec.budget.mul_f64(1.15) + Duration::from_secs(1));
    }
}

#[test]
fn drift_is_corrected_where_few_batch_sizes_are_measured() {
    let law = staircase(16);
    let mut device = Simulator::new(&law);
    device.drift = Box::new(|now| 1.0 + 0.1 * (now / 5.0).sin());
    let plan = adaptive("1-160", 3600);
    let (history, _) = device.run(&plan);
    assert_eq!(answer(&plan, &history).step, Some(16.0));
    let corrected = correct(&plan, &history);
    let spread = |seconds: &dyn Fn(usize) -> f64| {
        let mut off: Vec<f64> = (0..corrected.blocks.len())
            .filter(|&at| corrected.blocks[at].corrected_seconds.is_some())
            .map(|at| (seconds(at) / law(corrected.blocks[at].block.batch_size)).ln())
            .collect();
        off.sort_by(f64::total_cmp);
        off[off.len() * 9 / 10] - off[off.len() / 10]
    };
    let raw = spread(&|at| corrected.blocks[at].seconds);
    let better = spread(&|at| corrected.blocks[at].best_seconds());
    assert!(better < raw / 3.0, "{better} against {raw}");
}

#[test]
fn crashes_and_limits_do_not_confuse_it() {
    let mut device = Simulator::new(staircase(12));
    device.crashes_at = [24, 61].into();
    device.errors_at = [13].into();
    device.out_of_memory_at = 100;
    let plan = adaptive("1-128", 3600);
    let (history, end) = device.run(&plan);
    assert_eq!(conclusion(end).reason, ConclusionReason::VerdictSettled);
    assert_eq!(answer(&plan, &history).step, Some(12.0));
}
