//! The nouns of batchstep as checked types, each with its conversion from and to the wire.
//!
//! A value of these types has passed every limit of [`crate::limits`]; code behind the boundary does not check again.

mod agent_state;
mod batch_sizes;
mod block;
mod convert;
mod device;
mod kinds;
mod model;
mod report;
mod round;
mod scheduling;
mod sweep;

pub use batch_sizes::{BatchSizeError, BatchSizes};
pub use block::{Block, VisitFailure, VisitFailureKind};
pub use convert::{InvalidField, nanos};
pub use device::{Device, HostFacts, Ineligibility, Software, WorkerFacts};
pub use kinds::{DeviceKind, Dtype, Mode, RoundKind, UnknownWord, VisitRole};
pub use model::{ModelUpload, model_digest};
pub use report::{AttemptOutcome, AttemptReport};
pub use round::{Round, Timing, Visit};
pub use scheduling::{DailyWindow, Scheduling, TimeOfDay, Times, TimesError};
pub use sweep::{DeviceSelector, Strategy, SweepSpec, VisitOrder};
