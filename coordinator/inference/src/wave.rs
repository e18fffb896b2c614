//! The smooth rival of a comb: a wave of about its period, whose length may change as the batch grows.
//!
//! A ripple rises and falls near the edges of a comb without ever jumping there, and over three or four periods a comb fits it on average. The study
//! asks this once for a comb that passed the guard; a jump is told from a wave by the harmonics that a wave does not have.

use std::f64::consts::TAU;

use crate::fit::{Basis, Criterion, Law};
use crate::reading::{Pattern, Reading};
use crate::sample::Sample;
use crate::term::Term;

/// Exponents of the batch size in the phase: 1 is a sine, the others stretch or shrink it.
const POWERS: [f64; 7] = [0.0, 0.5, 0.75, 1.0, 1.4, 2.0, 3.0];

/// Wave lengths tried at the middle of the range, as a share of the period.
const LENGTHS: [f64; 13] = [
    0.75, 0.8, 0.85, 0.9, 0.94, 0.97, 1.0, 1.03, 1.06, 1.1, 1.15, 1.22, 1.3,
];

/// Sine, cosine, length and exponent.
const PARAMETERS: f64 = 4.0;

/// Shorter periods have too few batch sizes for a wave to look unlike a jump.
const SHORTEST: f64 = 6.0;

/// Whether a smooth wave explains `sample` better than the comb of `reading` does in `law`.
pub(crate) fn explains_better(
    sample: &Sample,
    criterion: &Criterion,
    law: &Law,
    reading: &Reading,
) -> bool {
    if !matches!(reading.pattern, Pattern::Jump(_)) || reading.period < SHORTEST {
        return false;
    }
    let mut smooth = Basis::default();
    let mut parameters = PARAMETERS;
    for &term in &law.terms {
        if !matches!(term, Term::Comb { .. } | Term::CombAfter { .. })
            && smooth.push(sample.column(term, law.floor))
        {
            parameters += term.parameters();
        }
    }
    let start = law.floor.unwrap_or(0).max(sample.first());
    let middle = f64::from(start + (sample.last() - start) / 2);
    let residual = smooth.residual(&sample.response);
    POWERS.iter().any(|&power| {
        LENGTHS.iter().any(|&length| {
            let phase = phase(power, length * reading.period, middle);
            let column = |shape: fn(f64) -> f64| -> Vec<f64> {
                sample
                    .sizes
                    .iter()
                    .zip(&sample.unit)
                    .map(|(&size, unit)| {
                        if law.floor.is_some_and(|end| size <= end) {
                            0.0
                        } else {
                            shape(phase(f64::from(size))) * unit
                        }
                    })
                    .collect()
            };
            let mut wave = smooth.clone();
            wave.push(column(f64::sin));
            wave.push(column(f64::cos));
            criterion.bic(wave.residual_square(&residual), parameters) < law.bic
        })
    })
}

/// The phase, in radians, of a wave that has `length` at the batch size `middle` and grows with `b` to the `power`; with its logarithm for 0.
fn phase(power: f64, length: f64, middle: f64) -> impl Fn(f64) -> f64 {
    let rate = TAU * middle / length;
    move |b: f64| {
        if power == 0.0 {
            rate * (b / middle).ln()
        } else {
            rate / power * (b / middle).powf(power)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wave_has_its_length_in_the_middle() {
        for power in POWERS {
            let phase = phase(power, 30.0, 100.0);
            let turn = phase(100.5) - phase(99.5);
            assert!((turn / (TAU / 30.0) - 1.0).abs() < 1e-4, "{power}: {turn}");
        }
    }
}
