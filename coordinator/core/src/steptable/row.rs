//! The published JSON of `table`, `local` and `sweep show`. Absent values are `null`, never 0; fields are never renamed within a schema version.

use std::collections::BTreeMap;

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
    /// Batch sizes with at least one block.
    pub batch_sizes_measured: u32,
    /// Timed blocks, reference and probe blocks included.
    pub blocks: u32,
    /// Seconds in timed blocks.
    pub measuring_seconds: f64,
    /// Devices whose blocks are in this row.
    pub devices: Vec<String>,
    /// Devices that agree with the verdict and the step.
    pub agreeing_devices: u32,
    /// Versions that are part of the key.
    pub software: Software,
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
}
