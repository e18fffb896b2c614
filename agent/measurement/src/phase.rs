//! The phases of a round, in the words that a worker and a simulated device tell their agent.

use batchstep_proto::wire::WorkerPhase;

/// What a worker is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Warming the device on the reference batch.
    DeviceWarmUp,
    /// Warming a batch size up.
    WarmUp,
    /// Timing a block.
    Timing,
}

impl From<Phase> for WorkerPhase {
    fn from(phase: Phase) -> Self {
        match phase {
            Phase::DeviceWarmUp => Self::DeviceWarmUp,
            Phase::WarmUp => Self::WarmUp,
            Phase::Timing => Self::Timing,
        }
    }
}
