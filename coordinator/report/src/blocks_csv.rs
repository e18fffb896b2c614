//! `blocks.csv`: every timed block, so that others can analyse again. Called by [`write()`](crate::write()) and by `batchstep export`; the columns
//! `batch_size`, `seconds` and `round` are those that `batchstep analyze` reads. Drops nothing and rounds nothing.

use batchstep_proto::domain::{DeviceKind, Dtype, Mode, VisitRole};
use batchstep_proto::wire;
use serde::Serialize;

/// Nanoseconds in a second.
const NS_PER_SECOND: f64 = 1e9;

/// One line. The order of fields is the order of columns; absent values are empty.
#[derive(Serialize)]
struct Line<'a> {
    /// One device measuring one workload of a sweep.
    series_id: &'a str,
    device_id: &'a str,
    device_model: &'a str,
    device_kind: Option<&'static str>,
    /// `name:key=value,..`.
    workload: &'a str,
    mode: Option<&'static str>,
    dtype: Option<&'static str>,
    threads: Option<u32>,
    round: u32,
    /// Position in its round, from 0: the order of measurement.
    visit: u32,
    batch_size: u32,
    /// `measure`, `reference` or `probe`.
    role: Option<&'static str>,
    iterations: u32,
    /// Per iteration, as measured.
    seconds: Option<f64>,
    /// Per iteration, drift within the round taken out.
    corrected_seconds: Option<f64>,
    /// Per iteration, on the device's own clock.
    device_seconds: Option<f64>,
    /// From the round's start to the block's.
    started_after_seconds: f64,
    warm_up_iterations: u32,
    warm_up_seconds: f64,
    foreign_cores: Option<f64>,
    foreign_processes: Option<u32>,
    peak_memory_bytes: Option<u64>,
    temperature_celsius: Option<f64>,
    power_watts: Option<f64>,
    sm_clock_mhz: Option<f64>,
    /// NVML's clock event bits, decimal.
    throttle_reasons: Option<u64>,
    /// Separated by spaces.
    flags: String,
    attempt_id: &'a str,
}

/// Every record that has a block, as CSV with a header. Units are in the column names; `seconds`, `corrected_seconds` and `device_seconds` are
/// per iteration.
///
/// # Errors
/// When the CSV writer fails, which it does not for text in memory.
pub fn blocks_csv(records: &[wire::BlockRecord]) -> Result<String, csv::Error> {
    let mut writer = csv::WriterBuilder::new()
        .has_headers(false)
        .from_writer(Vec::new());
    writer.write_record(COLUMNS)?;
    for line in records.iter().filter_map(line) {
        writer.serialize(line)?;
    }
    crate::table_csv::text(writer)
}

/// The header, also there when no block is.
const COLUMNS: [&str; 28] = [
    "series_id",
    "device_id",
    "device_model",
    "device_kind",
    "workload",
    "mode",
    "dtype",
    "threads",
    "round",
    "visit",
    "batch_size",
    "role",
    "iterations",
    "seconds",
    "corrected_seconds",
    "device_seconds",
    "started_after_seconds",
    "warm_up_iterations",
    "warm_up_seconds",
    "foreign_cores",
    "foreign_processes",
    "peak_memory_bytes",
    "temperature_celsius",
    "power_watts",
    "sm_clock_mhz",
    "throttle_reasons",
    "flags",
    "attempt_id",
];

fn line(record: &wire::BlockRecord) -> Option<Line<'_>> {
    let block = record.block.as_ref()?;
    let per_iteration =
        |ns: u64| (block.iterations > 0).then(|| seconds(ns) / f64::from(block.iterations));
    Some(Line {
        series_id: &record.series_id,
        device_id: &record.device_id,
        device_model: &record.device_model,
        device_kind: DeviceKind::from_wire("device_kind", record.device_kind)
            .ok()
            .map(DeviceKind::word),
        workload: &record.workload,
        mode: Mode::from_wire("mode", record.mode).ok().map(Mode::word),
        dtype: Dtype::from_wire("dtype", record.dtype)
            .ok()
            .map(Dtype::word),
        threads: record.threads,
        round: record.round,
        visit: block.visit,
        batch_size: block.batch_size,
        role: VisitRole::from_wire("role", block.role)
            .ok()
            .map(VisitRole::word),
        iterations: block.iterations,
        seconds: per_iteration(block.elapsed_ns),
        corrected_seconds: record.corrected_seconds,
        device_seconds: block.device_ns.and_then(per_iteration),
        started_after_seconds: seconds(block.started_after_ns),
        warm_up_iterations: block.warm_up_iterations,
        warm_up_seconds: seconds(block.warm_up_ns),
        foreign_cores: block.foreign_cores,
        foreign_processes: block.foreign_processes,
        peak_memory_bytes: block.peak_memory_bytes,
        temperature_celsius: block.temperature_celsius,
        power_watts: block.power_watts,
        sm_clock_mhz: block.sm_clock_mhz,
        throttle_reasons: block.throttle_reasons,
        flags: record.flags.join(" "),
        attempt_id: &record.attempt_id,
    })
}

fn seconds(ns: u64) -> f64 {
    ns as f64 / NS_PER_SECOND
}
