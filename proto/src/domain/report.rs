//! What an agent reports of an attempt, in parts.

use std::time::Duration;

use prost::Message as _;
use sha2::{Digest as _, Sha256};

use super::{
    Block, InvalidField, VisitFailure, WorkerFacts,
    convert::{at_most, nanos, parsed, text},
};
use crate::{
    ids::{AttemptId, RoundId},
    limits, wire,
};

/// What an attempt came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AttemptOutcome {
    /// Every visit has its block or its failure.
    Finished,
    /// The worker died or lost its device.
    Broken,
    /// Stopped because the coordinator asked, the agent drained, or the agent was restarted: no fault of the device or the batch size.
    Stopped,
    /// Over the round's time limit.
    TimedOut,
    /// Could not start; nothing ran.
    Refused,
}

impl AttemptOutcome {
    /// Its number on the wire.
    #[must_use]
    pub const fn to_wire(self) -> i32 {
        (match self {
            Self::Finished => wire::AttemptOutcome::Finished,
            Self::Broken => wire::AttemptOutcome::Broken,
            Self::Stopped => wire::AttemptOutcome::Stopped,
            Self::TimedOut => wire::AttemptOutcome::TimedOut,
            Self::Refused => wire::AttemptOutcome::Refused,
        }) as i32
    }

    /// Reads its number from the wire.
    ///
    /// # Errors
    /// When the number is unspecified or unknown.
    pub fn from_wire(number: i32) -> Result<Self, InvalidField> {
        match wire::AttemptOutcome::try_from(number) {
            Ok(wire::AttemptOutcome::Finished) => Ok(Self::Finished),
            Ok(wire::AttemptOutcome::Broken) => Ok(Self::Broken),
            Ok(wire::AttemptOutcome::Stopped) => Ok(Self::Stopped),
            Ok(wire::AttemptOutcome::TimedOut) => Ok(Self::TimedOut),
            Ok(wire::AttemptOutcome::Refused) => Ok(Self::Refused),
            _ => Err(InvalidField::new(
                "report.outcome",
                format!("{number} is not an outcome"),
            )),
        }
    }
}

/// A part of an attempt's result. Parts of one attempt hold disjoint blocks; the last one has an outcome.
#[derive(Debug, Clone, PartialEq)]
pub struct AttemptReport {
    /// The attempt it is of.
    pub attempt: AttemptId,
    /// Its round.
    pub round: RoundId,
    /// Counts the parts from 0.
    pub part: u32,
    /// What it came to; `None` in all parts but the last.
    pub outcome: Option<AttemptOutcome>,
    /// Why it did not finish; empty when it did.
    pub message: String,
    /// Blocks since the last part.
    pub blocks: Vec<Block>,
    /// Failures since the last part.
    pub failures: Vec<VisitFailure>,
    /// What the worker knows about its device; absent when none came up.
    pub facts: Option<WorkerFacts>,
    /// Time in timed blocks, in this part.
    pub measuring: Duration,
    /// Time in warm-up, in this part.
    pub warm_up: Duration,
    /// All of the time this part covers.
    pub elapsed: Duration,
}

impl AttemptReport {
    /// SHA-256 over an encoded report: with the attempt id the key that makes reporting idempotent.
    #[must_use]
    pub fn digest(report: &wire::AttemptReport) -> [u8; 32] {
        Sha256::digest(report.encode_to_vec()).into()
    }
}

impl TryFrom<wire::AttemptReport> for AttemptReport {
    type Error = InvalidField;

    fn try_from(report: wire::AttemptReport) -> Result<Self, InvalidField> {
        Ok(Self {
            attempt: parsed("report.attempt_id", &report.attempt_id)?,
            round: parsed("report.round_id", &report.round_id)?,
            part: report.part,
            outcome: report
                .r#final
                .then(|| AttemptOutcome::from_wire(report.outcome))
                .transpose()?,
            message: text("report.message", report.message)?,
            blocks: at_most("report.blocks", report.blocks, limits::VISITS_PER_ROUND)?
                .into_iter()
                .map(Block::try_from)
                .collect::<Result<_, _>>()?,
            failures: at_most("report.failures", report.failures, limits::VISITS_PER_ROUND)?
                .into_iter()
                .map(VisitFailure::try_from)
                .collect::<Result<_, _>>()?,
            facts: report.facts.map(WorkerFacts::try_from).transpose()?,
            measuring: Duration::from_nanos(report.measuring_ns),
            warm_up: Duration::from_nanos(report.warm_up_ns),
            elapsed: Duration::from_nanos(report.elapsed_ns),
        })
    }
}

impl From<AttemptReport> for wire::AttemptReport {
    fn from(report: AttemptReport) -> Self {
        Self {
            attempt_id: report.attempt.to_string(),
            round_id: report.round.to_string(),
            part: report.part,
            r#final: report.outcome.is_some(),
            outcome: report.outcome.map_or(0, AttemptOutcome::to_wire),
            message: report.message,
            blocks: report.blocks.into_iter().map(Into::into).collect(),
            failures: report.failures.into_iter().map(Into::into).collect(),
            facts: report.facts.map(Into::into),
            measuring_ns: nanos(report.measuring),
            warm_up_ns: nanos(report.warm_up),
            elapsed_ns: nanos(report.elapsed),
        }
    }
}
