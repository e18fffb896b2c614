//! Time spent, time left, and the budget that would do.
//!
//! Called by the planner, by progress displays and by `steptable` for its advice. Time is the device's: what attempts took, warm-up and
//! overhead included.

use std::time::Duration;

use batchstep_proto::domain::BatchSizes;

use super::{
    History, RoundRecord, SeriesPlan,
    cost::Costs,
    range,
    rules::{ITERATION_SHARE_OF_BUDGET, PROBE_SHARE_OF_BUDGET, required_rounds},
    standing::Standing,
};

/// An automatic window of this many batch sizes shows most steps.
const USEFUL_WINDOW: u32 = 32;
/// What a suggested budget adds to its estimate.
const RESERVE: f64 = 1.25;
/// Suggested budgets, seconds; above the last one whole hours.
const ROUND_BUDGETS_SECONDS: [u64; 14] = [
    10, 20, 30, 60, 120, 180, 300, 480, 600, 900, 1200, 1800, 2700, 3600,
];

/// Device time of one round.
pub(super) fn time_of(record: &RoundRecord) -> Duration {
    record.elapsed.max(record.measuring + record.warm_up)
}

/// Device time the series has used.
#[must_use]
pub fn spent(history: &History) -> Duration {
    history.rounds.iter().map(time_of).sum()
}

/// Device time the series may still use: an upper bound of what it will, since it stops early once the precision is reached.
#[must_use]
pub fn remaining(plan: &SeriesPlan, history: &History) -> Duration {
    plan.spec.budget.saturating_sub(spent(history))
}

/// A budget that would pay for the required rounds, rounded up to one that people write; `None` before anything was timed.
#[must_use]
pub fn sufficient_budget(plan: &SeriesPlan, history: &History) -> Option<Duration> {
    let standing = Standing::of(history);
    if standing.probed.is_empty() && standing.measured.is_empty() {
        return None;
    }
    let costs = Costs::of(plan, history, &standing);
    let window = useful_window(plan, &standing);
    let reference = range::reference(&costs, &window)?;
    let rounds = f64::from(required_rounds(&plan.spec));
    let pass = costs.round(&window, reference);
    let largest = costs.seconds_per_iteration(*window.last()?);
    let seconds = (pass * rounds * RESERVE / (1.0 - PROBE_SHARE_OF_BUDGET))
        .max(largest * RESERVE / ITERATION_SHARE_OF_BUDGET)
        .max(plan.spec.budget.as_secs_f64() * RESERVE);
    Some(Duration::from_secs(presentable(seconds)))
}

/// What a sufficient budget pays for: all that is listed, or the smallest automatic window worth having; limits of time do not count, those of
/// memory do.
fn useful_window(plan: &SeriesPlan, standing: &Standing) -> Vec<u32> {
    let sizes = match &plan.spec.batch_sizes {
        BatchSizes::Listed(sizes) => sizes.clone(),
        BatchSizes::Auto => (1..=USEFUL_WINDOW).collect(),
    };
    sizes
        .into_iter()
        .filter(|&size| standing.usable(size) || standing.out_of_time(size))
        .collect()
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
