//! Scans for combs that start late: the phase of a wave says where the rounds of its period end.
//!
//! The falling flank of a comb, `ceil(x) - x`, has the Fourier series `1/2 + sum sin(2 pi k x) / (pi k)`. A sine and a cosine of each period give
//! the phase of the first harmonic, and so the offset, without trying every pair of period and offset.

use std::f64::consts::TAU;

use super::{LEAST_EDGES, Periods, comb_gain};
use crate::fit::{Law, dot};
use crate::sample::Sample;

/// Shorter periods have few offsets: the profiles try them all.
const SHORTEST: f64 = 8.0;

/// Waves tried for each that the range could tell apart.
const OVERSAMPLING: f64 = 4.0;

/// How far around the phase's word the offset is looked for, as a share of the period, and the period itself.
const OFFSET_REACH: f64 = 0.12;
const PERIOD_REACH: f64 = 0.06;

/// Whole periods and offsets of the combs that explain most of what `law` leaves, best first.
pub(crate) fn late_combs(
    sample: &Sample,
    law: &Law,
    periods: &Periods,
    most: usize,
) -> Vec<(f64, f64)> {
    let start = law.floor.unwrap_or(0).max(sample.first());
    let range = f64::from(sample.last().saturating_sub(start));
    let shortest = periods.shortest.max(SHORTEST);
    let longest = periods.longest.min(range / (LEAST_EDGES - 0.5));
    // Periods so short that there would be very many of them are the profiles'.
    if longest < shortest || range > 65_536.0 {
        return Vec::new();
    }
    let residual = law.residuals(sample);
    let waves = (OVERSAMPLING * range / shortest) as u32;
    let first = (OVERSAMPLING * range / longest).ceil() as u32;
    let gains: Vec<(f64, f64, f64)> = (first..=waves)
        .map(|k| OVERSAMPLING * range / f64::from(k))
        .map(|period| {
            let (gain, offset) = wave(sample, law, &residual, period);
            (gain, period, offset)
        })
        .collect();
    let mut peaks: Vec<(f64, f64, f64)> = (0..gains.len())
        .filter(|&i| {
            let beside = |j: Option<usize>| j.and_then(|j| gains.get(j)).map_or(0.0, |g| g.0);
            gains[i].0 > beside(i.checked_sub(1)) && gains[i].0 >= beside(Some(i + 1))
        })
        .map(|i| gains[i])
        .collect();
    peaks.sort_by(|a, b| b.0.total_cmp(&a.0));
    peaks
        .into_iter()
        .take(most)
        .filter_map(|(_, period, offset)| whole_comb(sample, law, &residual, period, offset))
        .collect()
}

/// What a wave of `period` takes off the squared residual, and the offset of the comb that has its phase.
fn wave(sample: &Sample, law: &Law, residual: &[f64], period: f64) -> (f64, f64) {
    let rate = TAU / period;
    let start = law
        .floor
        .map_or(0, |end| sample.sizes.partition_point(|&size| size <= end));
    let mut sine = vec![0.0; sample.len()];
    let mut cosine = vec![0.0; sample.len()];
    // Neighbours are mostly one apart: turning by one sample is cheaper than a sine.
    let turn = rate.sin_cos();
    let mut at = (0.0, 1.0);
    for i in start..sample.len() {
        let adjacent = i > start && sample.sizes[i] == sample.sizes[i - 1] + 1;
        at = if adjacent {
            (at.0 * turn.1 + at.1 * turn.0, at.1 * turn.1 - at.0 * turn.0)
        } else {
            (rate * f64::from(sample.sizes[i])).sin_cos()
        };
        sine[i] = at.0 * sample.unit[i];
        cosine[i] = at.1 * sample.unit[i];
    }
    let (mut ss, mut cc, mut sc) = (
        dot(&sine, &sine),
        dot(&cosine, &cosine),
        dot(&sine, &cosine),
    );
    for q in law.basis.columns() {
        let (s, c) = (dot(q, &sine), dot(q, &cosine));
        ss -= s * s;
        cc -= c * c;
        sc -= s * c;
    }
    let determinant = ss * cc - sc * sc;
    if determinant <= 1e-6 * ss * cc {
        return (0.0, 0.0);
    }
    let (s, c) = (dot(&sine, residual), dot(&cosine, residual));
    let (a, b) = (
        (s * cc - c * sc) / determinant,
        (c * ss - s * sc) / determinant,
    );
    let offset = (-b).atan2(a) / TAU * period;
    (a * s + b * c, offset.rem_euclid(period))
}

/// The whole period near `period`, and the whole offset near `offset`, whose comb explains most; `None` when every jump would be negative.
fn whole_comb(
    sample: &Sample,
    law: &Law,
    residual: &[f64],
    period: f64,
    offset: f64,
) -> Option<(f64, f64)> {
    let mut column = vec![0.0; sample.len()];
    let mut best: Option<(f64, f64, f64)> = None;
    let reach = (PERIOD_REACH * period).max(1.0);
    let middle = f64::from(sample.first()) / 2.0 + f64::from(sample.last()) / 2.0;
    for tried in (period - reach).ceil() as u32..=(period + reach) as u32 {
        let tried = f64::from(tried);
        // The phase holds in the middle of the range, wherever the period puts the offset then.
        let rounds = ((middle - offset) / period).round();
        let around = rounds * period + offset - rounds * tried;
        let reach = (OFFSET_REACH * tried).max(2.0);
        for shift in (around - reach).ceil() as i64..=(around + reach) as i64 {
            let offset = (shift as f64).rem_euclid(tried);
            let gain = comb_gain(sample, law, residual, tried, offset, &mut column);
            if best.is_none_or(|(most, ..)| gain > most) {
                best = Some((gain, tried, offset));
            }
        }
    }
    best.filter(|&(gain, ..)| gain > 0.0)
        .map(|(_, period, offset)| (period, offset))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fit::Criterion;
    use crate::term::Term;
    use crate::trace::{Observation, Trace};

    #[test]
    fn the_phase_tells_a_late_comb() {
        for (period, offset) in [(69.0, 62.0), (96.0, 5.0), (33.0, 17.0), (41.0, 0.0)] {
            let observations = (1..=400)
                .map(|batch_size| Observation {
                    batch_size,
                    round: 0,
                    seconds: 1.0
                        + 0.002 * f64::from(batch_size)
                        + 0.1 * ((f64::from(batch_size) - offset) / period).ceil(),
                })
                .collect();
            let sample = Sample::new(&Trace::new(observations).unwrap());
            let criterion = Criterion::new(&sample);
            let line = [Term::Constant, Term::Slope];
            let law = Law::fit(&sample, &criterion, None, &line, 0.0);
            let found = late_combs(&sample, &law, &Periods::new(&sample), 3);
            assert!(
                found.contains(&(period, offset)),
                "{period} {offset}: {found:?}"
            );
        }
    }
}
