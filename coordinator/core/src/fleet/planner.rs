//! What the fleet asks of the planner. The state is handed one when it is made, so that tests can script the plan; the fleet never looks
//! into what a plan means.

use std::time::Duration;

use batchstep_proto::domain::Round;

use crate::sweep::{History, SeriesPlan};

/// What a series does next.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Measure this. Its index is the number of rounds in the history, its id derived from that.
    Round(Box<Round>),
    /// Nothing is left to measure; why, for people.
    Done(String),
    /// It cannot go on; why, for people.
    Failed(String),
}

/// Decides what a series measures. Must be a function of its arguments alone: after a restart the same answers are asked for again.
pub trait Planner: Send {
    /// What comes after the rounds of the history.
    fn next(&self, plan: &SeriesPlan, history: &History) -> Step;

    /// Device time the series will still take at most.
    fn remaining(&self, plan: &SeriesPlan, history: &History) -> Duration;
}
