//! The batchstep coordinator: its store, its services, and the command line that asks them.
//!
//! The arrows run downward: `cli` uses `serve` and `backup`; `serve` uses `rpc`, `pki`, `http`, `health`, `engine`, `inventory` and `store`; `rpc` uses `engine`, `inventory`, `pki` and
//! `store`; `http` uses `health`, `inventory` and `meters`; `health` uses `engine`; `engine`, `inventory` and `pki` use `store`, and `engine` counts in `meters`; `backup` uses
//! `store`; `retention` uses `store` and counts in `meters`, and `serve` starts it; `nightly` uses `engine`, `inventory` and `store`; `shell` uses nothing; the pure core
//! (`batchstep-core`) knows none of them.

pub mod backup;
pub mod cli;
pub mod engine;
pub mod health;
mod http;
pub mod inventory;
pub mod meters;
pub mod nightly;
pub mod pki;
pub mod retention;
pub mod rpc;
pub mod serve;
mod shell;
pub mod store;
