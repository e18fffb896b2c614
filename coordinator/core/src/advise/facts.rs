//! What is known about one batch size: its time, cost and memory, each with how it is known. Published by `batchstep advise --format json`.

use serde::Serialize;

/// How a number is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// From blocks at this batch size.
    Measured,
    /// From the law that was fitted to the blocks, inside the measured range.
    Fitted,
    /// On the line between the two nearest measured batch sizes.
    Interpolated,
    /// Beyond the largest measured batch size: the last rounds, or the last slope, continued.
    Extrapolated,
}

/// A number and how it is known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Estimate<T> {
    pub value: T,
    pub source: Source,
}

/// One batch size. Absent values are `null`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SizeFacts {
    /// Samples per iteration.
    pub batch_size: u32,
    /// Seconds per iteration.
    pub seconds: Option<f64>,
    /// How the time is known.
    pub seconds_source: Option<Source>,
    /// Samples per second.
    pub samples_per_second: Option<f64>,
    /// Time of one sample over that at the cheapest batch size of the measured range; 1 there.
    pub cost_per_sample_over_best: Option<f64>,
    /// Relative extra time of one sample more.
    pub next_sample_cost: Option<f64>,
    /// Highest memory in use, bytes.
    pub peak_memory_bytes: Option<u64>,
    /// How the memory is known.
    pub peak_memory_source: Option<Source>,
    /// False where it is known or expected not to fit the device or the limit asked for; `null` where neither is known.
    pub fits: Option<bool>,
}
