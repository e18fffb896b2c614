//! Scans for remainder profiles: one column per residue, or one shape of the left-over cost, for every whole period.

use std::collections::BTreeSet;

use super::Periods;
use crate::fit::{Basis, Criterion, Law, dot};
use crate::sample::Sample;
use crate::term::Term;

/// Longest repetition for which one column per residue is fitted.
const LONGEST_PROFILE: u32 = 64;

/// Whole periods by how well one column per residue fits, best first: the period and which basis suited it.
pub(crate) fn profile_peaks(
    sample: &Sample,
    criterion: &Criterion,
    bases: &[Law],
    periods: &Periods,
    most: usize,
) -> Vec<(u32, usize)> {
    let points = u32::try_from(sample.len()).unwrap_or(u32::MAX);
    let longest = LONGEST_PROFILE
        .min(periods.longest as u32)
        .min(points / 3)
        .max(1);
    let mut found: Vec<(f64, u32, usize)> = Vec::new();
    for period in (periods.shortest as u32).max(2)..=longest {
        if periods.spacing > 1 || !covers_residues(sample, period) {
            continue;
        }
        let best = bases
            .iter()
            .enumerate()
            .map(|(k, base)| (profile_bic(sample, criterion, base, period), k))
            .min_by(|a, b| a.0.total_cmp(&b.0));
        if let Some((bic, base)) = best {
            found.push((bic, period, base));
        }
    }
    found.sort_by(|a, b| a.0.total_cmp(&b.0));
    found.truncate(most);
    found
        .into_iter()
        .map(|(_, period, base)| (period, base))
        .collect()
}

/// The whole periods short enough for a profile.
pub(crate) fn whole_periods(periods: &Periods) -> std::ops::RangeInclusive<u32> {
    (periods.shortest as u32).max(2)..=LONGEST_PROFILE.min(periods.longest as u32)
}

/// Whole periods by how well one shape of the left-over cost fits, best first: the term and which basis suited it.
pub(crate) fn shape_peaks(
    sample: &Sample,
    bases: &[Law],
    periods: &Periods,
    most: usize,
) -> Vec<(Term, usize)> {
    if periods.spacing > 1 {
        return Vec::new();
    }
    let mut found: Vec<(f64, Term, usize)> = Vec::new();
    for (k, base) in bases.iter().enumerate() {
        let residual = base.residuals(sample);
        let left: f64 = dot(&residual, &residual);
        for period in whole_periods(periods) {
            for term in [Term::LeftOver(period), Term::Ramp(period)] {
                let column = sample.column(term, base.floor);
                let product = dot(&column, &residual);
                if product <= 0.0 || (period == 2 && term == Term::Ramp(2)) {
                    continue;
                }
                let rest = base.basis.residual_square(&column);
                if rest > 1e-7 * dot(&column, &column) {
                    found.push((left - product * product / rest, term, k));
                }
            }
        }
    }
    found.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut peaks: Vec<(Term, usize)> = Vec::with_capacity(most);
    for (_, term, base) in found {
        if peaks.len() == most {
            break;
        }
        if peaks.iter().all(|(other, _)| *other != term) {
            peaks.push((term, base));
        }
    }
    peaks
}

/// Whether most residues were measured twice, the multiples among them.
fn covers_residues(sample: &Sample, period: u32) -> bool {
    let mut counts = vec![0_u32; period as usize];
    for size in &sample.sizes {
        counts[(size % period) as usize] += 1;
    }
    let repeated = counts.iter().filter(|&&count| count >= 2).count();
    counts[0] >= 2 && repeated * 4 >= counts.len() * 3
}

/// The criterion of `base` with one column per residue of `period`, found by taking residue means off every column.
fn profile_bic(sample: &Sample, criterion: &Criterion, base: &Law, period: u32) -> f64 {
    let end = base.floor.unwrap_or(0);
    let residues: Vec<usize> = sample
        .sizes
        .iter()
        .map(|size| {
            if *size <= end {
                period as usize
            } else {
                (size % period) as usize
            }
        })
        .collect();
    let mut squares = vec![0.0; period as usize + 1];
    for (&residue, unit) in residues.iter().zip(&sample.unit) {
        squares[residue] += unit * unit;
    }
    let center = |values: &[f64]| -> Vec<f64> {
        let mut sums = vec![0.0; squares.len()];
        for ((&residue, unit), value) in residues.iter().zip(&sample.unit).zip(values) {
            sums[residue] += unit * value;
        }
        for (sum, square) in sums.iter_mut().zip(&squares) {
            *sum /= square.max(f64::MIN_POSITIVE);
        }
        residues
            .iter()
            .zip(&sample.unit)
            .zip(values)
            .map(|((&residue, unit), value)| value - sums[residue] * unit)
            .collect()
    };
    let mut basis = Basis::default();
    for &term in &base.terms {
        if !matches!(term, Term::Constant | Term::Floor) {
            basis.push(center(&sample.column(term, base.floor)));
        }
    }
    let seen: BTreeSet<usize> = residues.iter().copied().collect();
    let rest = basis.residual_square(&center(&sample.response));
    criterion.bic(rest, base.parameters + seen.len() as f64 - 1.0)
}
