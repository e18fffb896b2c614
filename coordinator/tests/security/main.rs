//! Every refusal of a coordinator that serves TLS, met by a real client over a real socket; and after each of them somebody else is served as ever.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod bounds;
mod claims;
mod door;
mod guarded;
mod people;
mod restrictions;
mod secrets;
mod stream;
#[path = "../support/mod.rs"]
mod support;
mod tokens;
