//! What the devices of one row say, each by itself, and how far they lie apart: published parts of a row.
//!
//! Made by `combine`; nothing here computes.

use batchstep_inference::BestThroughput;
use serde::{Deserialize, Serialize};

use super::verdict::Verdict;

/// One device's own answer, from its most telling series, or that of several which shared it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeviceAnswer {
    /// GPU or MIG UUID, `CPU-<machine id>`, or `SIM-<name>`; of devices that shared the measurement the first by id.
    pub device: String,
    /// The host it was on.
    pub hostname: String,
    /// True when its answer is the row's; of a dispute, when it is one of the largest group that agree with each other.
    pub agrees: bool,
    /// What its measurement says; never `disputed`.
    pub verdict: Verdict,
    /// Period in samples.
    pub step: Option<f64>,
    /// 95 % interval of the period, samples.
    pub step_interval: Option<[f64; 2]>,
    /// Samples by which the good batch sizes are shifted.
    pub offset: Option<f64>,
    /// 0..1.
    pub confidence: Option<f64>,
    /// First confirmed good batch size.
    pub jump_at: Option<u32>,
    /// Relative extra time of one more sample there.
    pub jump_relative: Option<f64>,
    /// Smallest relative jump that would have been found.
    pub smallest_detectable_jump: Option<f64>,
    /// Where its throughput is highest.
    pub best_throughput: Option<BestThroughput>,
    /// Its iteration time over that of the row's representative device: the median of the ratios at the batch sizes both measured. `null` for
    /// devices without an answer, and where no batch size is shared.
    pub relative_time: Option<f64>,
    /// Batch sizes with at least one block.
    pub batch_sizes_measured: u32,
    /// Timed blocks, reference and probe blocks included.
    pub blocks: u32,
    /// Seconds in timed blocks.
    pub measuring_seconds: f64,
    /// Why this verdict, for people.
    pub reason: String,
    /// The devices that shared the measurement and have this answer together, by id; empty where the device measured alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shared_by: Vec<Sharer>,
}

/// One of several devices that shared a measurement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sharer {
    /// Its id.
    pub device: String,
    /// The host it was on.
    pub hostname: String,
    /// Its iteration time over that of the device at whose level the answer is, at the reference batch size; `null` where it never visited that.
    pub relative_time: Option<f64>,
    /// Timed blocks, reference and probe blocks included.
    pub blocks: u32,
    /// Seconds in timed blocks.
    pub measuring_seconds: f64,
}

/// How far the devices with an answer lie apart. The ratio of two throughputs at one batch size is that of the times, so this is the spread of both.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// Largest step over the smallest, less one; `null` where fewer than two devices have one.
    pub step: Option<f64>,
    /// Slowest device's median time over the fastest's at the same batch size, less one: the median over the batch sizes. `null` where no batch size
    /// is shared.
    pub time: Option<f64>,
    /// The same at the batch size where it is largest.
    pub largest_time: Option<f64>,
    /// That batch size.
    pub largest_time_at: Option<u32>,
    /// Batch sizes that at least two of the devices measured.
    pub batch_sizes: u32,
}
