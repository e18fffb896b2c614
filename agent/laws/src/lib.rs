//! Devices that exist only as a formula: how long an iteration takes by batch size, how that scatters, and what a right answer about it is.
//!
//! A [`Law`] gives seconds per iteration, a [`Scatter`] what a machine adds to one timed block, and a [`Class`] draws laws of one kind with random
//! parameters for validation. The agent's simulated devices run them, the inference and the planner are validated on them; nothing here times
//! anything, reads a clock or draws an unseeded random number.

mod classes;
mod law;
mod random;
mod scatter;

pub use classes::{Class, Draw, Truth};
pub use law::{Bump, Comb, Law, LawError, PowerCap, Remainder, Switch, Wave};
pub use random::Random;
pub use scatter::{Moment, Scatter, ScatterError};
