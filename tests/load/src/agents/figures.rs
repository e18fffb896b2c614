//! What the agents of one process saw, as it is handed to the program that steers them.

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

/// Counts and times since they were last taken.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Figures {
    /// Agents with a session that is welcomed, now.
    pub welcomed: u32,
    /// Rounds whose last part has its receipt.
    pub rounds: u64,
    /// Reports with a receipt, whether a round ended with them or not.
    pub reports: u64,
    /// Blocks in them.
    pub blocks: u64,
    /// Calls and sessions that failed.
    pub failures: u64,
    /// Of each pair of rounds of a series: microseconds from the end of the one to the start of the next, on the agent.
    pub idle_us: Vec<u32>,
    /// Of each report: microseconds from its call to its receipt.
    pub receipt_us: Vec<u32>,
    /// The last failure, for people.
    pub failure: Option<String>,
}

impl Figures {
    /// Hands them over and begins anew; who is welcomed stays so.
    pub fn take(&mut self) -> Self {
        let next = Self {
            welcomed: self.welcomed,
            ..Self::default()
        };
        std::mem::replace(self, next)
    }

    /// Adds what another process saw.
    pub fn add(&mut self, other: Self) {
        self.welcomed += other.welcomed;
        self.rounds += other.rounds;
        self.reports += other.reports;
        self.blocks += other.blocks;
        self.failures += other.failures;
        self.idle_us.extend(other.idle_us);
        self.receipt_us.extend(other.receipt_us);
        self.failure = self.failure.take().or(other.failure);
    }
}

/// The figures, whoever else panicked.
pub fn lock(figures: &Mutex<Figures>) -> MutexGuard<'_, Figures> {
    figures.lock().unwrap_or_else(PoisonError::into_inner)
}
