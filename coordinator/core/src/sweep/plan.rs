//! The planner: from what is known of a series to its next round, or to its end.
//!
//! A pure function that `fleet` calls whenever a round is over and it did not say beforehand what follows, and again after a restart. First an ascending probe finds the range. Then the adaptive
//! strategy says which batch sizes matter, for as long as the budget pays for them. Otherwise, and in a dense sweep, rounds visit the least measured
//! batch sizes first until each has the required blocks; then the points that still matter are refined until they are precise or the budget is spent.

use std::cell::LazyCell;

use batchstep_proto::domain::{Round, RoundKind, Strategy, VisitFailureKind, VisitOrder};

use super::{
    History, SeriesPlan,
    adaptive::{self, Ask, Missing, Situation},
    aim::{self, Aim},
    budget::{as_option, omitted, sufficient},
    correct::{Corrected, Seen},
    cost::Costs,
    history::Past,
    range, refine,
    rounds::{self, ordered},
    rules::{MOST_REPEATS, ROUND_LEAST_SECONDS, ROUND_MOST_SECONDS, required_rounds},
    standing::{self, Standing},
};

/// The first visit may cost this many times what is left of a budget that is too small for it.
const DISPROPORTION: f64 = 2.0;
/// Passes over imprecise points before their precision is looked at again.
const REFINING_PASSES: usize = 3;
/// Share of the rest of a budget that rounds may take before the planner is asked again: a device that becomes twice as slow meanwhile can still pay for them.
const FORESEEN_SHARE: f64 = 0.5;

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

/// A plan with what it implies.
pub(super) struct Course {
    /// What to do next.
    pub next: Next,
    /// How many more rounds like that one are taken to be wanted behind it whatever it and they bring, as long as every visit of theirs is timed.
    pub further: u32,
}

impl From<Next> for Course {
    fn from(next: Next) -> Self {
        Self { next, further: 0 }
    }
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
    /// Nothing that could still be measured would change the verdict, and what is reported of it is precise.
    VerdictSettled,
}

/// The next round of a series, with the index that follows its history.
#[must_use]
pub fn next(plan: &SeriesPlan, history: &History) -> Next {
    let past = history.past();
    following(plan, &past, &Standing::of(plan, &past), false).next
}

/// What comes after `past`, in which the batch sizes stand so, and with `foresight` how far that holds.
pub(super) fn following(
    plan: &SeriesPlan,
    past: &Past<'_>,
    standing: &Standing,
    foresight: bool,
) -> Course {
    let mut course = course(plan, past, standing, foresight);
    if let Next::Done(conclusion) = &mut course.next
        && let Some(note) = standing::quarantine_note(&standing.quarantined_sizes())
    {
        conclusion.message.push_str("; ");
        conclusion.message.push_str(&note);
    }
    course
}

fn course(plan: &SeriesPlan, past: &Past<'_>, standing: &Standing, foresight: bool) -> Course {
    if let Some(message) = standing::gives_up(plan, past) {
        return Next::Failed(message).into();
    }
    let index = u32::try_from(past.rounds.len()).unwrap_or(u32::MAX);
    let unprobed = range::unprobed(plan, standing);
    if !unprobed.is_empty() {
        let next = if past.remaining(plan).is_zero() {
            Next::Done(spent_with(plan, past, standing, 0))
        } else {
            Next::Round(rounds::probe(plan, index, &unprobed))
        };
        return next.into();
    }
    if standing.probed.is_empty() {
        return nothing_timed(plan, past, standing).into();
    }
    let window = range::window(plan, past, standing);
    let costs = Costs::of(plan, past, standing);
    let Some(reference) = reference(past, standing, &costs, &window) else {
        let next = match standing.last_error() {
            Some(message) if standing.measured.is_empty() => {
                Next::Failed(format!("every batch size failed: {message}"))
            }
            _ => done(
                ConclusionReason::RangeExhausted,
                "no batch size is left that the device can run".to_owned(),
            ),
        };
        return next.into();
    };
    let seen = Seen::of(plan, past);
    // Learning the drift is most of what a plan costs, and matters only once the times decide.
    let corrected = LazyCell::new(|| seen.corrected(plan));
    let (mut aimed, mut certain) = (window, true);
    if adaptive::applies(plan, &aimed) {
        let counts = aim::steady_counts(&seen, &aimed);
        let situation = Situation::of(plan, &aimed, &counts, || corrected.observations());
        let ask = match situation.ask() {
            Ask::Enough { why, step } => {
                match wider(plan, past, standing, &costs, &aimed, reference) {
                    Some(look) if !step => Ask::Measure(look),
                    _ => return Next::Done(with_omissions(plan, past, standing, why)).into(),
                }
            }
            ask => ask,
        };
        if let Ask::Measure(missing) = ask {
            let payable = past.remaining(plan).as_secs_f64();
            let with_least = situation.with_least(&missing);
            if costs.passes(&adaptive::passes(&with_least), reference) <= payable {
                let wanted = Wanted {
                    passes: adaptive::passes(&missing),
                    certain: 0,
                    payable,
                };
                let sizes = fitted(plan, index, standing, &costs, &wanted, reference);
                let round = rounds::measure(plan, index, &sizes, reference, &costs);
                return Next::Round(round).into();
            }
            // What is left does not pay for it: complete what was begun, the smallest batch sizes first.
            (aimed, certain) = (situation.begun(), false);
        }
    }
    let aim = Aim::of(plan, past, &seen, &aimed, &costs, reference);
    let corrected = || &*corrected;
    let wanted = match wanted(
        plan,
        past,
        (&seen, corrected),
        standing,
        &costs,
        &aim,
        (reference, foresight),
    ) {
        Ok(wanted) => wanted,
        Err(_) if !certain => {
            return Next::Done(spent_with(plan, past, standing, aim.least())).into();
        }
        Err(conclusion) => {
            return Next::Done(with_omissions(plan, past, standing, conclusion)).into();
        }
    };
    let sizes = fitted(plan, index, standing, &costs, &wanted, reference);
    if sizes.is_empty() {
        return Next::Done(spent_with(plan, past, standing, aim.least())).into();
    }
    Course {
        further: further(&sizes, standing, &costs, &wanted, reference),
        next: Next::Round(rounds::measure(plan, index, &sizes, reference, &costs)),
    }
}

/// How many rounds like one that visits `sizes` are certainly wanted behind it.
fn further(
    sizes: &[u32],
    standing: &Standing,
    costs: &Costs,
    wanted: &Wanted,
    reference: u32,
) -> u32 {
    let pass = wanted.passes.first().map_or(0, Vec::len);
    let is_whole = pass > 0 && sizes.len().is_multiple_of(pass);
    if !is_whole || !standing.crashes.is_empty() {
        return 0;
    }
    let payable = wanted.payable * FORESEEN_SHARE / costs.round(sizes, reference);
    let certain = wanted.certain / (sizes.len() / pass) as u32;
    certain.min(payable as u32).saturating_sub(1)
}

/// The first look into a wider range than `window`, where the budget pays for it and what would follow.
fn wider(
    plan: &SeriesPlan,
    past: &Past<'_>,
    standing: &Standing,
    costs: &Costs,
    window: &[u32],
    reference: u32,
) -> Option<Missing> {
    let wider = range::widened(plan, standing, window);
    let (look, all) = adaptive::look_into(window, &wider, required_rounds(&plan.spec));
    let price = costs.passes(&adaptive::passes(&all), reference);
    (!look.is_empty() && price <= past.remaining(plan).as_secs_f64()).then_some(look)
}

/// Batch sizes to visit next, and how often each at most.
pub(super) struct Wanted {
    /// The batch sizes of each pass that is of use within one round, ascending; no pass holds what the one before does not.
    pub passes: Vec<Vec<u32>>,
    /// How many passes over the batch sizes of the first are taken to be wanted whatever they bring; 0 where that cannot be said.
    pub certain: u32,
    /// Seconds of device time the round may take.
    pub payable: f64,
}

fn wanted<'c, 'a: 'c>(
    plan: &SeriesPlan,
    past: &Past<'_>,
    (seen, corrected): (&Seen<'_, '_>, impl FnOnce() -> &'c Corrected<'a>),
    standing: &Standing,
    costs: &Costs,
    aim: &Aim,
    (reference, foresight): (u32, bool),
) -> Result<Wanted, Conclusion> {
    let required = required_rounds(&plan.spec);
    // What an adaptive sweep wants may change with every round, and the ascending order leaves nothing for a further one.
    let is_steady =
        plan.spec.strategy == Strategy::Dense && plan.spec.visit_order == VisitOrder::Random;
    if aim.least() < required {
        let behind = aim.behind();
        let missing = required - aim.least();
        let are_even = behind.len() == aim.counts.len();
        // Where the budget may not last, each round may be the one that shows how much of the window it pays for.
        let all = f64::from(missing) * costs.round(&behind, reference);
        let is_certain = is_steady && are_even && all <= aim.payable * FORESEEN_SHARE;
        return Ok(Wanted {
            certain: if is_certain { missing } else { 0 },
            passes: vec![behind; missing as usize],
            payable: aim.payable,
        });
    }
    let window = aim.sizes();
    let lacking = match plan.spec.strategy {
        Strategy::Dense => seen.surely_lacking(&window, plan.spec.precision, foresight),
        Strategy::Adaptive => None,
    };
    let sizes = if lacking.is_some() {
        window
    } else {
        let corrected = corrected();
        refine::refined(plan, past, corrected, standing, costs, &window, reference)?
    };
    let count = |size: &u32| aim.counts.get(size).copied().unwrap_or(0);
    let sizes: Vec<u32> = sizes
        .into_iter()
        .filter(|size| count(size) < MOST_REPEATS)
        .collect();
    let Some(most) = sizes.iter().map(count).max() else {
        return Err(Conclusion {
            reason: ConclusionReason::RepeatsExhausted,
            message: format!(
                "the batch sizes that matter have {MOST_REPEATS} blocks and the noise does not let the precision of {} % be reached; ask for less with --precision",
                plan.spec.precision * 100.0
            ),
        });
    };
    let certain = lacking.filter(|_| is_steady).unwrap_or(0);
    Ok(Wanted {
        passes: vec![sizes; REFINING_PASSES],
        certain: certain.min(MOST_REPEATS - most),
        payable: past.remaining(plan).as_secs_f64(),
    })
}

/// The order of visits: a part of a long pass, one pass, or several short ones, within what may be paid for it; in ascending order all that is payable,
/// the blocks of each batch size in a row.
fn fitted(
    plan: &SeriesPlan,
    index: u32,
    standing: &Standing,
    costs: &Costs,
    wanted: &Wanted,
    reference: u32,
) -> Vec<u32> {
    let Some(first) = wanted.passes.first() else {
        return Vec::new();
    };
    if plan.spec.visit_order == VisitOrder::Ascending {
        return (1..=MOST_REPEATS as usize)
            .rev()
            .map(|passes| ordered(plan, index, &vec![first.clone(); passes]))
            .find(|order| costs.affordable(order, reference, wanted.payable) == order.len())
            .unwrap_or_default();
    }
    let pass = costs.round(first, reference);
    // Parts of one length rather than a long one and a rest.
    let parts = (pass / ROUND_MOST_SECONDS).ceil();
    let mut passes = 0;
    let mut seconds = 0.0;
    while passes < wanted.passes.len() && (passes == 0 || seconds < ROUND_LEAST_SECONDS) {
        seconds += costs.round(&wanted.passes[passes], reference);
        passes += 1;
    }
    let sizes = ordered(plan, index, &wanted.passes[..passes]);
    // What crashed its worker once comes last, so that a second crash costs nothing else.
    let (mut order, suspects): (Vec<u32>, Vec<u32>) = sizes
        .into_iter()
        .partition(|size| !standing.crashes.contains_key(size));
    order.extend(suspects);
    let limit = if parts > 1.0 {
        pass / parts * 1.05
    } else {
        f64::INFINITY
    };
    let affordable = costs.affordable(&order, reference, wanted.payable);
    if affordable == 0 {
        // A budget that pays for no visit pays for one all the same, so that there is something to show, unless that would be out of proportion.
        let cheapest = order
            .into_iter()
            .min_by(|&a, &b| costs.visit(a, false).total_cmp(&costs.visit(b, false)))
            .filter(|&size| costs.visit(size, false) <= wanted.payable * DISPROPORTION);
        return cheapest
            .filter(|_| standing.measured.is_empty())
            .into_iter()
            .collect();
    }
    order.truncate(affordable.min(costs.affordable(&order, reference, limit).max(1)));
    order
}

/// The reference of earlier rounds while it can be used, else a new one.
fn reference(past: &Past<'_>, standing: &Standing, costs: &Costs, window: &[u32]) -> Option<u32> {
    past.rounds
        .iter()
        .rev()
        .filter(|record| record.round.kind == RoundKind::Measure)
        .find_map(|record| record.round.reference_batch_size)
        .filter(|&size| standing.usable(size))
        .or_else(|| range::reference(costs, window))
        .filter(|_| !window.is_empty())
}

/// The end of a series whose probe did not time anything.
fn nothing_timed(plan: &SeriesPlan, past: &Past<'_>, standing: &Standing) -> Next {
    match (&standing.bound, standing.last_error()) {
        (Some(bound), _) if bound.kind == VisitFailureKind::TimeLimit => done(
            ConclusionReason::BudgetSpent,
            format!(
                "one iteration at batch size {} is too long for the budget ({}){}",
                bound.batch_size,
                bound.message,
                advice(plan, past, standing)
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

/// The end of a budget that brought every batch size to `least` blocks.
fn spent_with(plan: &SeriesPlan, past: &Past<'_>, standing: &Standing, least: u32) -> Conclusion {
    let required = required_rounds(&plan.spec);
    let conclusion = |message: String| Conclusion {
        reason: ConclusionReason::BudgetSpent,
        message,
    };
    if least >= required {
        let (message, advised) = match plan.spec.strategy {
            Strategy::Adaptive => ("the budget is spent before the verdict was certain", true),
            Strategy::Dense => (
                "the budget is spent; the precision asked for was not reached everywhere",
                false,
            ),
        };
        let mut end = with_omissions(plan, past, standing, conclusion(message.to_owned()));
        // What was left out brings its own advice.
        if advised && omitted(plan, standing).is_none() {
            end.message.push_str(&advice(plan, past, standing));
        }
        return end;
    }
    conclusion(format!(
        "the budget is spent after {least} of the {required} measuring rounds needed{}",
        advice(plan, past, standing)
    ))
}

/// Adds to a conclusion that batch sizes were left out because of the time they take.
fn with_omissions(
    plan: &SeriesPlan,
    past: &Past<'_>,
    standing: &Standing,
    mut conclusion: Conclusion,
) -> Conclusion {
    if let Some(left_out) = omitted(plan, standing) {
        conclusion
            .message
            .push_str(&format!("; {left_out}{}", advice(plan, past, standing)));
    }
    conclusion
}

fn advice(plan: &SeriesPlan, past: &Past<'_>, standing: &Standing) -> String {
    sufficient(plan, past, standing)
        .map(|budget| format!("; give --budget {}", as_option(budget)))
        .unwrap_or_default()
}

pub(super) fn done(reason: ConclusionReason, message: String) -> Next {
    Next::Done(Conclusion { reason, message })
}
