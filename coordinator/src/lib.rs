//! The batchstep coordinator: its store, its services, and the command line that asks them.
//!
//! The arrows run downward: `cli` uses `serve`, `serve` uses `rpc` and `store`; the pure core (`batchstep-core`) knows none of them.

pub mod cli;
pub mod rpc;
pub mod serve;
pub mod store;
