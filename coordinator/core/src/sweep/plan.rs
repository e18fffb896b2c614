//! The planner: from what is known of a series to its next round, or to its end.
//!
//! A pure function that `fleet` calls whenever a round is over, and again after a restart. First an ascending probe finds the range; then rounds
//! visit the least measured batch sizes first until each has the required blocks; then the points that still matter are refined until they are
//! precise or the budget is spent.

use std::collections::BTreeMap;

use batchstep_proto::domain::{BatchSizes, Round, RoundKind, VisitFailureKind};

use super::{
    History, SeriesPlan,
    budget::{as_option, remaining, sufficient_budget},
    correct::correct,
    cost::Costs,
    range, refine,
    rounds::{self, ordered},
    rules::{MOST_REPEATS, ROUND_LEAST_SECONDS, ROUND_MOST_SECONDS, required_rounds},
    standing::{self, Standing},
};

/// The first visit may cost this many times what is left of a budget that is too small for it.
const DISPROPORTION: f64 = 2.0;

/// What to do next.
#[derive(Debug, Clone, PartialEq)]
#[expect(
    clippy::large_enum_variant,
    reason = "one exists at a time, and mostly it is a round"
)]
pub enum Next {
    /// Measure this.
    Round(Round),
    /// Nothing: the series has what it can get.
    Done(Conclusion),
    /// Nothing: the series cannot go on; the message says why.
    Failed(String),
}

/// Why a series is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conclusion {
    /// In a word.
    pub reason: ConclusionReason,
    /// For people: what was reached, and what to do where that is not enough.
    pub message: String,
}

/// The ways in which a series ends well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConclusionReason {
    /// Every batch size that matters is as precise as was asked for.
    PrecisionReached,
    /// The next visit would go over the budget.
    BudgetSpent,
    /// No batch size is left that can be measured.
    RangeExhausted,
    /// More blocks would no longer help.
    RepeatsExhausted,
}

/// The next round of a series, with the index that follows its history.
#[must_use]
pub fn next(plan: &SeriesPlan, history: &History) -> Next {
    let standing = Standing::of(history);
    if let Some(message) = standing::gives_up(history) {
        return Next::Failed(message);
    }
    let index = u32::try_from(history.rounds.len()).unwrap_or(u32::MAX);
    let unprobed = range::unprobed(plan, &standing);
    if !unprobed.is_empty() {
        return if remaining(plan, history).is_zero() {
            done(
                ConclusionReason::BudgetSpent,
                spent_message(plan, history, &standing),
            )
        } else {
            Next::Round(rounds::probe(plan, index, &unprobed))
        };
    }
    if standing.probed.is_empty() {
        return nothing_timed(plan, &standing);
    }
    let window = range::window(plan, history, &standing);
    let costs = Costs::of(plan, history, &standing);
    let Some(reference) = reference(history, &standing, &costs, &window) else {
        return match standing.last_error() {
            Some(message) if standing.measured.is_empty() => {
                Next::Failed(format!("every batch size failed: {message}"))
            }
            _ => done(
                ConclusionReason::RangeExhausted,
                "no batch size is left that the device can run".to_owned(),
            ),
        };
    };
    let left = remaining(plan, history).as_secs_f64();
    let wanted = match wanted(plan, history, &standing, &costs, &window, reference) {
        Ok(wanted) => wanted,
        Err(conclusion) => return Next::Done(with_omissions(plan, history, &standing, conclusion)),
    };
    let sizes = fitted(plan, index, &standing, &costs, &wanted, reference, left);
    if sizes.is_empty() {
        return done(
            ConclusionReason::BudgetSpent,
            spent_message(plan, history, &standing),
        );
    }
    Next::Round(rounds::measure(plan, index, &sizes, reference, &costs))
}

/// Batch sizes to visit next, and how often each at most.
pub(super) struct Wanted {
    /// Ascending.
    pub sizes: Vec<u32>,
    /// Repetitions that are of use within one round.
    pub repeats: u32,
}

fn wanted(
    plan: &SeriesPlan,
    history: &History,
    standing: &Standing,
    costs: &Costs,
    window: &[u32],
    reference: u32,
) -> Result<Wanted, Conclusion> {
    let required = required_rounds(&plan.spec);
    let counts = refine::counts(plan, history, window, |sizes| costs.round(sizes, reference));
    let least = counts.values().copied().min().unwrap_or(0);
    if least < required {
        return Ok(Wanted {
            sizes: sizes_with(&counts, least),
            repeats: required - least,
        });
    }
    let sizes = refine::refined(plan, history, standing, costs, window, reference)?;
    let sizes: Vec<u32> = sizes
        .into_iter()
        .filter(|size| counts.get(size).is_none_or(|&count| count < MOST_REPEATS))
        .collect();
    if sizes.is_empty() {
        return Err(Conclusion {
            reason: ConclusionReason::RepeatsExhausted,
            message: format!(
                "every batch size has {MOST_REPEATS} blocks and the noise does not let the precision of {} % be reached; ask for less with --precision",
                plan.spec.precision * 100.0
            ),
        });
    }
    Ok(Wanted { sizes, repeats: 3 })
}

fn sizes_with(counts: &BTreeMap<u32, u32>, count: u32) -> Vec<u32> {
    counts
        .iter()
        .filter(|&(_, &n)| n == count)
        .map(|(&size, _)| size)
        .collect()
}

/// The order of visits: a part of a long pass, one pass, or several short ones, within what is left of the budget.
fn fitted(
    plan: &SeriesPlan,
    index: u32,
    standing: &Standing,
    costs: &Costs,
    wanted: &Wanted,
    reference: u32,
    left: f64,
) -> Vec<u32> {
    let pass = costs.round(&wanted.sizes, reference);
    // Parts of one length rather than a long one and a rest.
    let part = pass / (pass / ROUND_MOST_SECONDS).ceil().max(1.0) * 1.05;
    let passes = if pass > 0.0 {
        (ROUND_LEAST_SECONDS / pass)
            .ceil()
            .clamp(1.0, f64::from(wanted.repeats.max(1))) as u32
    } else {
        1
    };
    let mut sizes = Vec::new();
    for pass in 0..passes {
        sizes.extend(ordered(
            plan,
            index.wrapping_mul(64).wrapping_add(pass),
            wanted.sizes.clone(),
        ));
    }
    // What crashed its worker once comes last, so that a second crash costs nothing else.
    let (mut order, suspects): (Vec<u32>, Vec<u32>) = sizes
        .into_iter()
        .partition(|size| !standing.crashes.contains_key(size));
    order.extend(suspects);
    let limit = if passes == 1 {
        part.max(ROUND_LEAST_SECONDS)
    } else {
        f64::INFINITY
    };
    let affordable = costs.affordable(&order, reference, left);
    if affordable == 0 {
        // A budget that pays for no visit pays for one all the same, so that there is something to show, unless that would be out of proportion.
        let cheapest = order
            .into_iter()
            .min_by(|&a, &b| costs.visit(a, false).total_cmp(&costs.visit(b, false)))
            .filter(|&size| costs.visit(size, false) <= left * DISPROPORTION);
        return cheapest
            .filter(|_| standing.measured.is_empty())
            .into_iter()
            .collect();
    }
    order.truncate(affordable.min(costs.affordable(&order, reference, limit).max(1)));
    order
}

/// The reference of earlier rounds while it can be used, else a new one.
fn reference(history: &History, standing: &Standing, costs: &Costs, window: &[u32]) -> Option<u32> {
    history
        .rounds
        .iter()
        .rev()
        .filter(|record| record.round.kind == RoundKind::Measure)
        .find_map(|record| record.round.reference_batch_size)
        .filter(|&size| standing.usable(size))
        .or_else(|| range::reference(costs, window))
        .filter(|_| !window.is_empty())
}

/// The end of a series whose probe did not time anything.
fn nothing_timed(plan: &SeriesPlan, standing: &Standing) -> Next {
    match (&standing.bound, standing.last_error()) {
        (Some(bound), _) if bound.kind == VisitFailureKind::TimeLimit => done(
            ConclusionReason::BudgetSpent,
            format!(
                "one iteration at batch size {} is too long for the budget ({}); give --budget {}",
                bound.batch_size,
                bound.message,
                as_option(plan.spec.budget.saturating_mul(4))
            ),
        ),
        (Some(bound), _) => done(
            ConclusionReason::RangeExhausted,
            format!(
                "batch size {}, the smallest allowed, does not fit into memory: {}",
                bound.batch_size, bound.message
            ),
        ),
        (None, Some(message)) => Next::Failed(format!("every batch size failed: {message}")),
        (None, None) => Next::Failed(
            "the device's worker died at every batch size that was tried; `batchstep-agent doctor` on its host tells more"
                .to_owned(),
        ),
    }
}

/// Adds to a conclusion that listed batch sizes were left out because of the time they take.
fn with_omissions(
    plan: &SeriesPlan,
    history: &History,
    standing: &Standing,
    mut conclusion: Conclusion,
) -> Conclusion {
    let omitted = match &plan.spec.batch_sizes {
        BatchSizes::Listed(sizes) => sizes.iter().find(|&&size| standing.out_of_time(size)),
        BatchSizes::Auto => None,
    };
    if let (Some(omitted), Some(budget)) = (omitted, sufficient_budget(plan, history)) {
        conclusion.message.push_str(&format!(
            "; batch sizes from {omitted} on take too long for the budget, give --budget {}",
            as_option(budget)
        ));
    }
    conclusion
}

fn spent_message(plan: &SeriesPlan, history: &History, standing: &Standing) -> String {
    let required = required_rounds(&plan.spec);
    let window = range::window(plan, history, standing);
    let observations = correct(plan, history).observations();
    let least = window
        .iter()
        .map(|size| {
            observations
                .iter()
                .filter(|observation| observation.batch_size == *size)
                .count()
        })
        .min()
        .unwrap_or(0);
    if least >= required as usize {
        return "the budget is spent; the precision asked for was not reached everywhere"
            .to_owned();
    }
    let advice = sufficient_budget(plan, history)
        .map(|budget| format!("; give --budget {}", as_option(budget)))
        .unwrap_or_default();
    format!("the budget is spent after {least} rounds of the {required} needed{advice}")
}

pub(super) fn done(reason: ConclusionReason, message: String) -> Next {
    Next::Done(Conclusion { reason, message })
}
