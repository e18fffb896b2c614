//! What a budget buys: five blocks of as many batch sizes as it pays for, or the name of one that does.

use std::time::Duration;

use batchstep_proto::domain::{DeviceKind, Strategy as Strategies};
use proptest::prelude::*;

use super::{
    super::{
        ConclusionReason, History, Next, SeriesPlan, as_option, left_out,
        simulator::{Simulator, plan, spec, staircase},
        spent, sufficient_budget,
    },
    conclusion, counts,
};

/// One fully connected layer of 512 on a core, seconds.
fn linear(size: u32) -> f64 {
    55e-6 + 6e-6 * f64::from(size.saturating_sub(4)) + 8e-6 * f64::from(size.div_ceil(4))
}

/// A convolutional network on a core, seconds.
fn cnn(size: u32) -> f64 {
    0.05 * f64::from(size)
}

/// Another user of the machine: in a quarter of the time everything takes up to 20 % longer.
fn bursts(now: f64) -> f64 {
    let hash = ((now / 0.7) as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40;
    if hash.is_multiple_of(4) {
        1.0 + 0.2 * (hash % 97) as f64 / 97.0
    } else {
        1.0
    }
}

fn on_a_processor(sizes: &str, budget_seconds: u64) -> SeriesPlan {
    let mut spec = spec(sizes, budget_seconds);
    spec.strategy = Strategies::Adaptive;
    let mut plan = plan(spec, "SIM-a");
    plan.device.kind = DeviceKind::Cpu;
    plan
}

/// Batch sizes with the required blocks.
fn settled(history: &History) -> Vec<u32> {
    counts(history)
        .into_iter()
        .filter(|&(_, count)| count >= 5)
        .map(|(size, _)| size)
        .collect()
}

fn within(plan: &SeriesPlan, history: &History) -> bool {
    spent(history) <= plan.spec.budget.mul_f64(1.15) + Duration::from_secs(1)
}

#[test]
fn two_minutes_give_a_window_for_fast_and_slow_networks_even_on_a_noisy_machine() {
    for (law, least) in [(linear as fn(u32) -> f64, 20), (cnn, 12)] {
        for seed in 0..8 {
            for noisy in [false, true] {
                let mut plan = on_a_processor("auto", 120);
                plan.spec.seed = seed;
                let mut device = Simulator::new(law);
                if noisy {
                    device.noise = 0.02;
                    device.drift = Box::new(bursts);
                }
                let (history, _) = device.run(&plan);
                let settled = settled(&history);
                assert!(settled.len() >= least, "{settled:?} of {least}");
                assert!((1..=12).all(|size| settled.contains(&size)), "{settled:?}");
                assert!(within(&plan, &history), "{:?}", spent(&history));
            }
        }
    }
}

#[test]
fn a_device_that_becomes_slower_gets_fewer_batch_sizes_rather_than_too_few_blocks() {
    let mut plan = on_a_processor("auto", 60);
    plan.spec.strategy = Strategies::Dense;
    let mut device = Simulator::new(linear);
    device.drift = Box::new(|now| if now > 10.0 { 2.0 } else { 1.0 });
    for history in [device.run(&plan).0, device.run_ahead(&plan).history] {
        let (all, settled) = (counts(&history).len(), settled(&history).len());
        assert!((20..all).contains(&settled), "{settled} of {all}");
        assert!(within(&plan, &history), "{:?}", spent(&history));
    }
}

#[test]
fn a_list_that_is_a_little_too_long_is_settled_from_below() {
    let mut plan = on_a_processor("1-64", 32);
    plan.spec.strategy = Strategies::Dense;
    let (history, end) = Simulator::new(linear).run(&plan);
    let settled = settled(&history);
    assert!((32..64).contains(&settled.len()), "{settled:?}");
    let first = settled.len() as u32 + 1;
    assert_eq!(left_out(&plan, &history).map(|it| it.from), Some(first));
    let message = conclusion(end).message;
    assert!(message.contains(&format!("from {first} on")) && message.contains("--budget"));
}

#[test]
fn a_small_budget_gets_a_window_it_can_pay_for() {
    let mut spec = spec("auto", 20);
    spec.precision = 0.05;
    let (history, end) = Simulator::new(staircase(4)).run(&plan(spec, "SIM-a"));
    assert_eq!(conclusion(end).reason, ConclusionReason::PrecisionReached);
    let counts = counts(&history);
    assert!((12..64).contains(&counts.len()), "{}", counts.len());
    assert!(counts.values().all(|&count| count >= 5));
}

#[test]
fn one_iteration_longer_than_the_budget_allows_ends_with_advice() {
    let plan = plan(spec("auto", 10), "SIM-a");
    let (history, end) = Simulator::new(|size| 20.0 * f64::from(size)).run(&plan);
    let conclusion = conclusion(end);
    assert_eq!(conclusion.reason, ConclusionReason::BudgetSpent);
    let budget = sufficient_budget(&plan, &history).unwrap();
    let advice = format!("--budget {}", as_option(budget));
    assert!(
        conclusion.message.contains(&advice),
        "{}",
        conclusion.message
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Where a budget was too small, the one that is named suffices.
    #[test]
    fn the_budget_that_is_named_suffices(
        (step, iteration, floor, noise, drift) in (2..40_u32, 1e-5..0.5_f64, 0.0..1.0_f64, 0.0..0.05_f64, 0.0..0.1_f64),
        sizes in prop_oneof![Just("auto"), Just("1-20"), Just("1-64"), Just("8-96:8")],
        budget in 1..60_u64,
        seed in any::<u64>(),
    ) {
        let mut poor = on_a_processor(sizes, budget);
        poor.spec.seed = seed;
        poor.spec.precision = 0.05;
        let device = || {
            let mut device = Simulator::new(move |size| {
                iteration * (floor + 0.1 * f64::from(size.div_ceil(step)) + 0.01 * f64::from(size))
            });
            device.noise = noise;
            device.drift = Box::new(move |now| 1.0 + drift * (now / 11.0).sin());
            device
        };
        let (history, end) = device().run(&poor);
        prop_assert!(within(&poor, &history), "{:?}", spent(&history));
        let Next::Done(conclusion) = end else {
            return Err(TestCaseError::fail("a healthy device"));
        };
        let Some((_, advised)) = conclusion.message.split_once("; give --budget ") else {
            prop_assert!(settled(&history).len() >= 12, "{}", conclusion.message);
            return Ok(());
        };
        let budget = sufficient_budget(&poor, &history).unwrap();
        prop_assert_eq!(advised, as_option(budget));
        let mut wiser = poor.clone();
        wiser.spec.budget = budget;
        let (history, end) = device().run(&wiser);
        let settled = settled(&history);
        prop_assert!(settled.len() >= 12, "{} gave {:?}: {:?}", as_option(budget), settled, end);
        prop_assert_eq!(left_out(&wiser, &history), None);
    }
}
