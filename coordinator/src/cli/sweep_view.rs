//! How sweeps read: lists, one sweep with its series, and the same for programs. Called by `sweep`; asks nothing.

use std::{collections::BTreeSet, fmt::Write as _, time::Duration};

use anyhow::{Context as _, Result};
use batchstep_proto::{
    domain::{BatchSizes, DeviceKind, Dtype, Mode, Scheduling},
    wire,
};
use batchstep_report::cells;
use comfy_table::{ContentArrangement, presets};
use serde_json::{Value, json};

use super::{article, grid, text};

/// A sweep's state in a word.
pub(super) const fn state_word(state: wire::SweepState) -> &'static str {
    match state {
        wire::SweepState::Unspecified => "unknown",
        wire::SweepState::Active => "active",
        wire::SweepState::Done => "done",
        wire::SweepState::Cancelled => "cancelled",
        wire::SweepState::Failed => "failed",
    }
}

const fn series_word(state: wire::SeriesState) -> &'static str {
    match state {
        wire::SeriesState::Unspecified => "unknown",
        wire::SeriesState::Waiting => "waiting",
        wire::SeriesState::Running => "running",
        wire::SeriesState::Done => "done",
        wire::SeriesState::Failed => "failed",
        wire::SeriesState::Cancelled => "cancelled",
    }
}

fn workloads(sweep: &wire::Sweep) -> String {
    sweep
        .spec
        .as_ref()
        .map_or_else(String::new, |spec| spec.workloads.join(" "))
}

/// A moment to the second; a text that is none as it is.
pub(super) fn when(timestamp: &str) -> String {
    timestamp.parse::<jiff::Timestamp>().map_or_else(
        |_| timestamp.to_owned(),
        |moment| moment.strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
    )
}

/// Every sweep, one line each.
pub(super) fn list(sweeps: &[wire::Sweep]) -> String {
    if sweeps.is_empty() {
        return "No sweeps yet. `batchstep sweep run` asks for one.".to_owned();
    }
    lines(grid::grid(), sweeps)
}

/// The same as a table of Markdown.
pub(super) fn list_markdown(sweeps: &[wire::Sweep]) -> String {
    let mut table = comfy_table::Table::new();
    table
        .load_style(presets::ASCII_MARKDOWN)
        .set_content_arrangement(ContentArrangement::Disabled);
    lines(table, sweeps)
}

fn lines(mut table: comfy_table::Table, sweeps: &[wire::Sweep]) -> String {
    table.set_header([
        "sweep",
        "state",
        "submitted",
        "workloads",
        "series",
        "blocks",
    ]);
    for sweep in sweeps {
        table.add_row([
            sweep.sweep_id.clone(),
            state_word(sweep.state()).to_owned(),
            when(&sweep.submitted_at),
            text::short_digests(&workloads(sweep)),
            format!("{}/{} over", series_over(sweep), sweep.series.len()),
            blocks(sweep).to_string(),
        ]);
    }
    grid::trim_lines(&table.to_string())
}

/// Every sweep for spreadsheets, named as in the JSON; `series` and `series_over` are counts.
///
/// # Errors
/// When a record cannot be written.
pub(super) fn list_csv(sweeps: &[wire::Sweep]) -> Result<Vec<u8>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record([
        "sweep_id",
        "state",
        "submitted_at",
        "finished_at",
        "workloads",
        "preset",
        "series",
        "series_over",
        "blocks",
    ])?;
    for sweep in sweeps {
        let preset = sweep.spec.as_ref().and_then(|spec| spec.preset.clone());
        writer.write_record([
            sweep.sweep_id.clone(),
            state_word(sweep.state()).to_owned(),
            sweep.submitted_at.clone(),
            sweep.finished_at.clone().unwrap_or_default(),
            workloads(sweep),
            preset.unwrap_or_default(),
            sweep.series.len().to_string(),
            series_over(sweep).to_string(),
            blocks(sweep).to_string(),
        ])?;
    }
    writer
        .into_inner()
        .context("cannot write the sweeps as CSV")
}

fn blocks(sweep: &wire::Sweep) -> u32 {
    sweep.series.iter().map(|series| series.blocks).sum()
}

/// Series of which nothing more will come.
fn series_over(sweep: &wire::Sweep) -> usize {
    sweep
        .series
        .iter()
        .filter(|series| {
            !matches!(
                series.state(),
                wire::SeriesState::Waiting | wire::SeriesState::Running
            )
        })
        .count()
}

/// One sweep with its series; `explain` adds why each is where it is.
pub(super) fn show(sweep: &wire::Sweep, explain: bool) -> String {
    let mut out = format!(
        "sweep {}: {}, submitted {}",
        sweep.sweep_id,
        state_word(sweep.state()),
        when(&sweep.submitted_at)
    );
    if let Some(finished) = &sweep.finished_at {
        // Writing to a string cannot fail.
        let _ = write!(out, ", finished {}", when(finished));
    }
    if let Some(spec) = &sweep.spec {
        let _ = write!(out, "\n{}", describe(spec));
    }
    out.push('\n');
    if !sweep.series.is_empty() {
        let mut table = grid::grid();
        table.set_header([
            "series",
            "workload",
            "device",
            "host",
            "state",
            "rounds",
            "blocks",
            "measuring",
        ]);
        for series in &sweep.series {
            table.add_row([
                series.series_id.chars().take(8).collect(),
                text::short_digests(&series.workload),
                text::device(series),
                hosts(series),
                series_word(series.state()).to_owned(),
                series.rounds_done.to_string(),
                series.blocks.to_string(),
                cells::long_duration(Duration::from_nanos(series.measuring_ns).as_secs_f64()),
            ]);
        }
        let _ = writeln!(out, "{}", grid::trim_lines(&table.to_string()));
    }
    // A sweep without series is explained in any case: nothing else would say why it waits.
    if explain || sweep.series.is_empty() {
        for reason in &sweep.explanation {
            let _ = writeln!(out, "{reason}");
        }
    }
    if explain {
        for series in &sweep.series {
            let why = match (series.explanation.as_str(), series.state()) {
                ("", wire::SeriesState::Running) if series.devices.is_empty() => {
                    format!("round {} is being measured", series.rounds_done + 1)
                }
                ("", wire::SeriesState::Running) => "is being measured".to_owned(),
                ("", state) => series_word(state).to_owned(),
                (why, _) => why.to_owned(),
            };
            let _ = writeln!(
                out,
                "{} on {}: {why}",
                series.workload,
                device_among(series, &sweep.series)
            );
            for device in &series.devices {
                let _ = writeln!(out, "  {}", does(device));
            }
        }
    }
    out
}

/// The hosts of a series: one, or how many there are where several devices share it.
fn hosts(series: &wire::Series) -> String {
    let hosts: BTreeSet<&str> = series
        .devices
        .iter()
        .map(|it| it.hostname.as_str())
        .collect();
    match hosts.len() {
        0 | 1 => series.hostname.clone(),
        several => format!("{several} hosts"),
    }
}

/// What one of several devices that share a series does.
fn does(device: &wire::SharingDevice) -> String {
    let what = match (device.round, device.explanation.as_str()) {
        (Some(round), _) => format!(": round {} is being measured", round + 1),
        (None, "") => String::new(),
        (None, why) => format!(": {why}"),
    };
    format!("{} on {}{what}", device.device_id, device.hostname)
}

/// The device of a series; where others of its model are part of the sweep, too, with as much of its id as tells it from theirs, and its host.
fn device_among(series: &wire::Series, all: &[wire::Series]) -> String {
    const SHOWN: usize = 12;
    let name = text::device(series);
    let is_unique = all
        .iter()
        .all(|other| other.device_id == series.device_id || text::device(other) != name);
    if is_unique {
        return name;
    }
    let own = series.device_id.as_str();
    let others = || all.iter().filter(|other| other.device_id != own);
    let mut beginnings = own.char_indices().skip(SHOWN).map(|(end, _)| &own[..end]);
    let telling = |it: &&str| others().all(|other| !other.device_id.starts_with(it));
    let id = beginnings.find(telling).unwrap_or(own);
    format!("{name} {id} on {}", series.hostname)
}

/// What a sweep measures and when, in one line.
pub(super) fn describe(spec: &wire::SweepSpec) -> String {
    let mode = Mode::from_wire("mode", spec.mode).map_or("?", Mode::word);
    let dtype = Dtype::from_wire("dtype", spec.dtype).map_or("?", Dtype::word);
    let sizes = BatchSizes::from_list(spec.batch_sizes.clone())
        .map_or_else(|_| "?".to_owned(), |sizes| sizes.to_string());
    let mut out = format!(
        "{}; {mode}, {dtype}, batch sizes {sizes}",
        text::short_digests(&spec.workloads.join(", "))
    );
    if !article::has_no_budget(spec) {
        let _ = write!(
            out,
            ", budget {} for each workload and device",
            cells::long_duration(Duration::from_nanos(spec.budget_ns).as_secs_f64())
        );
    }
    if let Some(iterations) = spec.iterations {
        let _ = write!(out, ", {iterations} iterations per block");
    }
    if let Some(threads) = spec.threads {
        let _ = write!(out, ", {}", text::count(threads, "thread"));
    }
    if let Some(preset) = &spec.preset {
        let _ = write!(out, ", preset {preset}");
    }
    let scheduling = scheduling(spec);
    if scheduling.priority != 0 {
        let _ = write!(out, ", priority {}", scheduling.priority);
    }
    if let Some(window) = &scheduling.only_between {
        let _ = write!(out, ", only between {window}");
    }
    if scheduling.idle_only {
        out.push_str(", on idle GPUs only");
    }
    if scheduling.share_across_model {
        out.push_str(", shared by the devices of a model");
    }
    out
}

/// When and beside whom a sweep runs; what a newer coordinator says and this command does not understand is left out.
fn scheduling(spec: &wire::SweepSpec) -> Scheduling {
    let scheduling = spec.scheduling.clone();
    scheduling
        .and_then(|scheduling| scheduling.try_into().ok())
        .unwrap_or_default()
}

/// One sweep for programs.
pub(super) fn as_json(sweep: &wire::Sweep) -> Value {
    let seconds = |ns: u64| Duration::from_nanos(ns).as_secs_f64();
    let has_budget = !sweep.spec.as_ref().is_some_and(article::has_no_budget);
    let series: Vec<Value> = sweep
        .series
        .iter()
        .map(|series| {
            json!({
                "series_id": series.series_id,
                "device_id": series.device_id,
                "device_model": series.device_model,
                "device_kind": DeviceKind::from_wire("kind", series.device_kind).ok(),
                "hostname": series.hostname,
                "workload": series.workload,
                "threads": series.threads,
                "state": series_word(series.state()),
                "rounds_done": series.rounds_done,
                "blocks": series.blocks,
                "measuring_seconds": seconds(series.measuring_ns),
                "remaining_seconds": has_budget.then(|| seconds(series.remaining_ns)),
                "explanation": series.explanation,
                "shared_by": series.devices.iter().map(|device| json!({
                    "device_id": device.device_id,
                    "hostname": device.hostname,
                    "round": device.round,
                    "explanation": device.explanation,
                })).collect::<Vec<Value>>(),
            })
        })
        .collect();
    let scheduling = sweep.spec.as_ref().map(scheduling).unwrap_or_default();
    json!({
        "sweep_id": sweep.sweep_id,
        "state": state_word(sweep.state()),
        "submitted_at": sweep.submitted_at,
        "finished_at": sweep.finished_at,
        "workloads": sweep.spec.as_ref().map(|spec| &spec.workloads),
        "preset": sweep.spec.as_ref().and_then(|spec| spec.preset.as_ref()),
        "priority": scheduling.priority,
        "only_between": scheduling.only_between.as_ref().map(ToString::to_string),
        "idle_only": scheduling.idle_only,
        "share_across_model": scheduling.share_across_model,
        "explanation": sweep.explanation,
        "series": series,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_of_one_model_are_told_apart() {
        let series = |id: &str, model: &str| wire::Series {
            device_id: id.to_owned(),
            device_model: model.to_owned(),
            device_kind: DeviceKind::Cuda.to_wire(),
            hostname: "node1".to_owned(),
            ..wire::Series::default()
        };
        let all = [
            series("GPU-11111111-aaaa", "NVIDIA H200"),
            series("GPU-22222222-bbbb", "NVIDIA H200"),
            series("GPU-33333333-cccc", "Tesla T4"),
            series("SIM-44444444-1", "Sixteen"),
            series("SIM-44444444-2", "Sixteen"),
        ];
        assert_eq!(
            device_among(&all[1], &all),
            "NVIDIA H200 GPU-22222222 on node1"
        );
        assert!(device_among(&all[4], &all).ends_with(" SIM-44444444-2 on node1"));
        assert_eq!(device_among(&all[2], &all), text::device(&all[2]));
        // Further series of the same device are no reason to say more.
        assert_eq!(
            device_among(&all[0], &[all[0].clone(), all[0].clone()]),
            text::device(&all[0])
        );
    }
}
