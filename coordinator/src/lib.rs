//! The batchstep coordinator: its store, its services, and the command line that asks them.
//!
//! The arrows run downward: `cli` uses `serve`; `serve` uses `rpc`, `pki`, `http`, `engine`, `inventory` and `store`; `rpc` uses `engine`, `inventory`, `pki` and
//! `store`; `http` uses `inventory`; `engine`, `inventory` and `pki` use `store`; the pure core (`batchstep-core`) knows none of them.

pub mod cli;
pub mod engine;
mod http;
pub mod inventory;
pub mod pki;
pub mod rpc;
pub mod serve;
pub mod store;
