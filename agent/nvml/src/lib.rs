//! Reads the NVIDIA GPUs of a host through NVML (nvml-wrapper, and NVML's own functions where the wrapper lacks one or cannot be trusted with what
//! a driver may answer) into the records of the inventory.
//!
//! Everything here blocks, and a call into a sick driver may never come back: the agent calls it from a thread of its own. Nothing here decides
//! what a value means, and nothing is guessed: what cannot be read is absent with its reason.
//!
//! From the bottom up: `fault` (what an error means), `guard` (text out of C), `ask` (one reading after the other of one device), the parts of a
//! GPU (`card`, `live`, `mig`, `links`, `processes`), `sample` (a few values quickly, during trials), and [`Session`] over all of them.

mod ask;
mod card;
mod fault;
mod guard;
mod links;
mod live;
mod mig;
mod places;
mod processes;
mod sample;
mod session;

pub use fault::{Fault, OpenError};
pub use places::{Root, meminfo_bytes, sees_host_pids};
pub use sample::Sample;
pub use session::{Depth, Session, Survey};
