//! Time spent, time left, and the budget that would do.
//!
//! Called by the planner, by progress displays and by `steptable` for its advice. Time is the device's: what attempts took, warm-up and
//! overhead included.

use std::{collections::BTreeSet, fmt, ops::RangeInclusive, time::Duration};

use batchstep_proto::domain::{AttemptOutcome, BatchSizes, Strategy, VisitFailureKind};

use super::{
    History, RoundRecord, SeriesPlan,
    cost::Costs,
    history::Past,
    range,
    rules::{
        ITERATION_SHARE_OF_BUDGET, LEAST_WINDOW, PROBE_SHARE_OF_BUDGET, WARM_UP_SHARE_OF_BUDGET,
        required_rounds,
    },
    standing::Standing,
};

/// Batch sizes of an automatic window that a suggested budget pays for: the most within [`PATIENCE_SECONDS`], else the fewest. 32 show most steps.
const USEFUL_WINDOW: RangeInclusive<u32> = 16..=32;
/// A budget above this is not suggested for a wider window.
const PATIENCE_SECONDS: f64 = 300.0;
/// What a suggested budget adds to its estimate.
const RESERVE: f64 = 1.25;
/// Suggested budgets, seconds; above the last one whole hours.
const ROUND_BUDGETS_SECONDS: [u64; 14] = [
    10, 20, 30, 60, 120, 180, 300, 480, 600, 900, 1200, 1800, 2700, 3600,
];

/// Device time of one round. Where it was ended because it was over time, only what it measured counts: a worker that hangs for a minute must not
/// spend a budget of half a minute, and how often a series waits for one is bounded by its quarantine.
pub(super) fn time_of(record: &RoundRecord) -> Duration {
    let worked = record.measuring + record.warm_up;
    match record.outcomes.last() {
        Some((AttemptOutcome::TimedOut, _)) => worked,
        _ => record.elapsed.max(worked),
    }
}

/// Device time the series has used.
#[must_use]
pub fn spent(history: &History) -> Duration {
    history.past().spent()
}

/// Device time the series may still use: an upper bound of what it will, since it stops early once the precision is reached.
#[must_use]
pub fn remaining(plan: &SeriesPlan, history: &History) -> Duration {
    history.past().remaining(plan)
}

impl Past<'_> {
    /// Device time the series will have used.
    pub(super) fn spent(&self) -> Duration {
        self.rounds.iter().map(|record| time_of(record)).sum()
    }

    /// Device time the series may then still use.
    pub(super) fn remaining(&self, plan: &SeriesPlan) -> Duration {
        plan.spec.budget.saturating_sub(self.spent())
    }
}

/// A budget that would pay for the required rounds, rounded up to one that people write; `None` before anything was timed.
#[must_use]
pub fn sufficient_budget(plan: &SeriesPlan, history: &History) -> Option<Duration> {
    let past = history.past();
    sufficient(plan, &past, &Standing::of(plan, &past))
}

/// The same for the planner, which knows where the batch sizes stand.
pub(super) fn sufficient(
    plan: &SeriesPlan,
    past: &Past<'_>,
    standing: &Standing,
) -> Option<Duration> {
    let costs = Costs::of(plan, past, standing);
    if costs.know_nothing() {
        return None;
    }
    let seconds = |sizes: Vec<u32>| {
        // Limits of time do not count here, those of memory do.
        let window: Vec<u32> = sizes
            .into_iter()
            .filter(|&size| standing.usable(size) || standing.out_of_time(size))
            .collect();
        seconds_for(plan, &costs, &window)
    };
    let seconds = match &plan.spec.batch_sizes {
        BatchSizes::Listed(sizes) => seconds(sizes.clone())?,
        BatchSizes::Auto => USEFUL_WINDOW
            .rev()
            .filter_map(|largest| seconds((1..=largest).collect()))
            .find(|&seconds| seconds <= PATIENCE_SECONDS)
            .or_else(|| seconds((1..=*USEFUL_WINDOW.start()).collect()))?,
    };
    let more_than_now = plan.spec.budget.as_secs_f64() * RESERVE;
    Some(Duration::from_secs(presentable(seconds.max(more_than_now))))
}

/// The budget whose shares pay for the required rounds over `window`, for the device's warm-up, and for a probe that reaches the window's end.
fn seconds_for(plan: &SeriesPlan, costs: &Costs, window: &[u32]) -> Option<f64> {
    let reference = range::reference(costs, window)?;
    let rounds = f64::from(required_rounds(&plan.spec));
    let measuring = costs.round(window, reference) * rounds * RESERVE;
    let largest = costs.seconds_per_iteration(*window.last()?);
    Some(
        (measuring / (1.0 - PROBE_SHARE_OF_BUDGET - WARM_UP_SHARE_OF_BUDGET))
            .max(largest * RESERVE / ITERATION_SHARE_OF_BUDGET),
    )
}

/// Batch sizes that the budget did not pay for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeftOut {
    /// The smallest of them.
    pub from: u32,
    /// Which others are.
    pub extent: Extent,
}

/// How much of what was asked for the budget did not pay for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// All that is larger.
    Above,
    /// Single ones, which the last round did not come to in its random order.
    Single,
    /// Most of the list: what has its blocks is what the last round came to.
    Most,
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let from = self.from;
        match self.extent {
            Extent::Above => write!(f, "batch sizes from {from} on take too long for the budget"),
            Extent::Single => write!(
                f,
                "the budget was spent before every batch size had its blocks, {from} being the smallest without"
            ),
            Extent::Most => write!(
                f,
                "the batch sizes asked for do not fit into the budget, not even the smallest, {from}: a larger --budget is needed, or fewer or smaller batch sizes"
            ),
        }
    }
}

/// The batch sizes for whose required blocks the budget did not pay, where others have theirs and it is not by choice: those of a list, or those above
/// the limit of time that left an automatic window too narrow.
#[must_use]
pub fn left_out(plan: &SeriesPlan, history: &History) -> Option<LeftOut> {
    omitted(plan, &Standing::of(plan, &history.past()))
}

/// The same for the planner, which knows where the batch sizes stand.
pub(super) fn omitted(plan: &SeriesPlan, standing: &Standing) -> Option<LeftOut> {
    let required = required_rounds(&plan.spec) as usize;
    let measured = standing.measured.iter();
    let settled: BTreeSet<u32> = measured
        .filter(|(_, blocks)| blocks.len() >= required)
        .map(|(size, _)| *size)
        .collect();
    let smallest = *settled.first()?;
    match &plan.spec.batch_sizes {
        BatchSizes::Listed(sizes) => {
            // An adaptive sweep leaves most out because they do not matter.
            let is_wanted =
                |size: &u32| plan.spec.strategy == Strategy::Dense && standing.usable(*size);
            let from = sizes.iter().copied().find(|size| {
                !settled.contains(size) && (is_wanted(size) || standing.out_of_time(*size))
            })?;
            let wanted = sizes.iter().filter(|size| is_wanted(size)).count();
            let extent = if from > smallest {
                Extent::Above
            } else if settled.len() * 2 < wanted {
                Extent::Most
            } else {
                Extent::Single
            };
            Some(LeftOut { from, extent })
        }
        BatchSizes::Auto => standing
            .bound
            .as_ref()
            .filter(|bound| {
                bound.kind == VisitFailureKind::TimeLimit && settled.len() < LEAST_WINDOW as usize
            })
            .map(|bound| LeftOut {
                from: bound.batch_size,
                extent: Extent::Above,
            }),
    }
}

fn presentable(seconds: f64) -> u64 {
    ROUND_BUDGETS_SECONDS
        .into_iter()
        .find(|&budget| budget as f64 >= seconds)
        .unwrap_or_else(|| (seconds / 3600.0).ceil() as u64 * 3600)
}

/// A duration as `--budget` takes it: `90s`, `3m`, `2h`.
#[must_use]
pub fn as_option(budget: Duration) -> String {
    match budget.as_secs() {
        seconds if seconds % 3600 == 0 => format!("{}h", seconds / 3600),
        seconds if seconds % 60 == 0 => format!("{}m", seconds / 60),
        seconds => format!("{seconds}s"),
    }
}
