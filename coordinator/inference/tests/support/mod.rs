//! Measures the laws of `batchstep-laws` and judges answers about them: shared by the tests and the examples. Nothing here reads the crate's fits.
#![allow(
    dead_code,
    clippy::expect_used,
    reason = "each test crate uses its part; a trace that cannot be made is a broken test"
)]

use batchstep_inference::{Inference, Observation, Trace, Verdict};
use batchstep_laws::{Class, Draw, Moment, Random, Scatter, Truth};

/// Iterations of a block, for the ticks of its clock.
const ITERATIONS: u32 = 100;

/// Largest relative difference between a right period and the true one.
const RIGHT_PERIOD: f64 = 0.01;

/// Share of the true edges that a right step predicts exactly.
const RIGHT_EDGES: f64 = 0.9;

/// How an answer compares with the truth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    Right,
    /// A step where none can be seen.
    FalseStep,
    /// Another step than the true one.
    WrongStep,
    /// Any other wrong verdict.
    Missed,
}

/// A law, measured.
pub struct Case {
    pub draw: Draw,
    pub trace: Trace,
}

impl Case {
    /// The law of `class` and `seed`, measured in `rounds` rounds whose blocks scatter by `sigma`.
    pub fn of(class: Class, seed: u64, sigma: f64, rounds: u32) -> Self {
        let draw = class.draw(seed, sigma);
        let mut random = Random::named("measure", seed);
        let law = |b| draw.law.seconds(b);
        let trace = measure(&mut random, &draw.sizes, rounds, draw.scatter, law);
        Self { draw, trace }
    }

    pub fn judge(&self, answer: &Inference) -> Outcome {
        judge(self.draw.truth, &self.trace, answer)
    }
}

/// Measures `law` at `sizes`, in `rounds` rounds of random order; seconds.
pub fn measure(
    random: &mut Random,
    sizes: &[u32],
    rounds: u32,
    scatter: Scatter,
    law: impl Fn(u32) -> f64,
) -> Trace {
    let mut observations = Vec::with_capacity(sizes.len() * rounds as usize);
    for round in 0..rounds {
        let phase = random.uniform(0.0, std::f64::consts::TAU);
        let level = 1.0 + scatter.drift * random.normal() / 2.0;
        for &batch_size in sizes {
            // Order within a round is random, so drift is independent of the batch size.
            let at = random.uniform(0.0, 1.0);
            let moment = Moment::Round { phase, at };
            let seconds = level * law(batch_size);
            observations.push(Observation {
                batch_size,
                round,
                seconds: scatter.block(random, seconds, ITERATIONS, moment),
            });
        }
    }
    Trace::new(observations).expect("generated seconds are positive")
}

/// `ceil((b - offset) / period)`.
pub fn comb(b: u32, period: f64, offset: f64) -> f64 {
    ((f64::from(b) - offset) / period - 1e-9).ceil()
}

/// Compares an answer with the truth: a step is right when its period is within 1 % and it predicts 90 % of the true
/// edges in range exactly.
pub fn judge(truth: Truth, trace: &Trace, answer: &Inference) -> Outcome {
    let step = match truth {
        Truth::Step { period, offset } => Some((period, offset)),
        Truth::StepOrInsufficient { period } => Some((period, 0.0)),
        Truth::NoStep | Truth::Insufficient => None,
    };
    match (step, answer.verdict, truth) {
        (Some((period, offset)), Verdict::Step, _) => {
            if is_right_step(period, offset, trace, answer) {
                Outcome::Right
            } else {
                Outcome::WrongStep
            }
        }
        (None, Verdict::Step, _) => Outcome::FalseStep,
        (_, Verdict::Insufficient, Truth::StepOrInsufficient { .. } | Truth::Insufficient)
        | (_, Verdict::NoStep | Verdict::Irregular, Truth::NoStep) => Outcome::Right,
        _ => Outcome::Missed,
    }
}

fn is_right_step(period: f64, offset: f64, trace: &Trace, answer: &Inference) -> bool {
    let Some(found) = answer.step else {
        return false;
    };
    if (found / period - 1.0).abs() > RIGHT_PERIOD {
        return false;
    }
    let sizes = trace.points();
    let first = f64::from(sizes[0].batch_size);
    let last = f64::from(sizes[sizes.len() - 1].batch_size);
    let shift = answer.offset.unwrap_or(0.0);
    let good = |round: f64, period: f64, offset: f64| (round * period + offset + 1e-9).floor();
    let edges: Vec<f64> = (0..)
        .map(|k| good(f64::from(k), period, offset))
        .skip_while(|&edge| edge < first)
        .take_while(|&edge| edge < last)
        .collect();
    let predicted = |edge: f64| {
        let round = ((edge - shift) / found).round();
        (-1..=1).any(|d| good(round + f64::from(d), found, shift) == edge)
    };
    let right = edges.iter().filter(|&&edge| predicted(edge)).count();
    right as f64 >= RIGHT_EDGES * edges.len() as f64
}
