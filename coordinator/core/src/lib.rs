//! The coordinator's pure core: no I/O, no runtime, no clock, no unseeded randomness.
//!
//! - [`sweep`] decides what to measure next and corrects what was measured;
//! - [`steptable`] turns finished series into rows of the step table;
//! - [`advise`] answers which batch size to choose, from a row;
//! - [`fleet`] is the state machine of agents, devices, rounds and leases;
//! - [`inventory`] is what the hosts and their GPUs are, and were;
//! - [`nightly`] is when nights run, and how one goes from its sweep to its end;
//! - [`calendar`] is what the two that look at the time of day share: time zones and daily windows.
//!
//! Arrows run downward: `fleet` uses `sweep` and `calendar`; `nightly` uses `calendar`; `steptable` uses `sweep`; `advise` uses `steptable`; `inventory` uses none of them; and none of them knows the
//! store or the wire's services.

pub mod advise;
pub mod calendar;
pub mod fleet;
pub mod inventory;
pub mod nightly;
pub mod steptable;
pub mod sweep;
