//! What to do next where a measurement allows no answer: the budget or the batch sizes that would. Called by `assess`; judges nothing.

use batchstep_proto::domain::VisitFailureKind;

use super::rows::SeriesResult;
use crate::sweep::{Next, as_option, comparable, next, sufficient_budget};

/// What to do about a cancelled series.
const CANCELLED: &str = "submit the same sweep again and let it finish";
/// What to do about one that had time left and ended, as when its agent was removed.
const CUT_SHORT: &str = "submit the same sweep again: this one ended before its budget was spent";

/// What to do when too little was measured.
pub(super) fn more_measuring(series: &SeriesResult<'_>) -> String {
    if !series.finished {
        return "wait: the sweep is not over".to_owned();
    }
    if series.cancelled {
        return CANCELLED.to_owned();
    }
    if was_cut_short(series) {
        return CUT_SHORT.to_owned();
    }
    let budget = sufficient_budget(series.plan, series.history)
        .unwrap_or_else(|| series.plan.spec.budget.saturating_mul(4));
    format!("give --budget {}", as_option(budget))
}

/// True where a series ended that the planner would have gone on with. What was measured elsewhere has no end to explain.
pub(super) fn was_cut_short(series: &SeriesResult<'_>) -> bool {
    let history = comparable(series.plan, series.history);
    series.message.is_some() && matches!(next(series.plan, &history), Next::Round(_))
}

/// What to do where already the smallest batch size asked for met a limit of time or memory, or the budget ended before it was timed; `None` where
/// something else went wrong.
pub(super) fn out_of_reach(series: &SeriesResult<'_>) -> Option<String> {
    let bound = series
        .history
        .rounds
        .iter()
        .flat_map(|record| &record.failures)
        .filter(|failure| failure.kind.bounds_the_sweep())
        .min_by_key(|failure| failure.batch_size);
    let Some(bound) = bound else {
        return sufficient_budget(series.plan, series.history).map(|_| more_measuring(series));
    };
    let smaller = bound.batch_size > 1;
    Some(match bound.kind {
        VisitFailureKind::TimeLimit => {
            // An iteration that was given up early may tell no budget that would do, and one at a smaller batch size, on the way, only a least one.
            match (sufficient_budget(series.plan, series.history), smaller) {
                (_, false) => more_measuring(series),
                (Some(budget), true) => format!(
                    "give at least --budget {}, or ask for --batch-sizes below {}",
                    as_option(budget),
                    bound.batch_size
                ),
                (None, true) => format!("ask for --batch-sizes below {}", bound.batch_size),
            }
        }
        _ if smaller => format!("ask for --batch-sizes below {}", bound.batch_size),
        _ => "choose a smaller workload, or a device with more memory".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::{super::rows, *};
    use crate::sweep::{
        History,
        simulator::{Simulator, plan, spec, staircase},
    };

    fn action(device: &Simulator<'_>) -> String {
        let plan = plan(spec("4096-8192:1024", 5), "SIM-a");
        let (history, _) = device.run(&plan);
        let result = SeriesResult {
            plan: &plan,
            history: &history,
            finished: true,
            cancelled: false,
            message: Some("out of reach"),
        };
        let row = rows(&[result], false).remove(0).row;
        assert_eq!(row.blocks, 0);
        row.next_action.unwrap()
    }

    #[test]
    fn a_range_that_takes_too_long_is_answered_with_a_budget_or_smaller_batch_sizes() {
        let said = action(&Simulator::new(|size| 1e-3 * f64::from(size)));
        assert!(
            said.starts_with("give at least --budget")
                && said.ends_with("or ask for --batch-sizes below 4096"),
            "{said}"
        );
    }

    #[test]
    fn a_series_that_had_time_left_is_to_be_measured_again() {
        let plan = plan(spec("1-32", 600), "SIM-a");
        let (mut history, _) = Simulator::new(staircase(8)).run(&plan);
        let advised = |history: &History| {
            let result = SeriesResult {
                plan: &plan,
                history,
                finished: true,
                cancelled: false,
                message: Some("its agent was removed"),
            };
            rows(&[result], false).remove(0).row.next_action
        };
        assert_ne!(advised(&history).as_deref(), Some(CUT_SHORT));
        history.rounds.truncate(3);
        assert_eq!(advised(&history).as_deref(), Some(CUT_SHORT));
    }

    #[test]
    fn a_range_that_needs_too_much_memory_is_answered_with_smaller_batch_sizes() {
        let mut device = Simulator::new(staircase(8));
        device.out_of_memory_at = 512;
        assert_eq!(action(&device), "ask for --batch-sizes below 4096");
    }
}
