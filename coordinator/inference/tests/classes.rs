//! Every class of laws, a few seeds each: the step is found, and traces without one never get one. `make validate` runs the same with thousands.

mod support;

use batchstep_inference::{Observation, Options, Trace, Verdict, infer};
use batchstep_laws::{Class, Random, Scatter};
use support::{Case, Outcome, comb, measure};

/// Traces of each class.
const SEEDS: u64 = 24;
const NOISE: [f64; 4] = [0.002, 0.005, 0.008, 0.01];
const ROUNDS: [u32; 3] = [5, 7, 10];

/// The outcomes of `class`, with the reason of each that is not right.
fn outcomes(class: Class, first_seed: u64) -> Vec<(Outcome, String)> {
    (0..SEEDS)
        .map(|k| {
            let (noise, rounds) = (NOISE[k as usize % 4], ROUNDS[k as usize % 3]);
            let case = Case::of(class, first_seed + k, noise, rounds);
            let answer = infer(&case.trace, &Options::default());
            let said = format!(
                "{class} {}: {:?} {}",
                first_seed + k,
                answer.step,
                answer.reason
            );
            (case.judge(&answer), said)
        })
        .collect()
}

fn not_right(outcomes: &[(Outcome, String)]) -> Vec<&str> {
    outcomes
        .iter()
        .filter(|(outcome, _)| *outcome != Outcome::Right)
        .map(|(_, said)| said.as_str())
        .collect()
}

#[test]
fn classes_with_a_step_are_answered_right() {
    let (mut traces, mut right, mut wrong) = (0, 0, Vec::new());
    for class in Class::all().filter(|class| class.has_step()) {
        let outcomes = outcomes(class, 1000);
        let missed = not_right(&outcomes);
        assert!(missed.len() <= 2, "{missed:#?}");
        traces += outcomes.len();
        right += outcomes.len() - missed.len();
        let another = |(outcome, _): &&(Outcome, String)| *outcome == Outcome::WrongStep;
        wrong.extend(
            outcomes
                .iter()
                .filter(another)
                .map(|(_, said)| said.clone()),
        );
    }
    assert!(wrong.len() <= 1, "another step: {wrong:#?}");
    assert!(right * 100 >= traces * 99, "{right} of {traces} right");
}

#[test]
fn classes_without_a_step_never_get_one() {
    for class in Class::all().filter(|class| !class.has_step()) {
        let outcomes = outcomes(class, 2000);
        assert_eq!(not_right(&outcomes), [""; 0]);
    }
}

#[test]
fn shuffled_batch_sizes_give_no_step() {
    for seed in 0..40 {
        let mut random = Random::new(seed);
        let last = 60 + 4 * seed as u32;
        let mut labels: Vec<u32> = (1..=last).collect();
        for i in (1..labels.len()).rev() {
            let other = random.whole(0, i as u32) as usize;
            labels.swap(i, other);
        }
        let observations = (0..5)
            .flat_map(|round| (1..=last).map(move |b| (round, b)))
            .map(|(round, b)| Observation {
                batch_size: labels[b as usize - 1],
                round,
                seconds: (0.2 + 0.1 * comb(b, 16.0, 0.0)) * (1.0 + 0.004 * random.normal()),
            })
            .collect();
        let answer = infer(&Trace::new(observations).unwrap(), &Options::default());
        assert_ne!(
            answer.verdict,
            Verdict::Step,
            "seed {seed}: {}",
            answer.reason
        );
    }
}

/// Smooth laws that three change points and a parabola cannot follow: rich in curvature, without jumps or a period.
fn bent(b: u32, kind: u64) -> f64 {
    let x = f64::from(b);
    match kind % 4 {
        0 => 1.0 + 0.01 * x + 0.1 * (9.0 * x.ln()).sin(),
        1 => 0.4 + 0.01 * x + 0.2 * (x / 20.0).tanh() + 0.1 * (-((x - 90.0) / 14.0).powi(2)).exp(),
        2 => (0.2 + 0.01 * x) * (1.0 + 0.05 * (x.powf(1.4) / 25.0).sin()),
        _ => 1.0 + 0.004 * x + 0.1 * (x.sqrt() * 2.5).sin(),
    }
}

#[test]
fn the_edge_guard_is_what_keeps_smooth_waves_from_being_steps() {
    let steps = |edge_guard: bool| {
        (0..16)
            .filter(|&seed| {
                let sizes: Vec<u32> = (1..=160).collect();
                let trace = measure(
                    &mut Random::new(seed),
                    &sizes,
                    5,
                    Scatter::quiet(0.004),
                    |b| bent(b, seed),
                );
                let options = Options {
                    edge_guard,
                    ..Options::default()
                };
                infer(&trace, &options).verdict == Verdict::Step
            })
            .count()
    };
    let (guarded, unguarded) = (steps(true), steps(false));
    assert_eq!(guarded, 0, "with the guard");
    assert!(unguarded >= 4, "without the guard only {unguarded} of 16");
}

#[test]
fn halves_of_the_rounds_agree() {
    let sizes: Vec<u32> = (1..=128).collect();
    for seed in 0..6 {
        let law = |b: u32| 0.3 + 0.004 * f64::from(b) + 0.06 * comb(b, 16.0, 0.0);
        let trace = |rounds| {
            measure(
                &mut Random::new(seed),
                &sizes,
                rounds,
                Scatter::quiet(0.006),
                law,
            )
        };
        for rounds in [5, 10] {
            assert_eq!(infer(&trace(rounds), &Options::default()).step, Some(16.0));
        }
    }
}
