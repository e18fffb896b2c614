//! Seeded traces of known laws: the classes of the validation, shared by the tests and the examples.
//!
//! Times are in milliseconds around 1; every law says what a right answer is. Nothing here reads the crate's fits.
#![allow(
    dead_code,
    clippy::expect_used,
    reason = "each test crate uses its part; a generator that fails is a broken test"
)]

pub mod classes;
mod smooth;

use batchstep_inference::{Inference, Observation, Trace, Verdict};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// What a trace must be answered with.
#[derive(Clone, Debug, PartialEq)]
pub enum Truth {
    /// This period and offset.
    Step { period: f64, offset: f64 },
    /// This period or `insufficient`.
    StepOrInsufficient { period: f64 },
    /// `no_step` or `irregular`.
    NoStep,
    /// `insufficient`.
    Insufficient,
}

/// How an answer compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Right,
    /// A step where there is none, or another step.
    WrongStep,
    /// Any other wrong verdict.
    Missed,
}

/// One generated trace.
pub struct Case {
    pub trace: Trace,
    pub truth: Truth,
    pub description: String,
}

/// Every class, in the order of the design's table.
pub const CLASSES: &[&str] = &[
    "staircase",
    "staircase on slope",
    "sawtooth",
    "floor then staircase",
    "staircase with switch",
    "short in long",
    "profile rising",
    "profile falling",
    "profile alternating",
    "profile random",
    "alternation",
    "fractional",
    "offset",
    "network",
    "two combs",
    "even-only grid",
    "every-fourth grid",
    "three edges",
    "missing points",
    "shared host",
    "linear",
    "floor then linear",
    "convex",
    "concave",
    "flat",
    "one switch",
    "two switches",
    "blind grid",
    "five points",
];

/// Laws the design's table does not name, meant to break the inference.
pub const HARD_CLASSES: &[&str] = &[
    "proportional remainder",
    "power cap",
    "late window",
    "three rounds",
    "heavy tails",
    "close switches",
    "many switches",
    "fine combs only",
    "smooth bumps",
    "drifting sampling",
];

/// Whether traces of `class` hold a step.
pub fn has_step(class: &str) -> bool {
    let at = |classes: &[&str]| classes.iter().position(|name| *name == class);
    at(CLASSES).is_some_and(|at| at < 20) || at(HARD_CLASSES).is_some_and(|at| at < 5)
}

pub struct Random(ChaCha8Rng);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    pub fn uniform(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.0.random::<f64>()
    }

    /// A whole number from `low` to `high`, both included.
    pub fn whole(&mut self, low: u32, high: u32) -> u32 {
        self.0.random_range(low..=high)
    }

    pub fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.0.random_range(0..choices.len())]
    }

    /// Log-uniform.
    pub fn scale(&mut self, low: f64, high: f64) -> f64 {
        self.uniform(low.ln(), high.ln()).exp()
    }

    pub fn normal(&mut self) -> f64 {
        let (u, v) = (1.0 - self.uniform(0.0, 1.0), self.uniform(0.0, 1.0));
        (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
    }
}

/// Relative noise of one block, and what the machine adds.
#[derive(Clone, Copy, Debug)]
pub struct Noise {
    pub sigma: f64,
    /// Amplitude of a drift over each round.
    pub drift: f64,
    /// Share of blocks hit by something else, and how much longer they take at most.
    pub bursts: f64,
    /// Whether the scatter has the tails of Student's t with three degrees of freedom.
    pub heavy: bool,
}

impl Noise {
    pub fn quiet(sigma: f64) -> Self {
        Self {
            sigma,
            drift: 0.0,
            bursts: 0.0,
            heavy: false,
        }
    }
}

/// Measures `law` at `sizes`, in `rounds` rounds of random order.
pub fn measure(
    random: &mut Random,
    sizes: &[u32],
    rounds: u32,
    noise: Noise,
    law: impl Fn(u32) -> f64,
) -> Trace {
    let mut observations = Vec::with_capacity(sizes.len() * rounds as usize);
    for round in 0..rounds {
        let phase = random.uniform(0.0, 6.3);
        let level = 1.0 + noise.drift * random.normal() / 2.0;
        for &batch_size in sizes {
            // Order within a round is random, so drift is independent of the batch size.
            let when = random.uniform(0.0, 1.0);
            let drift = level * (1.0 + noise.drift * (phase + 6.3 * when).sin() / 2.0);
            let burst = if random.uniform(0.0, 1.0) < noise.bursts {
                1.0 + random.uniform(0.1, 1.0)
            } else {
                1.0
            };
            let scatter = if noise.heavy {
                let square: f64 = (0..3).map(|_| random.normal().powi(2)).sum();
                random.normal() / (square / 3.0).sqrt()
            } else {
                random.normal()
            };
            let seconds = 1e-3 * law(batch_size) * drift * burst * (1.0 + noise.sigma * scatter);
            observations.push(Observation {
                batch_size,
                round,
                seconds: seconds.max(1e-6),
            });
        }
    }
    Trace::new(observations).expect("generated seconds are positive")
}

pub fn comb(b: u32, period: f64, offset: f64) -> f64 {
    ((f64::from(b) - offset) / period - 1e-9).ceil()
}

/// Compares an answer with the truth: a step is right when its period is within 1 % and it predicts 90 % of the true
/// edges in range exactly.
pub fn judge(case: &Case, answer: &Inference) -> Outcome {
    let right_step = |period: f64, offset: f64| {
        let Some(found) = answer.step else {
            return Outcome::Missed;
        };
        if (found / period - 1.0).abs() > 0.01 {
            return Outcome::WrongStep;
        }
        let sizes = case.trace.points();
        let (first, last) = (sizes[0].batch_size, sizes[sizes.len() - 1].batch_size);
        let shift = answer.offset.unwrap_or(0.0);
        let (mut edges, mut predicted) = (0, 0);
        for k in 0..1000 {
            let edge = (f64::from(k) * period + offset + 1e-9).floor();
            if edge < f64::from(first) || edge >= f64::from(last) {
                continue;
            }
            edges += 1;
            let round = ((edge - shift) / found).round();
            predicted += i32::from(
                (-1..=1).any(|d| ((round + f64::from(d)) * found + shift + 1e-9).floor() == edge),
            );
        }
        if predicted * 10 >= edges * 9 {
            Outcome::Right
        } else {
            Outcome::WrongStep
        }
    };
    match (&case.truth, answer.verdict) {
        (Truth::Step { period, offset }, Verdict::Step) => right_step(*period, *offset),
        (Truth::StepOrInsufficient { period }, Verdict::Step) => right_step(*period, 0.0),
        (_, Verdict::Step) => Outcome::WrongStep,
        (Truth::StepOrInsufficient { .. } | Truth::Insufficient, Verdict::Insufficient)
        | (Truth::NoStep, Verdict::NoStep | Verdict::Irregular) => Outcome::Right,
        _ => Outcome::Missed,
    }
}
