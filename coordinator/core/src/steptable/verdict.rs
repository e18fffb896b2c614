//! The verdicts of the table: those of the inference, and those of the measurement and of several devices. Used by everything in `steptable`.

use serde::{Deserialize, Serialize};

/// What is known about the step, measurement included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// There is one.
    Step,
    /// There is none of the size stated.
    NoStep,
    /// The time jumps, but not periodically.
    Irregular,
    /// Too little was measured to say.
    Insufficient,
    /// Devices of one model disagree.
    Disputed,
    /// Other processes used the device.
    Contended,
    /// The device slowed itself down.
    Throttled,
}

impl Verdict {
    /// True for an answer, as opposed to the statement that there is none: only answers are compared and combined.
    #[must_use]
    pub const fn is_answer(self) -> bool {
        matches!(self, Self::Step | Self::NoStep | Self::Irregular)
    }
}
