//! Everything that can happen to the fleet.

use std::collections::BTreeSet;

use batchstep_proto::{
    domain::{AttemptReport, Device, HostFacts, Ineligibility, SweepSpec},
    ids::{AgentId, AttemptId, BootId, RequestId, SeriesId, SweepId},
};
use jiff::Timestamp;

use super::StoredRound;

/// An open agent stream, numbered by the caller; never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionKey(pub u64);

/// A unary call that waits for its [`Answer`](super::Answer), numbered by the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReplyKey(pub u64);

/// One thing that happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// An agent opened a stream and said who it is; the protocol version is agreed already.
    Hello {
        /// Its stream.
        session: SessionKey,
        /// What it said.
        hello: Box<Hello>,
    },
    /// A stream ended, from whichever side.
    Disconnected {
        /// The stream.
        session: SessionKey,
        /// Why, for people.
        reason: String,
    },
    /// An agent is alive.
    Heartbeat {
        /// Its stream.
        session: SessionKey,
        /// Answered with the same number.
        sequence: u64,
        /// It takes no new work.
        draining: bool,
        /// Devices whose eligibility changed.
        changed: Vec<Device>,
    },
    /// An agent has persisted an attempt and waits for the record of its acceptance.
    Accepted {
        /// Its stream.
        session: SessionKey,
        /// Which.
        attempt: AttemptId,
    },
    /// An agent cannot take an attempt.
    Declined {
        /// Its stream.
        session: SessionKey,
        /// Which.
        attempt: AttemptId,
        /// Why.
        reason: Ineligibility,
    },
    /// A running attempt got further; may be lost.
    Progress {
        /// Its stream.
        session: SessionKey,
        /// How far.
        progress: Progress,
    },
    /// A part of an attempt's result arrived. Unless [`State::knows_parts_of`](super::State::knows_parts_of) its attempt, the caller has checked that the
    /// part is new to the store. While the attempt [`State::may_be_unread`](super::State::may_be_unread) the caller waits: it would pass for unknown.
    Report {
        /// Who waits for the disposition.
        reply: ReplyKey,
        /// Who measured.
        agent: AgentId,
        /// What.
        report: Box<AttemptReport>,
        /// SHA-256 over the encoded report.
        digest: [u8; 32],
    },
    /// A person asks for a sweep. The caller has checked that the request id is new to the store.
    Submit {
        /// Who waits for the id.
        reply: ReplyKey,
        /// Makes the submission idempotent.
        request: RequestId,
        /// The id it will have.
        sweep: SweepId,
        /// What to measure.
        spec: Box<SweepSpec>,
    },
    /// A person cancels a sweep.
    Cancel {
        /// Who waits.
        reply: ReplyKey,
        /// Which.
        sweep: SweepId,
        /// Why, for people.
        reason: String,
    },
    /// A person drains an agent, or takes that back.
    Drain {
        /// Who waits.
        reply: ReplyKey,
        /// Which.
        agent: AgentId,
        /// True: finish what runs, start nothing.
        drain: bool,
        /// Why, for people.
        reason: String,
        /// Its enrolment, if it has one: it need not have connected then.
        enrolled: Option<Enrolled>,
    },
    /// A person takes an agent that is gone off the list.
    Remove {
        /// Who waits.
        reply: ReplyKey,
        /// Which.
        agent: AgentId,
        /// True: its devices come back with another agent, and what only they can measure waits for that. False: it ends.
        replaced: bool,
        /// Its enrolment, if it has one: it need not have connected then.
        enrolled: Option<Enrolled>,
    },
    /// What was asked for by [`State::unread`](super::State::unread) was read back from the store. For a series that is forgotten meanwhile, or read, it means
    /// nothing.
    HistoryRead {
        /// Whose.
        series: SeriesId,
        /// Its rounds that are over, ascending by index, as they were at some moment since the state was made; or why they can never be read, for people.
        rounds: Result<Vec<StoredRound>, String>,
    },
    /// The time of day, told from time to time; only daily windows look at it.
    TimeOfDay(Timestamp),
    /// Time has passed.
    Tick,
}

/// What is on record of an agent whether it has connected or not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Enrolled {
    /// What it called its host then.
    pub hostname: String,
    /// Ids of the devices that are its own.
    pub devices: BTreeSet<String>,
}

/// What an agent says first.
#[derive(Debug, Clone, PartialEq)]
pub struct Hello {
    /// Who it is.
    pub agent: AgentId,
    /// Which process of it.
    pub boot: BootId,
    /// The protocol both speak.
    pub protocol: u32,
    /// Its machine.
    pub host: HostFacts,
    /// Its devices.
    pub devices: Vec<Device>,
    /// Attempts that run or lie in its spool.
    pub held: Vec<HeldAttempt>,
    /// It takes no new work.
    pub draining: bool,
}

/// An attempt an agent already has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeldAttempt {
    /// Which.
    pub attempt: AttemptId,
    /// How far it is.
    pub state: HeldState,
}

/// How far an agent is with an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeldState {
    /// Persisted, not started.
    Accepted,
    /// Its worker runs.
    Running,
    /// Over; its report waits for a receipt.
    Spooled,
}

/// How far a running attempt is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Which.
    pub attempt: AttemptId,
    /// Visits that have their block or failure.
    pub visits_done: u32,
    /// All visits of the round.
    pub visits_total: u32,
    /// The batch size in work.
    pub batch_size: u32,
    /// It warms up.
    pub warming_up: bool,
}
