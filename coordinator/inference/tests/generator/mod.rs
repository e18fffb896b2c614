//! Seeded traces of known laws: the classes of the validation, shared by the tests and the examples.
//!
//! Times are in milliseconds around 1; every law says what a right answer is. Nothing here reads the crate's fits.
#![allow(
    dead_code,
    clippy::expect_used,
    reason = "each test crate uses its part; a generator that fails is a broken test"
)]

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

/// A smooth line that passes 1 at `at`, with a random share of it constant.
fn line(random: &mut Random, at: f64, least: f64, most: f64) -> (f64, f64) {
    let constant = random.uniform(least, most);
    (constant, (1.0 - constant) / at)
}

/// A trace of `class` whose blocks scatter by `sigma`, with a description of its law.
pub fn generate(class: &str, seed: u64, sigma: f64) -> Case {
    let mut random = Random::new(seed.wrapping_mul(0x9E37_79B9).wrapping_add(
        class.bytes().fold(7, |h: u64, b| {
            h.wrapping_mul(131).wrapping_add(u64::from(b))
        }),
    ));
    let r = &mut random;
    let rounds = r.whole(5, 9);
    let mut noise = Noise::quiet(sigma);
    let effect = r.scale(0.02, 0.6);
    let whole_period = f64::from(r.whole(4, 32));
    let periods_seen = r.uniform(4.3, 9.0);
    let mut step = 1;
    let mut missing = 0.0;
    let (law, period, offset): (Box<dyn Fn(u32) -> f64>, f64, f64) = match class {
        "staircase" => {
            let p = whole_period;
            let c = effect.min(0.3);
            let a = 1.0 - 3.0 * c;
            (Box::new(move |b| a + c * comb(b, p, 0.0)), p, 0.0)
        }
        "staircase on slope" | "three edges" | "missing points" | "shared host"
        | "even-only grid" | "every-fourth grid" => {
            let mut p = whole_period;
            if class == "even-only grid" {
                step = 2;
                p = 2.0 * f64::from(r.whole(3, 16));
            }
            if class == "every-fourth grid" {
                step = 4;
                p = 4.0 * f64::from(r.whole(3, 10));
            }
            if class == "missing points" {
                missing = 0.12;
            }
            let c = if class == "shared host" {
                noise = Noise {
                    sigma: 0.03,
                    drift: 0.06,
                    bursts: 0.05,
                    heavy: false,
                };
                effect.max(0.1)
            } else {
                effect
            };
            let (a, s) = line(r, 3.0 * p, 0.05, 0.8);
            (
                Box::new(move |b| a + s * f64::from(b) + c * (comb(b, p, 0.0) - f64::from(b) / p)),
                p,
                0.0,
            )
        }
        "sawtooth" => {
            let p = whole_period;
            let c = effect;
            let (a, s) = line(r, 3.0 * p, 0.05, 0.8);
            let shape = r.whole(0, 2);
            (
                Box::new(move |b| {
                    let rest = f64::from(b % p as u32);
                    let penalty = match (rest, shape) {
                        (0.0, _) => 0.0,
                        (_, 0) => 1.0,
                        (rest, 1) => 1.0 - rest / p,
                        (rest, _) => rest / (p - 1.0),
                    };
                    a + s * f64::from(b) + c * penalty
                }),
                p,
                0.0,
            )
        }
        "floor then staircase" => {
            let p = whole_period.min(20.0);
            let c = effect;
            let (a, s) = line(r, 3.0 * p, 0.02, 0.3);
            let law = move |b: u32| a + s * f64::from(b) + c * (comb(b, p, 0.0) - f64::from(b) / p);
            let floor = law((r.uniform(0.5, 3.5) * p) as u32 + 1);
            return finish(
                r,
                &dense((8.5 * p) as u32),
                rounds,
                noise,
                |b| floor.max(law(b)),
                Truth::Step {
                    period: p,
                    offset: 0.0,
                },
                format!("P {p} c {c:.3} a {a:.2} floor {floor:.3}"),
            );
        }
        "staircase with switch" => {
            let p = whole_period;
            let c = effect.max(0.03);
            let (a, s) = line(r, 3.0 * p, 0.05, 0.8);
            let at = (r.uniform(0.2, 0.8) * periods_seen * p) as u32;
            let by = r.pick(&[0.85, 0.9, 1.1, 1.2]);
            (
                Box::new(move |b| {
                    let t = a + s * f64::from(b) + c * (comb(b, p, 0.0) - f64::from(b) / p);
                    if b > at { by * t } else { t }
                }),
                p,
                0.0,
            )
        }
        "short in long" => {
            let (short, times) = (f64::from(r.whole(4, 8)), f64::from(r.whole(2, 4)));
            let long = short * times;
            let ratio = r.pick(&[0.4, 0.6, 1.6, 2.5]);
            let c = effect.clamp(0.03, 0.3);
            let (a, s) = line(r, 3.0 * long, 0.05, 0.8);
            let (c_short, c_long) = if ratio < 1.0 {
                (c, c * ratio)
            } else {
                (c / ratio, c)
            };
            let step = if ratio < 1.0 { short } else { long };
            let last = (long * r.uniform(4.3, 7.0)) as u32;
            let law = move |b: u32| {
                a + s * f64::from(b)
                    + c_short * (comb(b, short, 0.0) - f64::from(b) / short)
                    + c_long * (comb(b, long, 0.0) - f64::from(b) / long)
            };
            return finish(
                r,
                &dense(last),
                rounds,
                noise,
                law,
                Truth::Step {
                    period: step,
                    offset: 0.0,
                },
                format!("short {short} c {c_short:.3} long {long} c {c_long:.3}"),
            );
        }
        "profile rising"
        | "profile falling"
        | "profile alternating"
        | "profile random"
        | "alternation" => {
            let p = match class {
                "alternation" => 2,
                "profile alternating" => 2 * r.whole(2, 6),
                _ => r.whole(3, 16),
            };
            let shape: Vec<f64> = (0..p)
                .map(|i| {
                    let x = f64::from(i) / f64::from(p);
                    match class {
                        _ if i == 0 => 0.0,
                        "profile rising" => x * f64::from(p) / f64::from(p - 1),
                        "profile falling" => 1.0 - x,
                        "profile alternating" if i % 2 == 1 => 1.0,
                        "profile alternating" => 0.55,
                        "alternation" => 1.0,
                        _ => r.uniform(0.35, 1.0),
                    }
                })
                .collect();
            let most = shape.iter().copied().fold(0.0, f64::max);
            let (a, s) = line(r, f64::from(3 * p), 0.05, 0.8);
            let last = (p * r.whole(6, 12)).max(24);
            let law = move |b: u32| a + s * f64::from(b) + effect / most * shape[(b % p) as usize];
            return finish(
                r,
                &dense(last),
                rounds,
                noise,
                law,
                Truth::Step {
                    period: f64::from(p),
                    offset: 0.0,
                },
                format!("P {p} effect {effect:.3} a {a:.2} last {last}"),
            );
        }
        "fractional" => {
            let units = r.pick(&[132.0, 108.0, 80.0, 46.0, 68.0, 84.0, 142.0]);
            let tiles = r.pick(&[3.0, 5.0, 7.0, 9.0, 11.0]);
            let p = units / tiles;
            let (a, s) = line(r, 3.0 * p, 0.05, 0.8);
            (
                Box::new(move |b| {
                    a + s * f64::from(b) + effect * (comb(b, p, 0.0) - f64::from(b) / p)
                }),
                p,
                0.0,
            )
        }
        "offset" => {
            let p = whole_period.max(6.0);
            // An offset of -1 is also a slightly shorter period: no range tells them apart.
            let shift = f64::from(r.whole(1, p as u32 - 2));
            let (a, s) = line(r, 3.0 * p, 0.05, 0.8);
            (
                Box::new(move |b| {
                    a + s * f64::from(b) + effect * (comb(b, p, shift) - f64::from(b) / p)
                }),
                p,
                shift,
            )
        }
        "network" => {
            let p = f64::from(r.whole(12, 40));
            let effect = effect.max(0.03);
            let fine: Vec<f64> = (0..8).map(|_| r.uniform(1.5, 7.0)).collect();
            let (a, s) = line(r, 3.0 * p, 0.05, 0.8);
            (
                Box::new(move |b| {
                    let small: f64 = fine
                        .iter()
                        .map(|q| effect * 0.06 * (comb(b, *q, 0.0) - f64::from(b) / q))
                        .sum();
                    a + s * f64::from(b) + small + effect * (comb(b, p, 0.0) - f64::from(b) / p)
                }),
                p,
                0.0,
            )
        }
        "two combs" => {
            let p = f64::from(r.whole(9, 30));
            let q = loop {
                let q = f64::from(r.whole(5, 35));
                let ratio = (p / q).max(q / p);
                if (ratio - ratio.round()).abs() > 0.12 {
                    break q;
                }
            };
            let effect = effect.max(0.03);
            let second = effect * r.uniform(0.35, 0.75);
            let (a, s) = line(r, 3.0 * p, 0.05, 0.8);
            (
                Box::new(move |b| {
                    a + s * f64::from(b)
                        + second * (comb(b, q, 0.0) - f64::from(b) / q)
                        + effect * (comb(b, p, 0.0) - f64::from(b) / p)
                }),
                p,
                0.0,
            )
        }
        "proportional remainder" => {
            let p = r.whole(3, 16);
            let shape: Vec<f64> = (0..p)
                .map(|i| if i == 0 { 0.0 } else { r.uniform(0.35, 1.0) })
                .collect();
            let (a, s) = line(r, f64::from(3 * p), 0.05, 0.8);
            let law =
                move |b: u32| (a + s * f64::from(b)) * (1.0 + effect * shape[(b % p) as usize]);
            let last = (p * r.whole(6, 12)).max(24);
            return finish(
                r,
                &dense(last),
                rounds,
                noise,
                law,
                Truth::Step {
                    period: f64::from(p),
                    offset: 0.0,
                },
                format!("P {p} effect {effect:.3} last {last}"),
            );
        }
        "power cap" | "late window" | "three rounds" | "heavy tails" => {
            let p = whole_period;
            let c = effect.max(0.03);
            let (a, s) = line(r, 3.0 * p, 0.05, 0.8);
            let cap = r.uniform(2.0, 5.0) * p;
            let slower = r.uniform(1.05, 1.3);
            let start = if class == "late window" {
                r.whole(20, 130)
            } else {
                1
            };
            let rounds = if class == "three rounds" { 3 } else { rounds };
            noise.heavy = class == "heavy tails";
            let last = f64::from(start) + periods_seen.max(5.0) * p;
            let sizes: Vec<u32> = (start..=last as u32).collect();
            let late = class == "late window";
            let law = move |b: u32| {
                let x = f64::from(b);
                let t = if late {
                    // As large a jump as elsewhere, seen late.
                    1.0 + s * x + c * (1.0 + s * x) * (comb(b, p, 0.0) - x / p)
                } else {
                    a + s * x + c * (comb(b, p, 0.0) - x / p)
                };
                if class == "power cap" && x > cap {
                    t * (1.0 + (slower - 1.0) * (1.0 - cap / x))
                } else {
                    t
                }
            };
            return finish(
                r,
                &sizes,
                rounds,
                noise,
                law,
                Truth::Step {
                    period: p,
                    offset: 0.0,
                },
                format!("P {p} c {c:.3} start {start} last {last:.0} cap {cap:.0} x {slower:.2}"),
            );
        }
        "five points" => {
            let p = whole_period;
            let sizes = [8, 16, 32, 48, 64];
            return finish(
                r,
                &sizes,
                rounds,
                noise,
                |b| 0.4 + 0.2 * comb(b, p, 0.0),
                Truth::Insufficient,
                format!("P {p}"),
            );
        }
        "blind grid" => {
            let p = r.pick(&[4_u32, 8, 16]);
            let sizes: Vec<u32> = (1..=r.whole(14, 24)).map(|k| k * p * 2).collect();
            return finish(
                r,
                &sizes,
                rounds,
                noise,
                |b| 0.4 + effect * comb(b, f64::from(p), 0.0),
                Truth::Insufficient,
                format!("P {p}"),
            );
        }
        _ => {
            let last = r.whole(40, 256);
            let (a, s) = line(r, f64::from(last) / 2.0, 0.05, 0.8);
            let bend = r.uniform(0.2, 2.0) / f64::from(last);
            let power = r.uniform(0.3, 0.9);
            let end = r.uniform(0.1, 0.6) * f64::from(last);
            let count = match class {
                "two switches" => 2,
                "many switches" => r.whole(3, 6),
                _ => 1,
            };
            let mut switches: Vec<(u32, f64)> = (0..count)
                .map(|_| {
                    (
                        (r.uniform(0.1, 0.9) * f64::from(last)) as u32,
                        r.pick(&[0.7, 0.85, 0.93, 1.08, 1.2, 1.4]),
                    )
                })
                .collect();
            if class == "close switches" {
                let (at, by) = switches[0];
                switches.push((at + r.whole(1, 9), r.pick(&[1.0 / by, 0.9, 1.15])));
            }
            let bumps: Vec<(f64, f64, f64)> = (0..r.whole(2, 6))
                .map(|_| {
                    (
                        r.uniform(0.0, 1.0) * f64::from(last),
                        r.uniform(0.03, 0.2) * f64::from(last),
                        r.uniform(-0.2, 0.2),
                    )
                })
                .collect();
            let fine: Vec<(f64, f64)> = (0..6)
                .map(|_| (r.uniform(1.5, 12.0), r.uniform(0.0005, 0.002)))
                .collect();
            let law = |b: u32| {
                let x = f64::from(b);
                match class {
                    "smooth bumps" => {
                        a + s * x
                            + bumps
                                .iter()
                                .map(|(at, width, by)| by / (1.0 + (-(x - at) / width).exp()))
                                .sum::<f64>()
                    }
                    "fine combs only" => {
                        a + s * x
                            + fine
                                .iter()
                                .map(|(p, c)| c * (comb(b, *p, 0.0) - x / p))
                                .sum::<f64>()
                    }
                    "drifting sampling" => (a + s * x) * (1.0 + 0.02 * (x * x / 300.0).sin()),
                    "linear" => a + s * x,
                    "floor then linear" => a + s * x.max(end),
                    "convex" => a + s * x * (1.0 + bend * x),
                    "concave" => a + (1.0 - a) * (x / f64::from(last)).powf(power),
                    "flat" => 1.0,
                    _ => switches
                        .iter()
                        .filter(|(at, _)| b > *at)
                        .fold(a + s * x, |t, (_, by)| t * by),
                }
            };
            return finish(
                r,
                &dense(last),
                rounds,
                noise,
                law,
                Truth::NoStep,
                format!("last {last} a {a:.2} bend {bend:.3} end {end:.0} {switches:?}"),
            );
        }
    };
    let last = if class == "three edges" {
        period * 3.0 + period * r.uniform(0.4, 0.9)
    } else if class == "fractional" {
        // Long enough to tell the period from its neighbours by 1 %.
        (period * periods_seen).max(100.0)
    } else {
        period * periods_seen + offset
    };
    let sizes: Vec<u32> = (1..=last.clamp(20.0, 288.0) as u32)
        .filter(|b| b % step == 0 && r.uniform(0.0, 1.0) >= missing)
        .collect();
    let truth = if class == "shared host" {
        Truth::StepOrInsufficient { period }
    } else {
        Truth::Step { period, offset }
    };
    finish(
        r,
        &sizes,
        rounds,
        noise,
        law,
        truth,
        format!(
            "P {period:.3} offset {offset} effect {effect:.3} points {} last {last:.0} rounds {rounds}",
            sizes.len()
        ),
    )
}

fn dense(last: u32) -> Vec<u32> {
    (1..=last).collect()
}

fn finish(
    random: &mut Random,
    sizes: &[u32],
    rounds: u32,
    noise: Noise,
    law: impl Fn(u32) -> f64,
    truth: Truth,
    description: String,
) -> Case {
    Case {
        trace: measure(random, sizes, rounds, noise, law),
        truth,
        description,
    }
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
