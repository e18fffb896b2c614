//! The rival explanations without a period: linear, floor, curved, and up to three free change points.
//!
//! A period must beat the best of them clearly. They also provide the reason of a "no step" and the bases the scans
//! over periods start from.

use crate::fit::{Criterion, Law};
use crate::sample::Sample;
use crate::term::Term;

/// Free level changes and hinges every rival is tried with.
const MOST_CHANGES: usize = 3;

/// Further ones it may use as long as each pays for itself: libraries switch often, and three of their switches can lie
/// as a period would. They count only against a period with few edges: enough changes imitate any staircase.
const MOST_PAYING_CHANGES: usize = 7;

/// The rivals of one sample.
pub(crate) struct Alternatives {
    /// The best with at most [`MOST_CHANGES`].
    plain: Law,
    /// The best with as many changes as pay for themselves.
    rich: Law,
    /// What the scans subtract before they look for a period: simple laws, with and without floor and changes.
    pub(crate) bases: Vec<Law>,
}

impl Alternatives {
    /// Fits every rival, with each of the possible ends of the floor.
    pub(crate) fn fit(sample: &Sample, criterion: &Criterion, floors: &[Option<u32>]) -> Self {
        let (mut plain, mut rich) = (Vec::new(), Vec::new());
        let mut bases = Vec::new();
        for &floor in floors {
            for terms in [
                &[Term::Constant, Term::Slope][..],
                &[Term::Constant, Term::Slope, Term::Square],
                &[Term::Constant, Term::Slope, Term::Log],
            ] {
                let simple = Law::fit(sample, criterion, floor, terms, 0.0);
                let straight = terms.len() == 2;
                if straight || (floor.is_none() && terms.contains(&Term::Square)) {
                    bases.push(simple.clone());
                }
                let mut law = simple;
                for changes in 1..=MOST_CHANGES {
                    plain.push(law.clone());
                    let Some(next) = law.with_best_change(sample, criterion) else {
                        break;
                    };
                    if straight && changes <= 2 && next.bic < law.bic {
                        bases.push(next.clone());
                    }
                    law = next;
                }
                plain.push(law.clone());
                rich.push(law.with_changes(sample, criterion, MOST_PAYING_CHANGES - MOST_CHANGES));
            }
        }
        let best = |laws: Vec<Law>| laws.into_iter().min_by(|a, b| a.bic.total_cmp(&b.bic));
        // A straight line can always be fitted: the fallback is never taken.
        let line = || {
            let terms = [Term::Constant, Term::Slope];
            Law::fit(sample, criterion, None, &terms, 0.0)
        };
        let plain = best(plain).unwrap_or_else(line);
        let rich = best(rich).unwrap_or_else(line);
        Self {
            rich: if plain.bic < rich.bic {
                plain.clone()
            } else {
                rich
            },
            plain,
            bases,
        }
    }

    /// The best rival with few changes, against which every period competes.
    pub(crate) fn plain(&self) -> &Law {
        &self.plain
    }

    /// The best rival of all: what explains a trace without a step, and what a period with few edges competes against.
    pub(crate) fn best(&self) -> &Law {
        &self.rich
    }
}
