//! Laws with a remainder profile: one column per residue, or one or two shapes that say the same with fewer.

use std::collections::BTreeSet;

use super::combs::comb_law;
use super::{MOST_CHANGES, SCAN_PRICE};
use crate::alternatives::Alternatives;
use crate::fit::{Criterion, Law};
use crate::reading::residue_profile;
use crate::sample::Sample;
use crate::scan::{self, Periods, profile_peaks};
use crate::term::Term;

/// Peaks taken from each scan.
const PROFILE_PEAKS: usize = 6;
const SHAPE_PEAKS: usize = 5;

/// Price, in parameters, of letting the cost of left-over samples grow.
const GROWTH_PRICE: f64 = 0.5;

/// How often a growth is read again from the law that it gave, and the relative change that ends that.
const MOST_REGROWN: u32 = 3;
const SAME_GROWTH: f64 = 0.1;

/// Growth from which the constant part no longer matters.
const MOST_GROWTH: f64 = 1e3;

/// Laws with one column per residue.
pub(super) fn profiles(
    sample: &Sample,
    criterion: &Criterion,
    alternatives: &Alternatives,
    periods: &Periods,
) -> Vec<Law> {
    let peaks = profile_peaks(
        sample,
        criterion,
        &alternatives.bases,
        periods,
        PROFILE_PEAKS,
    );
    let mut laws: Vec<Law> = peaks
        .iter()
        .map(|&(period, base)| {
            profile_law(sample, criterion, &alternatives.bases[base], period, 0.0)
        })
        .collect();
    laws.extend(growing(sample, criterion, alternatives, &peaks));
    laws
}

/// The same with costs that grow, for the periods of `peaks` and their divisors: without growth a multiple fits better, since it can be dearer where
/// the batch is larger.
fn growing(
    sample: &Sample,
    criterion: &Criterion,
    alternatives: &Alternatives,
    peaks: &[(u32, usize)],
) -> Vec<Law> {
    let mut tried = BTreeSet::new();
    let mut laws = Vec::new();
    for &(peak, base) in peaks {
        let base = &alternatives.bases[base];
        // Bends and changes of a base may stand in for the growth: the straight line has it whole.
        let line = alternatives
            .bases
            .iter()
            .find(|line| line.floor == base.floor)
            .unwrap_or(base);
        let Some(growth) = growth(line) else {
            continue;
        };
        for period in (2..=peak).filter(|period| peak.is_multiple_of(*period)) {
            if tried.insert(period) {
                laws.push(growing_law(sample, criterion, base, period, growth));
            }
        }
    }
    laws
}

/// The law whose left-over costs grow as its own smooth part does, from a first `growth` that the left-over costs themselves have blurred.
fn growing_law(
    sample: &Sample,
    criterion: &Criterion,
    base: &Law,
    period: u32,
    mut growth: f64,
) -> Law {
    let mut law = profile_law(sample, criterion, base, period, growth);
    for _ in 0..MOST_REGROWN {
        let own = self::growth(&law).unwrap_or(growth);
        if (own / growth - 1.0).abs() < SAME_GROWTH {
            break;
        }
        growth = own;
        law = profile_law(sample, criterion, base, period, growth);
    }
    law.reprice(criterion, GROWTH_PRICE);
    law
}

/// Growth with each sample of what costs a share of the time of `base`; `None` where that does not grow.
fn growth(base: &Law) -> Option<f64> {
    let (constant, slope) = (
        base.coefficient(Term::Constant),
        base.coefficient(Term::Slope),
    );
    (slope > 0.0).then(|| {
        if constant > 0.0 {
            (slope / constant).min(MOST_GROWTH)
        } else {
            MOST_GROWTH
        }
    })
}

/// The better of two laws with one column per residue: the terms of `base`, or a straight line with its own changes.
fn profile_law(
    sample: &Sample,
    criterion: &Criterion,
    base: &Law,
    period: u32,
    growth: f64,
) -> Law {
    let residues = (1..period).map(|residue| Term::Residue {
        period,
        residue,
        growth,
    });
    let simple: Vec<Term> = [Term::Constant, Term::Slope]
        .into_iter()
        .chain(residues.clone())
        .collect();
    let as_scanned: Vec<Term> = base
        .terms
        .iter()
        .copied()
        .filter(|&term| term != Term::Floor)
        .chain(residues)
        .collect();
    let given = Law::fit(sample, criterion, base.floor, &as_scanned, SCAN_PRICE);
    let grown = Law::fit(sample, criterion, base.floor, &simple, SCAN_PRICE).with_changes(
        sample,
        criterion,
        MOST_CHANGES,
    );
    if given.bic < grown.bic { given } else { grown }
}

/// Laws whose left-over samples cost the same, or ever more: one parameter where a profile has many.
pub(super) fn shapes(
    sample: &Sample,
    criterion: &Criterion,
    alternatives: &Alternatives,
    periods: &Periods,
) -> Vec<Law> {
    scan::shape_peaks(sample, &alternatives.bases, periods, SHAPE_PEAKS)
        .into_iter()
        .filter_map(|(term, base)| {
            let base = &alternatives.bases[base];
            let terms = [Term::Constant, Term::Slope, term];
            let grown = Law::fit(sample, criterion, base.floor, &terms, SCAN_PRICE).with_changes(
                sample,
                criterion,
                MOST_CHANGES,
            );
            let law = match base.with(sample, criterion, term, SCAN_PRICE) {
                Some(given) if given.bic < grown.bic => given,
                _ => grown,
            };
            (law.coefficient(term) > 0.0).then_some(law)
        })
        .flat_map(|law| {
            let nested = nest(sample, criterion, &law, periods);
            [Some(law), nested].into_iter().flatten()
        })
        .collect()
}

/// `law` with the left-over cost of a multiple or a divisor of its period beside its own: even batch sizes cheaper than
/// odd ones, multiples of 8 cheaper still. `None` when it does not pay.
fn nest(sample: &Sample, criterion: &Criterion, law: &Law, periods: &Periods) -> Option<Law> {
    let period = residue_profile(law, &law.coefficients)?.extra.len() as u32;
    scan::whole_periods(periods)
        .filter(|&other| {
            other != period && (other.is_multiple_of(period) || period.is_multiple_of(other))
        })
        .filter_map(|other| law.with(sample, criterion, Term::LeftOver(other), 1.0))
        .min_by(|a, b| a.bic.total_cmp(&b.bic))
        .filter(|nested| nested.bic < law.bic)
}

/// Combs with an offset where a profile rises most after another residue than 0.
pub(super) fn shifted(sample: &Sample, criterion: &Criterion, profiles: &[Law]) -> Vec<Law> {
    profiles
        .iter()
        .filter_map(|law| {
            let profile = residue_profile(law, &law.coefficients)?.extra;
            let count = profile.len();
            let steepest = (0..count).max_by(|&a, &b| {
                let rise = |r: usize| profile[(r + 1) % count] - profile[r];
                rise(a).total_cmp(&rise(b))
            })?;
            if steepest == 0 || count < 3 {
                return None;
            }
            let offset = steepest as f64;
            comb_law(sample, criterion, &[law.floor], count as f64, offset)
        })
        .collect()
}
