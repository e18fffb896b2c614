//! Full fits of the periods a scan found: one comb, several combs, or one column per residue, each with floor and changes.
//!
//! The result is a list of laws with their price paid, best first; `reading` says what step a law means.

use crate::alternatives::Alternatives;
use crate::fit::{Criterion, Law, Term};
use crate::sample::Sample;
use crate::scan::{self, LEAST_EDGES, Periods, comb_peaks, profile_peaks, refine_comb};

/// Price, in parameters, of having chosen a period among many, beside its coefficients.
const SCAN_PRICE: f64 = 2.0;

/// More for a period that is not whole: whole ones are common, and one edge moved by noise must not unmake one.
const FRACTION_PRICE: f64 = 1.5;

/// And for an offset.
const OFFSET_PRICE: f64 = 1.5;

/// Level changes and hinges a law with a period may use.
const MOST_CHANGES: usize = 2;

/// Peaks taken from each scan.
const PEAKS_PER_BASIS: usize = 5;
const PROFILE_PEAKS: usize = 6;
const SHAPE_PEAKS: usize = 5;

/// Single-comb laws on which a second comb is looked for, and the peaks tried.
const LAWS_FOR_SECOND: usize = 2;
const PEAKS_FOR_SECOND: usize = 3;

/// Combs a law may hold.
const MOST_COMBS: usize = 3;

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
    let mut combs = combs(sample, criterion, alternatives, floors, periods);
    let profiles = profiles(sample, criterion, alternatives, periods);
    combs.extend(shifted(sample, criterion, &profiles));
    combs.sort_by(|a, b| a.bic.total_cmp(&b.bic));
    let pairs: Vec<Law> = combs
        .iter()
        .take(LAWS_FOR_SECOND)
        .filter_map(|law| add_combs(sample, criterion, law, periods))
        .collect();
    let mut laws = combs;
    laws.extend(shapes(sample, criterion, alternatives, periods));
    laws.extend(profiles);
    laws.extend(pairs);
    laws.sort_by(|a, b| a.bic.total_cmp(&b.bic));
    laws
}

fn price(period: f64, offset: f64) -> f64 {
    let fraction = if period.fract() == 0.0 {
        0.0
    } else {
        FRACTION_PRICE
    };
    let shift = if offset == 0.0 { 0.0 } else { OFFSET_PRICE };
    SCAN_PRICE + fraction + shift
}

fn combs(
    sample: &Sample,
    criterion: &Criterion,
    alternatives: &Alternatives,
    floors: &[Option<u32>],
    periods: &Periods,
) -> Vec<Law> {
    let mut found: Vec<f64> = Vec::new();
    let add = |found: &mut Vec<f64>, period: f64| {
        if found
            .iter()
            .all(|other| (period / other - 1.0).abs() > 1e-4)
        {
            found.push(period);
        }
    };
    for base in &alternatives.bases {
        for period in comb_peaks(sample, base, periods, PEAKS_PER_BASIS) {
            add(&mut found, period);
        }
    }
    let mut laws: Vec<Law> = found
        .iter()
        .filter_map(|&period| comb_law(sample, criterion, floors, period, 0.0))
        .collect();
    laws.sort_by(|a, b| a.bic.total_cmp(&b.bic));
    // Harmonics of the best are fitted in full too, so that a resample can prefer them.
    let best: Vec<f64> = laws.iter().take(2).filter_map(single_period).collect();
    for period in best {
        for factor in [0.5, 2.0, 1.0 / 3.0, 3.0] {
            let harmonic = period * factor;
            if periods.holds(harmonic) && found.iter().all(|p| (harmonic / p - 1.0).abs() > 1e-3) {
                found.push(harmonic);
                laws.extend(comb_law(sample, criterion, floors, harmonic, 0.0));
            }
        }
    }
    laws
}

fn single_period(law: &Law) -> Option<f64> {
    law.terms.iter().find_map(|term| match *term {
        Term::Comb { period, .. } => Some(period),
        _ => None,
    })
}

/// The best law with one comb of about `period`: with or without floor and curvature, changes added greedily, the period
/// refined beside them. `None` when its jump is negative or too few edges are in range.
fn comb_law(
    sample: &Sample,
    criterion: &Criterion,
    floors: &[Option<u32>],
    period: f64,
    offset: f64,
) -> Option<Law> {
    let mut best: Option<Law> = None;
    for &floor in floors {
        for curved in [false, true] {
            if scan::edges_inside(sample, floor, period, offset) < LEAST_EDGES {
                continue;
            }
            let law = one_comb(sample, criterion, floor, curved, period, offset);
            if best.as_ref().is_none_or(|found| law.bic < found.bic) {
                best = Some(law);
            }
        }
    }
    let mut law = best?;
    let refined = refine_within(sample, criterion, &law, period, offset);
    if refined.bic < law.bic {
        law = refined;
    }
    let current = single_period(&law)?;
    if current.fract() != 0.0 && current > 2.0 {
        let whole = with_period(sample, criterion, &law, current, current.round(), offset);
        if whole.bic < law.bic {
            law = whole;
        }
    }
    combs_rise(&law).then_some(law)
}

fn one_comb(
    sample: &Sample,
    criterion: &Criterion,
    floor: Option<u32>,
    curved: bool,
    period: f64,
    offset: f64,
) -> Law {
    let terms = [
        Term::Constant,
        Term::Slope,
        Term::Comb { period, offset },
        Term::Square,
    ];
    let used = if curved { 4 } else { 3 };
    Law::fit(
        sample,
        criterion,
        floor,
        &terms[..used],
        price(period, offset),
    )
    .with_changes(sample, criterion, MOST_CHANGES)
}

/// `law` with its comb of `period` moved to where it fits best beside the other terms.
fn refine_within(
    sample: &Sample,
    criterion: &Criterion,
    law: &Law,
    period: f64,
    offset: f64,
) -> Law {
    let others: Vec<Term> = law
        .terms
        .iter()
        .copied()
        .filter(|&term| term != Term::Floor && term != Term::Comb { period, offset })
        .collect();
    let without = Law::fit(sample, criterion, law.floor, &others, 0.0);
    let refined = refine_comb(sample, &without, period, offset);
    with_period(sample, criterion, law, period, refined, offset)
}

/// `law` with its comb of period `from` replaced by one of period `to`.
fn with_period(
    sample: &Sample,
    criterion: &Criterion,
    law: &Law,
    from: f64,
    to: f64,
    offset: f64,
) -> Law {
    let terms: Vec<Term> = law
        .terms
        .iter()
        .filter(|&&term| term != Term::Floor)
        .map(|&term| match term {
            Term::Comb { period, offset } if period == from => Term::Comb { period: to, offset },
            other => other,
        })
        .collect();
    let extra = law.parameters - law.terms.iter().map(|term| term.parameters()).sum::<f64>();
    let price = extra - price(from, offset) + price(to, offset);
    Law::fit(sample, criterion, law.floor, &terms, price)
}

/// Whether every comb of the law jumps up.
fn combs_rise(law: &Law) -> bool {
    law.terms
        .iter()
        .zip(&law.coefficients)
        .all(|(term, &c)| !matches!(term, Term::Comb { .. }) || c > 0.0)
}

/// `law` with a second, perhaps a third comb, where each pays for itself.
fn add_combs(sample: &Sample, criterion: &Criterion, law: &Law, periods: &Periods) -> Option<Law> {
    // Changes may have stood in for the second comb: start without them, and add them back at the end.
    let bare: Vec<Term> = law
        .terms
        .iter()
        .copied()
        .filter(|term| !matches!(term, Term::Level(_) | Term::Hinge(_) | Term::Floor))
        .collect();
    let (period, offset) = bare.iter().find_map(|term| match *term {
        Term::Comb { period, offset } => Some((period, offset)),
        _ => None,
    })?;
    let bare = Law::fit(sample, criterion, law.floor, &bare, price(period, offset));
    [
        grow_combs(sample, criterion, &bare, periods),
        grow_combs(sample, criterion, law, periods),
    ]
    .into_iter()
    .flatten()
    .min_by(|a, b| a.bic.total_cmp(&b.bic))
}

/// `law` with one or two more combs, then changes, as long as the criterion improves; `None` when no comb pays.
fn grow_combs(sample: &Sample, criterion: &Criterion, law: &Law, periods: &Periods) -> Option<Law> {
    let mut best = law.clone();
    for _ in 1..MOST_COMBS {
        let next = comb_peaks(sample, &best, periods, PEAKS_FOR_SECOND)
            .into_iter()
            .filter_map(|period| {
                let comb = Term::Comb {
                    period,
                    offset: 0.0,
                };
                best.with(sample, criterion, comb, price(period, 0.0))
            })
            .map(|law| refine_all(sample, criterion, law))
            .filter(combs_rise)
            .min_by(|a, b| a.bic.total_cmp(&b.bic));
        match next {
            Some(next) if next.bic < best.bic => best = next,
            _ => break,
        }
    }
    let changes = best
        .terms
        .iter()
        .filter(|term| matches!(term, Term::Level(_) | Term::Hinge(_)))
        .count();
    (best.terms.len() > law.terms.len())
        .then(|| best.with_changes(sample, criterion, MOST_CHANGES.saturating_sub(changes)))
}

/// Refines each comb beside the others, once.
fn refine_all(sample: &Sample, criterion: &Criterion, mut law: Law) -> Law {
    for term in law.terms.clone() {
        if let Term::Comb { period, offset } = term {
            let refined = refine_within(sample, criterion, &law, period, offset);
            if refined.bic < law.bic {
                law = refined;
            }
        }
    }
    law
}

fn profiles(
    sample: &Sample,
    criterion: &Criterion,
    alternatives: &Alternatives,
    periods: &Periods,
) -> Vec<Law> {
    profile_peaks(
        sample,
        criterion,
        &alternatives.bases,
        periods,
        PROFILE_PEAKS,
    )
    .into_iter()
    .map(|(period, base)| {
        let base = &alternatives.bases[base];
        let residues = (1..period).map(|residue| Term::Residue { period, residue });
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
    })
    .collect()
}

/// Laws whose left-over samples cost the same, or ever more: one parameter where a profile has many.
fn shapes(
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
    let (period, _) = residue_profile(law, &law.coefficients)?;
    scan::whole_periods(periods)
        .filter(|&other| {
            other != period && (other.is_multiple_of(period) || period.is_multiple_of(other))
        })
        .filter_map(|other| law.with(sample, criterion, Term::LeftOver(other), 1.0))
        .min_by(|a, b| a.bic.total_cmp(&b.bic))
        .filter(|nested| nested.bic < law.bic)
}

/// Combs with an offset where a profile rises most after another residue than 0.
fn shifted(sample: &Sample, criterion: &Criterion, profiles: &[Law]) -> Vec<Law> {
    profiles
        .iter()
        .filter_map(|law| {
            let (period, profile) = residue_profile(law, &law.coefficients)?;
            let count = profile.len();
            let steepest = (0..count).max_by(|&a, &b| {
                let rise = |r: usize| profile[(r + 1) % count] - profile[r];
                rise(a).total_cmp(&rise(b))
            })?;
            if steepest == 0 || period < 3 {
                return None;
            }
            let offset = steepest as f64;
            comb_law(sample, criterion, &[law.floor], f64::from(period), offset)
        })
        .collect()
}

/// The period and the fitted extra seconds of each residue over residue 0, when the law has such columns. Residues
/// nobody measured are interpolated.
pub(crate) fn residue_profile(law: &Law, coefficients: &[f64]) -> Option<(u32, Vec<f64>)> {
    // Nested shapes: the longest period holds the others.
    let shapes = || {
        law.terms
            .iter()
            .zip(coefficients)
            .filter_map(|(&term, &c)| match term {
                Term::LeftOver(period) | Term::Ramp(period) => Some((period, term, c)),
                _ => None,
            })
    };
    if let Some(longest) = shapes().map(|(period, ..)| period).max() {
        let profile = (0..longest).map(|r| shapes().map(|(_, term, c)| c * term.at(r)).sum());
        return Some((longest, profile.collect()));
    }
    let period = law.terms.iter().find_map(|&term| match term {
        Term::Residue { period, .. } => Some(period),
        _ => None,
    })?;
    let mut known: Vec<(usize, f64)> = vec![(0, 0.0)];
    for (term, &c) in law.terms.iter().zip(coefficients) {
        if let Term::Residue { residue, .. } = *term {
            known.push((residue as usize, c));
        }
    }
    known.push((period as usize, 0.0));
    let mut profile = vec![0.0; period as usize];
    for pair in known.windows(2) {
        let ((from, low), (to, high)) = (pair[0], pair[1]);
        for (r, value) in profile.iter_mut().enumerate().take(to).skip(from) {
            *value = low + (high - low) * (r - from) as f64 / (to - from) as f64;
        }
    }
    Some((period, profile))
}
