//! The laws behind each class, with random parameters in the ranges the design states.

use super::{Case, Noise, Random, Truth, comb, measure, smooth};

/// A smooth line that passes 1 at `at`, with a random share of it constant.
pub(super) fn line(random: &mut Random, at: f64, least: f64, most: f64) -> (f64, f64) {
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
        _ => return smooth::generate(class, r, rounds, noise),
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

pub(super) fn dense(last: u32) -> Vec<u32> {
    (1..=last).collect()
}

pub(super) fn finish(
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
