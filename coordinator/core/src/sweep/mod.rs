//! What a series measures: its history, the planner that chooses the next round, and the correction of drift.
//!
//! Everything is a function of a [`SeriesPlan`] and its [`History`]: a coordinator that restarts from its store plans exactly what it would have
//! planned without the restart. Called by `fleet` and `steptable`; never reads a clock.

mod adaptive;
mod ahead;
mod aim;
mod budget;
mod correct;
mod cost;
mod drift;
pub mod history;
mod imprecise;
mod levels;
mod medians;
mod misfit;
mod plan;
mod range;
mod refine;
mod rounds;
mod rules;
mod settled;
#[cfg(test)]
pub(crate) mod simulator;
mod software;
mod standing;
#[cfg(test)]
mod tests;

pub use ahead::{Ahead, ahead};
pub use budget::{Extent, LeftOut, as_option, left_out, remaining, spent, sufficient_budget};
pub use correct::{Corrected, CorrectedBlock, Flag, Quality, correct, undisturbed};
pub use history::{History, PoolDevice, RoundRecord, SeriesPlan};
pub use levels::{Contribution, contributions};
pub use misfit::{Misfit, misfits};
pub use plan::{Conclusion, ConclusionReason, Next, next};
pub use rounds::repeated;
pub use rules::{REQUIRED_ROUNDS, TIMING_PROTOCOL, required_rounds};
pub use settled::{Unsettled, settled};
pub use software::{comparable, odd_software};
pub use standing::{quarantine_note, quarantined};

pub(crate) use medians::median;
