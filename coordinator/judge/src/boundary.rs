//! S0: what a change of environment did. The nights before it are held against the first nights after it, paired by batch size, since a baseline of the new
//! environment is weeks away and the change is what an administrator asks about the morning after. A series alone cannot tell a driver from a bad night: `crossing`
//! asks its siblings too.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    Baseline, Book, Measurement, Policy, Step,
    book::{Direction, Entry, last},
    environment::Change,
    stats::median,
    step,
    verdict::Numbers,
};

/// What siblings with the same change do not show is most of all a bad night, or the first of several: it takes this many gates to count.
const AGAINST_SIBLINGS: f64 = 1.25;

/// A change of environment that is still being looked at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Boundary {
    /// What changed.
    pub changes: Vec<Change>,
    /// What was before.
    pub before: Before,
    /// The valid nights since, oldest first, and whither each was beyond the gate.
    pub nights: Vec<Option<Direction>>,
}

/// The nights before a boundary, as one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Before {
    /// Median logarithm of the time, seconds.
    pub level: f64,
    /// The same by batch size.
    #[serde(with = "crate::pairs")]
    pub log_seconds: BTreeMap<u32, f64>,
    /// Standard deviation of a night.
    pub sigma: f64,
    /// Valid nights.
    pub nights: usize,
    /// The usual step, where it is known.
    pub step: Option<Step>,
    /// Further away than this is beyond the gate.
    pub gate: f64,
    /// Night on which a shift began that was not yet confirmed when the environment changed, and whither.
    pub hit: Option<(u32, Direction)>,
}

/// One night beside what was before a boundary.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Look {
    /// Above what was before, paired by batch size.
    pub shift: Option<f64>,
    /// The same of the second measurement.
    pub again: Option<f64>,
    /// Both beyond the gate, and whither.
    pub beyond: Option<Direction>,
    /// Both beyond the gate of what is told the same night.
    pub is_far: bool,
    /// Both beyond the gate of what counts though the siblings have the same change and do not show it.
    pub is_apart: bool,
    /// The steps.
    pub step: step::Look,
    /// A second measurement would tell more.
    pub wants_again: bool,
    /// All of it in numbers.
    pub numbers: Numbers,
}

impl Before {
    /// The last nights of a book, tonight's not among them; `None` where too little is known. While a slowdown is open, its own nights are those before the boundary.
    pub(crate) fn of(policy: &Policy, book: &Book) -> Option<Self> {
        let baseline = Baseline::of(policy, book)?;
        let since = book.frozen_from();
        let open = since.map_or(&[][..], |since| {
            let current = book.current();
            &current[current.partition_point(|entry| entry.night < since)..]
        });
        let usual = if open.is_empty() {
            book.settled()
        } else {
            open
        };
        let usual = last(usual, policy.baseline_nights);
        let mut by_size: BTreeMap<u32, Vec<f64>> = BTreeMap::new();
        for (size, time) in usual.iter().flat_map(|entry| &entry.log_seconds) {
            by_size.entry(*size).or_default().push(*time);
        }
        let recent = book.last(policy.confirming_nights.saturating_sub(1));
        let hit = |entry: &Entry| {
            Some((
                entry.night,
                entry.hit.filter(|_| since.is_none())?.direction,
            ))
        };
        Some(Self {
            level: median(usual.iter().map(|entry| entry.level))?,
            log_seconds: by_size
                .into_iter()
                .filter_map(|(size, times)| Some((size, median(times)?)))
                .collect(),
            sigma: baseline.sigma,
            nights: usual.len(),
            step: step::usual(policy, book.settled()),
            gate: gate(policy, &baseline),
            hit: recent.iter().find_map(hit),
        })
    }

    pub(crate) fn look(
        &self,
        policy: &Policy,
        first: &Measurement,
        again: Option<&Measurement>,
    ) -> Look {
        let shift = self.paired(first);
        let shift_again = again.and_then(|again| self.paired(again));
        let both_beyond = |gate: f64| {
            let direction =
                |shift: Option<f64>| shift.filter(|it| it.abs() > gate).map(Direction::of);
            direction(shift).filter(|found| direction(shift_again) == Some(*found))
        };
        let far = policy.environment_far.ln_1p().max(self.gate);
        let step = step::Look::with(policy, self.step, first.step, again.map(|again| again.step));
        let is_suspect = shift.is_some_and(|shift| shift.abs() > self.gate);
        Look {
            shift,
            again: shift_again,
            beyond: both_beyond(self.gate),
            is_far: both_beyond(far).is_some(),
            is_apart: both_beyond(far.max(AGAINST_SIBLINGS * self.gate)).is_some(),
            step,
            wants_again: again.is_none()
                && (is_suspect || matches!(step, step::Look::Suspect { .. })),
            numbers: Numbers {
                level: first.level(),
                baseline: Some(self.level),
                sigma: Some(self.sigma),
                nights: self.nights,
                shift,
                shift_again,
                sigmas: shift.map(|shift| shift / self.sigma),
                gate: Some(self.gate),
                steps: self.step.map(|before| [before, first.step.plausible()]),
                ..Numbers::default()
            },
        }
    }

    /// Median over the batch sizes that both sides have of how far each is above its own; of the levels where they have none in common.
    fn paired(&self, measured: &Measurement) -> Option<f64> {
        let level = measured.level()?;
        let pairs = measured
            .log_seconds
            .iter()
            .filter_map(|(size, time)| Some(time - self.log_seconds.get(size)?));
        Some(median(pairs).unwrap_or(level - self.level))
    }
}

impl Boundary {
    pub(crate) fn new(changes: Vec<Change>, before: Before) -> Self {
        Self {
            changes,
            before,
            nights: Vec::new(),
        }
    }

    /// True once it has been looked at for as many nights as a confirmation may take.
    pub(crate) fn is_over(&self, policy: &Policy) -> bool {
        self.nights.len() >= policy.confirming_nights
    }

    /// Nights in this direction.
    pub(crate) fn count(&self, direction: Direction) -> usize {
        let same = |night: &&Option<Direction>| **night == Some(direction);
        self.nights.iter().filter(same).count()
    }
}

/// A change is at least this large: the policy's share, or what the spread of nights allows to be seen.
fn gate(policy: &Policy, baseline: &Baseline) -> f64 {
    let least = if baseline.is_learning {
        policy.learning_shift
    } else {
        policy.environment_shift
    };
    least.ln_1p().max(policy.hit_sigmas * baseline.sigma)
}
