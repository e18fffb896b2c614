//! Looking ahead: which round to give out while others are still being measured.
//!
//! Called by `fleet` so that a device has its next round before the last one has reported, and so that several devices can share a series. The rounds that
//! are out are assumed to end as everything so far predicts; the planner then says what comes after them, and how far that holds whatever they bring. Where that is not known, as
//! in a probe, or would be the end, nothing is given out: the truth is waited for.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use batchstep_proto::domain::{
    AttemptOutcome, Block, Round, RoundKind, Strategy, Visit, VisitRole,
};

use super::{
    History, Next, RoundRecord, SeriesPlan,
    cost::Costs,
    history::Past,
    levels::Levels,
    plan::{Course, following},
    standing::Standing,
};

/// What to give out while other rounds are still being measured.
#[derive(Debug, Clone, PartialEq)]
pub struct Ahead {
    /// Follows those that are out, if they end as expected.
    pub round: Round,
    /// How many more like it, with the indices that follow, are wanted behind it. Where there are any, they and it are taken to be wanted whatever the rounds
    /// before them bring, as long as every visit of those is timed and they take no longer than expected: nobody needs to be asked before.
    pub further: u32,
}

/// The rounds that follow those of the history and those that are out; `None`: wait for them. `open` ascends by index and, with the history, has every
/// index up to its last.
#[must_use]
pub fn ahead(plan: &SeriesPlan, history: &History, open: &[&RoundRecord]) -> Option<Ahead> {
    if open.iter().any(|it| it.round.kind != RoundKind::Measure) {
        return None;
    }
    let mut past = history.past();
    let mut standing = Standing::of(plan, &past);
    let costs = Costs::of(plan, &past, &standing);
    let levels = Levels::of(plan, &past);
    let leveled = levels.leveled(&past);
    let latest = latest(&leveled.past(), open);
    let expected: Vec<RoundRecord> = open
        .iter()
        .map(|record| as_expected(plan, record, (&standing, &costs), (&latest, &levels)))
        .collect::<Option<_>>()?;
    let follow = match (past.rounds.last(), expected.first()) {
        (Some(last), Some(first)) => last.round.index < first.round.index,
        _ => true,
    };
    past.rounds.extend(&expected);
    if follow {
        expected.iter().for_each(|record| standing.add(record));
    } else {
        past.rounds.sort_by_key(|record| record.round.index);
        standing = Standing::of(plan, &past);
    }
    let Course { next, further } = following(plan, &past, &standing, true);
    match next {
        Next::Round(round) => Some(Ahead { round, further }),
        Next::Done(_) | Next::Failed(_) => None,
    }
}

/// The newest block of each batch size in each role.
type Latest<'a> = BTreeMap<(u32, VisitRole), &'a Block>;

/// As far as the rounds that are out ask for them.
fn latest<'a>(past: &Past<'a>, open: &[&RoundRecord]) -> Latest<'a> {
    let visits = open.iter().flat_map(|record| &record.round.visits);
    let mut asked: BTreeSet<(u32, VisitRole)> =
        visits.map(|visit| (visit.batch_size, visit.role)).collect();
    let mut latest = Latest::new();
    let blocks = past
        .rounds
        .iter()
        .rev()
        .flat_map(|record| record.blocks.iter().rev());
    for block in blocks {
        if asked.is_empty() {
            break;
        }
        let like = (block.batch_size, block.role);
        if asked.remove(&like) {
            latest.insert(like, block);
        }
    }
    latest
}

/// A round as it will have ended: what it has reported, and for every other visit the newest block like it, at the level of the round's device, or one of
/// the expected length. A batch size that crashed its worker does so again, and the round ends with it: what is given out meanwhile leaves it alone.
fn as_expected(
    plan: &SeriesPlan,
    record: &RoundRecord,
    (standing, costs): (&Standing, &Costs),
    (latest, levels): (&Latest<'_>, &Levels<'_>),
) -> Option<RoundRecord> {
    let mut expected = record.clone();
    let mut outcome = AttemptOutcome::Finished;
    for (position, visit) in (0_u32..).zip(&record.round.visits) {
        let is_over = record.blocks.iter().any(|block| block.visit == position)
            || record
                .failures
                .iter()
                .any(|failure| failure.visit == position);
        if is_over {
            continue;
        }
        if standing.crashes.contains_key(&visit.batch_size) {
            outcome = AttemptOutcome::Broken;
            break;
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
    expected.outcomes.push((outcome, String::new()));
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

#[cfg(test)]
mod tests {
    use batchstep_proto::domain;
    use proptest::prelude::*;

    use super::{
        super::{
            next,
            simulator::{Simulator, plan, spec},
        },
        *,
    };

    /// By the planner's usual way, on a history of its own.
    fn plain(plan: &SeriesPlan, history: &History, open: &[&RoundRecord]) -> Option<Round> {
        let past = history.past();
        let standing = Standing::of(plan, &past);
        let costs = Costs::of(plan, &past, &standing);
        let blocks = history.rounds.iter().flat_map(|record| &record.blocks);
        let latest = blocks
            .map(|block| ((block.batch_size, block.role), block))
            .collect();
        let levels = Levels::of(plan, &past);
        let mut expected = history.clone();
        for record in open {
            let record = as_expected(plan, record, (&standing, &costs), (&latest, &levels))?;
            expected.rounds.push(record);
        }
        expected.rounds.sort_by_key(|record| record.round.index);
        match next(plan, &expected) {
            Next::Round(round) => Some(round),
            Next::Done(_) | Next::Failed(_) => None,
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn what_is_assumed_counts_as_if_it_were_reported(
            step in 2..40_u32,
            noise in 0.0..0.05_f64,
            killed_every in prop_oneof![Just(0), 5..200_u32],
            budget in 5..200_u64,
            adaptive in any::<bool>(),
        ) {
            let mut spec = spec("1-20,24-96:4", budget);
            if adaptive {
                spec.strategy = domain::Strategy::Adaptive;
            }
            let plan = plan(spec, "SIM-a");
            let mut device = Simulator::new(|size| 1e-3 * (1.0 + f64::from(size.div_ceil(step))));
            (device.noise, device.killed_every) = (noise, killed_every);
            let (history, _) = device.run(&plan);
            let measures = |record: &&RoundRecord| record.round.kind == RoundKind::Measure;
            for record in history.rounds.iter().filter(measures) {
                let open = RoundRecord::new(record.round.clone());
                // Those before it are over, and, where another round has overtaken it, one behind it.
                for further in 0..2 {
                    let until = record.round.index + further;
                    let over = history.rounds.iter().filter(|other| other.round.index <= until);
                    let over = over.filter(|other| other.round.index != record.round.index);
                    let past = History { rounds: over.cloned().collect() };
                    let planned = ahead(&plan, &past, &[&open]).map(|it| it.round);
                    prop_assert_eq!(planned, plain(&plan, &past, &[&open]));
                }
            }
        }
    }
}
