//! What a host and its GPUs are, as an agent found them: a document of records, each a set of named fields that are present, or absent with a reason.
//!
//! The [`catalogue`] is the one place that says which fields there are, with name, unit and class; the agent fills records by its typed keys, and
//! the coordinator compares, filters, prints and exports them by it, without knowing any field by name. Nothing here reads hardware.

pub mod catalogue;
mod digest;
mod document;
mod field;
mod reading;
mod record;

pub use document::{
    Document, DocumentError, Gpu, GpuProcess, NvLink, Nvml, NvmlState, Peer, SCHEMA_VERSION,
};
pub use field::{Class, Field, Key, Kind, Scope, Unit};
pub use reading::{Absent, Reading, Typed, Value, ValueError};
pub use record::Record;
