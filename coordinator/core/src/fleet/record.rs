//! What the store keeps of the fleet, as it is written ([`Record`]) and as it is read back ([`SweepSnapshot`]).

use std::time::Duration;

use batchstep_proto::{
    domain::{AttemptReport, Round, SweepSpec},
    ids::{AgentId, AttemptId, RequestId, RoundId, SeriesId, SweepId},
};

use super::{Disposition, Event, Restriction};
use crate::sweep::{RoundRecord, SeriesPlan};

/// One change of the store. All records of one call are committed together.
#[derive(Debug, Clone, PartialEq)]
pub enum Record {
    /// A sweep was asked for.
    SweepSubmitted {
        /// Its id.
        sweep: SweepId,
        /// The request that made it.
        request: RequestId,
        /// What to measure.
        spec: SweepSpec,
    },
    /// A sweep got one of its series; their set is fixed once one exists.
    SeriesCreated {
        /// What it measures.
        plan: SeriesPlan,
        /// Position among the sweep's series, from 0.
        ordinal: u32,
    },
    /// A round was given to an agent.
    AttemptAssigned {
        /// Derived from round and number.
        attempt: AttemptId,
        /// Counts the attempts of a round from 0.
        number: u32,
        /// To whom.
        agent: AgentId,
        /// What; the same for every attempt of the round, but for the device where several share its series.
        round: Round,
    },
    /// The agent has persisted the attempt.
    AttemptAccepted {
        /// Which.
        attempt: AttemptId,
    },
    /// An attempt ended without a final report: declined, or lost with its agent.
    AttemptEnded {
        /// Which.
        attempt: AttemptId,
        /// How.
        state: AttemptState,
        /// Why, for people.
        message: String,
    },
    /// A part of an attempt's result; a final part ends the attempt.
    Report {
        /// Who measured.
        agent: AgentId,
        /// SHA-256 over the encoded report.
        digest: [u8; 32],
        /// What counts and what is only kept.
        disposition: Disposition,
        /// The result.
        report: AttemptReport,
    },
    /// A round is over: it has reported, or is given up. Its history is complete.
    RoundEnded {
        /// Which.
        round: RoundId,
    },
    /// A device takes no further part in a series that it shares.
    DeviceDeparted {
        /// Of which.
        series: SeriesId,
        /// Which device.
        device: String,
        /// Why, for people.
        reason: String,
    },
    /// A series is over.
    SeriesEnded {
        /// Which.
        series: SeriesId,
        /// How.
        state: SeriesState,
        /// Why, for people.
        message: String,
        /// What it came to; `None` where its history was not read back yet, so that only the store can count it.
        summary: Option<SeriesSummary>,
    },
    /// A sweep is over.
    SweepEnded {
        /// Which.
        sweep: SweepId,
        /// How.
        state: SweepState,
        /// Why, for people.
        message: String,
    },
    /// What an agent is restricted to from now on; nothing where neither drain nor cordon is left.
    AgentRestricted {
        /// Which.
        agent: AgentId,
        /// How.
        restriction: Restriction,
    },
    /// An entry of the journal.
    Event(Event),
}

/// Where a sweep is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SweepState {
    /// Not over.
    Active,
    /// Every series is over and at least one is done.
    Done,
    /// A person ended it.
    Cancelled,
    /// Every series failed.
    Failed,
}

/// Where a series is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SeriesState {
    /// Between rounds, or waiting for its device.
    Waiting,
    /// A round is assigned.
    Running,
    /// The planner wants nothing more.
    Done,
    /// It cannot go on.
    Failed,
    /// A person ended it.
    Cancelled,
}

/// Where an attempt is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttemptState {
    /// Sent, or about to be.
    Assigned,
    /// Persisted by its agent.
    Accepted,
    /// Its final report is stored.
    Reported,
    /// Its agent could not take it.
    Declined,
    /// Its agent was lost; a late report counts while nobody else has its round, and is kept as an extra sample after that.
    Expired,
}

/// What a series came to, for lists.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SeriesSummary {
    /// Rounds that are over.
    pub rounds_done: u32,
    /// Timed blocks.
    pub blocks: u32,
    /// Time in timed blocks.
    pub measuring: Duration,
}

impl SeriesSummary {
    /// Counts what a round has measured. Whether it is over is counted apart.
    pub(super) fn add(&mut self, round: &RoundRecord) {
        let blocks = u32::try_from(round.blocks.len()).unwrap_or(u32::MAX);
        self.blocks = self.blocks.saturating_add(blocks);
        self.measuring = self.measuring.saturating_add(round.measuring);
    }
}

/// A sweep as the store has it.
#[derive(Debug, Clone, PartialEq)]
pub struct SweepSnapshot {
    /// Its id.
    pub id: SweepId,
    /// The request that made it.
    pub request: RequestId,
    /// What to measure.
    pub spec: SweepSpec,
    /// Where it is.
    pub state: SweepState,
    /// By ordinal.
    pub series: Vec<SeriesSnapshot>,
}

/// A series as a start reads it: what must be known at once.
#[derive(Debug, Clone, PartialEq)]
pub struct SeriesSnapshot {
    /// What it measures.
    pub plan: SeriesPlan,
    /// [`SeriesState::Waiting`] unless it is over; whether it runs follows from its attempts.
    pub state: SeriesState,
    /// Why it is over, for people.
    pub message: String,
    /// How many of its rounds are over. They are read later, see [`Input::HistoryRead`](super::Input::HistoryRead).
    pub rounds_done: u32,
    /// The rounds that are not over, ascending by index.
    pub open: Vec<StoredRound>,
}

/// A round as the store has it.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredRound {
    /// The round with all that counts of what was reported.
    pub record: RoundRecord,
    /// By number.
    pub attempts: Vec<StoredAttempt>,
}

/// An attempt as the store has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredAttempt {
    /// Its id.
    pub id: AttemptId,
    /// Whose it is.
    pub agent: AgentId,
    /// The device it was for.
    pub device: String,
    /// Where it is.
    pub state: AttemptState,
}
