//! The published JSON of `table`, `local` and `sweep show`. Absent values are `null`, never 0; fields are never renamed within a schema version.

use std::collections::BTreeMap;

use super::{
    device_answer::{DeviceAnswer, Sharer, Spread},
    verdict::Verdict,
};
use batchstep_inference::Point;
pub use batchstep_inference::{BestThroughput, Edge, EdgeSight, FittedPoint, OtherStep, StepKind};
use batchstep_proto::domain::{DeviceKind, Dtype, Mode, Software};
use serde::{Deserialize, Serialize};

/// Version of the JSON contract.
pub const SCHEMA_VERSION: u32 = 1;

/// What is printed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Table {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Ordered by device model, workload, parameters, mode, dtype, threads, software.
    pub rows: Vec<DetailedRow>,
}

/// One row of the step table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Marketing name of the device.
    pub device_model: String,
    /// `cuda`, `cpu` or `simulated`.
    pub device_kind: DeviceKind,
    /// SMs of a GPU, logical cores of a CPU.
    pub compute_units: Option<u32>,
    /// MIG profile.
    pub mig_profile: Option<String>,
    /// CPU threads; `null` on GPUs.
    pub threads: Option<u32>,
    /// Name of the workload.
    pub workload: String,
    /// All of its parameters, defaults included.
    pub parameters: BTreeMap<String, serde_json::Value>,
    /// `train` or `infer`.
    pub mode: Mode,
    /// `f32`, `tf32`, `bf16` or `f16`.
    pub dtype: Dtype,
    /// What is known.
    pub verdict: Verdict,
    /// Period in samples.
    pub step: Option<f64>,
    /// 95 % interval of the period, samples.
    pub step_interval: Option<[f64; 2]>,
    /// Samples by which the good batch sizes are shifted.
    pub offset: Option<f64>,
    /// Shape within a period.
    pub kind: Option<StepKind>,
    /// Relative extra time of the r-th left-over sample, r = 0..P-1.
    pub profile: Option<Vec<f64>>,
    /// 0..1.
    pub confidence: Option<f64>,
    /// First confirmed good batch size.
    pub jump_at: Option<u32>,
    /// Relative extra time of one more sample there.
    pub jump_relative: Option<f64>,
    /// Further periods.
    pub other_steps: Vec<OtherStep>,
    /// Smallest relative jump that would have been found.
    pub smallest_detectable_jump: Option<f64>,
    /// Why this verdict, for people.
    pub reason: String,
    /// What to do about it; `null` for a step.
    pub next_action: Option<String>,
    /// Good batch sizes.
    pub recommended_batch_sizes: Vec<u32>,
    /// Where throughput is highest.
    pub best_throughput: Option<BestThroughput>,
    /// Smallest batch size within 5 % of the best throughput.
    pub knee_batch_size: Option<u32>,
    /// Smallest batch size that did not fit into memory.
    pub out_of_memory_at: Option<u32>,
    /// Batch sizes that crashed the worker and were left out, on any of the devices behind the row; ascending.
    #[serde(default)]
    pub quarantined_batch_sizes: Vec<u32>,
    /// Batch sizes with at least one block, of the devices behind the row.
    pub batch_sizes_measured: u32,
    /// Timed blocks, reference and probe blocks included, of the devices behind the row.
    pub blocks: u32,
    /// Seconds in them.
    pub measuring_seconds: f64,
    /// All devices that measured this, by id, also those that have no answer.
    pub devices: Vec<String>,
    /// Devices whose answer is the row's, those that shared one measurement counted once, and none twice that measured alone as well; of a dispute, those of the largest group that agree with each other.
    pub agreeing_devices: u32,
    /// The device whose curve, offset, jumps, good batch sizes and throughput the row shows.
    #[serde(default)]
    pub representative_device: String,
    /// How far the devices with an answer lie apart; `null` with fewer than two of them.
    #[serde(default)]
    pub spread: Option<Spread>,
    /// What each device says by itself, by id; devices that shared a measurement have one answer together.
    #[serde(default)]
    pub device_answers: Vec<DeviceAnswer>,
    /// Versions that are part of the key.
    pub software: Software,
}

impl Row {
    /// How many answers there are: devices that shared a measurement have one together, and those that agree none besides.
    #[must_use]
    pub fn answers(&self) -> usize {
        if self.device_answers.is_empty() {
            self.devices.len()
        } else {
            let others = self.device_answers.iter().filter(|it| !it.agrees).count();
            others.saturating_add(self.agreeing_devices as usize)
        }
    }

    /// The devices that shared the only measurement there is.
    #[must_use]
    pub fn shared_by(&self) -> &[Sharer] {
        match self.device_answers.as_slice() {
            [only] => &only.shared_by,
            _ => &[],
        }
    }
}

/// A row with what its plots are drawn from, where that was asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DetailedRow {
    /// The row.
    #[serde(flatten)]
    pub row: Row,
    /// Point estimates, ascending by batch size; absent unless asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub points: Vec<PointRow>,
    /// The winning model's curve; absent unless asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fitted: Vec<FittedPoint>,
    /// The edges that the step predicts in the measured range, and whether they show; absent unless asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub edges: Vec<Edge>,
}

/// The estimate at one batch size.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PointRow {
    /// Samples per iteration.
    pub batch_size: u32,
    /// Median over blocks, drift-corrected, seconds per iteration.
    pub seconds: f64,
    /// Lower end of the median's 95 % interval, seconds.
    pub low: f64,
    /// Upper end, seconds.
    pub high: f64,
    /// Blocks behind it.
    pub blocks: u32,
    /// Of these, outside Tukey's fences.
    pub outliers: u32,
    /// Highest memory in use at this batch size, bytes; `null` where nothing told.
    #[serde(default)]
    pub peak_memory_bytes: Option<u64>,
}

impl PointRow {
    /// The estimate `point`, whose batches took at most `peak_memory_bytes`.
    #[must_use]
    pub fn of(point: &Point, peak_memory_bytes: Option<u64>) -> Self {
        Self {
            batch_size: point.batch_size,
            seconds: point.median,
            low: point.low,
            high: point.high,
            blocks: count(point.blocks),
            outliers: count(point.outliers),
            peak_memory_bytes,
        }
    }
}

/// Counts of a row; far below the limit.
pub(super) fn count(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
