//! What an agent says of its hardware: the real agent, the real nvml-wrapper, and our fake of NVIDIA's library behind it.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod bad_input;
mod compare;
mod eligibility;
mod faults;
mod fields;
mod fleet;
mod trials;
