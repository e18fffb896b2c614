//! What runs a round: the trait the supervisor knows, the executor that starts worker processes, and the one that simulates devices.
//!
//! An executor gets one round at a time for a device and tells what happens as events; it knows nothing of coordinators, spools or leases.

mod company;
mod output;
mod process;
mod samples;
mod simulated;
mod spawn;
mod worker;

use std::{path::PathBuf, time::Duration};

use batchstep_proto::{
    domain::{AttemptOutcome, Device},
    wire,
};
use tokio::sync::{mpsc, watch};

pub use process::{IDLE_LIMIT, ProcessExecutor};
pub use simulated::SimulatedExecutor;

/// A round and the device it is for.
#[derive(Debug, Clone)]
pub struct Job {
    /// The attempt, for logs.
    pub attempt_id: String,
    /// The device; its kind decides how the worker is started.
    pub device: Device,
    /// The round as the worker will get it.
    pub round: wire::Round,
    /// The verified file of the model that the round names by its digest, if it does; stays while the round runs.
    pub model: Option<PathBuf>,
}

/// What happens while a round runs.
#[derive(Debug, Clone)]
pub enum RoundEvent {
    /// The device is reached; sent once at the start of every round.
    Ready(wire::WorkerFacts),
    /// The worker turns to another visit or phase.
    Progress(wire::WorkerProgress),
    /// A visit has its block.
    Block(wire::Block),
    /// A visit has none.
    Failure(wire::VisitFailure),
}

/// How a round ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoundEnding {
    /// What it came to.
    pub outcome: AttemptOutcome,
    /// Why it did not finish; empty when it did.
    pub message: String,
    /// What the worker says about its time; absent when it could not say.
    pub times: Option<RoundTimes>,
}

/// Where the time of a round went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RoundTimes {
    /// In timed blocks.
    pub measuring: Duration,
    /// In warm-up.
    pub warm_up: Duration,
    /// All of it.
    pub elapsed: Duration,
}

impl RoundEnding {
    pub(crate) fn new(outcome: AttemptOutcome, message: impl Into<String>) -> Self {
        Self {
            outcome,
            message: message.into(),
            times: None,
        }
    }
}

/// A wish to end a running round.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Stop {
    /// None.
    #[default]
    No,
    /// At the end of the running iteration; by force when that takes too long.
    Gently(String),
    /// Now, losing the running block.
    AtOnce(String),
}

/// Runs rounds on devices.
pub trait Executor: Send + Sync + 'static {
    /// Runs one round to its end. Never two at a time for one device. Events are sent in order and before the future resolves.
    fn execute(
        &self,
        job: Job,
        events: mpsc::UnboundedSender<RoundEvent>,
        stop: watch::Receiver<Stop>,
    ) -> impl Future<Output = RoundEnding> + Send;

    /// Ends what is kept alive between rounds.
    fn shut_down(&self) -> impl Future<Output = ()> + Send;
}
