//! What the fleet asks of the planner. The state is handed one when it is made, so that tests can script the plan; the fleet never looks
//! into what a plan means.

use std::time::Duration;

use batchstep_proto::domain::Round;

use crate::sweep::{self, Ahead, History, Next, RoundRecord, SeriesPlan};

/// Decides what a series measures. Must be a function of its arguments alone: after a restart the same answers are asked for again.
pub trait Planner: Send {
    /// What comes after the rounds of the history. A round's index is the number of rounds in the history, and its id is derived from that.
    fn next(&self, plan: &SeriesPlan, history: &History) -> Next;

    /// The same while `open` rounds, ascending by index, are out, and as far as it can be said. `None`: not before they are over. The index of the first
    /// round is the number of rounds in both.
    fn ahead(&self, plan: &SeriesPlan, history: &History, open: &[&RoundRecord]) -> Option<Ahead>;

    /// One of the further rounds that such an answer speaks of: like `round`, which was in it, with another index.
    fn repeated(&self, plan: &SeriesPlan, round: &Round, index: u32) -> Round;

    /// Device time the series will still take at most.
    fn remaining(&self, plan: &SeriesPlan, history: &History) -> Duration;
}

/// The planner of [`crate::sweep`].
#[derive(Debug, Clone, Copy, Default)]
pub struct SweepPlanner;

impl Planner for SweepPlanner {
    fn next(&self, plan: &SeriesPlan, history: &History) -> Next {
        sweep::next(plan, &sweep::comparable(plan, history))
    }

    fn ahead(&self, plan: &SeriesPlan, history: &History, open: &[&RoundRecord]) -> Option<Ahead> {
        sweep::ahead(plan, &sweep::comparable(plan, history), open)
    }

    fn repeated(&self, plan: &SeriesPlan, round: &Round, index: u32) -> Round {
        sweep::repeated(plan, round, index)
    }

    fn remaining(&self, plan: &SeriesPlan, history: &History) -> Duration {
        sweep::remaining(plan, history)
    }
}
