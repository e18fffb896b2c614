//! Everything the state machine can ask of its caller.

use std::time::Duration;

use batchstep_proto::{
    domain::Round,
    ids::{AttemptId, SweepId},
    wire,
};

use super::{Record, ReplyKey, SessionKey};

/// One thing to do.
#[derive(Debug, Clone, PartialEq)]
#[expect(
    clippy::large_enum_variant,
    reason = "effects live for one call and are few; an event is not worth an allocation each"
)]
pub enum Effect {
    /// Commit this, with the other records of the same call, before anything else of that call is done.
    Persist(Box<Record>),
    /// Send a message on a stream; nothing happens when the stream is gone.
    Send {
        /// The stream.
        session: SessionKey,
        /// The message.
        message: Box<ToAgent>,
    },
    /// End a stream.
    Close {
        /// The stream.
        session: SessionKey,
        /// Why, for people.
        reason: String,
        /// The agent must not dial again.
        permanent: bool,
    },
    /// Show watchers something that is not kept. Events that are kept are [`Record::Event`].
    Show(Event),
    /// Answer a unary call.
    Reply {
        /// The call.
        reply: ReplyKey,
        /// The answer.
        answer: Answer,
    },
}

/// What watchers see and the journal keeps: the wire's own vocabulary, so that journal, stream and pages cannot disagree.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// The sweep it belongs to, if any.
    pub sweep: Option<SweepId>,
    /// What happened.
    pub kind: wire::event::Kind,
}

/// A message to an agent.
#[derive(Debug, Clone, PartialEq)]
pub enum ToAgent {
    /// The hello is accepted.
    Welcome {
        /// Grows with every welcome of any agent.
        incarnation: u64,
        /// How often to send a heartbeat.
        heartbeat_interval: Duration,
        /// After this without a message the agent counts as unreachable.
        lease: Duration,
        /// How long an agent without a coordinator keeps a running round alive.
        offline_budget: Duration,
        /// One for each held attempt of the hello.
        verdicts: Vec<(AttemptId, Verdict)>,
    },
    /// Run this.
    Assign {
        /// The attempt, already committed.
        attempt: AttemptId,
        /// What to run.
        round: Box<Round>,
        /// Start it when the attempt before it on the same device is over.
        prefetched: bool,
    },
    /// The acceptance is committed: start.
    Recorded(AttemptId),
    /// Stop an attempt.
    Stop {
        /// Which.
        attempt: AttemptId,
        /// Kill the worker instead of waiting for its block.
        at_once: bool,
        /// Why, for people.
        reason: String,
    },
    /// Finish what runs, give back what waits.
    Drain {
        /// Why, for people.
        reason: String,
    },
    /// Answers a heartbeat.
    HeartbeatAck(u64),
}

/// What becomes of an attempt an agent holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Go on, or deliver it.
    Keep,
    /// Stop it, deliver what there is.
    Stop,
}

/// What became of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// Stored; it counts.
    Accepted,
    /// Stored before.
    Duplicate,
    /// Of an unknown attempt: kept apart.
    Quarantined,
    /// Of an attempt that was replaced: kept as an extra sample.
    Superseded,
}

/// The answer to a unary call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The sweep is on record.
    Submitted(SweepId),
    /// The sweep is cancelled; false: it had ended before.
    Cancelled(bool),
    /// The report is on record.
    Reported(Disposition),
    /// The agent will drain, or take work again.
    Drained,
    /// The agent is off the list.
    Removed {
        /// Series that ended with it, because nobody else can run them.
        failed: usize,
        /// Series that wait for another agent with its devices.
        waiting: usize,
    },
    /// It cannot be done.
    Refused(Refusal),
}

/// Why something cannot be done; the message names what is wrong and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The request is wrong in itself.
    #[error("{0}")]
    Invalid(String),
    /// It names something that does not exist.
    #[error("{0}")]
    NotFound(String),
    /// It cannot be done as things are.
    #[error("{0}")]
    Conflict(String),
}
