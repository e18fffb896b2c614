//! What a worker process has learned about its network, and loses when it dies. The machine owns it; only a round in progress changes it.

use std::{collections::BTreeMap, time::Duration};

use batchstep_measurement::memory::{MemoryModel, WouldNotFit};
use batchstep_proto::{
    domain::{Dtype, Mode, Round, VisitFailureKind},
    workload::WorkloadSpec,
};

use crate::Memory;

/// What makes two rounds run the same network.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Network {
    workload: WorkloadSpec,
    mode: Mode,
    dtype: Dtype,
    seed: u64,
    threads: Option<u32>,
}

impl Network {
    fn of(round: &Round) -> Self {
        Self {
            workload: round.workload.clone(),
            mode: round.mode,
            dtype: round.dtype,
            seed: round.seed,
            threads: round.threads,
        }
    }
}

/// A worker process with its network.
#[derive(Debug, Clone)]
pub(crate) struct Worker {
    network: Network,
    /// Iterations of a block, by batch size visited.
    pub(crate) iterations: BTreeMap<u32, u32>,
    pub(crate) memory: MemoryModel,
    /// The reference batch that the device was last warmed on.
    pub(crate) warmed_on: Option<u32>,
}

impl Worker {
    /// One that has just built the round's network.
    pub(crate) fn new(round: &Round, memory: Option<&Memory>) -> Self {
        Self {
            network: Network::of(round),
            iterations: BTreeMap::new(),
            memory: MemoryModel::new(memory.map(|memory| memory.idle_bytes)),
            warmed_on: None,
        }
    }

    /// Whether it has the round's network already.
    pub(crate) fn serves(&self, round: &Round) -> bool {
        self.network == Network::of(round)
    }
}

/// Why a visit has no block.
#[derive(Debug)]
pub(crate) enum Miss {
    /// The network ended with an error.
    Failed {
        kind: VisitFailureKind,
        message: String,
    },
    /// It was not tried.
    WouldNotFit(WouldNotFit),
    /// An iteration took longer than the round allows, there or at a smaller batch size on the way.
    TooSlow {
        batch_size: u32,
        fastest: Duration,
        limit: Duration,
    },
    /// The worker is gone.
    Died,
    /// The worker does not come back.
    Hangs,
}
