//! What a series usually takes, and how much its nights differ. Asked by the stages that look at a series alone.

use std::collections::BTreeMap;

use crate::{
    Book, Policy,
    book::{Direction, Entry, last},
    stats::{median, robust_sigma},
    verdict::Numbers,
};

/// Valid nights before which there is no baseline at all: the median of fewer is no more than one of them.
pub(crate) const LEAST_NIGHTS: usize = 3;

/// A shift is found reliably when it is this many standard deviations beyond the gate. 1.5 would do if nights were normal and their spread were known: a night would be a hit
/// in 0.87 of cases, two of three in 0.95. It is learned from 28 nights, and tails are heavier; with this much every kind of noise is above 0.95 (`make validate-nightly`).
const DETECTION_MARGIN: f64 = 2.5;

/// The past that a night is held against.
#[derive(Debug, Clone, PartialEq)]
pub struct Baseline {
    /// Median logarithm of the time, seconds.
    pub level: f64,
    /// The same of the cycles, where clocks are known.
    pub cycles: Option<f64>,
    /// Standard deviation of a night, a logarithm: of all segments' nights from their own medians, so that a new baseline does not have to learn it again.
    pub sigma: f64,
    /// Valid nights behind the level.
    pub nights: usize,
    /// There are too few of them.
    pub is_learning: bool,
    /// Further away than this is beyond the gates, a logarithm.
    pub gate: f64,
    /// Of the cycles.
    pub gate_of_cycles: f64,
    /// The smallest shift that is found reliably, a logarithm: see [`Numbers::detectable`].
    pub detectable: f64,
}

impl Baseline {
    /// As the settled nights of a book show it, and while a slowdown is open as they showed it before; `None` before there are three of them.
    #[must_use]
    pub fn of(policy: &Policy, book: &Book) -> Option<Self> {
        let settled = last(book.settled(), policy.baseline_nights);
        let level = match book.slowdown() {
            Some(alarm) => alarm.before,
            None if settled.len() < LEAST_NIGHTS => return None,
            None => median(settled.iter().map(|entry| entry.level))?,
        };
        let sigma = sigma(policy, book, |entry| Some(entry.level));
        let is_learning = settled.len() < policy.learning_nights && book.slowdown().is_none();
        let least = if is_learning {
            policy.learning_shift
        } else {
            policy.hit_shift
        };
        let gate = |sigma: f64| least.ln_1p().max(policy.hit_sigmas * sigma);
        Some(Self {
            level,
            cycles: median(settled.iter().filter_map(|entry| entry.cycles)),
            sigma,
            nights: settled.len(),
            is_learning,
            gate: gate(sigma),
            gate_of_cycles: gate(self::sigma(policy, book, |entry| entry.cycles)),
            detectable: gate(sigma) + DETECTION_MARGIN * sigma,
        })
    }

    /// Whither a level is beyond the gates.
    pub(crate) fn beyond(&self, level: f64) -> Option<Direction> {
        let shift = level - self.level;
        (shift.abs() > self.gate).then(|| Direction::of(shift))
    }

    /// How far from the baseline a level may be to count as near.
    pub(crate) fn near(&self, policy: &Policy) -> f64 {
        (policy.resolving_sigmas * self.sigma).max(policy.resolving_shift.ln_1p())
    }

    /// The numbers of a night at this level.
    pub(crate) fn numbers(&self, level: f64, cycles: Option<f64>) -> Numbers {
        let shift = level - self.level;
        Numbers {
            level: Some(level),
            baseline: Some(self.level),
            sigma: Some(self.sigma),
            nights: self.nights,
            shift: Some(shift),
            shift_of_cycles: cycles
                .zip(self.cycles)
                .map(|(cycles, usual)| cycles - usual),
            sigmas: Some(shift / self.sigma),
            gate: Some(self.gate),
            detectable: Some(self.detectable),
            ..Numbers::default()
        }
    }
}

/// The spread of nights around their own segments' medians, over as many of the last settled nights as a baseline spans. Segments too short to have a median of
/// their own tell nothing of it.
fn sigma(policy: &Policy, book: &Book, value: impl Fn(&Entry) -> Option<f64>) -> f64 {
    let frozen = book.frozen_from().unwrap_or(u32::MAX);
    let known = book.entries.iter().filter(|entry| entry.night < frozen);
    let mut segments: BTreeMap<u32, Vec<f64>> = BTreeMap::new();
    for entry in known {
        let values = segments.entry(entry.segment).or_default();
        values.extend(value(entry));
    }
    let mut residuals = Vec::new();
    for values in segments.into_values() {
        if let Some(usual) = median(values.iter().copied()).filter(|_| values.len() >= LEAST_NIGHTS)
        {
            residuals.extend(values.into_iter().map(|value| value - usual));
        }
    }
    let recent = &residuals[residuals.len().saturating_sub(policy.baseline_nights)..];
    robust_sigma(recent.iter().copied(), 0.0)
        .unwrap_or(0.0)
        .max(policy.least_sigma)
}
