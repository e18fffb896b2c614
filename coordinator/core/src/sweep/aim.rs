//! The batch sizes that are brought to their required blocks: the whole window while the budget pays for that, else its lower part.
//!
//! Called by the planner before each round. Fewer batch sizes with enough blocks say more than many with too few, so the largest ones are given up
//! first; a pure function of the history, like everything here.

use std::{collections::BTreeMap, ops::RangeInclusive};

use batchstep_proto::domain::{BatchSizes, Strategy};

use super::{
    SeriesPlan,
    correct::Seen,
    cost::Costs,
    history::Past,
    rules::{DRIFTING_REPEATS, LEAST_WINDOW, OVERDRAFT_SHARE, required_rounds},
};

/// Share by which the estimate of what is missing may be too high, for each round after the next one.
const HOPE_PER_ROUND: f64 = 0.05;

/// What the planner works towards.
#[derive(Debug)]
pub(super) struct Aim {
    /// Blocks that count towards the required ones, by batch size.
    pub counts: BTreeMap<u32, u32>,
    /// Seconds of device time that may be used for them.
    pub payable: f64,
}

impl Aim {
    pub(super) fn of(
        plan: &SeriesPlan,
        past: &Past<'_>,
        seen: &Seen<'_, '_>,
        window: &[u32],
        costs: &Costs,
        reference: u32,
    ) -> Self {
        let required = required_rounds(&plan.spec);
        let budget = plan.spec.budget.as_secs_f64();
        let spent = past.spent().as_secs_f64();
        let left = (budget - spent).max(0.0);
        let overdrawn = (budget * (1.0 + OVERDRAFT_SHARE) - spent).max(0.0);
        let missing =
            |counts: &BTreeMap<u32, u32>| missing_seconds(counts, required, costs, reference);
        let counts = counts(seen, window, |steady| missing(steady) <= left);
        let first = |length: usize| -> BTreeMap<u32, u32> {
            counts
                .iter()
                .take(length)
                .map(|(&size, &count)| (size, count))
                .collect()
        };
        let fits = |length: usize, seconds: f64| missing(&first(length)) <= seconds;
        let all = counts.len();
        // Who lists batch sizes wants them all, unless told to choose.
        let chosen =
            plan.spec.batch_sizes == BatchSizes::Auto || plan.spec.strategy == Strategy::Adaptive;
        let (least, half, hoped) = if chosen {
            // Batch sizes given up too early are caught up apart from the others, which is worse than to give them up a little late.
            let blocks = counts.values().copied().min().unwrap_or(0);
            let rounds_ahead = required.saturating_sub(1 + blocks);
            let hoped = left * (1.0 + HOPE_PER_ROUND * f64::from(rounds_ahead));
            ((LEAST_WINDOW as usize).min(all), None, hoped)
        } else {
            (all, Some(all.div_ceil(2)), left)
        };
        let (length, payable) = if let Some(length) = longest(least..=all, |n| fits(n, hoped)) {
            (length, left)
        } else if fits(least, overdrawn) {
            (least, overdrawn)
        } else {
            // An answer about less than half of what was listed is none.
            let part = half.and_then(|half| longest(half..=all, |n| fits(n, left)));
            (part.unwrap_or(least), left)
        };
        Self {
            counts: first(length),
            payable,
        }
    }

    /// Ascending.
    pub(super) fn sizes(&self) -> Vec<u32> {
        self.counts.keys().copied().collect()
    }

    /// Blocks that every batch size has.
    pub(super) fn least(&self) -> u32 {
        self.counts.values().copied().min().unwrap_or(0)
    }

    /// The batch sizes with the fewest blocks, ascending.
    pub(super) fn behind(&self) -> Vec<u32> {
        let least = self.least();
        up_to(&self.counts, least)
    }
}

/// The longest length in range that fits, where whatever is shorter than one that fits does so too.
fn longest(lengths: RangeInclusive<usize>, fits: impl Fn(usize) -> bool) -> Option<usize> {
    let lengths: Vec<usize> = lengths.collect();
    lengths
        .partition_point(|&length| fits(length))
        .checked_sub(1)
        .map(|last| lengths[last])
}

fn up_to(counts: &BTreeMap<u32, u32>, most: u32) -> Vec<u32> {
    counts
        .iter()
        .filter(|&(_, &count)| count <= most)
        .map(|(&size, _)| size)
        .collect()
}

/// Device time until every batch size has its required blocks.
fn missing_seconds(
    counts: &BTreeMap<u32, u32>,
    required: u32,
    costs: &Costs,
    reference: u32,
) -> f64 {
    (0..required)
        .map(|done| costs.round(&up_to(counts, done), reference))
        .sum()
}

/// Blocks that count towards the required ones, for every batch size of `window`.
///
/// Blocks of the first drifting rounds do not count, so that these rounds are repeated, while what would then be missing is `payable`.
fn counts(
    seen: &Seen<'_, '_>,
    window: &[u32],
    payable: impl Fn(&BTreeMap<u32, u32>) -> bool,
) -> BTreeMap<u32, u32> {
    let steady = steady_counts(seen, window);
    if payable(&steady) {
        steady
    } else {
        counts_without(seen, window, &[])
    }
}

/// Blocks of every batch size of `window`, ascending, without those of the drifting rounds that are repeated.
pub(super) fn steady_counts(seen: &Seen<'_, '_>, window: &[u32]) -> BTreeMap<u32, u32> {
    let mut repeated = seen.drifting_rounds();
    repeated.truncate(DRIFTING_REPEATS);
    counts_without(seen, window, &repeated)
}

fn counts_without(seen: &Seen<'_, '_>, window: &[u32], repeated: &[u32]) -> BTreeMap<u32, u32> {
    let mut counts = vec![0; window.len()];
    for (round, batch_size) in seen.unthrottled() {
        if !repeated.contains(&round)
            && let Ok(place) = window.binary_search(&batch_size)
        {
            counts[place] += 1;
        }
    }
    window.iter().copied().zip(counts).collect()
}
