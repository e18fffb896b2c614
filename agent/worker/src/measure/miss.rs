//! Why a visit has no block, and what that means for the sweep.
//!
//! Raised and told by `round`; holds no state.

use std::time::Duration;

use batchstep_proto::domain::VisitFailureKind;

use super::{block::Halt, memory::WouldNotFit};
use crate::failure::{Failure, FailureKind};

/// Why a visit has no block.
pub(super) enum Miss {
    /// It was asked for.
    Stopped,
    /// The network ended with an error.
    Failed(Failure),
    /// It was not tried.
    WouldNotFit(WouldNotFit),
    /// An iteration took longer than the round allows, at the visit's batch size or at a smaller one on the way there.
    TooSlow {
        batch_size: u32,
        fastest: Duration,
        limit: Duration,
    },
}

impl Miss {
    /// The batch size that a limit was met at, where that may be another than the visit's.
    pub(super) const fn smallest(&self) -> Option<u32> {
        match self {
            Self::WouldNotFit(refused) => Some(refused.batch_size),
            Self::TooSlow { batch_size, .. } => Some(*batch_size),
            Self::Stopped | Self::Failed(_) => None,
        }
    }

    /// The visit's failure, with its numbers in words.
    ///
    /// # Errors
    /// When it ends the round.
    pub(super) fn judged(self) -> Result<(VisitFailureKind, String), Halt> {
        Ok(match self {
            Self::Stopped => return Err(Halt::Stopped),
            Self::Failed(failure) => match failure.kind {
                FailureKind::DeviceLost => return Err(Halt::Failed(failure)),
                FailureKind::OutOfMemory => (VisitFailureKind::OutOfMemory, failure.message),
                FailureKind::Workload => (VisitFailureKind::Error, failure.message),
            },
            Self::WouldNotFit(refused) => (VisitFailureKind::MemoryLimit, refused.to_string()),
            Self::TooSlow {
                batch_size,
                fastest,
                limit,
            } => (
                VisitFailureKind::TimeLimit,
                format!(
                    "one iteration at batch size {batch_size} takes {:.3} s, more than the {:.3} s allowed",
                    fastest.as_secs_f64(),
                    limit.as_secs_f64()
                ),
            ),
        })
    }
}

impl From<Halt> for Miss {
    fn from(halt: Halt) -> Self {
        match halt {
            Halt::Stopped => Self::Stopped,
            Halt::Failed(failure) => Self::Failed(failure),
        }
    }
}

impl From<Failure> for Miss {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}
