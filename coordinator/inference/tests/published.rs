//! Timings of real machines: a CPU's micro-kernel, and the cases published on lc0's tracker.

use batchstep_inference::{Inference, Observation, Options, StepKind, Trace, Verdict, infer};

/// Infers from seconds by batch size, each measured in `rounds` rounds that differ by `scatter`.
fn answer(points: &[(u32, f64)], rounds: u32, scatter: f64) -> Inference {
    let mut observations = Vec::new();
    for round in 0..rounds {
        for &(batch_size, seconds) in points {
            // A fixed, zigzag scatter: what matters here is that rounds differ a little.
            let wiggle = f64::from((batch_size * 7 + round * 5) % 11) / 5.0 - 1.0;
            observations.push(Observation {
                batch_size,
                round,
                seconds: seconds * (1.0 + scatter * wiggle),
            });
        }
    }
    infer(
        &Trace::new(observations).expect("positive timings"),
        &Options::default(),
    )
}

/// One core, `linear` 512x512, microseconds for batch sizes 4 to 20.
const CPU_MICROSECONDS: [f64; 17] = [
    55.0, 72.0, 72.0, 89.0, 84.0, 98.0, 100.0, 112.0, 104.0, 119.0, 121.0, 135.0, 124.0, 138.0,
    141.0, 156.0, 141.0,
];

fn cpu_points() -> Vec<(u32, f64)> {
    (4..).zip(CPU_MICROSECONDS.map(|t| 1e-6 * t)).collect()
}

#[test]
fn a_cpu_core_steps_by_four_with_a_remainder_path() {
    let answer = answer(&cpu_points(), 5, 0.004);
    assert_eq!(answer.verdict, Verdict::Step, "{}", answer.reason);
    assert_eq!(answer.step, Some(4.0));
    assert_eq!(answer.kind, Some(StepKind::Remainder));
    let profile = answer.profile.unwrap();
    assert_eq!(profile[0], 0.0);
    assert!(
        profile[3] > profile[2] && profile[1] > profile[2],
        "{profile:?}"
    );
    assert_eq!(answer.recommended_batch_sizes, [4, 8, 12, 16, 20]);
}

#[test]
fn the_same_core_measured_once_cannot_be_sure() {
    let answer = answer(&cpu_points(), 1, 0.0);
    assert!(matches!(
        answer.verdict,
        Verdict::Step | Verdict::Insufficient
    ));
    if let Some(step) = answer.step {
        assert_eq!(step, 4.0);
    }
    assert!(
        answer.confidence.is_some_and(|c| c < 0.95),
        "{:?}",
        answer.confidence
    );
}

/// One core of an AMD EPYC, one thread, libtorch 2.11: medians of six blocks of processor time, microseconds, from
/// batch size 1.
const EPYC_LINEAR_F32: [u32; 40] = [
    20, 33, 44, 51, 67, 69, 83, 71, 86, 87, 102, 92, 110, 110, 122, 114, 131, 126, 145, 132, 150,
    149, 164, 154, 172, 171, 183, 174, 193, 186, 213, 201, 208, 218, 227, 214, 235, 238, 254, 238,
];
const EPYC_LINEAR_F64: [u32; 40] = [
    35, 78, 114, 107, 134, 160, 187, 142, 173, 197, 221, 180, 207, 235, 257, 218, 244, 270, 293,
    253, 282, 303, 332, 289, 317, 341, 369, 325, 353, 377, 402, 362, 388, 414, 443, 399, 423, 453,
    475, 437,
];
const EPYC_MATMUL: [u32; 40] = [
    15, 29, 43, 66, 83, 84, 101, 87, 105, 107, 123, 110, 127, 128, 145, 133, 150, 151, 168, 157,
    172, 173, 190, 178, 195, 196, 214, 199, 217, 216, 235, 220, 237, 239, 257, 245, 261, 262, 280,
    268,
];

#[test]
fn an_epyc_core_steps_by_four_in_every_shape_and_precision() {
    for series in [EPYC_LINEAR_F32, EPYC_LINEAR_F64, EPYC_MATMUL] {
        let points: Vec<(u32, f64)> = (1..).zip(series.map(|t| 1e-6 * f64::from(t))).collect();
        let answer = answer(&points, 6, 0.02);
        assert_eq!(answer.verdict, Verdict::Step, "{}", answer.reason);
        assert_eq!(answer.step, Some(4.0), "{}", answer.reason);
        assert_eq!(answer.kind, Some(StepKind::Remainder));
        // Even sizes are cheaper than odd ones; some shapes also like multiples of 8 a little.
        let others: Vec<f64> = answer.other_steps.iter().map(|other| other.step).collect();
        assert!(
            others.iter().all(|step| [2.0, 8.0].contains(step)),
            "{others:?}"
        );
        assert_eq!(answer.recommended_batch_sizes.last(), Some(&40));
    }
}

/// Milliseconds of a 2080 Super with a small net: 96 = 2 x 48 processors.
fn super_2080(b: u32) -> f64 {
    let x = f64::from(b);
    match b {
        0..=96 => 0.62 + (1.0437 - 0.62) * x / 96.0,
        97..=192 => 1.4837 + (1.8958 - 1.4837) * (x - 97.0) / 95.0,
        193..=288 => 2.3626 + (1.8958 - 1.4837) * (x - 193.0) / 95.0,
        _ => 3.23 + (1.8958 - 1.4837) * (x - 289.0) / 95.0,
    }
}

#[test]
fn a_2080_super_steps_by_96() {
    let points: Vec<(u32, f64)> = (1..=320).map(|b| (b, 1e-3 * super_2080(b))).collect();
    let answer = answer(&points, 5, 0.003);
    assert_eq!(answer.verdict, Verdict::Step, "{}", answer.reason);
    assert_eq!(answer.step, Some(96.0));
    assert_eq!(answer.kind, Some(StepKind::Staircase));
    assert_eq!(answer.jump_at, Some(96));
    let jump = answer.jump_relative.unwrap();
    assert!((jump - 0.42).abs() < 0.06, "{jump}");
    assert_eq!(answer.recommended_batch_sizes, [96, 192, 288]);
}

#[test]
fn four_points_of_the_2080_super_are_not_enough() {
    let points = [96, 97, 192, 193].map(|b| (b, 1e-3 * super_2080(b)));
    let answer = answer(&points, 5, 0.003);
    assert_eq!(answer.verdict, Verdict::Insufficient);
    assert_eq!(answer.step, None);
    assert!(answer.next_action.unwrap().contains("--batch-sizes"));
}

#[test]
fn a_2080_ti_switches_algorithms_and_does_not_step_by_8() {
    let points: Vec<(u32, f64)> = (30..=64)
        .map(|b| {
            let x = f64::from(b);
            let t = match b {
                0..=44 => 4.799 - 0.02 * (44.0 - x),
                // The slower kernel is left again before 51.
                45..=48 => 6.992 + 0.02 * (x - 45.0),
                49..=52 => 5.167 - 0.037 * (52.0 - x),
                _ => 7.645 + 0.02 * (x - 53.0),
            };
            (b, 1e-3 * t)
        })
        .collect();
    let answer = answer(&points, 5, 0.003);
    assert_eq!(answer.verdict, Verdict::Irregular, "{}", answer.reason);
    assert_eq!(answer.step, None);
    assert!(answer.next_action.is_some());
}

#[test]
fn an_m1_max_alternates() {
    let points: Vec<(u32, f64)> = (65..=80)
        .map(|b| {
            (
                b,
                1e-3 * (4.0 + 0.05 * f64::from(b) + 0.35 * f64::from(b % 2)),
            )
        })
        .collect();
    let answer = answer(&points, 5, 0.004);
    assert_eq!(answer.verdict, Verdict::Step, "{}", answer.reason);
    assert_eq!(answer.step, Some(2.0));
    assert_eq!(answer.kind, Some(StepKind::Remainder));
}

#[test]
fn a_4090_sampled_every_32_says_nothing() {
    let milliseconds = [1.41, 2.088, 2.089, 2.72, 3.36, 3.37, 4.01, 4.65];
    let points: Vec<(u32, f64)> = (1..)
        .map(|k| 32 * k)
        .zip(milliseconds.map(|t| 1e-3 * t))
        .collect();
    let answer = answer(&points, 5, 0.002);
    assert_eq!(answer.verdict, Verdict::Insufficient, "{}", answer.reason);
    assert_eq!(answer.step, None);
    assert!(answer.next_action.unwrap().contains("densely"));
}
