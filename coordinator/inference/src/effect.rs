//! What the step costs: its profile over the line through the multiples, its kind, its first jump.
//!
//! Read from the timings themselves where they exist and from the law where they do not, after the period is known.

use crate::answer::StepKind;
use crate::fit::Law;
use crate::point::median;
use crate::reading::{Pattern, Reading};
use crate::sample::Sample;
use crate::term::{Term, good_size};

/// Longest whole period whose profile is reported.
const LONGEST_PROFILE: f64 = 64.0;

/// Most periods averaged over.
const MOST_PERIODS: usize = 1024;

/// Standard errors by which the time must fall at the multiples, on average, to be called a fall.
const FALL_ERRORS: f64 = 3.0;

/// Relative fall at a multiple that is too small to matter.
const LEAST_FALL: f64 = 0.002;

/// The effect of a step.
#[derive(Clone, Debug)]
pub(crate) struct Effect {
    /// Extra time of the r-th left-over sample, as a share.
    pub(crate) profile: Option<Vec<f64>>,
    /// The largest extra time over the line through the multiples, averaged over periods, as a share: as measured or as fitted, whichever is less.
    pub(crate) largest: f64,
    /// The same as measured, as the profile shows it.
    pub(crate) shown: f64,
    pub(crate) kind: StepKind,
    /// The first good batch size beyond the smallest one measured.
    pub(crate) first_good: Option<u32>,
}

/// Measures the effect of `reading`.
pub(crate) fn measure(sample: &Sample, law: &Law, reading: &Reading) -> Effect {
    let all = good_sizes(sample, law, reading);
    let good = all.as_slice();
    let period = reading.period;
    let whole = period.fract() == 0.0 && period <= LONGEST_PROFILE;
    let (profile, largest) = if whole {
        let mut profile = vec![Vec::new(); period as usize];
        for pair in undisturbed(law, good) {
            for (r, values) in profile.iter_mut().enumerate().skip(1) {
                values.push(over_line(sample, law, pair[0], pair[1], pair[0] + r as u32));
            }
        }
        let profile: Vec<f64> = profile.iter().map(|values| mean(values)).collect();
        let largest = profile.iter().copied().fold(0.0, f64::max);
        (Some(profile), largest)
    } else {
        let jumps: Vec<f64> = undisturbed(law, good)
            .map(|pair| over_line(sample, law, pair[0], pair[1], pair[0] + 1))
            .collect();
        (None, mean(&jumps))
    };
    // The law's own size counts too: single points are noisy, and outliers in them must not open the gate.
    let fitted = fitted_effect(law, reading, good);
    Effect {
        profile,
        largest: largest.min(fitted),
        shown: largest,
        kind: kind(sample, law, good),
        first_good: good.iter().copied().find(|&size| size > sample.first()),
    }
}

/// Neighbouring good batch sizes between which no algorithm switch falls; all of them when none is left.
fn undisturbed<'a>(law: &'a Law, good: &'a [u32]) -> impl Iterator<Item = &'a [u32]> {
    let calm = |pair: &[u32]| {
        !law.terms
            .iter()
            .any(|term| matches!(term, Term::Level(after) if (pair[0]..pair[1]).contains(after)))
    };
    let any_calm = good.windows(2).any(calm);
    good.windows(2).filter(move |pair| !any_calm || calm(pair))
}

/// The good batch sizes in the measured range, right of the floor.
fn good_sizes(sample: &Sample, law: &Law, reading: &Reading) -> Vec<u32> {
    let start = f64::from(law.floor.unwrap_or(0).max(sample.first()));
    let last = f64::from(sample.last());
    let first_round = ((start - reading.offset) / reading.period).floor().max(0.0);
    (0..MOST_PERIODS)
        .map(|k| good_size(first_round + k as f64, reading.period, reading.offset))
        .skip_while(|&size| size < start)
        .take_while(|&size| size <= last)
        .map(|size| size as u32)
        .collect()
}

/// Measured seconds at `size`, or the law's.
fn seconds(sample: &Sample, law: &Law, size: u32) -> f64 {
    match sample.sizes.binary_search(&size) {
        Ok(i) => sample.response[i] / sample.unit[i],
        Err(_) => law.at(size),
    }
}

/// Relative extra time at `size` over the line through two good batch sizes. Timings may be hundreds of orders of magnitude apart: a share that no
/// number holds becomes the largest there is.
fn over_line(sample: &Sample, law: &Law, left: u32, right: u32, size: u32) -> f64 {
    let (low, high) = (seconds(sample, law, left), seconds(sample, law, right));
    let share = f64::from(size - left) / f64::from(right - left).max(1.0);
    let line = low + (high - low) * share;
    (seconds(sample, law, size) / line.max(f64::MIN_POSITIVE) - 1.0).min(f64::MAX)
}

/// The largest entry of the fitted pattern over the law's time at the multiples, averaged over periods.
fn fitted_effect(law: &Law, reading: &Reading, good: &[u32]) -> f64 {
    let largest = |size: u32| match &reading.pattern {
        Pattern::Jump(jump) => jump * (1.0 - 1.0 / reading.period),
        Pattern::Profile(profile) => profile.largest_at(f64::from(size)),
    };
    let shares: Vec<f64> = good
        .iter()
        .map(|&size| largest(size) / law.at(size).max(f64::MIN_POSITIVE))
        .collect();
    mean(&shares)
}

fn kind(sample: &Sample, law: &Law, good: &[u32]) -> StepKind {
    let falls: Vec<f64> = good
        .iter()
        .filter(|&&size| size > sample.first() && size - 1 > law.floor.unwrap_or(0))
        .map(|&size| 1.0 - seconds(sample, law, size) / seconds(sample, law, size - 1))
        .collect();
    if falls.is_empty() {
        return StepKind::Staircase;
    }
    let noise = (law.residual_square / sample.len() as f64).sqrt();
    let error = noise * (2.0 / falls.len() as f64).sqrt();
    let typical = median(&mut falls.clone());
    if typical > (FALL_ERRORS * error).max(LEAST_FALL) {
        StepKind::Remainder
    } else {
        StepKind::Staircase
    }
}

fn mean(values: &[f64]) -> f64 {
    if values.is_empty() {
        0.0
    } else {
        // Divided first: the sum of shares near the largest number would be none.
        let count = values.len() as f64;
        values.iter().map(|value| value / count).sum()
    }
}
