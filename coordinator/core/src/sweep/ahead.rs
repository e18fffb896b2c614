//! Looking ahead: which round to give out while others are still being measured.
//!
//! Called by `fleet` so that a device has its next round before the last one has reported, and so that several devices can share a series. The rounds that
//! are out are assumed to end as everything so far predicts; the planner then says what comes after them. Where that is not known, as in a probe, or would be the end,
//! nothing is given out: the truth is waited for.

use std::{collections::BTreeMap, time::Duration};

use batchstep_proto::domain::{
    AttemptOutcome, Block, Round, RoundKind, Strategy, Visit, VisitRole,
};

use super::{
    History, Next, RoundRecord, SeriesPlan, cost::Costs, levels::Levels, next, standing::Standing,
};

/// The round that follows those of the history and those that are out; `None`: wait for them. `open` ascends by index and, with the history, has every
/// index up to its last.
#[must_use]
pub fn ahead(plan: &SeriesPlan, history: &History, open: &[&RoundRecord]) -> Option<Round> {
    let standing = Standing::of(history);
    let costs = Costs::of(plan, history, &standing);
    let levels = Levels::of(plan, history);
    let leveled = levels.leveled(history);
    let latest = latest(&leveled);
    let mut expected = history.clone();
    for record in open {
        if record.round.kind != RoundKind::Measure {
            return None;
        }
        expected
            .rounds
            .push(as_expected(plan, record, &costs, (&latest, &levels))?);
    }
    expected.rounds.sort_by_key(|record| record.round.index);
    match next(plan, &expected) {
        Next::Round(round) => Some(round),
        Next::Done(_) | Next::Failed(_) => None,
    }
}

/// The newest block of each batch size in each role.
type Latest<'a> = BTreeMap<(u32, VisitRole), &'a Block>;

fn latest(history: &History) -> Latest<'_> {
    history
        .rounds
        .iter()
        .flat_map(|record| &record.blocks)
        .map(|block| ((block.batch_size, block.role), block))
        .collect()
}

/// A round as it will have ended: what it has reported, and for every other visit the newest block like it, at the level of the round's device, or one of
/// the expected length.
fn as_expected(
    plan: &SeriesPlan,
    record: &RoundRecord,
    costs: &Costs,
    (latest, levels): (&Latest<'_>, &Levels<'_>),
) -> Option<RoundRecord> {
    let mut expected = record.clone();
    for (position, visit) in (0_u32..).zip(&record.round.visits) {
        let is_over = record.blocks.iter().any(|block| block.visit == position)
            || record
                .failures
                .iter()
                .any(|failure| failure.visit == position);
        if is_over {
            continue;
        }
        let block = match latest.get(&(visit.batch_size, visit.role)) {
            Some(&block) => Block {
                visit: position,
                started_after: expected.elapsed,
                ..levels.on(&record.round.device_id, block)
            },
            // Only a dense sweep wants the same whatever a first block shows.
            None if plan.spec.strategy == Strategy::Dense => {
                estimated(position, visit, costs, expected.elapsed)?
            }
            None => return None,
        };
        let seconds = costs.visit(visit.batch_size, visit.role == VisitRole::Reference);
        expected.elapsed += Duration::try_from_secs_f64(seconds).ok()?;
        expected.measuring += block.elapsed;
        expected.blocks.push(block);
    }
    expected
        .outcomes
        .push((AttemptOutcome::Finished, String::new()));
    Some(expected)
}

/// A block of which only the batch size was chosen so far.
fn estimated(
    position: u32,
    visit: &Visit,
    costs: &Costs,
    started_after: Duration,
) -> Option<Block> {
    let iterations = visit.iterations?;
    let seconds = costs.seconds_per_iteration(visit.batch_size) * f64::from(iterations);
    let elapsed = Duration::try_from_secs_f64(seconds).ok()?;
    (!elapsed.is_zero()).then_some(Block {
        visit: position,
        batch_size: visit.batch_size,
        role: visit.role,
        iterations,
        elapsed,
        device_elapsed: None,
        started_after,
        warm_up_iterations: 0,
        warm_up: Duration::ZERO,
        foreign_cores: None,
        peak_memory_bytes: None,
        temperature_celsius: None,
        power_watts: None,
        sm_clock_mhz: None,
        throttle_reasons: None,
        foreign_processes: None,
    })
}
