//! What a machine tells of a round, in the words of a worker and of the agent that watches it.

use std::time::Duration;

use batchstep_measurement::Phase;
use batchstep_proto::domain::{AttemptOutcome, Block, VisitFailure};

/// Something that happens in a round.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A phase begins.
    Progress {
        /// Position of the visit in the round.
        visit: u32,
        /// Its batch size.
        batch_size: u32,
        /// What begins.
        phase: Phase,
    },
    /// A visit's block.
    Block(Block),
    /// Why a visit has none.
    Failure(VisitFailure),
    /// The round is over; nothing comes after it.
    Ended(Ending),
}

/// How a round ended, and where its time went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    /// What it came to.
    pub outcome: AttemptOutcome,
    /// Why it did not finish; empty when it did.
    pub message: String,
    /// In timed blocks.
    pub measuring: Duration,
    /// In warm-up.
    pub warm_up: Duration,
    /// All of it.
    pub elapsed: Duration,
}

/// An event and the time until it.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Device time that passes before the event happens.
    pub took: Duration,
    /// Length of one of the iterations that pass meanwhile: a worker that is asked to stop does so at the end of one. `None` where none runs, or where
    /// it does not return.
    pub iteration: Option<Duration>,
    /// What happens then.
    pub event: Event,
}
