//! The fleet state machine: agents, devices, series, rounds, attempts and leases.
//!
//! Sans-IO: the caller hands over the time and an input and carries out the effects in order. Determinism is a lint (`clippy.toml` of this crate).
