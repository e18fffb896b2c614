//! From series to rows: grouped by key, one device speaking for its model, the others agreeing or disputing.
//!
//! Called by the coordinator whenever the table is asked for; a pure function of the series.

use std::collections::BTreeMap;

use super::{
    DetailedRow, Row, Verdict,
    assess::{Assessment, count},
    key::Key,
};
use crate::sweep::{History, SeriesPlan};

/// Relative difference up to which two steps are the same.
const SAME_STEP: f64 = 0.02;
/// Periods that must lie in a device's range before its silence contradicts a sibling's step.
const PERIODS_TO_CONTRADICT: f64 = 3.0;

/// A series as the table sees it.
#[derive(Debug, Clone, Copy)]
pub struct SeriesResult<'a> {
    /// What it measures.
    pub plan: &'a SeriesPlan,
    /// What is known.
    pub history: &'a History,
    /// False while it may still get blocks.
    pub finished: bool,
    /// True where a person ended it.
    pub cancelled: bool,
    /// Why it ended, for people.
    pub message: Option<&'a str>,
}

/// The table's rows, ordered by key; points and fitted curves only when `detailed`.
///
/// Where one device measured the same thing more than once, its most telling series counts: an answer before none, then the one with more blocks, then
/// the later one in `series`.
#[must_use]
pub fn rows(series: &[SeriesResult<'_>], detailed: bool) -> Vec<DetailedRow> {
    let mut groups: BTreeMap<Key, BTreeMap<&str, Entry<'_>>> = BTreeMap::new();
    for &result in series {
        let entry = Entry {
            plan: result.plan,
            assessment: Assessment::of(&result),
        };
        let devices = groups
            .entry(Key::of(result.plan, result.history))
            .or_default();
        let device = result.plan.device.id.as_str();
        if devices
            .get(device)
            .is_none_or(|known| entry.weight() >= known.weight())
        {
            devices.insert(device, entry);
        }
    }
    groups
        .into_iter()
        .filter_map(|(key, devices)| row(key, &devices, detailed))
        .collect()
}

struct Entry<'a> {
    plan: &'a SeriesPlan,
    assessment: Assessment,
}

impl Entry<'_> {
    /// What makes one series count more than another.
    const fn weight(&self) -> (bool, u32) {
        (self.assessment.decisive(), self.assessment.blocks)
    }
}

fn row(key: Key, devices: &BTreeMap<&str, Entry<'_>>, detailed: bool) -> Option<DetailedRow> {
    // `max_by_key` returns the last of equals; reversed, the first device by id speaks.
    let (speaker, entry) = devices
        .iter()
        .rev()
        .max_by_key(|(_, entry)| entry.weight())?;
    let spoken = &entry.assessment;
    let dissent: Vec<(&str, &Assessment)> = devices
        .iter()
        .map(|(device, other)| (*device, &other.assessment))
        .filter(|(_, other)| contradict(spoken, other))
        .collect();
    let inference = &spoken.inference;
    let disputed = !dissent.is_empty();
    let (verdict, reason, next_action) = if disputed {
        (
            Verdict::Disputed,
            dispute(speaker, spoken, &dissent),
            Some("compare the devices: same clocks, power limit, cooling and link? then measure those that differ again".to_owned()),
        )
    } else {
        (
            spoken.verdict,
            inference.reason.clone(),
            inference.next_action.clone(),
        )
    };
    let step_of = |value: Option<f64>| if disputed { None } else { value };
    let row = Row {
        device_model: key.device_model,
        device_kind: key.device_kind,
        compute_units: key.compute_units,
        mig_profile: key.mig_profile,
        threads: key.threads,
        workload: entry.plan.workload.name().to_owned(),
        parameters: parameters(entry.plan),
        mode: key.mode,
        dtype: key.dtype,
        verdict,
        step: step_of(inference.step),
        step_interval: inference.step_interval.filter(|_| !disputed),
        offset: step_of(inference.offset),
        kind: inference.kind.filter(|_| !disputed),
        profile: inference.profile.clone().filter(|_| !disputed),
        confidence: step_of(inference.confidence),
        jump_at: inference.jump_at.filter(|_| !disputed),
        jump_relative: step_of(inference.jump_relative),
        other_steps: if disputed {
            Vec::new()
        } else {
            inference.other_steps.clone()
        },
        smallest_detectable_jump: step_of(inference.smallest_detectable_jump),
        reason,
        next_action,
        recommended_batch_sizes: if disputed {
            Vec::new()
        } else {
            inference.recommended_batch_sizes.clone()
        },
        best_throughput: inference.best_throughput,
        knee_batch_size: inference.knee_batch_size,
        out_of_memory_at: spoken.out_of_memory_at,
        batch_sizes_measured: spoken.batch_sizes_measured,
        blocks: devices
            .values()
            .map(|other| other.assessment.blocks)
            .fold(0, u32::saturating_add),
        measuring_seconds: devices
            .values()
            .map(|other| other.assessment.measuring_seconds)
            .sum(),
        devices: devices.keys().map(|&device| device.to_owned()).collect(),
        agreeing_devices: count(
            devices
                .values()
                .filter(|other| agree(spoken, &other.assessment))
                .count(),
        ),
        software: key.software,
    };
    let mut detailed_row = DetailedRow {
        row,
        points: Vec::new(),
        fitted: Vec::new(),
        edges: Vec::new(),
    };
    if detailed {
        detailed_row.points.clone_from(&spoken.points);
        detailed_row.fitted.clone_from(&inference.fitted);
        if verdict == Verdict::Step {
            detailed_row.edges.clone_from(&inference.edges);
        }
    }
    Some(detailed_row)
}

fn parameters(plan: &SeriesPlan) -> BTreeMap<String, serde_json::Value> {
    use batchstep_proto::workload::ParameterValue;
    plan.workload
        .parameter_map()
        .into_iter()
        .map(|(name, value)| {
            let value = match value {
                ParameterValue::Number(number) => number.into(),
                ParameterValue::Text(text) => text.into(),
            };
            (name, value)
        })
        .collect()
}

fn agree(one: &Assessment, other: &Assessment) -> bool {
    one.verdict == other.verdict && same_step(one.inference.step, other.inference.step)
}

fn same_step(one: Option<f64>, other: Option<f64>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => (one - other).abs() <= SAME_STEP * one.max(other),
        (None, None) => true,
        _ => false,
    }
}

/// Two answers that cannot both be true of one model: different steps, or a step where the other device looked far enough and saw none.
fn contradict(one: &Assessment, other: &Assessment) -> bool {
    let sees_none = |blind: &Assessment, step: Option<f64>| {
        blind.decisive()
            && step.is_some_and(|step| f64::from(blind.largest) >= PERIODS_TO_CONTRADICT * step)
    };
    match (one.inference.step, other.inference.step) {
        (Some(_), Some(_)) => !same_step(one.inference.step, other.inference.step),
        (Some(_), None) => sees_none(other, one.inference.step),
        (None, Some(_)) => sees_none(one, other.inference.step),
        (None, None) => false,
    }
}

fn dispute(speaker: &str, spoken: &Assessment, dissent: &[(&str, &Assessment)]) -> String {
    let says = |device: &str, assessment: &Assessment| match assessment.inference.step {
        Some(step) => format!("{device} has a step of {step}"),
        None => format!("{device} has none"),
    };
    let mut text = says(speaker, spoken);
    for (device, assessment) in dissent {
        text.push_str(", ");
        text.push_str(&says(device, assessment));
    }
    text
}
