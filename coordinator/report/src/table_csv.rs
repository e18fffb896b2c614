//! `table.csv`: one line per row of the step table, for spreadsheets and scripts. Called by [`write()`](crate::write()) and by
//! `--format csv`. Carries the numbers of the JSON unrounded; lists become words separated by spaces.

use batchstep_core::steptable::{DeviceAnswer, Row, Verdict};
use serde::Serialize;

use crate::cells;

/// One line; absent values are empty. Field order is column order.
#[derive(Serialize)]
struct Line<'a> {
    device_model: &'a str,
    device_kind: &'static str,
    compute_units: Option<u32>,
    mig_profile: Option<&'a str>,
    threads: Option<u32>,
    workload: &'a str,
    parameters: String,
    mode: &'static str,
    dtype: &'static str,
    verdict: &'static str,
    step_samples: Option<f64>,
    step_low_samples: Option<f64>,
    step_high_samples: Option<f64>,
    offset_samples: Option<f64>,
    kind: Option<&'static str>,
    profile: String,
    confidence: Option<f64>,
    jump_at: Option<u32>,
    jump_relative: Option<f64>,
    other_steps: String,
    smallest_detectable_jump: Option<f64>,
    recommended_batch_sizes: String,
    best_batch_size: Option<u32>,
    best_samples_per_second: Option<f64>,
    knee_batch_size: Option<u32>,
    out_of_memory_at: Option<u32>,
    batch_sizes_measured: u32,
    blocks: u32,
    measuring_seconds: f64,
    devices: String,
    agreeing_devices: u32,
    driver: Option<&'a str>,
    libtorch: Option<&'a str>,
    cuda: Option<&'a str>,
    cudnn: Option<&'a str>,
    batchstep: Option<&'a str>,
    reason: &'a str,
    next_action: Option<&'a str>,
    representative_device: &'a str,
    step_spread: Option<f64>,
    time_spread: Option<f64>,
    largest_time_spread: Option<f64>,
    largest_time_spread_at: Option<u32>,
    device_answers: String,
}

/// The header, also there when no row is.
const COLUMNS: [&str; 44] = [
    "device_model",
    "device_kind",
    "compute_units",
    "mig_profile",
    "threads",
    "workload",
    "parameters",
    "mode",
    "dtype",
    "verdict",
    "step_samples",
    "step_low_samples",
    "step_high_samples",
    "offset_samples",
    "kind",
    "profile",
    "confidence",
    "jump_at",
    "jump_relative",
    "other_steps",
    "smallest_detectable_jump",
    "recommended_batch_sizes",
    "best_batch_size",
    "best_samples_per_second",
    "knee_batch_size",
    "out_of_memory_at",
    "batch_sizes_measured",
    "blocks",
    "measuring_seconds",
    "devices",
    "agreeing_devices",
    "driver",
    "libtorch",
    "cuda",
    "cudnn",
    "batchstep",
    "reason",
    "next_action",
    "representative_device",
    "step_spread",
    "time_spread",
    "largest_time_spread",
    "largest_time_spread_at",
    "device_answers",
];

/// The rows as CSV with a header. `other_steps` holds `period:jump` pairs, `parameters` holds `key=value` pairs, and
/// `device_answers` holds `device=verdict:step:confidence:relative_time`, with nothing between the colons where a value is absent.
///
/// # Errors
/// When the CSV writer fails, which it does not for text in memory.
pub fn table_csv(rows: &[Row]) -> Result<String, csv::Error> {
    render(rows.iter())
}

pub(crate) fn render<'a>(rows: impl Iterator<Item = &'a Row>) -> Result<String, csv::Error> {
    let mut writer = csv::WriterBuilder::new()
        .has_headers(false)
        .from_writer(Vec::new());
    writer.write_record(COLUMNS)?;
    for row in rows {
        writer.serialize(line(row))?;
    }
    text(writer)
}

/// What was written, as text.
pub(crate) fn text(writer: csv::Writer<Vec<u8>>) -> Result<String, csv::Error> {
    let bytes = writer
        .into_inner()
        .map_err(|error| std::io::Error::other(error.to_string()))?;
    Ok(String::from_utf8(bytes).map_err(std::io::Error::other)?)
}

fn line(row: &Row) -> Line<'_> {
    Line {
        device_model: &row.device_model,
        device_kind: row.device_kind.word(),
        compute_units: row.compute_units,
        mig_profile: row.mig_profile.as_deref(),
        threads: row.threads,
        workload: &row.workload,
        parameters: words(&row.parameters, |(key, value)| {
            format!("{key}={}", cells::plain(value))
        }),
        mode: row.mode.word(),
        dtype: row.dtype.word(),
        verdict: verdict(row.verdict),
        step_samples: row.step,
        step_low_samples: row.step_interval.map(|[low, _]| low),
        step_high_samples: row.step_interval.map(|[_, high]| high),
        offset_samples: row.offset,
        kind: row.kind.map(cells::kind),
        profile: row
            .profile
            .as_deref()
            .map(|profile| words(profile, f64::to_string))
            .unwrap_or_default(),
        confidence: row.confidence,
        jump_at: row.jump_at,
        jump_relative: row.jump_relative,
        other_steps: words(&row.other_steps, |other| {
            format!("{}:{}", other.step, other.jump_relative)
        }),
        smallest_detectable_jump: row.smallest_detectable_jump,
        recommended_batch_sizes: words(&row.recommended_batch_sizes, u32::to_string),
        best_batch_size: row.best_throughput.as_ref().map(|best| best.batch_size),
        best_samples_per_second: row
            .best_throughput
            .as_ref()
            .map(|best| best.samples_per_second),
        knee_batch_size: row.knee_batch_size,
        out_of_memory_at: row.out_of_memory_at,
        batch_sizes_measured: row.batch_sizes_measured,
        blocks: row.blocks,
        measuring_seconds: row.measuring_seconds,
        devices: row.devices.join(" "),
        agreeing_devices: row.agreeing_devices,
        driver: row.software.driver.as_deref(),
        libtorch: row.software.libtorch.as_deref(),
        cuda: row.software.cuda.as_deref(),
        cudnn: row.software.cudnn.as_deref(),
        batchstep: row.software.batchstep.as_deref(),
        reason: &row.reason,
        next_action: row.next_action.as_deref(),
        representative_device: &row.representative_device,
        step_spread: row.spread.and_then(|spread| spread.step),
        time_spread: row.spread.and_then(|spread| spread.time),
        largest_time_spread: row.spread.and_then(|spread| spread.largest_time),
        largest_time_spread_at: row.spread.and_then(|spread| spread.largest_time_at),
        device_answers: words(&row.device_answers, device_answer),
    }
}

fn device_answer(answer: &DeviceAnswer) -> String {
    let number = |value: Option<f64>| value.map(|value| value.to_string()).unwrap_or_default();
    format!(
        "{}={}:{}:{}:{}",
        answer.device,
        verdict(answer.verdict),
        number(answer.step),
        number(answer.confidence),
        number(answer.relative_time)
    )
}

/// The verdict's word in the JSON contract.
const fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Step => "step",
        Verdict::NoStep => "no_step",
        Verdict::Irregular => "irregular",
        Verdict::Insufficient => "insufficient",
        Verdict::Disputed => "disputed",
        Verdict::Contended => "contended",
        Verdict::Throttled => "throttled",
    }
}

fn words<T>(items: impl IntoIterator<Item = T>, word: impl Fn(T) -> String) -> String {
    items.into_iter().map(word).collect::<Vec<_>>().join(" ")
}
