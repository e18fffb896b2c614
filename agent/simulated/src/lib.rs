//! Simulated devices: what a worker would measure if the device were a timing law.
//!
//! A [`Machine`] takes a [`Round`](batchstep_proto::domain::Round) and answers with what a worker process on a real device would have told, step by
//! step, each with the time it takes on the device's own virtual clock: warm-up, blocks, batches that do not fit, crashes. The agent's executor plays
//! the steps in real or accelerated time; tests of the planner run them at once. The rules are those of `batchstep-measurement`, which the worker
//! follows too; the times are those of `batchstep-laws`.
//!
//! A [`Simulation`] is the TOML file that says which devices there are. [`Simulation::read`] is all that touches the system: nothing here sleeps, reads
//! a clock or draws an unseeded random number, so the same seed and the same rounds give the same answer.

mod behaviour;
mod event;
mod file;
mod laws;
mod machine;
mod progress;
mod recorded;
mod timings;
mod worker;

pub use batchstep_measurement::Phase;
pub use behaviour::{Behaviour, Contention, Faults, Memory, Throttling, Window};
pub use event::{Ending, Event, Step};
pub use file::{FileError, SimulatedDevice, Simulation, Speed};
pub use laws::{Laws, Source};
pub use machine::Machine;
pub use progress::RoundInProgress;
pub use recorded::{Recording, RecordingError};
pub use timings::{Iteration, Timings};
