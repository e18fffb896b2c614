//! What is known about one series: what it is to measure, and the rounds that were reported.

use std::{collections::BTreeMap, time::Duration};

use batchstep_proto::{
    domain::{
        AttemptOutcome, AttemptReport, Block, Device, Round, SweepSpec, VisitFailure, WorkerFacts,
    },
    ids::{SeriesId, SweepId},
    workload::WorkloadSpec,
};
use serde::{Deserialize, Serialize};

use super::budget::time_of;

/// What one series measures: one workload of a sweep on one device, or on several of one model that share its rounds.
#[derive(Debug, Clone, PartialEq)]
pub struct SeriesPlan {
    /// Derived from sweep, device and workload.
    pub id: SeriesId,
    /// The sweep it belongs to.
    pub sweep: SweepId,
    /// What was asked for.
    pub spec: SweepSpec,
    /// Which of the sweep's workloads.
    pub workload: WorkloadSpec,
    /// On what; of several devices the first by id.
    pub device: Device,
    /// Name of the device's host.
    pub hostname: String,
    /// CPU threads, settled when the series was made; `None` on GPUs.
    pub threads: Option<u32>,
    /// The further devices that share its rounds, by id; none where a device has a series of its own.
    pub others: Vec<PoolDevice>,
    /// Of these the ones that take no further part, by id, each with what keeps it from that; empty where a device has a series of its own.
    pub departed: BTreeMap<String, String>,
}

impl SeriesPlan {
    /// Ids of all devices that may measure its rounds, ascending.
    pub fn devices(&self) -> impl Iterator<Item = &str> {
        self.places().map(|(device, _)| device)
    }

    /// The same, each with the name of its host.
    pub fn places(&self) -> impl Iterator<Item = (&str, &str)> {
        let others = self.others.iter();
        let others = others.map(|other| (other.device.id.as_str(), other.hostname.as_str()));
        std::iter::once((self.device.id.as_str(), self.hostname.as_str())).chain(others)
    }

    /// Ids of the devices that may still measure its rounds, ascending.
    pub fn present(&self) -> impl Iterator<Item = &str> {
        self.devices()
            .filter(|device| !self.departed.contains_key(*device))
    }

    /// "takes no further part: .." of a device of which that is so, for people.
    #[must_use]
    pub fn departure(&self, device: &str) -> Option<String> {
        let reason = self.departed.get(device)?;
        Some(format!("takes no further part: {reason}"))
    }

    /// True when several devices share its rounds.
    #[must_use]
    pub const fn is_shared(&self) -> bool {
        !self.others.is_empty()
    }

    /// How many devices share its rounds; 0 where it has one of its own.
    #[must_use]
    pub fn shared_by(&self) -> u32 {
        match self.others.len() {
            0 => 0,
            others => u32::try_from(others).map_or(u32::MAX, |others| others.saturating_add(1)),
        }
    }
}

/// One of several devices that share a series, beside the first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PoolDevice {
    /// As its agent described it when the series was made.
    pub device: Device,
    /// Name of its host.
    pub hostname: String,
}

/// One round with all that was reported of it, by whichever attempts.
#[derive(Debug, Clone, PartialEq)]
pub struct RoundRecord {
    /// As it was assigned; the device is that of its latest attempt, which is the only one whose blocks are here.
    pub round: Round,
    /// Blocks in the order they were timed.
    pub blocks: Vec<Block>,
    /// Visits without a block.
    pub failures: Vec<VisitFailure>,
    /// Outcomes of its attempts, in order; the round is over when the last one is not retried.
    pub outcomes: Vec<(AttemptOutcome, String)>,
    /// What the worker told about its device.
    pub facts: Option<WorkerFacts>,
    /// Time in timed blocks.
    pub measuring: Duration,
    /// Time in warm-up.
    pub warm_up: Duration,
    /// All of the attempts' time.
    pub elapsed: Duration,
}

impl RoundRecord {
    /// A round of which nothing is reported yet.
    #[must_use]
    pub const fn new(round: Round) -> Self {
        Self {
            round,
            blocks: Vec::new(),
            failures: Vec::new(),
            outcomes: Vec::new(),
            facts: None,
            measuring: Duration::ZERO,
            warm_up: Duration::ZERO,
            elapsed: Duration::ZERO,
        }
    }

    /// True while nothing was found out, not even that a visit fails.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.blocks.is_empty() && self.failures.is_empty()
    }

    /// True once every visit has a block, of an attempt that finished; no other has brought anything.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        let has_finished = matches!(self.outcomes.as_slice(), [(AttemptOutcome::Finished, _)]);
        has_finished && self.failures.is_empty() && self.blocks.len() == self.round.visits.len()
    }

    /// True when nobody needs to be asked after this round, behind which `left` more are foreseen: it brought all it was asked for, and what is `remaining` of
    /// the budget pays for as many that take as long.
    #[must_use]
    pub fn is_as_foreseen(&self, left: u32, remaining: Duration) -> bool {
        self.is_complete() && time_of(self).saturating_mul(left) <= remaining
    }

    /// Adds a part of an attempt's report.
    pub fn add(&mut self, report: AttemptReport) {
        self.blocks.extend(report.blocks);
        self.failures.extend(report.failures);
        self.facts = report.facts.or(self.facts.take());
        self.measuring += report.measuring;
        self.warm_up += report.warm_up;
        self.elapsed += report.elapsed;
        if let Some(outcome) = report.outcome {
            self.outcomes.push((outcome, report.message));
        }
    }
}

/// The rounds of a series that are over, by index.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct History {
    /// Ascending by `round.index`; one that is still out may be missing.
    pub rounds: Vec<RoundRecord>,
}

impl History {
    /// All of it, with nothing assumed.
    pub(super) fn past(&self) -> Past<'_> {
        Past {
            rounds: self.rounds.iter().collect(),
        }
    }
}

/// The rounds that a plan follows from: those of a history, and with them those that are taken to be over.
#[derive(Debug, Clone)]
pub(super) struct Past<'a> {
    /// Ascending by `round.index`.
    pub rounds: Vec<&'a RoundRecord>,
}
