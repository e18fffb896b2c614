//! The laws of the design's table, and what an answer holds for each.

mod support;

use batchstep_inference::{
    EdgeSight, Inference, Observation, Options, StepKind, Trace, Verdict, infer,
};
use batchstep_laws::{Random, Scatter};
use support::{comb, measure};

fn answer(last: u32, law: impl Fn(u32) -> f64) -> Inference {
    let sizes: Vec<u32> = (1..=last).collect();
    answer_at(&sizes, law)
}

fn answer_at(sizes: &[u32], law: impl Fn(u32) -> f64) -> Inference {
    let trace = measure(&mut Random::new(5), sizes, 5, Scatter::quiet(0.004), law);
    infer(&trace, &Options::default())
}

type Law = fn(u32) -> f64;

fn line(b: u32) -> f64 {
    0.3 + 0.01 * f64::from(b)
}

#[test]
fn a_staircase_of_16() {
    let answer = answer(128, |b| 0.2 + 0.1 * comb(b, 16.0, 0.0));
    assert_eq!(answer.verdict, Verdict::Step, "{}", answer.reason);
    assert_eq!(answer.step, Some(16.0));
    assert_eq!(answer.offset, Some(0.0));
    assert_eq!(answer.kind, Some(StepKind::Staircase));
    assert_eq!(answer.jump_at, Some(16));
    assert_eq!(
        answer.recommended_batch_sizes,
        [16, 32, 48, 64, 80, 96, 112, 128]
    );
    let profile = answer.profile.unwrap();
    assert_eq!(profile.len(), 16);
    assert_eq!(profile[0], 0.0);
    assert!(
        profile[1] > profile[8] && profile[8] > profile[15],
        "{profile:?}"
    );
    let [low, high] = answer.step_interval.unwrap();
    assert!(
        low <= 16.0 && 16.0 <= high && high - low < 0.5,
        "{low} {high}"
    );
    assert!(answer.confidence.unwrap() >= 0.95);
    assert!(answer.next_action.is_none());
}

#[test]
fn a_profile_of_four() {
    let law = |b: u32| line(b) + [0.0, 0.09, 0.05, 0.09][(b % 4) as usize];
    let answer = answer(48, law);
    assert_eq!(answer.step, Some(4.0), "{}", answer.reason);
    assert_eq!(answer.kind, Some(StepKind::Remainder));
    assert_eq!(answer.profile.unwrap().len(), 4);
    assert!(answer.other_steps.iter().all(|other| other.step == 2.0));
}

#[test]
fn an_alternation_of_two() {
    let answer = answer(48, |b| line(b) + 0.05 * f64::from(b % 2));
    assert_eq!(answer.step, Some(2.0), "{}", answer.reason);
    assert_eq!(answer.kind, Some(StepKind::Remainder));
}

#[test]
fn a_sawtooth_falls_back_at_its_multiples() {
    let answer = answer(96, |b| line(b) + if b % 12 == 0 { 0.0 } else { 0.1 });
    assert_eq!(answer.step, Some(12.0), "{}", answer.reason);
    assert_eq!(answer.kind, Some(StepKind::Remainder));
}

#[test]
fn waves_of_132_fifths() {
    let answer = answer(160, |b| 0.2 + 0.1 * comb(b, 26.4, 0.0));
    assert_eq!(answer.verdict, Verdict::Step, "{}", answer.reason);
    assert!(
        (answer.step.unwrap() - 26.4).abs() < 0.05,
        "{:?}",
        answer.step
    );
    assert_eq!(answer.recommended_batch_sizes, [26, 52, 79, 105, 132, 158]);
    assert_eq!(answer.profile, None, "a fractional period has no residues");
}

#[test]
fn the_larger_of_two_nested_jumps_is_the_step() {
    let nested = |short: f64, long: f64| {
        answer(224, |b| {
            0.3 + short * comb(b, 8.0, 0.0) + long * comb(b, 32.0, 0.0)
        })
    };
    let outer = nested(0.03, 0.1);
    assert_eq!(outer.step, Some(32.0), "{}", outer.reason);
    assert_eq!(outer.other_steps[0].step, 8.0);
    let inner = nested(0.08, 0.04);
    assert_eq!(inner.step, Some(8.0), "{}", inner.reason);
    assert_eq!(inner.other_steps[0].step, 32.0);
}

#[test]
fn edges_under_the_floor_do_not_count() {
    let answer = answer(120, |b| (0.2 + 0.1 * comb(b, 10.0, 0.0)).max(0.55));
    assert_eq!(answer.step, Some(10.0), "{}", answer.reason);
    assert!(answer.jump_at.unwrap() >= 30, "{:?}", answer.jump_at);
    assert!(answer.recommended_batch_sizes[0] >= 30);
}

#[test]
fn a_jump_that_is_not_there_is_a_missed_edge() {
    // Sixteen samples a round, but the one that should begin after 64 costs nothing.
    let answer = answer(192, |b| {
        let rounds = comb(b, 16.0, 0.0);
        0.2 + 0.1 * (rounds - f64::from(u8::from(b > 64)))
    });
    assert_eq!(answer.step, Some(16.0), "{}", answer.reason);
    let sight = |at: u32| {
        answer
            .edges
            .iter()
            .find(|edge| edge.batch_size == at)
            .map(|edge| edge.sight)
    };
    assert_eq!(sight(64), Some(EdgeSight::Missed));
    assert_eq!(sight(48), Some(EdgeSight::Confirmed));
    assert!(
        answer.reason.contains("10 of 11 edges"),
        "{}",
        answer.reason
    );
}

#[test]
fn an_edge_that_nobody_measured_is_not_confirmed_by_its_neighbours() {
    let sizes: Vec<u32> = (1..=17).chain([20, 21, 36, 37, 44, 45, 56, 57]).collect();
    let answer = answer_at(&sizes, |b| 0.2 + 0.05 * comb(b, 4.0, 0.0));
    assert_eq!(answer.step, Some(4.0), "{}", answer.reason);
    let sights: Vec<(u32, EdgeSight)> = answer
        .edges
        .iter()
        .map(|edge| (edge.batch_size, edge.sight))
        .collect();
    for edge in (4..=56).step_by(4) {
        let expected = if [24, 28, 32, 48, 52].contains(&edge) {
            EdgeSight::Unclear
        } else {
            EdgeSight::Confirmed
        };
        let seen = sights.iter().find(|(size, _)| *size == edge);
        // The last edges may lack what a window needs.
        assert!(
            seen.is_some_and(|(_, sight)| *sight == expected || edge == 56),
            "{edge}: {sights:?}"
        );
    }
}

#[test]
fn an_offset_moves_the_good_sizes() {
    let answer = answer(100, |b| 0.2 + 0.1 * comb(b, 12.0, 5.0));
    assert_eq!(answer.step, Some(12.0), "{}", answer.reason);
    assert_eq!(answer.offset, Some(5.0));
    assert_eq!(answer.recommended_batch_sizes[..3], [5, 17, 29]);
}

/// Jumps on reaching `offset`, `offset + period`, and so on, in six rounds that differ by `sigma`.
fn stairs(last: u32, period: f64, offset: f64, seed: u64, sigma: f64) -> Inference {
    let sizes: Vec<u32> = (1..=last).collect();
    let law = |b| 0.1 + 0.01 * comb(b, period, offset);
    let trace = measure(
        &mut Random::new(seed),
        &sizes,
        6,
        Scatter::quiet(sigma),
        law,
    );
    infer(&trace, &Options::default())
}

#[test]
fn a_whole_period_with_an_offset_beats_a_fraction_that_moves_its_edges_as_far() {
    // 7.97 ends its rounds at 7, 15, 23, ... too, up to a batch size of 256.
    for (last, period, offset) in [
        (256, 8.0, 7.0),
        (256, 16.0, 5.0),
        (256, 16.0, 15.0),
        (200, 12.0, 11.0),
        (256, 4.0, 3.0),
        (512, 96.0, 95.0),
    ] {
        for (seed, sigma) in [(1, 0.0), (1, 0.005), (2, 0.005), (3, 0.005)] {
            let answer = stairs(last, period, offset, seed, sigma);
            let case = format!("{period} + {offset}, noise {sigma}: {}", answer.reason);
            assert_eq!(answer.step, Some(period), "{case}");
            assert_eq!(answer.offset, Some(offset), "{case}");
            assert_eq!(answer.recommended_batch_sizes[0], offset as u32, "{case}");
            assert!(answer.reason.contains(&format!("plus {offset}:")), "{case}");
            let [low, high] = answer.step_interval.unwrap();
            assert!(low <= period && period <= high, "{case}: {low} {high}");
        }
    }
}

#[test]
fn fractions_that_no_whole_period_explains_stay_fractions() {
    for sigma in [0.0, 0.005] {
        let answer = stairs(256, 26.4, 0.0, 1, sigma);
        let step = answer.step.unwrap_or_else(|| panic!("{}", answer.reason));
        assert!((step - 26.4).abs() < 0.05, "{step}");
        assert_eq!(answer.offset, Some(0.0));
        assert_eq!(answer.recommended_batch_sizes[..3], [26, 52, 79]);
    }
}

#[test]
fn smooth_laws_have_no_step_and_say_what_would_have_been_seen() {
    let laws: [(&str, Law); 4] = [
        ("linear", line),
        ("hinge", |b| 0.2 + 0.01 * f64::from(b.max(40))),
        ("convex", |b| {
            0.3 + 0.002 * f64::from(b) + 1e-4 * f64::from(b * b)
        }),
        ("flat", |_| 0.4),
    ];
    for (name, law) in laws {
        let answer = answer(128, law);
        assert_eq!(answer.verdict, Verdict::NoStep, "{name}: {}", answer.reason);
        let detectable = answer.smallest_detectable_jump.unwrap();
        assert!(
            detectable > 0.0 && detectable < 0.05,
            "{name}: {detectable}"
        );
        assert!(answer.next_action.is_some());
        assert_eq!(answer.step, None);
        assert_eq!(answer.fitted.len(), 128);
    }
}

#[test]
fn one_algorithm_switch_is_not_a_step() {
    let answer = answer(128, |b| line(b) * if b > 50 { 0.8 } else { 1.0 });
    assert_eq!(answer.verdict, Verdict::Irregular, "{}", answer.reason);
    assert!(answer.reason.contains("50"), "{}", answer.reason);
}

#[test]
fn a_grid_as_coarse_as_the_period_is_blind() {
    for spacing in [8, 16, 32] {
        let sizes: Vec<u32> = (1..=20).map(|k| k * spacing).collect();
        let answer = answer_at(&sizes, |b| 0.3 + 0.1 * comb(b, 8.0, 0.0));
        assert_eq!(
            answer.verdict,
            Verdict::Insufficient,
            "{spacing}: {}",
            answer.reason
        );
        assert_eq!(answer.step, None);
        assert!(answer.next_action.unwrap().contains("densely"));
    }
}

#[test]
fn small_effects_stay_below_the_gate() {
    let law =
        |b: u32| 1.0 + 0.01 * f64::from(b) + 0.008 * comb(b, 16.0, 0.0) - 0.0005 * f64::from(b);
    let sizes: Vec<u32> = (1..=128).collect();
    let trace = measure(&mut Random::new(3), &sizes, 9, Scatter::quiet(0.001), law);
    let strict = infer(&trace, &Options::default());
    assert_eq!(strict.verdict, Verdict::NoStep, "{}", strict.reason);
    let lenient = Options {
        effect_gate: 0.001,
        ..Options::default()
    };
    assert_eq!(infer(&trace, &lenient).step, Some(16.0));
}

#[test]
fn a_period_that_costs_little_on_average_is_told_with_what_it_costs_at_first() {
    let law = |b: u32| 0.1 + 0.01 * f64::from(b) + 0.01 * comb(b, 8.0, 0.0);
    let answer = answer(256, law);
    assert_eq!(answer.verdict, Verdict::NoStep);
    assert!(
        answer.reason.contains("a period of 8 exists") && answer.reason.contains("at 8 it is 5"),
        "{}",
        answer.reason
    );
    // The power of a "no" cannot be less than what is there.
    assert!(answer.smallest_detectable_jump.unwrap() > 0.045);
    assert!(answer.next_action.unwrap().ends_with("--batch-sizes 1-128"));
}

#[test]
fn single_wild_blocks_change_nothing() {
    let sizes: Vec<u32> = (1..=96).collect();
    let observations = |wild: &[(usize, f64)]| {
        let mut random = Random::new(3);
        let mut observations: Vec<Observation> = (0..5)
            .flat_map(|round| sizes.iter().map(move |&size| (round, size)))
            .map(|(round, batch_size)| Observation {
                batch_size,
                round,
                seconds: (2.0 + comb(batch_size, 16.0, 0.0)) * (1.0 + 0.003 * random.normal()),
            })
            .collect();
        for &(position, factor) in wild {
            observations[position].seconds *= factor;
        }
        infer(&Trace::new(observations).unwrap(), &Options::default())
    };
    let clean = observations(&[]);
    for wild in [
        // A cold start, and hiccups of the host.
        &[(0, 500.0)][..],
        &[(200, 10.0)],
        &[(200, 1000.0)],
        &[(17, 50.0), (240, 50.0), (401, 50.0)],
    ] {
        let answer = observations(wild);
        assert_eq!(answer.step, Some(16.0), "{wild:?}: {}", answer.reason);
        assert_eq!(answer.confidence, clean.confidence, "{wild:?}");
        let (seen, usual) = (
            answer.smallest_detectable_jump.unwrap(),
            clean.smallest_detectable_jump.unwrap(),
        );
        assert!(seen < 1.3 * usual, "{wild:?}: {seen} {usual}");
    }
}

#[test]
fn a_time_that_falls_is_not_called_flat() {
    let answer = answer(96, |b| 1.0 - 0.005 * f64::from(b));
    assert!(
        answer.reason.contains("the time falls by 4"),
        "{}",
        answer.reason
    );
    assert!(answer.next_action.unwrap().contains("--unit samples/s"));
}

#[test]
fn timings_without_repeats_are_never_sure() {
    let observations = (1..=128)
        .map(|batch_size: u32| Observation {
            batch_size,
            round: 0,
            seconds: 0.2 + 0.1 * comb(batch_size, 16.0, 0.0),
        })
        .collect();
    let answer = infer(&Trace::new(observations).unwrap(), &Options::default());
    assert_eq!(answer.step, Some(16.0));
    let confidence = answer.confidence.unwrap();
    assert!((0.8..0.95).contains(&confidence), "{confidence}");
}

#[test]
fn the_same_trace_gives_the_same_answer() {
    let sizes: Vec<u32> = (1..=96).collect();
    let trace = measure(&mut Random::new(9), &sizes, 5, Scatter::quiet(0.01), |b| {
        line(b) + 0.05 * comb(b, 12.0, 0.0)
    });
    let options = Options::default();
    assert_eq!(infer(&trace, &options), infer(&trace, &options));
    let reseeded = Options { seed: 1, ..options };
    assert_eq!(infer(&trace, &reseeded).step, Some(12.0));
}
