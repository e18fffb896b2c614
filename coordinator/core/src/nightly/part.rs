//! A part of a night: one sweep of it, from the wish to its end.

use std::collections::BTreeSet;

use batchstep_proto::{
    domain::{DeviceSelector, SweepSpec},
    ids::SweepId,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A series as nights know it: a workload on a device.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Target {
    /// The device's id.
    pub device: String,
    /// The canonical text of the workload.
    pub workload: String,
}

/// One sweep of a night.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// What it measures.
    pub what: What,
    /// How far it is.
    pub state: PartState,
}

/// What a part measures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "measure", rename_all = "snake_case")]
pub enum What {
    /// The schedule's sweep.
    Everything,
    /// One of its workloads, on these devices, a second time.
    Again {
        /// The canonical text of the workload.
        workload: String,
        /// Ids of the devices.
        devices: BTreeSet<String>,
    },
}

/// How far a part is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum PartState {
    /// To be submitted; or it was, and nobody has said so yet.
    Wanted {
        /// The last answer, if it was a refusal.
        refused: Option<Refused>,
    },
    /// Its sweep runs.
    Out {
        /// The sweep.
        sweep: SweepId,
    },
    /// To be cancelled.
    Stopping {
        /// The sweep; `None`: its request may have one all the same.
        sweep: Option<SweepId>,
        /// The last refusal, while it was wanted.
        refused: Option<String>,
    },
    /// Nothing of it is to be done any more. What its sweep measured counts.
    Over {
        /// The sweep, if it had one.
        sweep: Option<SweepId>,
        /// How it ended.
        end: End,
    },
}

/// A refusal that may pass: devices come and go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// When it was refused first.
    pub since: Timestamp,
    /// Why, the last time.
    pub reason: String,
}

/// How a part ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "how", rename_all = "snake_case")]
pub enum End {
    /// Its sweep ended by itself.
    Finished,
    /// Its sweep was cancelled.
    Cut,
    /// It was never submitted before the night's end.
    NeverOut,
    /// It was refused for too long.
    Refused {
        /// Why.
        reason: String,
    },
}

impl Part {
    pub(super) const fn wanted(what: What) -> Self {
        let state = PartState::Wanted { refused: None };
        Self { what, state }
    }

    /// Its sweep, as far as known.
    #[must_use]
    pub const fn sweep(&self) -> Option<SweepId> {
        match self.state {
            PartState::Wanted { .. } => None,
            PartState::Out { sweep } => Some(sweep),
            PartState::Stopping { sweep, .. } | PartState::Over { sweep, .. } => sweep,
        }
    }

    /// True once nothing of it is to be done any more.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        matches!(self.state, PartState::Over { .. })
    }

    /// What to submit for it, `number` being its place in the night. `None`: the schedule's sweep has no such workload.
    #[must_use]
    pub fn spec(&self, number: u32, sweep: &SweepSpec) -> Option<SweepSpec> {
        let What::Again { workload, devices } = &self.what else {
            return Some(sweep.clone());
        };
        let mut workloads = sweep.workloads.iter();
        let workload = workloads
            .find(|known| known.to_string() == *workload)?
            .clone();
        Some(SweepSpec {
            workloads: vec![workload],
            devices: DeviceSelector::Listed(devices.iter().cloned().collect()),
            // Other orders of visits than the first time: a coincidence does not repeat.
            seed: sweep.seed.wrapping_add(number.into()),
            ..sweep.clone()
        })
    }
}
