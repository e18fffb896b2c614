//! How schedules read: a list, one with its next runs, and the same for programs. Asks nothing.

use std::time::Duration;

use batchstep_core::steptable::SCHEMA_VERSION;
use batchstep_proto::{
    domain::{BatchSizes, DeviceSelector, SweepSpec},
    wire::ScheduleView,
};
use serde_json::{Value, json};

use crate::cli::{
    args::Span,
    grid,
    nights::{cell, minute, sentence},
    sweep_view, text,
};

/// What a person sees of a schedule in a list, in this order.
const COLUMNS: [&str; 7] = [
    "schedule",
    "cron",
    "time zone",
    "state",
    "next night",
    "nights",
    "newest",
];
/// What a narrow terminal does without.
const SPARE: [&str; 2] = ["nights", "time zone"];

/// Every schedule, a line each.
pub(super) fn list(schedules: &[ScheduleView]) -> String {
    if schedules.is_empty() {
        return "No schedule yet. `batchstep schedule add` adds one.".to_owned();
    }
    let row = |view: &ScheduleView| {
        let schedule = view.schedule.clone().unwrap_or_default();
        let next = view.upcoming.first();
        [
            cell(&schedule.name),
            cell(&schedule.cron),
            cell(&schedule.time_zone),
            state(view).to_owned(),
            next.filter(|_| view.enabled)
                .map_or_else(|| "-".to_owned(), |run| cell(&run.local)),
            view.nights.to_string(),
            newest(view),
        ]
    };
    let rows: Vec<_> = schedules.iter().map(row).collect();
    grid::fit(COLUMNS, &rows, &SPARE, grid::width())
}

const fn state(view: &ScheduleView) -> &'static str {
    if view.enabled { "enabled" } else { "disabled" }
}

fn newest(view: &ScheduleView) -> String {
    view.last_night.map_or_else(
        || "-".to_owned(),
        |number| format!("{number}: {}", cell(&view.last_state)),
    )
}

/// One schedule with its next runs.
pub(super) fn show(view: &ScheduleView) -> String {
    let schedule = view.schedule.clone().unwrap_or_default();
    let deadline = Span(Duration::from_nanos(schedule.deadline_ns));
    let mut out = format!(
        "schedule {}: {} on the clocks of {}, {}, a night may take {deadline}; added {}\n",
        cell(&schedule.name),
        cell(&schedule.cron),
        cell(&schedule.time_zone),
        state(view),
        minute(&view.created_at)
    );
    if let Some(sweep) = &schedule.sweep {
        let devices = SweepSpec::try_from(sweep.clone()).map(|spec| selector(&spec.devices));
        out.push_str(&sentence(&sweep_view::describe(sweep)));
        if let Ok(devices) = devices {
            out.push_str(&sentence(&format!(", devices {devices}")));
        }
        out.push('\n');
    }
    out.push_str(&format!(
        "judged at {}\n",
        judged(&schedule.judged_batch_sizes)
    ));
    if view.enabled {
        if !view.upcoming.is_empty() {
            out.push_str("next nights\n");
        }
        for run in &view.upcoming {
            let note = if run.note.is_empty() {
                String::new()
            } else {
                format!("; {}", cell(&run.note))
            };
            out.push_str(&format!("  {}{note}\n", cell(&run.local)));
        }
    } else {
        out.push_str("no night begins by itself; `batchstep schedule enable` changes that\n");
    }
    out
}

fn judged(sizes: &[u32]) -> String {
    match BatchSizes::from_list(sizes.to_vec()) {
        Ok(BatchSizes::Listed(sizes)) => {
            format!("batch sizes {}", BatchSizes::Listed(sizes))
        }
        _ => "the good batch sizes up to the knee, chosen in the first valid night".to_owned(),
    }
}

fn selector(devices: &DeviceSelector) -> String {
    match devices {
        DeviceSelector::All => "all".to_owned(),
        DeviceSelector::Cpu => "cpu".to_owned(),
        DeviceSelector::Gpu => "gpu".to_owned(),
        DeviceSelector::Listed(ids) => text::list(ids, 8),
    }
}

/// Schedules for programs.
pub(super) fn as_json(schedules: &[ScheduleView]) -> Value {
    let schedules: Vec<Value> = schedules.iter().map(one).collect();
    json!({ "schema_version": SCHEMA_VERSION, "schedules": schedules })
}

fn one(view: &ScheduleView) -> Value {
    let schedule = view.schedule.clone().unwrap_or_default();
    let runs: Vec<Value> = view
        .upcoming
        .iter()
        .map(|run| {
            let note = (!run.note.is_empty()).then_some(&run.note);
            json!({ "at": run.at, "local": run.local, "note": note })
        })
        .collect();
    let spec = schedule.sweep.clone().map(SweepSpec::try_from);
    let sweep = spec.and_then(Result::ok).map(|spec| sweep(&spec));
    json!({
        "name": schedule.name,
        "cron": schedule.cron,
        "time_zone": schedule.time_zone,
        "enabled": view.enabled,
        "created_at": view.created_at,
        "deadline_seconds": Duration::from_nanos(schedule.deadline_ns).as_secs_f64(),
        "judged_batch_sizes": schedule.judged_batch_sizes,
        "sweep": sweep,
        "upcoming": runs,
        "nights": view.nights,
        "last_night": view.last_night,
        "last_state": (!view.last_state.is_empty()).then_some(&view.last_state),
    })
}

fn sweep(spec: &SweepSpec) -> Value {
    let workloads: Vec<String> = spec
        .workloads
        .iter()
        .map(|workload| workload.labelled().to_string())
        .collect();
    let scheduling = &spec.scheduling;
    json!({
        "workloads": workloads,
        "devices": match &spec.devices {
            DeviceSelector::Listed(ids) => json!(ids),
            set => json!(selector(set)),
        },
        "batch_sizes": spec.batch_sizes.clone().into_list(),
        "mode": spec.mode,
        "dtype": spec.dtype,
        "threads": spec.threads,
        "budget_seconds": spec.budget.as_secs_f64(),
        "precision": spec.precision,
        "iterations": spec.iterations,
        "seed": spec.seed,
        "priority": scheduling.priority,
        "only_between": scheduling.only_between.as_ref().map(ToString::to_string),
        "idle_only": scheduling.idle_only,
    })
}
