//! Everything fitted to one trace: the sample, the rivals, the laws with a period, and the questions the rules ask of them.
//!
//! `infer` puts the answers into an order and into words; nothing here decides a verdict.

use crate::alternatives::Alternatives;
use crate::answer::FittedPoint;
use crate::bootstrap::{self, Confidence, SAME_PERIOD};
use crate::fit::{Basis, Criterion, Law, dot};
use crate::guard::{self, Sighting};
use crate::options::Options;
use crate::point::robust_sigma;
use crate::reading::{Other, Pattern, Reading};
use crate::sample::Sample;
use crate::scan::Periods;
use crate::term::Term;
use crate::trace::Trace;
use crate::{candidates, floor, wave};

/// Fewer batch sizes cannot tell a step from an accident.
pub(crate) const LEAST_SIZES: usize = 12;

/// A period must beat the best rival by this much of the information criterion (Kass and Raftery 1995: very strong).
const CLEAR_WIN: f64 = 10.0;

/// Confirmed edges that algorithm switches do not imitate by chance.
const MANY_EDGES: usize = 5;

/// Different periods whose edges are inspected before giving up.
const MOST_INSPECTED: usize = 6;

/// Residuals beyond this many robust standard deviations are clipped (Huber 1964), as long as they are few.
const CLIP_SIGMAS: f64 = 4.0;
const MOST_CLIPPED_SHARE: f64 = 0.1;

/// A level change of this relative size is an algorithm switch worth naming.
const SWITCH: f64 = 0.03;

/// Standard errors of a jump that would have been found.
const DETECTABLE_ERRORS: f64 = 4.0;

/// A comb that is less than this share new beside the smooth terms cannot be told from them at all.
const HARDLY_NEW: f64 = 1e-3;

/// Most batch sizes of the fitted curve.
const MOST_FITTED: u32 = 8192;

/// Everything fitted to one trace.
pub(crate) struct Study<'a> {
    pub(crate) trace: &'a Trace,
    pub(crate) options: &'a Options,
    pub(crate) sample: Sample,
    criterion: Criterion,
    pub(crate) periods: Periods,
    alternatives: Alternatives,
    pub(crate) laws: Vec<Law>,
}

/// A step that was found, before it is weighed.
pub(crate) struct Found {
    /// Position in [`Study::laws`].
    pub(crate) law: usize,
    pub(crate) reading: Reading,
    pub(crate) sighting: Sighting,
}

impl<'a> Study<'a> {
    /// Prepares `trace` and fits everything, or the simplest rivals only when there are too few batch sizes.
    pub(crate) fn new(trace: &'a Trace, options: &'a Options) -> Self {
        let sample = Sample::new(trace);
        let criterion = Criterion::new(&sample);
        let periods = Periods::new(&sample);
        let mut study = Self {
            trace,
            options,
            alternatives: Alternatives::fit(&sample, &criterion, &[None]),
            sample,
            criterion,
            periods,
            laws: Vec::new(),
        };
        if study.sample.len() >= LEAST_SIZES {
            study.fit();
        }
        study
    }

    fn fit(&mut self) {
        let (sample, criterion) = (&self.sample, &self.criterion);
        let mut floors = vec![None];
        floors.extend(floor::candidate(sample).map(Some));
        self.alternatives = Alternatives::fit(sample, criterion, &floors);
        self.laws = candidates::fit(
            sample,
            criterion,
            &self.alternatives,
            &floors,
            &self.periods,
        );
    }

    /// The best law without a period.
    pub(crate) fn rival(&self) -> &Law {
        self.alternatives.best()
    }

    fn best_law(&self) -> &Law {
        match self.laws.first() {
            Some(law) if law.bic < self.alternatives.plain().bic => law,
            _ => self.rival(),
        }
    }

    /// Pulls single wild points to where the best law expects them, and fits again.
    pub(crate) fn clip_outliers(&mut self) {
        let residuals = self.best_law().residuals(&self.sample);
        let sigma = robust_sigma(&residuals, 0.0)
            .max(0.5 * self.sample.repeat_error.unwrap_or(0.0))
            .max(1e-4);
        let limit = CLIP_SIGMAS * sigma;
        let wild = residuals.iter().filter(|rest| rest.abs() > limit).count();
        if wild == 0 || wild as f64 > MOST_CLIPPED_SHARE * self.sample.len() as f64 {
            return;
        }
        for (value, rest) in self.sample.response.iter_mut().zip(&residuals) {
            *value -= rest - rest.clamp(-limit, limit);
        }
        self.fit();
    }

    /// The best law whose step shows where it should. Laws that were inspected in vain are added to `rejected`.
    pub(crate) fn find(&self, rejected: &mut Vec<usize>) -> Option<Found> {
        let mut inspected: Vec<f64> = Vec::new();
        for (law_index, law) in self.laws.iter().enumerate() {
            if law.bic > self.alternatives.plain().bic - CLEAR_WIN
                || inspected.len() >= MOST_INSPECTED
            {
                break;
            }
            let Some(reading) = Reading::of(law) else {
                continue;
            };
            let sighting = guard::inspect(&self.sample, law, &reading);
            let passes = sighting.passes()
                && (sighting.confirmed().count() >= MANY_EDGES
                    || law.bic <= self.rival().bic - CLEAR_WIN)
                && !wave::explains_better(&self.sample, &self.criterion, law, &reading);
            if !self.options.edge_guard || passes {
                return Some(Found {
                    law: law_index,
                    reading,
                    sighting,
                });
            }
            rejected.push(law_index);
            if inspected
                .iter()
                .all(|other| (reading.period / other - 1.0).abs() > SAME_PERIOD)
            {
                inspected.push(reading.period);
            }
        }
        None
    }

    /// Whether a further comb shows at its own edges once the others are taken off; a rhythm within a profile was part
    /// of what the guard saw.
    pub(crate) fn shows(&self, law: &Law, other: &Other) -> bool {
        law.terms.iter().all(|term| match *term {
            Term::Comb { period, offset } if period == other.period => {
                let alone = Reading {
                    period,
                    offset,
                    pattern: Pattern::Jump(other.jump),
                    others: Vec::new(),
                };
                guard::inspect(&self.sample, law, &alone).passes()
            }
            _ => true,
        })
    }

    /// How sure the step that was `found` is, among all laws but the `rejected`.
    pub(crate) fn confidence(&self, found: &Found, rejected: &[usize]) -> Confidence {
        let mut contest: Vec<Law> = Vec::with_capacity(self.laws.len());
        let mut chosen = 0;
        for (k, law) in self.laws.iter().enumerate() {
            if k == found.law {
                chosen = contest.len();
            }
            if !rejected.contains(&k) {
                contest.push(law.clone());
            }
        }
        bootstrap::confidence(
            &self.sample,
            &self.criterion,
            &contest,
            chosen,
            self.alternatives.plain(),
            found.reading.period,
            self.options,
        )
    }

    /// Level changes of the rival that are too large for noise, ascending.
    pub(crate) fn switches(&self, rival: &Law) -> Vec<u32> {
        let mut switches: Vec<u32> = rival
            .terms
            .iter()
            .zip(&rival.coefficients)
            .filter_map(|(term, jump)| match *term {
                Term::Level(after)
                    if jump.abs() > SWITCH * rival.at(after)
                        && guard::is_sharp(&self.sample, rival, after, *jump) =>
                {
                    Some(after)
                }
                _ => None,
            })
            .collect();
        switches.sort_unstable();
        switches
    }

    /// What the law leaves beyond noise, as a share of the total rise.
    pub(crate) fn off_comb_share(&self, law: &Law) -> f64 {
        let Some(noise) = self.sample.repeat_error else {
            return 0.0;
        };
        let residuals = law.residuals(&self.sample);
        let excess = residuals
            .iter()
            .zip(&self.sample.unit)
            .zip(&self.sample.seconds)
            .map(|((rest, unit), seconds)| (rest / unit).powi(2) - (noise * seconds).powi(2))
            .sum::<f64>()
            / self.sample.len() as f64;
        let fitted = self.sample.sizes.iter().map(|&size| law.at(size));
        let (low, high) = fitted.fold((f64::INFINITY, 0.0_f64), |(low, high), value| {
            (low.min(value), high.max(value))
        });
        2.0 * excess.max(0.0).sqrt() / (high - low).max(f64::MIN_POSITIVE)
    }

    /// About four standard errors of the jump of a comb beside what is smooth in `law`, relative to the time after the
    /// first round: the largest among periods of 8, 16, 32 and the shortest and longest that the range holds.
    pub(crate) fn detectable_jump(&self, law: &Law) -> Option<f64> {
        let freedom = self.sample.len() as f64 - law.terms.len() as f64;
        if freedom < 2.0 {
            return None;
        }
        let noise = (law.residual_square / freedom)
            .sqrt()
            .max(self.sample.repeat_error.unwrap_or(0.0));
        let mut smooth = Basis::default();
        for &term in &law.terms {
            let periodic = matches!(
                term,
                Term::Comb { .. }
                    | Term::CombAfter { .. }
                    | Term::Residue { .. }
                    | Term::LeftOver(_)
                    | Term::Ramp(_)
            );
            if !periodic && !matches!(term, Term::Level(_)) {
                smooth.push(self.sample.column(term, law.floor));
            }
        }
        let start = f64::from(law.floor.unwrap_or(0).max(self.sample.first()));
        [8.0, 16.0, 32.0, self.periods.shortest, self.periods.longest]
            .into_iter()
            .filter(|&period| self.periods.holds(period))
            .filter_map(|period| {
                let comb = Term::Comb {
                    period,
                    offset: 0.0,
                };
                let column = self.sample.column(comb, law.floor);
                let fresh = smooth.residual_square(&column);
                let size = ((start / period).ceil().max(1.0) * period) as u32;
                (fresh > HARDLY_NEW * dot(&column, &column))
                    .then(|| DETECTABLE_ERRORS * noise / fresh.sqrt() / law.at(size))
                    .filter(|jump| jump.is_finite() && *jump >= 0.0)
            })
            .max_by(f64::total_cmp)
    }

    /// The law at every whole batch size of the measured range, in seconds; thinned out when there are very many.
    pub(crate) fn fitted(&self, law: &Law) -> Vec<FittedPoint> {
        let (first, last) = (self.sample.first(), self.sample.last());
        let stride = ((last - first) / MOST_FITTED + 1) as usize;
        (first..=last)
            .step_by(stride)
            .map(|batch_size| FittedPoint {
                batch_size,
                seconds: (law.at(batch_size) * self.sample.scale).clamp(0.0, f64::MAX),
            })
            .collect()
    }
}
