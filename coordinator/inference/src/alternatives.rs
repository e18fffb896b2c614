//! The rival explanations without a period: linear, floor, curved, and up to three free change points.
//!
//! A period must beat the best of them clearly. They also provide the reason of a "no step" and the bases the scans
//! over periods start from.

use crate::fit::{Criterion, Law};
use crate::sample::Sample;
use crate::term::Term;

/// Free level changes and hinges a rival may use.
const MOST_CHANGES: usize = 3;

/// The rivals of one sample.
pub(crate) struct Alternatives {
    /// All fitted, best first.
    pub(crate) laws: Vec<Law>,
    /// What the scans subtract before they look for a period: simple laws, with and without floor and changes.
    pub(crate) bases: Vec<Law>,
}

impl Alternatives {
    /// Fits every rival, with each of the possible ends of the floor.
    pub(crate) fn fit(sample: &Sample, criterion: &Criterion, floors: &[Option<u32>]) -> Self {
        let mut laws = Vec::new();
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
                    laws.push(law.clone());
                    let Some(next) = law.with_best_change(sample, criterion) else {
                        break;
                    };
                    if straight && changes <= 2 && next.bic < law.bic {
                        bases.push(next.clone());
                    }
                    law = next;
                }
                laws.push(law);
            }
        }
        laws.sort_by(|a, b| a.bic.total_cmp(&b.bic));
        Self { laws, bases }
    }

    /// The best rival; there is always a straight line.
    pub(crate) fn best(&self) -> &Law {
        &self.laws[0]
    }
}
