//! The coordinator's pure core: no I/O, no runtime, no clock, no unseeded randomness.
//!
//! - [`sweep`] decides what to measure next and corrects what was measured;
//! - [`steptable`] turns finished series into rows of the step table;
//! - [`advise`] answers which batch size to choose, from a row;
//! - [`fleet`] is the state machine of agents, devices, rounds and leases;
//! - [`inventory`] is what the hosts and their GPUs are, and were.
//!
//! Arrows run downward: `fleet` uses `sweep`; `steptable` uses `sweep`; `advise` uses `steptable`; `inventory` uses none of them; and none of them knows the
//! store or the wire's services.

pub mod advise;
pub mod fleet;
pub mod inventory;
pub mod steptable;
pub mod sweep;
