//! The advice for one row: the batch sizes worth choosing, and the one asked about beside them.

use serde::Serialize;

use super::{
    curve::{Curve, REACH},
    facts::{SizeFacts, Source},
    memory::Memory,
    neighbours::{Near, Neighbour},
    rounds::Rounds,
};
use crate::steptable::{DetailedRow, Verdict};

/// Most batch sizes listed inside the measured range.
const MOST_LISTED: usize = 14;
/// Good batch sizes listed beyond it.
const EXTRAPOLATED_LISTED: usize = 2;
/// Batch sizes told that are good on every disputing device.
const MOST_COMMON: usize = 32;
/// Share of the best throughput from which on a batch size is past the knee.
const KNEE_SHARE: f64 = 0.95;
/// Difference in cost per sample that matters where there is no law with steps: below it lies the noise.
const COST_MATTERS: f64 = 0.01;

/// What is asked of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Question {
    /// The batch size one has in mind.
    pub near: Option<u32>,
    /// Bytes that the advised batches may need.
    pub at_most_memory: Option<u64>,
}

/// What the advice rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// A step: good batch sizes fill their last round.
    Step,
    /// No step: any batch size is as good as its neighbours.
    NoStep,
    /// Jumps without a period: what was measured, and no more.
    Irregular,
    /// The table has no answer; there is no advice.
    Nothing,
}

/// A limit of memory, and what it allows.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct MemoryLimit {
    /// As asked, bytes.
    pub at_most_bytes: u64,
    /// The largest batch size within it, no larger than the advice reaches; `null` where none fits.
    pub largest_batch_size: Option<u32>,
    /// How that is known.
    pub source: Option<Source>,
}

/// The advice.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Advice {
    /// What it rests on.
    pub basis: Basis,
    /// Smallest and largest batch size measured.
    pub measured_range: Option<[u32; 2]>,
    /// The largest batch size that is spoken of; larger ones would be guesses.
    pub reach: Option<u32>,
    /// The batch sizes to choose, ascending: beside the one asked about, or else the first near the best throughput and the best. Empty where none fits, or
    /// nothing is known.
    pub advised_batch_sizes: Vec<u32>,
    /// Batch sizes worth knowing, ascending: the good ones of a step, some of a device without, the measured ones that beat every smaller one else.
    pub batch_sizes: Vec<SizeFacts>,
    /// Of devices that dispute each other's step: batch sizes of the measured range that fill the last round on each of them, at most 32. Empty where one of
    /// them has no step.
    pub common_good_batch_sizes: Vec<u32>,
    /// Seconds that one sample more costs on average, over the upper half of the measured range.
    pub seconds_per_further_sample: Option<f64>,
    /// Of a device without a step: the batch size after which one more sample costs most beyond what the samples beside it cost, where that is 1 % of the
    /// time or more; a step that is too small on average can matter there.
    pub uneven_at: Option<u32>,
    /// The batch size asked about.
    pub near: Option<Near>,
    /// The limit of memory.
    pub memory_limit: Option<MemoryLimit>,
}

/// The table knows no memory, so that a limit of it cannot be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the blocks behind this row tell no peak memory, so what fits is not known")]
pub struct NoMemory;

/// Answers a question from one row with its points and curve.
///
/// # Errors
/// When a limit of memory is given and the row knows no memory.
pub fn advise(row: &DetailedRow, question: Question) -> Result<Advice, NoMemory> {
    let basis = match row.row.verdict {
        Verdict::Step if Rounds::of(&row.row).is_some() => Basis::Step,
        Verdict::NoStep => Basis::NoStep,
        Verdict::Irregular => Basis::Irregular,
        _ => Basis::Nothing,
    };
    let memory = Memory::of(&row.points);
    if question.at_most_memory.is_some() && memory.is_none() {
        return Err(NoMemory);
    }
    let curve = Curve::of(row).filter(|_| basis != Basis::Nothing);
    let reach = curve.as_ref().map(Curve::reach);
    let memory_limit = question.at_most_memory.map(|limit| {
        let most = reach
            .or(row.points.last().map(|point| point.batch_size))
            .unwrap_or(0)
            .min(
                row.row
                    .out_of_memory_at
                    .map_or(u32::MAX, |size| size.saturating_sub(1)),
            );
        let largest = memory
            .as_ref()
            .and_then(|memory| memory.largest_within(limit, most));
        MemoryLimit {
            at_most_bytes: limit,
            largest_batch_size: largest.map(|largest| largest.value),
            source: largest.map(|largest| largest.source),
        }
    });
    let mut advice = Advice {
        basis,
        measured_range: row
            .points
            .first()
            .zip(row.points.last())
            .map(|(first, last)| [first.batch_size, last.batch_size]),
        reach,
        advised_batch_sizes: Vec::new(),
        batch_sizes: Vec::new(),
        common_good_batch_sizes: common_good(row),
        seconds_per_further_sample: curve.as_ref().and_then(Curve::marginal_seconds),
        uneven_at: curve
            .as_ref()
            .filter(|_| basis == Basis::NoStep)
            .and_then(|curve| curve.uneven_at(COST_MATTERS)),
        near: None,
        memory_limit,
    };
    if let Some(curve) = &curve {
        let desk = Desk {
            row,
            basis,
            rounds: Rounds::of(&row.row),
            curve,
            memory: memory.as_ref(),
            limit: question.at_most_memory,
        };
        advice.batch_sizes = desk.listed();
        advice.near = question.near.map(|size| desk.near(size));
        advice.advised_batch_sizes = match &advice.near {
            Some(near) => desk.around(near),
            None => desk.best(&advice.batch_sizes),
        };
        if advice.advised_batch_sizes.is_empty() {
            advice.advised_batch_sizes = desk.last_resort(memory_limit);
        }
    }
    Ok(advice)
}

/// The batch sizes that are good on every device of a dispute about the step.
fn common_good(row: &DetailedRow) -> Vec<u32> {
    let answers = row
        .row
        .device_answers
        .iter()
        .filter(|answer| answer.verdict.is_answer());
    let rounds: Option<Vec<Rounds>> = answers
        .map(|answer| Rounds::new(answer.step?, answer.offset))
        .collect();
    let (Some(rounds), Some(last), Verdict::Disputed) =
        (rounds, row.points.last(), row.row.verdict)
    else {
        return Vec::new();
    };
    let Some((first, others)) = rounds.split_first() else {
        return Vec::new();
    };
    first
        .within(1, last.batch_size)
        .filter(|size| {
            others
                .iter()
                .all(|other| other.at_or_below(*size) == Some(*size))
        })
        .take(MOST_COMMON)
        .collect()
}

/// Everything at hand to answer from.
struct Desk<'a> {
    row: &'a DetailedRow,
    basis: Basis,
    rounds: Option<Rounds>,
    curve: &'a Curve,
    memory: Option<&'a Memory>,
    limit: Option<u64>,
}

impl Desk<'_> {
    fn facts(&self, size: u32) -> SizeFacts {
        let at = self.curve.at(size);
        let next = size.checked_add(1).and_then(|next| self.curve.at(next));
        let need = self.memory.and_then(|memory| memory.at(size));
        let cost = at.map(|at| at.value / f64::from(size));
        SizeFacts {
            batch_size: size,
            seconds: at.map(|at| at.value),
            seconds_source: at.map(|at| at.source),
            samples_per_second: cost.map(|cost| 1.0 / cost),
            cost_per_sample_over_best: cost
                .zip(self.curve.least_cost())
                .map(|(cost, least)| cost / least),
            next_sample_cost: at.zip(next).map(|(at, next)| next.value / at.value - 1.0),
            peak_memory_bytes: need.map(|need| need.value),
            peak_memory_source: need.map(|need| need.source),
            fits: self.fits(size, need.map(|need| need.value)),
        }
    }

    fn fits(&self, size: u32, need: Option<u64>) -> Option<bool> {
        if self
            .row
            .row
            .out_of_memory_at
            .is_some_and(|too_large| size >= too_large)
        {
            return Some(false);
        }
        let within = self.limit.zip(need).map(|(limit, need)| need <= limit);
        within.or_else(|| (size <= self.curve.last && self.limit.is_none()).then_some(true))
    }

    /// The first good batch size that is worth choosing: right of the launch-bound floor.
    fn first_good(&self) -> u32 {
        self.row
            .row
            .recommended_batch_sizes
            .first()
            .copied()
            .unwrap_or(self.curve.first)
    }

    fn listed(&self) -> Vec<SizeFacts> {
        let knee = self.row.row.knee_batch_size;
        let sizes: Vec<u32> = match (self.basis, self.rounds) {
            (Basis::Step, Some(rounds)) => {
                let good = rounds.within(self.first_good(), self.curve.last).collect();
                let beyond = rounds
                    .within(self.curve.last.saturating_add(1), self.curve.reach())
                    .take(EXTRAPOLATED_LISTED);
                thinned(good).into_iter().chain(beyond).collect()
            }
            (Basis::Irregular, _) => {
                let records = self.curve.records();
                thinned(records.into_iter().map(|(size, _)| size).collect())
            }
            _ => {
                let doubling = std::iter::successors(Some(1_u32), |size| size.checked_mul(2))
                    .take_while(|size| *size <= self.curve.last);
                let mut sizes: Vec<u32> = doubling
                    .chain(knee)
                    .chain([self.curve.first, self.curve.last])
                    .filter(|size| (self.curve.first..=self.curve.last).contains(size))
                    .collect();
                sizes.sort_unstable();
                sizes.dedup();
                sizes
            }
        };
        sizes.into_iter().map(|size| self.facts(size)).collect()
    }

    /// Without a batch size in mind: the first one near the best throughput, and the best.
    fn best(&self, listed: &[SizeFacts]) -> Vec<u32> {
        let eligible: Vec<&SizeFacts> = listed
            .iter()
            .filter(|facts| facts.fits != Some(false) && facts.batch_size <= self.curve.last)
            .collect();
        let rate = |facts: &&&SizeFacts| facts.samples_per_second.unwrap_or(0.0);
        let Some(best) = eligible
            .iter()
            .max_by(|one, other| rate(one).total_cmp(&rate(other)))
        else {
            return Vec::new();
        };
        let knee = eligible
            .iter()
            .find(|facts| rate(facts) >= KNEE_SHARE * rate(&best));
        let mut sizes: Vec<u32> = knee
            .into_iter()
            .chain([best])
            .map(|facts| facts.batch_size)
            .collect();
        sizes.dedup();
        sizes
    }

    /// Where no listed size fits: the largest one that does.
    fn last_resort(&self, limit: Option<MemoryLimit>) -> Vec<u32> {
        let Some(largest) = limit.and_then(|limit| limit.largest_batch_size) else {
            return Vec::new();
        };
        let good = self
            .rounds
            .filter(|_| self.basis == Basis::Step)
            .and_then(|rounds| rounds.at_or_below(largest));
        vec![good.unwrap_or(largest)]
    }

    fn near(&self, size: u32) -> Near {
        let facts = self.facts(size);
        let (below, above) = self.neighbours(size);
        let neighbour =
            |size: Option<u32>| size.map(|size| Neighbour::of(self.facts(size), &facts));
        Near {
            is_good: self
                .rounds
                .filter(|_| self.basis == Basis::Step)
                .map(|rounds| rounds.at_or_below(size) == Some(size)),
            unknown_because: facts.seconds.is_none().then(|| self.unknown(size)),
            below: neighbour(below),
            above: neighbour(above),
            facts,
        }
    }

    fn neighbours(&self, size: u32) -> (Option<u32>, Option<u32>) {
        match (self.basis, self.rounds) {
            (Basis::Step, Some(rounds)) => {
                let below = size
                    .checked_sub(1)
                    .and_then(|below| rounds.at_or_below(below))
                    .filter(|below| *below >= self.curve.first);
                // On the launch-bound floor every sample is free up to its end.
                let above = rounds.above(size).map(|above| above.max(self.first_good()));
                (below, above)
            }
            (Basis::Irregular, _) => (
                self.curve
                    .cheapest_within(size.div_ceil(2), size.saturating_sub(1)),
                self.curve
                    .cheapest_within(size.saturating_add(1), size.saturating_mul(2)),
            ),
            _ => {
                let knee = self.row.row.knee_batch_size;
                (
                    knee.filter(|knee| *knee < size),
                    knee.filter(|knee| *knee > size),
                )
            }
        }
    }

    /// The neighbours at which a sample costs less than at the size asked about, or that size itself.
    fn around(&self, near: &Near) -> Vec<u32> {
        let margin = if self.basis == Basis::Step {
            0.0
        } else {
            COST_MATTERS
        };
        let better: Vec<u32> = [&near.below, &near.above]
            .into_iter()
            .flatten()
            .filter(|neighbour| near.is_good != Some(true) && neighbour.is_better(margin))
            .map(|neighbour| neighbour.facts.batch_size)
            .collect();
        let fits = near.facts.fits != Some(false);
        match (better.is_empty(), &near.below) {
            (false, _) => better,
            (true, _) if fits && near.facts.seconds.is_some() => vec![near.facts.batch_size],
            // Too large: what is next below it and fits.
            (true, Some(below))
                if below.facts.fits != Some(false) && below.facts.seconds.is_some() =>
            {
                vec![below.facts.batch_size]
            }
            _ => Vec::new(),
        }
    }

    fn unknown(&self, size: u32) -> String {
        if size < self.curve.first {
            format!(
                "it lies below the smallest batch size measured, {}",
                self.curve.first
            )
        } else if size > self.curve.reach() {
            format!(
                "it is more than {REACH} times the largest batch size measured, {}; further than that nothing says that the law holds",
                self.curve.last
            )
        } else {
            "too few rounds were measured to continue them".to_owned()
        }
    }
}

/// At most [`MOST_LISTED`] of ascending sizes: the first, the last, and between them those nearest to equal ratios.
fn thinned(sizes: Vec<u32>) -> Vec<u32> {
    let (Some(&first), Some(&last)) = (sizes.first(), sizes.last()) else {
        return sizes;
    };
    if sizes.len() <= MOST_LISTED {
        return sizes;
    }
    let ratio = (f64::from(last) / f64::from(first)).powf(1.0 / (MOST_LISTED - 1) as f64);
    let mut kept: Vec<u32> = (0..MOST_LISTED)
        .filter_map(|place| {
            let wanted = f64::from(first) * ratio.powi(i32::try_from(place).unwrap_or(i32::MAX));
            sizes.iter().copied().min_by(|one, other| {
                let distance = |size: &u32| (f64::from(*size) / wanted).ln().abs();
                distance(one).total_cmp(&distance(other))
            })
        })
        .collect();
    kept.dedup();
    kept
}
