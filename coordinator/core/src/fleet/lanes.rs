//! Lanes: one per device, with the agents that offer it, the attempt that has it, and the series that wait for it in order. That there is
//! one open attempt per device is the shape of [`Lane`], not a rule that others must keep.

use std::{collections::BTreeSet, time::Duration};

use batchstep_proto::ids::{AgentId, AttemptId, SeriesId};

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
    /// The attempt that has the device.
    pub open: Option<AttemptId>,
    /// Series that are not over.
    pub queue: BTreeSet<Turn>,
    pub back_off: Option<BackOff>,
}

impl Lane {
    /// True when nothing would be lost with it.
    pub fn is_unused(&self) -> bool {
        self.claimants.is_empty() && self.open.is_none() && self.queue.is_empty()
    }
}
