//! The free change point that explains most of what a basis leaves: a level change or a hinge, at any batch size.
//!
//! Columns of neighbouring change points differ in one entry, so suffix sums price all of them in one pass over the
//! points (as in the pruned searches for structural breaks; Bai and Perron 2003).

use super::basis::Basis;
use crate::sample::Sample;
use crate::term::Term;

/// Points that must lie on each side of a change: one point alone is an outlier, not a regime.
const SIDE_POINTS: usize = 2;

/// A change is not considered when less than this share of its column is new to the basis.
const DEPENDENT: f64 = 1e-6;

/// The best level change or hinge right of the `floor`, given `basis`; `None` when none is possible.
pub(crate) fn best_change(sample: &Sample, floor: Option<u32>, basis: &Basis) -> Option<Term> {
    let count = sample.len();
    let start = floor.map_or(0, |end| sample.sizes.partition_point(|&size| size <= end));
    if count < start + 2 * SIDE_POINTS + 1 {
        return None;
    }
    let residual = basis.residual(&sample.response);
    let columns = basis.columns();
    // Sums over the points from the candidate on, of the column (flat) and of the batch size times it (rising).
    let mut flat = vec![0.0; columns.len()];
    let mut rising = vec![0.0; columns.len()];
    let (mut flat_gain, mut rising_gain) = (0.0, 0.0);
    let (mut flat_square, mut cross, mut rising_square) = (0.0, 0.0, 0.0);
    // Batch sizes are taken relative to the last one, which keeps the hinge's differences of sums small.
    let origin = f64::from(sample.last());
    let mut best: Option<(f64, Term)> = None;
    for i in (start..count).rev() {
        let (unit, b) = (sample.unit[i], f64::from(sample.sizes[i]) - origin);
        for ((flat, rising), q) in flat.iter_mut().zip(&mut rising).zip(columns) {
            let share = unit * q[i];
            *flat += share;
            *rising += b * share;
        }
        flat_gain += unit * residual[i];
        rising_gain += b * unit * residual[i];
        flat_square += unit * unit;
        cross += b * unit * unit;
        rising_square += b * b * unit * unit;
        if i < start + SIDE_POINTS || i + SIDE_POINTS > count {
            continue;
        }
        let spanned: f64 = flat.iter().map(|share| share * share).sum();
        consider(
            &mut best,
            flat_gain,
            flat_square,
            spanned,
            Term::Level(sample.sizes[i - 1]),
        );
        let spanned: f64 = flat
            .iter()
            .zip(&rising)
            .map(|(flat, rising)| (rising - b * flat).powi(2))
            .sum();
        consider(
            &mut best,
            rising_gain - b * flat_gain,
            rising_square - 2.0 * b * cross + b * b * flat_square,
            spanned,
            Term::Hinge(sample.sizes[i]),
        );
    }
    best.map(|(_, term)| term)
}

fn consider(best: &mut Option<(f64, Term)>, product: f64, square: f64, spanned: f64, term: Term) {
    let rest = square - spanned;
    if rest <= DEPENDENT * square {
        return;
    }
    let gain = product * product / rest;
    if gain.is_finite() && best.is_none_or(|(most, _)| gain > most) {
        *best = Some((gain, term));
    }
}
