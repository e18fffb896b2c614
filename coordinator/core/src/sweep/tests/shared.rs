//! Series that several devices share: read as those of one, however fast each is.

use batchstep_inference::{Inference, Options, Trace, infer};
use batchstep_proto::domain::{Strategy, SweepSpec, VisitRole};

use super::super::{
    Corrected, Flag, History, Next, SeriesPlan, contributions, correct,
    medians::median,
    misfits, quarantined,
    simulator::{Simulator, plan, run_shared, shared_plan, spec},
};

const NAMES: [&str; 4] = ["SIM-a", "SIM-b", "SIM-c", "SIM-d"];

/// A step of 16, whose first jump is 5 %.
fn law(size: u32) -> f64 {
    1.9e-3 + 2e-6 * f64::from(size) + 1e-4 * f64::from(size.div_ceil(16))
}

fn dense(sizes: &str, budget_seconds: u64) -> SweepSpec {
    SweepSpec {
        strategy: Strategy::Dense,
        precision: 0.001,
        ..spec(sizes, budget_seconds)
    }
}

/// Devices whose times are that of [`law`] times a factor each.
fn devices(factors: [f64; 4]) -> Vec<Simulator<'static>> {
    let device = |factor: f64| {
        let mut device = Simulator::new(move |size| factor * law(size));
        device.noise = 0.002;
        device
    };
    factors.map(device).into_iter().collect()
}

fn inferred(corrected: &Corrected<'_>) -> Inference {
    let trace = Trace::new(corrected.observations()).unwrap();
    infer(&trace, &Options::default())
}

/// Median over the batch sizes of the relative width of their intervals.
fn width(corrected: &Corrected<'_>) -> f64 {
    let trace = Trace::new(corrected.observations()).unwrap();
    let widths = trace
        .points()
        .iter()
        .map(|point| (point.high - point.low) / point.median);
    median(widths.collect())
}

fn measuring(corrected: &Corrected<'_>) -> usize {
    let blocks = corrected.blocks.iter();
    blocks
        .filter(|block| block.block.role == VisitRole::Measure)
        .count()
}

fn run(factors: [f64; 4], spec: SweepSpec) -> (SeriesPlan, History, f64) {
    let plan = shared_plan(spec, &NAMES);
    let (history, _, seconds) = run_shared(&devices(factors), &plan);
    (plan, history, seconds)
}

#[test]
fn four_devices_are_as_precise_as_one_and_nearly_four_times_as_fast() {
    let alone = plan(dense("1-96", 300), NAMES[0]);
    let (alone_history, _) = devices([1.0; 4])[0].run(&alone);
    let (plan, history, seconds) = run([1.0, 1.03, 0.97, 1.015], dense("1-96", 300));
    let (one, four) = (correct(&alone, &alone_history), correct(&plan, &history));
    assert_eq!(inferred(&one).step, Some(16.0));
    assert_eq!(
        inferred(&four).step,
        Some(16.0),
        "{}",
        inferred(&four).reason
    );
    let (blocks, expected) = (measuring(&four) as f64, measuring(&one) as f64);
    assert!(
        (blocks / expected - 1.0).abs() < 0.3,
        "{blocks} against {expected}"
    );
    let (wide, narrow) = (width(&four), width(&one));
    assert!(wide < 1.25 * narrow, "{wide} against {narrow}");
    let in_sum: f64 = history
        .rounds
        .iter()
        .map(|record| record.elapsed.as_secs_f64())
        .sum();
    assert!(seconds < in_sum / 3.0, "{seconds} s of {in_sum} s");
}

#[test]
fn a_device_of_another_speed_is_no_disturbance() {
    let factors = [1.0, 1.7, 0.9, 1.0];
    let (plan, history, _) = run(factors, dense("1-64", 120));
    let corrected = correct(&plan, &history);
    let slow = corrected
        .blocks
        .iter()
        .filter(|block| block.flags.contains(&Flag::Slow))
        .count();
    assert_eq!(slow, 0, "of {} blocks", corrected.blocks.len());
    assert_eq!(inferred(&corrected).step, Some(16.0));
    let shared = contributions(&plan, &history);
    let devices: Vec<&str> = shared.iter().map(|it| it.device.as_str()).collect();
    assert_eq!(devices, NAMES);
    for (contribution, factor) in shared.iter().zip(factors) {
        let found = contribution.relative_time.unwrap();
        assert!((found / factor - 1.0).abs() < 0.01, "{contribution:?}");
        assert!(contribution.blocks > 0);
    }
    // The figures are at the level of the first device, and raw times stay what they were.
    for block in &corrected.blocks {
        let size = block.block.batch_size;
        assert!((block.seconds - block.block.seconds_per_iteration()).abs() < 1e-15);
        if let Some(seconds) = block.corrected_seconds {
            assert!(
                (seconds / law(size) - 1.0).abs() < 0.03,
                "{size}: {seconds}"
            );
        }
    }
}

#[test]
fn each_device_has_a_clock_of_its_own() {
    let (plan, mut history, _) = run([1.0, 1.02, 1.0, 1.0], dense("1-32", 60));
    for record in &mut history.rounds {
        let clock = if record.round.device_id == NAMES[1] {
            1500.0
        } else {
            1900.0
        };
        for block in &mut record.blocks {
            block.sm_clock_mhz = Some(clock);
        }
    }
    assert_eq!(correct(&plan, &history).quality().throttled, 0.0);
}

#[test]
fn an_adaptive_sweep_is_shared_too() {
    let adaptive = SweepSpec {
        strategy: Strategy::Adaptive,
        ..spec("1-256", 600)
    };
    let (plan, history, _) = run([1.0, 1.03, 0.97, 1.015], adaptive);
    assert_eq!(inferred(&correct(&plan, &history)).step, Some(16.0));
    assert!(contributions(&plan, &history).len() > 1);
}

#[test]
fn before_the_first_device_has_measured_another_stands_for_all() {
    let (plan, mut history, _) = run([1.0, 1.1, 1.1, 1.1], dense("1-32", 60));
    history
        .rounds
        .retain(|record| record.round.device_id != NAMES[0]);
    let corrected = correct(&plan, &history);
    let shared = contributions(&plan, &history);
    assert!(
        shared.iter().any(|it| it.relative_time == Some(1.0)),
        "{shared:?}"
    );
    let of_one = corrected
        .blocks
        .iter()
        .find(|block| block.block.batch_size == 1 && block.corrected_seconds.is_some());
    let seconds = of_one.unwrap().best_seconds();
    assert!((seconds / law(1) / 1.1 - 1.0).abs() < 0.02, "{seconds}");
}

/// Devices that share a series, the second with a law of its own.
fn with_odd_one(odd: impl Fn(u32) -> f64 + 'static) -> (SeriesPlan, History) {
    let plan = shared_plan(dense("1-96", 300), &NAMES);
    let mut devices = devices([1.0, 1.0, 0.97, 1.03]);
    devices[1].law = Box::new(odd);
    let (history, ..) = run_shared(&devices, &plan);
    (plan, history)
}

#[test]
fn a_device_of_another_law_is_named_and_one_of_another_speed_is_not() {
    let (plan, history) = with_odd_one(|size| 1.03 * law(size));
    assert_eq!(misfits(&correct(&plan, &history)), []);
    // A step of 24 whose jumps are as large.
    let (plan, history) =
        with_odd_one(|size| 1.9e-3 + 2e-6 * f64::from(size) + 1e-4 * f64::from(size.div_ceil(24)));
    let odd = misfits(&correct(&plan, &history));
    assert_eq!(odd.len(), 1, "{odd:?}");
    assert_eq!(odd[0].device, NAMES[1]);
    assert!(odd[0].distance > 0.01, "{odd:?}");
}

/// The batch sizes up to 32 without a block.
fn unmeasured(history: &History) -> Vec<u32> {
    let counts = super::counts(history);
    (1..=32).filter(|size| !counts.contains_key(size)).collect()
}

#[test]
fn a_device_on_which_every_visit_fails_takes_nothing_from_the_others() {
    let plan = shared_plan(dense("1-32", 60), &NAMES);
    for broken in [0, 2] {
        let mut devices = devices([1.0; 4]);
        devices[broken].errors_at = (1..=32).collect();
        let (history, end, _) = run_shared(&devices, &plan);
        assert!(matches!(end, Next::Done(_)), "{end:?}");
        assert_eq!(unmeasured(&history), [0_u32; 0]);
        let errors = history.rounds.iter().map(|record| record.failures.len());
        assert!(errors.sum::<usize>() > 2, "it did try");
    }
}

#[test]
fn what_fails_on_two_devices_fails() {
    let plan = shared_plan(dense("1-32", 60), &NAMES);
    let mut devices = devices([1.0; 4]);
    for device in &mut devices {
        device.errors_at = [8, 13].into();
    }
    let (history, end, _) = run_shared(&devices, &plan);
    assert!(matches!(end, Next::Done(_)), "{end:?}");
    assert_eq!(unmeasured(&history), [8, 13]);
}

#[test]
fn a_pool_on_which_every_visit_fails_ends_with_that_reason() {
    let plan = shared_plan(dense("1-32", 60), &NAMES);
    let mut devices = devices([1.0; 4]);
    for device in &mut devices {
        device.errors_at = (1..=32).collect();
    }
    // All of them; and one of which the others are never free to take over.
    for (devices, rounds) in [(&devices[..], 2), (&devices[..1], 12)] {
        let (history, end, _) = run_shared(devices, &plan);
        let Next::Failed(message) = end else {
            panic!("{end:?}");
        };
        assert!(
            message.starts_with("every batch size failed: "),
            "{message}"
        );
        assert_eq!(history.rounds.len(), rounds);
    }
}

#[test]
fn a_device_whose_worker_always_dies_quarantines_nothing() {
    let plan = shared_plan(dense("1-32", 60), &NAMES);
    let mut devices = devices([1.0; 4]);
    devices[0].crashes_at = (1..=32).collect();
    // It alone: its series ends, but not for the sake of a batch size.
    let (history, end, _) = run_shared(&devices[..1], &plan);
    assert!(matches!(end, Next::Failed(_)), "{end:?}");
    assert_eq!(quarantined(&plan, &history), [0_u32; 0]);
    // A second one that dies at one batch size only.
    for device in &mut devices[1..] {
        device.crashes_at = [13].into();
    }
    let (history, end, _) = run_shared(&devices, &plan);
    assert!(matches!(end, Next::Done(_)), "{end:?}");
    assert_eq!(quarantined(&plan, &history), [13]);
    assert_eq!(unmeasured(&history), [13]);
}
