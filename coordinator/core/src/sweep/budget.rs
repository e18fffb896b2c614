//! Time spent, time left, and the budget that would do.
//!
//! Called by the planner, by progress displays and by `steptable` for its advice. Time is the device's: what attempts took, warm-up and
//! overhead included.

use std::time::Duration;

use super::{
    History, RoundRecord, SeriesPlan,
    cost::Costs,
    range,
    rules::{LEAST_WINDOW, PROBE_SHARE_OF_BUDGET, required_rounds},
    standing::Standing,
};

/// An automatic window of this many batch sizes shows most steps.
const USEFUL_WINDOW: usize = 2 * LEAST_WINDOW as usize;
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
    let mut window = range::window(plan, history, &standing);
    if plan.spec.batch_sizes == batchstep_proto::domain::BatchSizes::Auto {
        window.truncate(USEFUL_WINDOW);
        while window.len() < USEFUL_WINDOW {
            let next = window.last().copied().unwrap_or(0) + 1;
            if !standing.below_bound(next) {
                break;
            }
            window.push(next);
        }
    }
    let reference = range::reference(&costs, &window)?;
    let rounds = f64::from(required_rounds(&plan.spec));
    let seconds =
        costs.round(&window, reference) * rounds * RESERVE / (1.0 - PROBE_SHARE_OF_BUDGET);
    Some(Duration::from_secs(presentable(
        seconds.max(plan.spec.budget.as_secs_f64() * RESERVE),
    )))
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
