//! Full fits of the periods a scan found: one comb, several combs, or one column per residue, each with floor and changes.
//!
//! The result is a list of laws with their price paid, best first; `reading` says what step a law means.

mod combs;
mod profiles;

use crate::alternatives::Alternatives;
use crate::fit::{Criterion, Law};
use crate::sample::Sample;
use crate::scan::Periods;
use crate::term::Term;

/// Price, in parameters, of having chosen a period among many, beside its coefficients.
const SCAN_PRICE: f64 = 2.0;

/// Level changes and hinges a law with a period may use.
const MOST_CHANGES: usize = 2;

/// Laws whose floor is shortened where that helps, and by how many batch sizes at most.
const LAWS_FOR_FLOOR: usize = 4;
const MOST_SHORTENED: usize = 6;

/// Single-comb laws on which a second comb is looked for.
const LAWS_FOR_SECOND: usize = 2;

/// The laws with a period, best first; empty when no period can be resolved.
pub(crate) fn fit(
    sample: &Sample,
    criterion: &Criterion,
    alternatives: &Alternatives,
    floors: &[Option<u32>],
    periods: &Periods,
) -> Vec<Law> {
    if periods.is_empty() {
        return Vec::new();
    }
    let mut combs = combs::combs(sample, criterion, alternatives, floors, periods);
    let profiles = profiles::profiles(sample, criterion, alternatives, periods);
    combs.extend(profiles::shifted(sample, criterion, &profiles));
    combs.sort_by(|a, b| a.bic.total_cmp(&b.bic));
    combs.dedup_by(|a, b| a.floor == b.floor && a.terms == b.terms);
    let pairs: Vec<Law> = combs
        .iter()
        .take(LAWS_FOR_SECOND)
        .filter_map(|law| combs::add_combs(sample, criterion, law, periods))
        .collect();
    let mut laws = combs;
    laws.extend(profiles::shapes(sample, criterion, alternatives, periods));
    laws.extend(profiles);
    laws.extend(pairs);
    laws.sort_by(|a, b| a.bic.total_cmp(&b.bic));
    for law in laws.iter_mut().take(LAWS_FOR_FLOOR) {
        shorten_floor(sample, criterion, law);
    }
    laws.sort_by(|a, b| a.bic.total_cmp(&b.bic));
    laws
}

/// Ends the floor of `law` up to a few batch sizes earlier where that fits better: points that rise off it by less than the
/// noise were counted to it.
fn shorten_floor(sample: &Sample, criterion: &Criterion, law: &mut Law) {
    let Some(end) = law.floor else {
        return;
    };
    let last = sample.sizes.partition_point(|&size| size <= end);
    let terms: Vec<Term> = law
        .terms
        .iter()
        .copied()
        .filter(|&term| term != Term::Floor)
        .collect();
    let price = law.parameters - law.terms.iter().map(|term| term.parameters()).sum::<f64>();
    for shorter in (last.saturating_sub(MOST_SHORTENED).max(2)..last).rev() {
        let floor = Some(sample.sizes[shorter - 1]);
        let tried = Law::fit(sample, criterion, floor, &terms, price);
        if tried.bic < law.bic && tried.terms.len() == law.terms.len() {
            *law = tried;
        }
    }
}
