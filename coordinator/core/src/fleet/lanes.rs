//! Lanes: one per device, with the agents that offer it, the attempts that are out on it, and the series that wait for it.
//!
//! Of the attempts that are out the first has the device. The second waits behind it at the same agent, which starts it the moment the first is over; it
//! can be called back until then.

use std::{collections::BTreeSet, time::Duration};

use batchstep_proto::ids::{AgentId, AttemptId, SeriesId};

/// Attempts that are out on a device at most: one that runs and one that waits, so that the device waits for neither network nor planner.
const ATTEMPTS_OUT: usize = 2;

/// A series' place in the line: by sweep in order of submission, then by ordinal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Turn {
    pub sweep_sequence: u64,
    pub ordinal: u32,
    pub series: SeriesId,
}

/// A pause after attempts that measured nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BackOff {
    /// Attempts in a row that measured nothing.
    pub failures: u32,
    pub until: Duration,
    pub reason: String,
}

/// One device's line of work.
#[derive(Debug, Clone, Default)]
pub(super) struct Lane {
    /// Agents that offer the device, in the order in which they first did: an agent cannot take a device from another that is connected.
    pub claimants: Vec<AgentId>,
    /// The attempt that has the device, and the one that waits behind it.
    pub out: Vec<AttemptId>,
    /// Series that are not over.
    pub queue: BTreeSet<Turn>,
    pub back_off: Option<BackOff>,
}

impl Lane {
    /// True when nothing would be lost with it.
    pub fn is_unused(&self) -> bool {
        self.claimants.is_empty() && self.out.is_empty() && self.queue.is_empty()
    }

    /// True when another attempt may be given out.
    pub fn has_room(&self) -> bool {
        self.out.len() < ATTEMPTS_OUT
    }
}
