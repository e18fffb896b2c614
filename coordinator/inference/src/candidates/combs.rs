//! Laws with one comb or several: fitted in full, moved to where they fit best, with harmonics for comparison.

use super::{MOST_CHANGES, SCAN_PRICE};
use crate::alternatives::Alternatives;
use crate::fit::{Criterion, Law};
use crate::sample::Sample;
use crate::scan::{self, LEAST_EDGES, Periods, comb_peaks, combs_peaks, refine_comb};
use crate::term::Term;

/// More for a period that is not whole: whole ones are common, and one edge moved by noise must not unmake one.
const FRACTION_PRICE: f64 = 1.5;

/// And for an offset. Less than a fraction: where both explain every edge, whole tiles that start late are the simpler
/// hardware, and the fraction was only the one that drifts past no edge within the range measured.
const OFFSET_PRICE: f64 = 1.0;

/// Laws with a fractional period whose nearest whole one is tried with an offset.
const FRACTIONS_TRIED_WHOLE: usize = 3;

/// Peaks taken from each scan.
const PEAKS_PER_BASIS: usize = 5;

/// Combs with an offset taken from their scan.
const LATE_COMBS: usize = 3;

/// Peaks tried as a second comb.
const PEAKS_FOR_SECOND: usize = 3;

/// Most that an algorithm switch may change the jumps by, as a share of them: a comb that vanishes was none.
const MOST_RESCALED: f64 = 0.5;

/// Combs a law may hold.
const MOST_COMBS: usize = 3;

fn price(period: f64, offset: f64) -> f64 {
    let fraction = if period.fract() == 0.0 {
        0.0
    } else {
        FRACTION_PRICE
    };
    let shift = if offset == 0.0 { 0.0 } else { OFFSET_PRICE };
    SCAN_PRICE + fraction + shift
}

/// Laws with one comb: the peaks over every base, and the harmonics of the best.
pub(super) fn combs(
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
    for period in combs_peaks(sample, &alternatives.bases, periods, PEAKS_PER_BASIS)
        .into_iter()
        .flatten()
    {
        add(&mut found, period);
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
    laws.sort_by(|a, b| a.bic.total_cmp(&b.bic));
    let late: Vec<Law> = alternatives
        .bases
        .first()
        .iter()
        .flat_map(|base| scan::late_combs(sample, base, periods, LATE_COMBS))
        .filter(|&(_, offset)| offset != 0.0)
        .filter_map(|(period, offset)| comb_law(sample, criterion, floors, period, offset))
        .collect();
    laws.extend(late);
    laws.sort_by(|a, b| a.bic.total_cmp(&b.bic));
    let whole: Vec<Law> = laws
        .iter()
        .take(FRACTIONS_TRIED_WHOLE)
        .filter_map(|law| whole_with_offset(sample, criterion, floors, law))
        .collect();
    laws.extend(whole);
    laws
}

/// The whole period next to the fractional one of `law`, with the offset that suits it: 7.97 ends its rounds at 7, 15,
/// 23, ... for a long time, as 8 with an offset of 7 does for ever. `None` when the period is whole already.
fn whole_with_offset(
    sample: &Sample,
    criterion: &Criterion,
    floors: &[Option<u32>],
    law: &Law,
) -> Option<Law> {
    let period = single_period(law)?;
    let whole = period.round();
    if period == whole || whole < 2.0 {
        return None;
    }
    let rest = without_comb(sample, criterion, law, period, 0.0);
    let offset = scan::best_offset(sample, &rest, whole)?;
    comb_law(sample, criterion, floors, whole, offset)
}

fn single_period(law: &Law) -> Option<f64> {
    first_comb(law).map(|(period, _)| period)
}

/// The best law with one comb of about `period`: with or without floor and curvature, changes added greedily, the period
/// refined beside them. `None` when its jump is negative or too few edges are in range.
pub(super) fn comb_law(
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
    let mut law = scaled_by_switches(sample, criterion, best?);
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

/// `law` with the jumps of its comb larger or smaller right of an algorithm switch, where that pays.
fn scaled_by_switches(sample: &Sample, criterion: &Criterion, mut law: Law) -> Law {
    let Some((period, offset)) = first_comb(&law) else {
        return law;
    };
    for term in law.terms.clone() {
        let Term::Level(after) = term else { continue };
        let jumps = Term::CombAfter {
            period,
            offset,
            after,
        };
        let Some(scaled) = law.with(sample, criterion, jumps, 0.0) else {
            continue;
        };
        let steeper = scaled.with(sample, criterion, Term::Hinge(after), 0.0);
        for tried in [Some(scaled), steeper].into_iter().flatten() {
            let comb = tried.coefficient(Term::Comb { period, offset });
            let change = tried.coefficient(jumps);
            if tried.bic < law.bic && change.abs() <= MOST_RESCALED * comb {
                law = tried;
            }
        }
    }
    law
}

fn first_comb(law: &Law) -> Option<(f64, f64)> {
    law.terms.iter().find_map(|term| match *term {
        Term::Comb { period, offset } => Some((period, offset)),
        _ => None,
    })
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
    let without = without_comb(sample, criterion, law, period, offset);
    let refined = refine_comb(sample, &without, period, offset);
    with_period(sample, criterion, law, period, refined, offset)
}

/// The other terms of `law`, fitted alone.
fn without_comb(
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
        .filter(|&term| match term {
            Term::Floor => false,
            Term::Comb {
                period: p,
                offset: o,
            }
            | Term::CombAfter {
                period: p,
                offset: o,
                ..
            } => (p, o) != (period, offset),
            _ => true,
        })
        .collect();
    Law::fit(sample, criterion, law.floor, &others, 0.0)
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
            Term::CombAfter {
                period,
                offset,
                after,
            } if period == from => Term::CombAfter {
                period: to,
                offset,
                after,
            },
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
pub(super) fn add_combs(
    sample: &Sample,
    criterion: &Criterion,
    law: &Law,
    periods: &Periods,
) -> Option<Law> {
    // Changes may have stood in for the second comb: start without them, and add them back at the end.
    let bare: Vec<Term> = law
        .terms
        .iter()
        .copied()
        .filter(|term| {
            !matches!(
                term,
                Term::Level(_) | Term::Hinge(_) | Term::Floor | Term::CombAfter { .. }
            )
        })
        .collect();
    let (period, offset) = first_comb(law)?;
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
