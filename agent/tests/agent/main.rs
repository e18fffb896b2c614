//! The agent at its real boundaries: its own process, real sockets to a coordinator, real worker processes. No libtorch needed.

// A test that meets a state it does not expect must fail, in helpers too.
#![allow(clippy::unwrap_used)]

mod command_line;
mod config;
mod coordinator;
mod faults;
mod host;
mod inventory;
mod models;
mod rounds;
mod simulated;
