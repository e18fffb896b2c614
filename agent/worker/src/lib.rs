//! The batchstep worker: training loops in libtorch and their timing.
//!
//! The only crate that links libtorch. The agent starts `batchstep-worker` as a child and talks to it over an inherited socket
//! ([`serve`]); a worker serves one device until its socket closes. Everything is a library so that tests and the benchmark's loop run
//! the production path.

pub mod cuda;
pub mod describe;
pub mod failure;
pub mod measure;
pub mod network;
pub mod serve;
pub mod session;
pub mod shim;
pub mod software;
