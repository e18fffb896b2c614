//! The coordinator's pure core: no I/O, no runtime, no clock, no unseeded randomness.
//!
//! - [`sweep`] decides what to measure next and corrects what was measured;
//! - [`steptable`] turns finished series into rows of the step table;
//! - [`fleet`] is the state machine of agents, devices, rounds and leases.
//!
//! Arrows run downward: `fleet` uses `sweep`; `steptable` uses `sweep`; neither knows the store or the wire's services.

pub mod fleet;
pub mod steptable;
pub mod sweep;
