//! The batchstep coordinator: its store, its services, and the command line that asks them.
//!
//! The arrows run downward: `cli` uses `serve`; `serve` uses `rpc`, `http`, `engine`, `inventory` and `store`; `rpc` uses `engine`, `inventory` and `store`; `http`
//! uses `inventory`; `engine` and `inventory` use `store`; the pure core (`batchstep-core`) knows none of them.

pub mod cli;
pub mod engine;
mod http;
pub mod inventory;
pub mod rpc;
pub mod serve;
pub mod store;
