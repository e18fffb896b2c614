//! What a night gives a series: the judge's input. Made by the coordinator of its blocks; nothing here knows a past.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Environment;

/// The series' sweeps of one night.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Observation {
    /// Every batch size of the schedule was measured, undisturbed.
    Measured {
        /// What the device and its software were.
        environment: Environment,
        /// The night's sweeps.
        first: Measurement,
        /// The same again, the same night, where the judge asked for it.
        again: Option<Measurement>,
    },
    /// Something was measured that cannot be judged.
    Invalid {
        /// Why.
        why: Invalidity,
    },
    /// Nothing by the night's deadline.
    Missing,
}

/// Why a night cannot be judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Invalidity {
    /// The device held its clocks down.
    Throttled,
    /// Somebody else computed on it.
    Contended,
    /// Batch sizes or sweeps are missing.
    Incomplete,
}

/// Logarithms of seconds that are further from none than this are no times: e^50 s are older than the universe, and their inverse is shorter than a
/// GPU's clock by far. Within it every sum and difference of levels is finite.
const FURTHEST_LOG_SECONDS: f64 = 50.0;
/// Clocks above this are no clocks, MHz.
const FASTEST_CLOCK_MHZ: f64 = 1e6;

/// One measurement of a series: the median over at least three sweeps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measurement {
    /// Natural logarithm of the median time of an iteration in seconds, by batch size; the schedule's batch sizes and no others.
    #[serde(with = "crate::pairs")]
    pub log_seconds: BTreeMap<u32, f64>,
    /// Median SM clock, MHz.
    pub sm_clock_mhz: Option<f64>,
    /// What was found of the step.
    pub step: Step,
}

/// What was found of the step.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// A period, samples.
    Period(f64),
    /// There is none.
    None,
    /// The measurement does not tell.
    Unknown,
}

impl Measurement {
    /// Logarithm of the geometric mean of the times, seconds; `None` without a batch size, or where a time is no time.
    #[must_use]
    pub fn level(&self) -> Option<f64> {
        let count = self.log_seconds.len();
        let are_times = self
            .log_seconds
            .values()
            .all(|time| time.abs() <= FURTHEST_LOG_SECONDS);
        (count > 0 && are_times).then(|| self.log_seconds.values().sum::<f64>() / count as f64)
    }

    /// The same of the cycles, time × SM clock; `None` also where the clock is not known.
    #[must_use]
    pub fn cycles(&self) -> Option<f64> {
        let clock = self.sm_clock_mhz?;
        let is_clock = clock > 0.0 && clock <= FASTEST_CLOCK_MHZ;
        Some(self.level()? + is_clock.then(|| (clock * 1e6).ln())?)
    }
}

impl Step {
    /// Itself, where it can be one: a period is above 0 and finite.
    pub(crate) fn plausible(self) -> Self {
        match self {
            Self::Period(samples) if !(samples > 0.0 && samples.is_finite()) => Self::Unknown,
            plausible => plausible,
        }
    }
}
