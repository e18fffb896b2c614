//! The batch size that a person has in mind, beside the better ones next to it. Published by `batchstep advise --format json`.

use serde::Serialize;

use super::facts::SizeFacts;

/// The batch size asked about.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Near {
    /// What is known about it.
    #[serde(flatten)]
    pub facts: SizeFacts,
    /// Whether it fills its last round; `null` where there is no step.
    pub is_good: Option<bool>,
    /// Why its time is not known; `null` where it is.
    pub unknown_because: Option<String>,
    /// The better size below it: the next good one, the knee of a device without a step, the cheapest measured one down to half of it where the time is
    /// irregular.
    pub below: Option<Neighbour>,
    /// The same above it, up to twice as large where the time is irregular.
    pub above: Option<Neighbour>,
}

/// A batch size next to the one asked about.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Neighbour {
    /// What is known about it.
    #[serde(flatten)]
    pub facts: SizeFacts,
    /// Time of an iteration at the size asked about over the time here.
    pub time_ratio: Option<f64>,
    /// Samples of the size asked about over the samples here.
    pub samples_ratio: f64,
    /// Time of one sample at the size asked about over that here: above 1, this one is the better.
    pub cost_per_sample_ratio: Option<f64>,
}

impl Neighbour {
    /// `facts` as seen from `asked`.
    pub(super) fn of(facts: SizeFacts, asked: &SizeFacts) -> Self {
        let samples_ratio = f64::from(asked.batch_size) / f64::from(facts.batch_size);
        let time_ratio = asked
            .seconds
            .zip(facts.seconds)
            .map(|(asked, here)| asked / here);
        Self {
            facts,
            time_ratio,
            samples_ratio,
            cost_per_sample_ratio: time_ratio.map(|ratio| ratio / samples_ratio),
        }
    }

    /// True where a sample costs less here, by more than `margin`, and nothing says that the batch does not fit.
    pub(super) fn is_better(&self, margin: f64) -> bool {
        self.facts.fits != Some(false)
            && self
                .cost_per_sample_ratio
                .is_some_and(|ratio| ratio > 1.0 + margin)
    }
}
