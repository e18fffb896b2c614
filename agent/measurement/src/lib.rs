//! The rules of the measurement protocol that need neither a device nor a clock, so that a worker and a simulated device follow the same ones.
//!
//! `batchstep-worker` applies them to libtorch, `batchstep-simulated` to a timing law. Nothing here runs, times or allocates anything.

pub mod memory;
pub mod pace;
mod phase;

pub use phase::Phase;
