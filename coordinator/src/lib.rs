//! The batchstep coordinator: its store, its services, and the command line that asks them.
//!
//! The arrows run downward: `cli` uses `serve`; `serve` uses `rpc`, `engine` and `store`; `rpc` uses `engine` and `store`; `engine` uses `store`; the pure core
//! (`batchstep-core`) knows none of them.

pub mod cli;
pub mod engine;
pub mod rpc;
pub mod serve;
pub mod store;
