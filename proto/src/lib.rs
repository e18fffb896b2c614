//! The batchstep protocol: what coordinator, agent and worker share, and nothing else.
//!
//! [`wire`] is generated from `proto/batchstep/v1`; [`domain`] holds the same nouns as checked types, and the conversions between
//! the two are the only place where outside bytes become values the rest of the program may trust. Nothing here does I/O.

pub mod causes;
pub mod domain;
pub mod frame;
pub mod ids;
pub mod inventory;
pub mod limits;
pub mod model;
pub mod size;
pub mod suggestion;
pub mod version;
pub mod workload;

/// Generated messages and services of package `batchstep.v1`; documented in the `.proto` files.
#[allow(missing_docs, clippy::all)]
pub mod wire {
    tonic::include_proto!("batchstep.v1");

    /// The encoded `FileDescriptorSet` of this package, for server reflection.
    pub const FILE_DESCRIPTOR_SET: &[u8] =
        include_bytes!(concat!(env!("OUT_DIR"), "/batchstep.v1.bin"));
}
