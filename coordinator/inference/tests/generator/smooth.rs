//! Laws without a step: smooth ones, and algorithms switched at random.

use super::classes::{dense, finish, line};
use super::{Case, Noise, Random, Truth, comb};

/// A trace of one of the classes without a step.
pub(super) fn generate(class: &str, r: &mut Random, rounds: u32, noise: Noise) -> Case {
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
    finish(
        r,
        &dense(last),
        rounds,
        noise,
        law,
        Truth::NoStep,
        format!("last {last} a {a:.2} bend {bend:.3} end {end:.0} {switches:?}"),
    )
}
