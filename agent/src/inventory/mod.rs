//! What this host is and has: asks NVML from a thread that may hang, puts the answers into the inventory's document, and decides from them which
//! devices may run trials.
//!
//! [`Inventory`] looks once at the start and then, as [`Inventory::keep`], for as long as the agent runs; everybody else reads the newest
//! [`Snapshot`] from its channel. `thread` talks to NVML, `host` describes the machine, `eligibility` judges by NVIDIA's rules of `compatibility` and
//! by the moment, `offer` makes devices of GPUs, `report` tells the coordinator, and `page` a person. Nothing here starts trials.

mod compatibility;
mod eligibility;
mod host;
mod keeper;
mod offer;
mod page;
mod report;
mod thread;

pub use batchstep_nvml::{Depth, Root, Sample};
pub use keeper::{Inventory, Options, Snapshot};
pub use page::Page;
pub(crate) use report::{report, telemetry};
pub use thread::NvmlThread;
pub(crate) use thread::Sampled;
