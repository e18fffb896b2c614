//! What coordinator and agent have in common as processes of a host: settings from a file, a log, and a service manager that wants to know how they are.
//!
//! Nothing here knows what either of them does. [`settings`] and [`logs`] are used by the two command lines, [`notify`] by their `main`, and [`Heart`] goes into the
//! daemons themselves: they say how they are, and never to whom.

mod heart;
pub mod logs;
pub mod notify;
pub mod settings;

pub use heart::{Heart, Pulse, Pulses};
