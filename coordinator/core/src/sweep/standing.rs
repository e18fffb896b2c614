//! Where the batch sizes of a series stand: timed, out of memory, failing, quarantined.
//!
//! Read off the history by the planner before each round; decides nothing.

use std::collections::{BTreeMap, BTreeSet};

use batchstep_proto::domain::{AttemptOutcome, RoundKind, VisitFailureKind, VisitRole};

use super::{
    History, RoundRecord, SeriesPlan,
    history::Past,
    rules::{
        CRASHES_TO_QUARANTINE, EMPTY_ROUNDS_TO_FAIL, ERRORS_OF_ONE_TO_LEAVE_OUT,
        ERRORS_TO_LEAVE_OUT, STOPPED_ROUNDS_TO_FAIL,
    },
};

/// The batch size at which a limit was met.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Bound {
    /// Samples; this and everything above is out of reach.
    pub batch_size: u32,
    /// Which limit.
    pub kind: VisitFailureKind,
    /// What the worker said.
    pub message: String,
    /// What an iteration takes at most, seconds, where time is the limit and nothing else was run in that round.
    pub seconds: Option<f64>,
}

/// Visits to one batch size that failed in themselves.
#[derive(Debug, Default)]
pub(super) struct Errors {
    count: u32,
    /// How the last one did.
    message: String,
    /// On which devices; told apart where several share the series.
    devices: BTreeSet<String>,
}

/// Broken rounds in which one batch size was in work.
#[derive(Debug, Default)]
pub(super) struct Crashes {
    count: u32,
    /// The devices, of several that share the series, on which one of the rounds had not a single block. That may be the device's fault: it counts once.
    empty_on: BTreeSet<String>,
}

/// What the history says about each batch size.
#[derive(Debug, Default)]
pub(super) struct Standing {
    /// How many devices share the series; 0 where it has one of its own.
    shared_by: u32,
    /// The devices that timed a batch size, where several share the series.
    timed_on: BTreeMap<u32, BTreeSet<String>>,
    /// Seconds per iteration of the first probe block.
    pub probed: BTreeMap<u32, f64>,
    /// Seconds per iteration of every measuring block, raw.
    pub measured: BTreeMap<u32, Vec<f64>>,
    /// Iterations of the first block in a measuring round, by batch size and whether it was a reference.
    pub iterations: BTreeMap<(u32, bool), u32>,
    /// The smallest batch size that met a limit.
    pub bound: Option<Bound>,
    /// Visits that failed in themselves.
    errors: BTreeMap<u32, Errors>,
    /// Batch sizes that were in work in broken rounds, since they last had a block: workers also die for reasons of their own.
    pub crashes: BTreeMap<u32, Crashes>,
}

/// The batch sizes of a series that are left out because they crashed the worker again, ascending.
#[must_use]
pub fn quarantined(plan: &SeriesPlan, history: &History) -> Vec<u32> {
    Standing::of(plan, &history.past()).quarantined_sizes()
}

/// Which batch sizes are quarantined, for people; `None` where none is.
#[must_use]
pub fn quarantine_note(batch_sizes: &[u32]) -> Option<String> {
    let (first, others) = batch_sizes.split_first()?;
    let (sizes, was, which) = if others.is_empty() {
        ("batch size", "was", "it")
    } else {
        ("batch sizes", "were", "each")
    };
    let others: String = others.iter().map(|size| format!(", {size}")).collect();
    Some(format!(
        "{sizes} {first}{others} {was} left out: the worker crashed at {which} again"
    ))
}

impl Standing {
    pub(super) fn of(plan: &SeriesPlan, past: &Past<'_>) -> Self {
        let mut standing = Self {
            shared_by: plan.shared_by(),
            ..Self::default()
        };
        for record in &past.rounds {
            standing.add(record);
        }
        standing
    }

    /// Goes on with the round that follows.
    pub(super) fn add(&mut self, record: &RoundRecord) {
        for block in &record.blocks {
            let seconds = block.seconds_per_iteration();
            let reference = block.role == VisitRole::Reference;
            self.crashes.remove(&block.batch_size);
            if self.shared_by > 0 {
                let devices = self.timed_on.entry(block.batch_size).or_default();
                note(devices, &record.round.device_id);
            }
            if record.round.kind == RoundKind::Measure {
                self.iterations
                    .entry((block.batch_size, reference))
                    .or_insert(block.iterations);
            }
            match block.role {
                VisitRole::Measure => self
                    .measured
                    .entry(block.batch_size)
                    .or_default()
                    .push(seconds),
                VisitRole::Probe => {
                    self.probed.entry(block.batch_size).or_insert(seconds);
                }
                VisitRole::Reference => {}
            }
        }
        for failure in &record.failures {
            if !failure.kind.bounds_the_sweep() {
                let errors = self.errors.entry(failure.batch_size).or_default();
                errors.count += 1;
                errors.message.clone_from(&failure.message);
                note(&mut errors.devices, &record.round.device_id);
            } else if self
                .bound
                .as_ref()
                .is_none_or(|bound| failure.batch_size < bound.batch_size)
            {
                self.bound = Some(Bound {
                    batch_size: failure.batch_size,
                    kind: failure.kind,
                    message: failure.message.clone(),
                    seconds: too_long_for(record, failure.kind),
                });
            }
        }
        if let Some(batch_size) = in_work_at_the_crash(record) {
            let crashes = self.crashes.entry(batch_size).or_default();
            let may_be_the_device = self.shared_by > 0 && record.blocks.is_empty();
            if !may_be_the_device || note(&mut crashes.empty_on, &record.round.device_id) {
                crashes.count += 1;
            }
        }
    }

    /// True once a batch size has crashed its worker too often.
    pub(super) fn quarantined(&self, batch_size: u32) -> bool {
        self.crashes
            .get(&batch_size)
            .is_some_and(|crashes| crashes.count >= CRASHES_TO_QUARANTINE)
    }

    /// The batch sizes that have, ascending.
    pub(super) fn quarantined_sizes(&self) -> Vec<u32> {
        let crashing = self.crashes.keys().copied();
        crashing.filter(|size| self.quarantined(*size)).collect()
    }

    /// True when a limit, crashes or errors rule a batch size out.
    pub(super) fn usable(&self, batch_size: u32) -> bool {
        !self.quarantined(batch_size)
            && self.below_bound(batch_size)
            && !self.fails(batch_size, ERRORS_TO_LEAVE_OUT)
    }

    /// True when a probe need not visit a batch size again, since that fails.
    pub(super) fn fails_in_probe(&self, batch_size: u32) -> bool {
        self.fails(batch_size, 1)
    }

    /// True when visits to a batch size failed at least so often, and not for the sake of a single device of several: what one of those cannot do, another
    /// may, unless nobody else takes it.
    fn fails(&self, batch_size: u32, times: u32) -> bool {
        let errors = self.errors.get(&batch_size);
        let Some(errors) = errors.filter(|errors| errors.count >= times) else {
            return false;
        };
        if self.shared_by == 0 {
            return true;
        }
        let timed = self.timed_on.get(&batch_size);
        let elsewhere = timed.is_some_and(|on| !on.is_subset(&errors.devices));
        let patience = ERRORS_OF_ONE_TO_LEAVE_OUT.saturating_mul(self.shared_by);
        !elsewhere && (errors.devices.len() > 1 || errors.count >= patience)
    }

    /// True when nothing but the time an iteration takes keeps a batch size from being measured.
    pub(super) fn out_of_time(&self, batch_size: u32) -> bool {
        !self.below_bound(batch_size)
            && self
                .bound
                .as_ref()
                .is_some_and(|bound| bound.kind == VisitFailureKind::TimeLimit)
    }

    /// True below every limit that was met.
    pub(super) fn below_bound(&self, batch_size: u32) -> bool {
        self.bound
            .as_ref()
            .is_none_or(|bound| batch_size < bound.batch_size)
    }

    /// The message of the last error, for a series in which nothing else happened.
    pub(super) fn last_error(&self) -> Option<&str> {
        self.errors
            .values()
            .next_back()
            .map(|errors| errors.message.as_str())
    }
}

/// Adds a device to a set of them; false: it was there.
fn note(devices: &mut BTreeSet<String>, device: &str) -> bool {
    !devices.contains(device) && devices.insert(device.to_owned())
}

/// The time of an iteration over the limit, from above: all the warm-up of a round without blocks.
fn too_long_for(record: &RoundRecord, kind: VisitFailureKind) -> Option<f64> {
    let limit = record.round.timing.iteration_limit?;
    (kind == VisitFailureKind::TimeLimit && record.blocks.is_empty())
        .then(|| record.warm_up.max(limit).as_secs_f64())
}

/// The last message of the rounds at the end of the history, when too many in a row ended without a block. Rounds that were stopped count apart: they
/// say nothing about the device. Where several devices share the series, one that fails at everything must not end it: each has as many.
pub(super) fn gives_up(plan: &SeriesPlan, past: &Past<'_>) -> Option<String> {
    let outcome = |record: &RoundRecord| record.outcomes.last().map(|(outcome, _)| *outcome);
    let is_empty = |record: &&&RoundRecord| {
        record.blocks.is_empty()
            && record.failures.is_empty()
            && outcome(record) != Some(AttemptOutcome::Finished)
    };
    let last = || past.rounds.iter().rev().take_while(is_empty);
    let empty = last().count();
    let stopped = last()
        .filter(|record| outcome(record) == Some(AttemptOutcome::Stopped))
        .count();
    let devices = plan.devices().count();
    let fails = empty - stopped >= EMPTY_ROUNDS_TO_FAIL * devices;
    (fails || stopped >= STOPPED_ROUNDS_TO_FAIL * devices).then(|| {
        let message = past
            .rounds
            .iter()
            .rev()
            .take(empty)
            .flat_map(|record| record.outcomes.iter().rev())
            .map(|(_, message)| message.as_str())
            .find(|message| !message.is_empty())
            .unwrap_or("no reason was reported");
        format!("{empty} rounds in a row ended without a single block; the last: {message}")
    })
}

/// The first visit without a result in a round whose worker died or was over time.
fn in_work_at_the_crash(record: &RoundRecord) -> Option<u32> {
    let (outcome, _) = record.outcomes.last()?;
    if !matches!(outcome, AttemptOutcome::Broken | AttemptOutcome::TimedOut) {
        return None;
    }
    let done: BTreeSet<u32> = record
        .blocks
        .iter()
        .map(|block| block.visit)
        .chain(record.failures.iter().map(|failure| failure.visit))
        .collect();
    record
        .round
        .visits
        .iter()
        .zip(0_u32..)
        .find(|(_, position)| !done.contains(position))
        .map(|(visit, _)| visit.batch_size)
}
