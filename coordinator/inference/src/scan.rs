//! Which periods are worth a full fit: every period the grid resolves is priced against a few simple bases.
//!
//! One projection per period and basis (Frisch and Waugh 1933), a microsecond each; the few best go on to
//! `candidates`. Nothing is decided here.

mod phase;
mod profile;

use std::collections::BTreeSet;

use crate::fit::{Law, dot};
use crate::sample::Sample;
use crate::term::rounds_begun;

pub(crate) use phase::late_combs;
pub(crate) use profile::{profile_peaks, shape_peaks, whole_periods};

/// Edges that must lie inside the measured range for a period to be considered.
pub(crate) const LEAST_EDGES: f64 = 3.0;

/// Most periods one scan looks at.
const MOST_PERIODS: f64 = 3000.0;

/// Whole periods up to this one are always looked at.
const LONGEST_WHOLE: u32 = 2048;

/// Grid spacings over which the finest spacing must hold.
const RUN_OF_GAPS: usize = 11;

/// Periods closer than this are one peak of a scan.
const SAME_PEAK: f64 = 0.012;

/// The periods that the batch sizes measured can tell apart.
#[derive(Clone, Debug)]
pub(crate) struct Periods {
    /// Distance between neighbouring batch sizes where they are densest, over a run of points.
    pub(crate) spacing: u32,
    /// Shortest period considered, twice the spacing.
    pub(crate) shortest: f64,
    /// Longest period considered.
    pub(crate) longest: f64,
    values: Vec<f64>,
}

impl Periods {
    /// The grid of periods for `sample`: neighbours move the last edge by about half a sample.
    pub(crate) fn new(sample: &Sample) -> Self {
        let spacing = spacing(&sample.sizes);
        let shortest = 2.0 * f64::from(spacing);
        let longest = f64::from(sample.last() - sample.first()) / (LEAST_EDGES - 1.0);
        let mut values = Vec::new();
        if longest >= shortest {
            let finest = 1.0 + 0.5 / f64::from(sample.last());
            let ratio = finest.max((longest / shortest).powf(1.0 / MOST_PERIODS));
            let mut period = shortest;
            while period <= longest {
                values.push(period);
                // The second bound keeps the loop moving when the batch sizes are astronomic.
                period = (period * ratio).max(period + 1e-6);
            }
            let whole = shortest as u32..=(longest as u32).min(LONGEST_WHOLE);
            values.extend(whole.map(f64::from));
            values.sort_by(f64::total_cmp);
            values.dedup();
            values.retain(|&period| edges_inside(sample, None, period, 0.0) >= LEAST_EDGES);
        }
        Self {
            spacing,
            shortest,
            longest,
            values,
        }
    }

    /// Whether no period at all can be seen.
    pub(crate) fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The longest period with its least edges in range; 0 when there is none.
    pub(crate) fn longest_seen(&self) -> f64 {
        self.values.last().copied().unwrap_or(0.0)
    }

    /// Whether `period` is resolved and long or short enough.
    pub(crate) fn holds(&self, period: f64) -> bool {
        (self.shortest..=self.longest).contains(&period)
    }
}

/// The spacing of the densest run of batch sizes; isolated close pairs do not count.
fn spacing(sizes: &[u32]) -> u32 {
    let gaps: Vec<u32> = sizes.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let mut runs: Vec<u32> = gaps.windows(2).map(|pair| pair[0].max(pair[1])).collect();
    runs.sort_unstable();
    let rank = RUN_OF_GAPS.min(runs.len().div_ceil(2)).max(1) - 1;
    runs.get(rank).copied().unwrap_or(u32::MAX / 4).max(1)
}

/// Edges of a comb right of the `floor` and inside the measured range.
pub(crate) fn edges_inside(sample: &Sample, floor: Option<u32>, period: f64, offset: f64) -> f64 {
    let start = floor.unwrap_or(0).max(sample.first());
    rounds_begun(sample.last(), period, offset) - rounds_begun(start, period, offset)
}

/// The peaks of a comb scan on top of `law`, best first, each refined on a grid eight times finer.
pub(crate) fn comb_peaks(sample: &Sample, law: &Law, periods: &Periods, most: usize) -> Vec<f64> {
    let mut peaks = combs_peaks(sample, std::slice::from_ref(law), periods, most);
    peaks.pop().unwrap_or_default()
}

/// The peaks of a comb scan on top of each of `laws`: a period's column is made once for all that share their floor.
pub(crate) fn combs_peaks(
    sample: &Sample,
    laws: &[Law],
    periods: &Periods,
    most: usize,
) -> Vec<Vec<f64>> {
    let residuals: Vec<Vec<f64>> = laws.iter().map(|law| law.residuals(sample)).collect();
    let mut gains: Vec<Vec<(f64, f64)>> = vec![Vec::new(); laws.len()];
    let floors: BTreeSet<Option<u32>> = laws.iter().map(|law| law.floor).collect();
    let spans = Spans::of(laws);
    let mut column = vec![0.0; sample.len()];
    let mut shares = vec![0.0; spans.columns.len()];
    for floor in floors {
        for &period in &periods.values {
            comb_column(sample, floor, period, 0.0, &mut column);
            let square = dot(&column, &column);
            shares.fill(f64::NAN);
            let sharing = (0..laws.len()).filter(|&k| laws[k].floor == floor);
            for k in sharing {
                let product = dot(&column, &residuals[k]);
                if product > 0.0 {
                    let spanned = spans.spanned(k, &column, &mut shares);
                    let gain = fresh_gain(product, square, spanned);
                    gains[k].push((gain, period));
                }
            }
        }
    }
    laws.iter()
        .zip(gains)
        .map(|(law, gains)| best_peaks(sample, law, gains, most))
        .collect()
}

/// The orthonormal columns of several laws, each of the different ones once: laws that grew from one another share most.
struct Spans<'a> {
    columns: Vec<&'a [f64]>,
    /// Positions in `columns`, for each law.
    of_law: Vec<Vec<usize>>,
}

impl<'a> Spans<'a> {
    fn of(laws: &'a [Law]) -> Self {
        let mut columns: Vec<&[f64]> = Vec::new();
        let of_law = laws
            .iter()
            .map(|law| {
                law.basis
                    .columns()
                    .iter()
                    .map(|column| {
                        let known = columns.iter().position(|other| other == column);
                        known.unwrap_or_else(|| {
                            columns.push(column);
                            columns.len() - 1
                        })
                    })
                    .collect()
            })
            .collect();
        Self { columns, of_law }
    }

    /// Squared length of the part of `column` that law `k` spans; `shares` remembers the products, NaN where not yet known.
    fn spanned(&self, k: usize, column: &[f64], shares: &mut [f64]) -> f64 {
        self.of_law[k]
            .iter()
            .map(|&q| {
                if shares[q].is_nan() {
                    shares[q] = dot(self.columns[q], column);
                }
                shares[q] * shares[q]
            })
            .sum()
    }
}

/// The best of `gains` that are peaks of their own, refined.
fn best_peaks(sample: &Sample, law: &Law, mut gains: Vec<(f64, f64)>, most: usize) -> Vec<f64> {
    gains.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.total_cmp(&b.1)));
    let mut peaks: Vec<f64> = Vec::with_capacity(most);
    for (_, period) in gains {
        if peaks.len() == most {
            break;
        }
        if peaks
            .iter()
            .all(|peak| (period / peak - 1.0).abs() > SAME_PEAK)
        {
            peaks.push(period);
        }
    }
    for peak in &mut peaks {
        *peak = refine_comb(sample, law, *peak, 0.0);
    }
    peaks
}

/// The period near `period` whose comb explains most of what `law` leaves.
pub(crate) fn refine_comb(sample: &Sample, law: &Law, period: f64, offset: f64) -> f64 {
    const STEPS: i32 = 24;
    let residual = law.residuals(sample);
    let mut column = vec![0.0; sample.len()];
    let reach = 1.0 / f64::from(sample.last()).max(32.0);
    let mut best = (
        comb_gain(sample, law, &residual, period, offset, &mut column),
        period,
    );
    for step in -STEPS..=STEPS {
        let tried = period * (1.0 + reach * f64::from(step) / f64::from(STEPS) * 1.5);
        let gain = comb_gain(sample, law, &residual, tried, offset, &mut column);
        if gain > best.0 * (1.0 + 1e-9) {
            best = (gain, tried);
        }
    }
    simplest_period(sample, law.floor, best.1, offset)
}

/// The whole offset, from 0 to below `period`, whose comb explains most of what `law` leaves; `None` when every jump would
/// be negative.
pub(crate) fn best_offset(sample: &Sample, law: &Law, period: f64) -> Option<f64> {
    let residual = law.residuals(sample);
    let mut column = vec![0.0; sample.len()];
    (0..period as u32)
        .map(f64::from)
        .map(|offset| {
            let gain = comb_gain(sample, law, &residual, period, offset, &mut column);
            (gain, offset)
        })
        .filter(|&(gain, _)| gain > 0.0)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, offset)| offset)
}

/// What a comb of `period` with a positive jump would take off the squared residual of `law`; 0 for a negative jump.
fn comb_gain(
    sample: &Sample,
    law: &Law,
    residual: &[f64],
    period: f64,
    offset: f64,
    column: &mut [f64],
) -> f64 {
    comb_column(sample, law.floor, period, offset, column);
    let product = dot(column, residual);
    if product <= 0.0 {
        return 0.0;
    }
    let spanned: f64 = law
        .basis
        .columns()
        .iter()
        .map(|q| dot(q, column).powi(2))
        .sum();
    fresh_gain(product, dot(column, column), spanned)
}

/// The weighted column of [`Term::Comb`](crate::term::Term::Comb), 0 on the floor.
fn comb_column(sample: &Sample, floor: Option<u32>, period: f64, offset: f64, column: &mut [f64]) {
    // Adding and taking off 1.5 * 2^52 rounds to the nearest whole number in two additions, where `ceil` is a library call on the
    // baseline instruction set; half a period less the slack in advance makes that rounding up.
    const ROUNDER: f64 = 6_755_399_441_055_744.0;
    const UP: f64 = 0.5 - 1e-9;
    let inverse = 1.0 / period;
    let start = floor.map_or(0, |end| sample.sizes.partition_point(|&size| size <= end));
    column[..start].fill(0.0);
    for ((value, &size), unit) in column[start..]
        .iter_mut()
        .zip(&sample.sizes_f64[start..])
        .zip(&sample.unit[start..])
    {
        let rounds = (size - offset) * inverse;
        let begun = (rounds + UP + ROUNDER) - ROUNDER;
        *value = (begun - rounds) * unit;
    }
}

/// What a column takes off a squared residual that it has `product` with, when of its squared length `square` so much is spanned already.
fn fresh_gain(product: f64, square: f64, spanned: f64) -> f64 {
    let rest = square - spanned;
    if rest <= 1e-7 * square {
        return 0.0;
    }
    product * product / rest
}

/// The periods that put every measured batch size into the same round as `period` does: `[low, high)`.
pub(crate) fn equivalent_periods(
    sample: &Sample,
    floor: Option<u32>,
    period: f64,
    offset: f64,
) -> (f64, f64) {
    let start = floor.map_or(0, |end| sample.sizes.partition_point(|&size| size < end));
    let (mut low, mut high) = (0.0_f64, f64::INFINITY);
    for &size in &sample.sizes[start..] {
        let rounds = rounds_begun(size, period, offset);
        let b = f64::from(size) - offset;
        if rounds >= 1.0 {
            low = low.max(b / rounds);
        }
        if rounds >= 2.0 {
            high = high.min(b / (rounds - 1.0));
        }
    }
    (low, high)
}

/// The fraction with the smallest denominator among the periods the data cannot tell from `period`: hardware divides
/// whole processors by whole tiles.
pub(crate) fn simplest_period(
    sample: &Sample,
    floor: Option<u32>,
    period: f64,
    offset: f64,
) -> f64 {
    const LARGEST_DENOMINATOR: u32 = 64;
    let (low, high) = equivalent_periods(sample, floor, period, offset);
    for denominator in 1..=LARGEST_DENOMINATOR {
        let denominator = f64::from(denominator);
        let nearest = (period * denominator).round() / denominator;
        if nearest >= low && nearest < high && nearest > 0.0 {
            return nearest;
        }
        let up = (low * denominator).ceil() / denominator;
        if up >= low && up < high && up > 0.0 {
            return up;
        }
    }
    period
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::{Observation, Trace};

    fn sample(sizes: impl IntoIterator<Item = u32>) -> Sample {
        let observations = sizes
            .into_iter()
            .map(|batch_size| Observation {
                batch_size,
                round: 0,
                seconds: f64::from(batch_size),
            })
            .collect();
        Sample::new(&Trace::new(observations).unwrap())
    }

    #[test]
    fn close_pairs_do_not_make_a_grid_dense() {
        let pairs = (1..20).flat_map(|k| [16 * k, 16 * k + 1]);
        assert_eq!(Periods::new(&sample(pairs)).spacing, 15);
        assert_eq!(
            Periods::new(&sample((1..=24).chain([48, 96, 192]))).spacing,
            1
        );
    }

    #[test]
    fn periods_below_twice_the_spacing_are_not_considered() {
        let periods = Periods::new(&sample((1..=30).map(|k| 4 * k)));
        assert!(!periods.holds(7.9) && periods.holds(8.0) && periods.holds(26.4));
    }

    #[test]
    fn the_simplest_period_is_the_one_hardware_has() {
        let dense = sample(1..=160);
        assert_eq!(simplest_period(&dense, None, 26.41, 0.0), 26.4);
        assert_eq!(simplest_period(&dense, None, 16.02, 0.0), 16.0);
        let (low, high) = equivalent_periods(&dense, None, 26.4, 0.0);
        assert!(
            low <= 26.4 && 26.4 < high && high - low < 0.15,
            "{low} {high}"
        );
    }
}
