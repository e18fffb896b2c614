//! Whatever positive numbers come in, an answer with valid fields comes out.

use batchstep_inference::{Inference, Observation, Options, Trace, Verdict, infer};
use proptest::prelude::*;

fn check(trace: &Trace, answer: &Inference) {
    let points = trace.points();
    let (first, last) = (points[0].batch_size, points[points.len() - 1].batch_size);
    let share = |value: Option<f64>| value.is_none_or(|v| (0.0..=1.0).contains(&v));
    let finite = |value: Option<f64>| value.is_none_or(f64::is_finite);
    assert!(share(answer.confidence), "{:?}", answer.confidence);
    assert!(finite(answer.step) && finite(answer.offset) && finite(answer.jump_relative));
    assert!(
        answer
            .smallest_detectable_jump
            .is_none_or(|v| v.is_finite() && v >= 0.0)
    );
    assert!(!answer.reason.is_empty());
    assert!(answer.recommended_batch_sizes.len() <= 32);
    assert!(answer.recommended_batch_sizes.is_sorted());
    assert!(
        answer
            .recommended_batch_sizes
            .iter()
            .all(|b| (first..=last).contains(b))
    );
    assert!(
        answer
            .best_throughput
            .is_some_and(|best| best.samples_per_second.is_finite())
    );
    assert!(answer.knee_batch_size.is_some());
    assert!(
        answer
            .fitted
            .iter()
            .all(|point| point.seconds.is_finite() && point.seconds >= 0.0)
    );
    if answer.verdict == Verdict::Step {
        let step = answer.step.expect("a step has a period");
        assert!(step >= 2.0);
        let [low, high] = answer.step_interval.expect("a step has an interval");
        assert!(low <= step && step <= high && high.is_finite());
        assert!(answer.kind.is_some() && answer.jump_at.is_some());
        assert!(answer.confidence.is_some_and(|c| c >= 0.8));
        assert!(!answer.recommended_batch_sizes.is_empty());
        if let Some(profile) = &answer.profile {
            assert_eq!(profile.len() as f64, step);
            assert_eq!(profile[0], 0.0);
            assert!(profile.iter().all(|extra| extra.is_finite()));
        }
    } else {
        assert!(answer.step.is_none() && answer.recommended_batch_sizes.is_empty());
        assert!(answer.next_action.is_some());
    }
    let json = serde_json::to_string(answer).expect("an answer is JSON");
    assert!(!json.contains("fitted"));
}

fn run(observations: Vec<Observation>) -> Inference {
    let trace = Trace::new(observations).expect("positive timings");
    let options = Options {
        resamples: 20,
        ..Options::default()
    };
    let answer = infer(&trace, &options);
    check(&trace, &answer);
    answer
}

fn seconds() -> impl Strategy<Value = f64> {
    prop_oneof![
        6 => 1e-6..10.0_f64,
        1 => Just(f64::MIN_POSITIVE / 8.0),
        1 => Just(f64::MAX),
        1 => 1e-300..1e300_f64,
    ]
}

fn batch_size() -> impl Strategy<Value = u32> {
    prop_oneof![8 => 1..64_u32, 2 => 1..4096_u32, 1 => 1..=u32::MAX]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn wild_timings(blocks in prop::collection::vec((batch_size(), 0..4_u32, seconds()), 1..160)) {
        run(blocks
            .into_iter()
            .map(|(batch_size, round, seconds)| Observation { batch_size, round, seconds })
            .collect());
    }

    #[test]
    fn steps_on_strange_grids(
        sizes in prop::collection::btree_set(1..400_u32, 1..120),
        period in 1.5..120.0_f64,
        scale in prop_oneof![Just(1e-9), Just(1.0), Just(1e290)],
        rounds in 1..4_u32,
    ) {
        let mut observations = Vec::new();
        for round in 0..rounds {
            for &batch_size in &sizes {
                let steps = (f64::from(batch_size) / period).ceil();
                observations.push(Observation { batch_size, round, seconds: scale * (0.5 + steps) });
            }
        }
        run(observations);
    }
}

#[test]
fn one_point_and_constant_points() {
    let block = |batch_size, seconds| Observation {
        batch_size,
        round: 0,
        seconds,
    };
    assert_eq!(run(vec![block(7, 0.1)]).verdict, Verdict::Insufficient);
    assert_eq!(run(vec![block(7, 0.1); 50]).verdict, Verdict::Insufficient);
    let flat = run((1..=100).map(|b| block(b, 0.25)).collect());
    assert_eq!(flat.verdict, Verdict::NoStep);
}

/// Timings at both ends of what a number holds, side by side: found by `wild_timings`. Their ratio is no number.
#[test]
fn timings_whose_ratio_is_no_number() {
    const TINY: f64 = 2.781_342_323_134e-309;
    const HUGE: f64 = f64::MAX;
    let blocks = [
        (1, 0, 1e-6),
        (10, 0, 1e-6),
        (5, 0, 5.875720646786609),
        (32, 3, 1e-6),
        (3, 0, TINY),
        (1, 0, 1e-6),
        (5, 0, 1e-6),
        (2, 3, 5.10155897547381),
        (9, 0, 1.624065812683489),
        (2, 0, 2.06825867504575),
        (9, 0, 1e-6),
        (32, 3, 9.131409862762796),
        (3, 0, 8.131825454023115),
        (9, 0, 2.4830867822179137),
        (3, 3, 1e-6),
        (11, 0, 9.838515066331318),
        (11, 0, 1e-6),
        (55, 3, TINY),
        (3, 3, 5.4181174215777945),
        (3, 0, HUGE),
        (11, 0, HUGE),
        (4, 0, 7.748648808554578),
        (28, 0, 1e-6),
        (6, 0, 3.385295020587912),
        (12, 0, 7.842942900289474),
        (8, 0, HUGE),
        (6, 0, 1e-6),
        (46, 0, TINY),
        (39, 0, 2.878719579656242),
        (11, 0, 1e-6),
        (5, 0, HUGE),
        (39, 3, 4.250474229818802),
        (13, 0, 2.3081518863315007),
        (57, 0, 2.5244161208341254),
        (29, 0, 6.267733982813206),
        (14, 0, HUGE),
        (38, 0, 6.136165708044405),
        (408, 0, 3.5659865424630643),
        (29, 3, 1e-6),
        (47, 0, 8.190203791400958),
        (15, 0, HUGE),
    ];
    run(blocks
        .map(|(batch_size, round, seconds)| Observation {
            batch_size,
            round,
            seconds,
        })
        .to_vec());
}

#[test]
fn batch_sizes_in_the_billions() {
    let observations = (0..200_u32)
        .map(|k| Observation {
            batch_size: u32::MAX - k * 20_000_000,
            round: k % 3,
            seconds: 1.0 + f64::from(k % 7),
        })
        .collect();
    run(observations);
}
