//! What a series measures: its history, the planner that chooses the next round, and the correction of drift.
//!
//! Everything is a function of a [`SeriesPlan`] and its [`History`]: a coordinator that restarts from its store plans exactly what it would have
//! planned without the restart. Called by `fleet` and `steptable`; never reads a clock.

pub mod history;

pub use history::{History, RoundRecord, SeriesPlan};
