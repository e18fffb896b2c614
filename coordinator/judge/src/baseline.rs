//! What a series usually takes, and how much its nights differ.

use std::collections::BTreeMap;

use crate::{
    Book, Policy,
    book::{Direction, Entry},
    stats::{median, robust_sigma},
    verdict::Numbers,
};

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
    /// A hit is at least this far away, a logarithm.
    pub detectable: f64,
}

impl Baseline {
    /// As the settled nights of a book show it; `None` before the first one.
    #[must_use]
    pub fn of(policy: &Policy, book: &Book) -> Option<Self> {
        let settled = last(book.settled(), policy.baseline_nights);
        let level = median(settled.iter().map(|entry| entry.level))?;
        let sigma = sigma(policy, book);
        let is_learning = settled.len() < policy.learning_nights;
        let shift = if is_learning {
            policy.learning_shift
        } else {
            policy.hit_shift
        };
        Some(Self {
            level,
            cycles: median(settled.iter().filter_map(|entry| entry.cycles)),
            sigma,
            nights: settled.len(),
            is_learning,
            detectable: shift.ln_1p().max(policy.hit_sigmas * sigma),
        })
    }

    /// Whither a level is beyond the gates.
    pub(crate) fn beyond(&self, level: f64) -> Option<Direction> {
        let shift = level - self.level;
        (shift.abs() > self.detectable).then(|| Direction::of(shift))
    }

    /// True for a level near enough to end an alarm.
    pub(crate) fn is_near(&self, policy: &Policy, level: f64) -> bool {
        let near = (policy.resolving_sigmas * self.sigma).max(policy.resolving_shift.ln_1p());
        (level - self.level).abs() <= near
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
            detectable: Some(self.detectable),
            ..Numbers::default()
        }
    }
}

/// The last nights of a list.
pub(crate) fn last(entries: &[Entry], nights: usize) -> &[Entry] {
    &entries[entries.len().saturating_sub(nights)..]
}

/// The spread of nights around their own segments' medians, over as many of the last settled nights as a baseline spans.
fn sigma(policy: &Policy, book: &Book) -> f64 {
    let settled = book.settled();
    let before = book.entries.len() - book.current().len();
    let known = book.entries[..before].iter().chain(settled);
    let mut levels: BTreeMap<u32, Vec<f64>> = BTreeMap::new();
    for entry in known.clone() {
        levels.entry(entry.segment).or_default().push(entry.level);
    }
    let usual: BTreeMap<u32, f64> = levels
        .into_iter()
        .filter_map(|(segment, levels)| Some((segment, median(levels)?)))
        .collect();
    let residuals: Vec<f64> = known
        .filter_map(|entry| Some(entry.level - usual.get(&entry.segment)?))
        .collect();
    let recent = &residuals[residuals.len().saturating_sub(policy.baseline_nights)..];
    robust_sigma(recent.iter().copied(), 0.0)
        .unwrap_or(0.0)
        .max(policy.least_sigma)
}
