//! A law: a sum of terms fitted to a sample, with its price.
//!
//! The Bayesian information criterion (Schwarz 1978) compares laws with different numbers of parameters; what a scan
//! over periods costs is charged as extra parameters.

use super::basis::Basis;
use super::change::best_change;
use crate::sample::Sample;
use crate::term::Term;

/// How laws are compared on one sample.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Criterion {
    /// Square of the relative error below which misfit does not count: clocks tick, medians round, repeats scatter.
    pub(crate) tolerance_square: f64,
    points: f64,
}

impl Criterion {
    /// Relative misfit nobody should explain, however exact the timings.
    const FINEST: f64 = 3e-4;

    /// The criterion for `sample`.
    pub(crate) fn new(sample: &Sample) -> Self {
        let repeats = 0.4 * sample.repeat_error.unwrap_or(0.0);
        Self {
            tolerance_square: Self::FINEST.powi(2) + repeats.powi(2),
            points: sample.len() as f64,
        }
    }

    /// The information criterion of a law with `parameters` that leaves `residual_square`; lower is better. With few
    /// points per parameter the plain criterion overfits; the price is raised by half of what McQuarrie ("A small-sample
    /// correction for the Schwarz SIC model selection criterion", 1999) derives for free choice among columns: the
    /// scan's share of the parameters is no column.
    pub(crate) fn bic(&self, residual_square: f64, parameters: f64) -> f64 {
        let spare = self.points - parameters / 2.0 - 1.0;
        if spare < 1.0 {
            return f64::INFINITY;
        }
        self.points * (residual_square / self.points + self.tolerance_square).ln()
            + parameters * self.points.ln() * self.points / spare
    }
}

/// A fitted sum of terms.
#[derive(Clone, Debug)]
pub(crate) struct Law {
    /// The last batch size on the launch-bound floor.
    pub(crate) floor: Option<u32>,
    pub(crate) terms: Vec<Term>,
    pub(crate) coefficients: Vec<f64>,
    pub(crate) basis: Basis,
    pub(crate) residual_square: f64,
    pub(crate) parameters: f64,
    pub(crate) bic: f64,
}

impl Law {
    /// Fits `terms` right of the `floor`; terms that depend on earlier ones are left out. `price` is added to the
    /// parameters.
    pub(crate) fn fit(
        sample: &Sample,
        criterion: &Criterion,
        floor: Option<u32>,
        terms: &[Term],
        price: f64,
    ) -> Self {
        let mut law = Self {
            floor,
            terms: Vec::with_capacity(terms.len() + 1),
            coefficients: Vec::new(),
            basis: Basis::default(),
            residual_square: 0.0,
            parameters: price,
            bic: f64::INFINITY,
        };
        if floor.is_some() {
            law.push(sample, Term::Floor);
        }
        for &term in terms {
            law.push(sample, term);
        }
        law.settle(sample, criterion);
        law
    }

    fn push(&mut self, sample: &Sample, term: Term) -> bool {
        let new = self.basis.push(sample.column(term, self.floor));
        if new {
            self.terms.push(term);
            self.parameters += term.parameters();
        }
        new
    }

    fn settle(&mut self, sample: &Sample, criterion: &Criterion) {
        self.residual_square = self.basis.residual_square(&sample.response);
        self.coefficients = self.basis.solve(&sample.response);
        self.bic = criterion.bic(self.residual_square, self.parameters);
    }

    /// Adds `price` to the parameters.
    pub(crate) fn reprice(&mut self, criterion: &Criterion, price: f64) {
        self.parameters += price;
        self.bic = criterion.bic(self.residual_square, self.parameters);
    }

    /// The law with `term` added, or `None` when it already spans it.
    pub(crate) fn with(
        &self,
        sample: &Sample,
        criterion: &Criterion,
        term: Term,
        price: f64,
    ) -> Option<Self> {
        let mut law = self.clone();
        if !law.push(sample, term) {
            return None;
        }
        law.parameters += price;
        law.settle(sample, criterion);
        Some(law)
    }

    /// Adds up to `most` level changes or hinges, each where it explains most, as long as the criterion improves.
    pub(crate) fn with_changes(self, sample: &Sample, criterion: &Criterion, most: usize) -> Self {
        let mut best = self;
        for _ in 0..most {
            let Some(next) = best.with_best_change(sample, criterion) else {
                break;
            };
            if next.bic >= best.bic {
                break;
            }
            best = next;
        }
        best
    }

    /// The law with the one change that explains most, better or not.
    pub(crate) fn with_best_change(&self, sample: &Sample, criterion: &Criterion) -> Option<Self> {
        let term = best_change(sample, self.floor, &self.basis)?;
        self.with(sample, criterion, term, 0.0)
    }

    /// Relative residuals, one per point.
    pub(crate) fn residuals(&self, sample: &Sample) -> Vec<f64> {
        self.basis.residual(&sample.response)
    }

    /// Seconds, in the sample's unit, at batch size `size`.
    pub(crate) fn at(&self, size: u32) -> f64 {
        self.sum(size, |_| true)
    }

    /// The part of the law at `size` that comes from the terms for which `keep` holds.
    pub(crate) fn sum(&self, size: u32, keep: impl Fn(Term) -> bool) -> f64 {
        let on_floor = self.floor.is_some_and(|end| size <= end);
        self.terms
            .iter()
            .zip(&self.coefficients)
            .filter(|&(&term, _)| (term == Term::Floor) == on_floor && keep(term))
            .map(|(term, coefficient)| coefficient * term.at(size))
            .sum()
    }

    /// The coefficient of `term`, 0 when the law does without it.
    pub(crate) fn coefficient(&self, term: Term) -> f64 {
        self.terms
            .iter()
            .position(|&other| other == term)
            .map_or(0.0, |k| self.coefficients[k])
    }
}
