//! How an alarm reads: what it is about, what was before and after, since when, what changed beside it, and what to type. Prints nothing.

use batchstep_judge::{Change, Kind, Step, Verdict};
use batchstep_report::cells;

use super::{cell, line, minute, sentence};
use crate::{
    cli::{grid, text},
    nightly::{
        alarms::NIGHT_MISSED,
        document::{AlarmRow, AlarmState},
        reason, setting, shift, step,
    },
};

/// What stands for what does not apply.
const ABSENT: &str = "-";

/// An alarm by parts, ready for a terminal; what does not apply is a dash.
pub(in crate::cli) struct Told {
    /// Number, state, kind and night.
    pub heading: String,
    /// What it says in one sentence.
    pub sentence: String,
    /// Model and id of the device, or what else it is about.
    pub device: String,
    /// Name of the host.
    pub host: String,
    /// Workload, mode, dtype and threads.
    pub workload: String,
    /// Time, step, or both, as they were.
    pub before: String,
    /// The same as they are.
    pub after: String,
    /// How much slower or faster.
    pub shift: String,
    /// The smallest slowdown that would have been told.
    pub detectable: String,
    /// Code of why it was said.
    pub reason: String,
    /// Date of the first night in which it was so.
    pub since: String,
    /// What changed beside the device.
    pub changed: String,
    /// What people said of it; empty: nothing.
    pub answered: String,
    /// Measures the same again.
    pub reproduce: Option<String>,
    /// Says that somebody knows; `None` once somebody said it.
    pub acknowledge: Option<String>,
}

impl Told {
    /// An alarm; `flag` is what a command needs to reach the same coordinator.
    pub(in crate::cli) fn of(alarm: &AlarmRow, flag: &str) -> Self {
        let detail = &alarm.detail;
        let about = detail.about.as_ref();
        let absent = || ABSENT.to_owned();
        let whole = detail.host.is_some() || detail.device_model.is_some();
        let device = match (about, &detail.device_model) {
            (_, Some(model)) => format!("{model}, {}", text::count(detail.series, "device")),
            (Some(_), None) if detail.host.is_some() => absent(),
            (Some(about), None) => {
                let name = cells::device_name(&about.device_model, about.device_kind);
                format!("{name} {}", about.device)
            }
            (None, None) => absent(),
        };
        let host = detail.host.as_ref();
        let host = host.or(about.filter(|_| !whole).map(|about| &about.hostname));
        let is_series = about.is_some_and(|about| about.key() == alarm.subject);
        let workload = match (&detail.workload, about) {
            (Some(workload), _) => setting(workload),
            (None, Some(about)) if is_series => setting(&about.setting(&about.workload)),
            (None, Some(_)) => format!("{} series", detail.series),
            (None, None) => absent(),
        };
        let verdict = detail.verdict.as_ref();
        let [before, after] = verdict.map(sides).unwrap_or_default();
        let changes: Vec<String> = detail.changes.iter().map(Change::to_string).collect();
        let shown = |text: String| {
            if text.is_empty() {
                absent()
            } else {
                cell(&text)
            }
        };
        Self {
            heading: heading(alarm),
            // The parts of a setting are told as in the tables.
            sentence: sentence(&text::short_digests(&setting(&detail.sentence))),
            device: cell(&device),
            host: host.map_or_else(absent, |host| cell(host)),
            workload: cell(&workload),
            before: shown(before),
            after: shown(after),
            shift: verdict
                .and_then(|verdict| verdict.numbers.shift)
                .map_or_else(absent, shift),
            detectable: verdict
                .and_then(|verdict| verdict.numbers.detectable)
                .map_or_else(absent, |log| cells::percent(log.exp_m1())),
            reason: verdict.map_or_else(absent, |verdict| reason(verdict.reason)),
            since: shown(detail.since.clone().unwrap_or_else(|| detail.date.clone())),
            changed: shown(changes.join(", ")),
            answered: answered(alarm),
            reproduce: reproduce(alarm).map(|command| line(&command) + flag),
            acknowledge: (alarm.state == AlarmState::Open)
                .then(|| format!("batchstep regressions ack {} --reason TEXT{flag}", alarm.id)),
        }
    }

    /// What is printed below the heading, with its name; what does not apply is left out.
    pub(in crate::cli) fn facts(&self) -> Vec<(&'static str, &str)> {
        let all = [
            ("device", self.device.as_str()),
            ("host", &self.host),
            ("workload", &self.workload),
            ("before", &self.before),
            ("after", &self.after),
            ("shift", &self.shift),
            ("detectable", &self.detectable),
            ("reason", &self.reason),
            ("since", &self.since),
            ("changed", &self.changed),
            ("answered", &self.answered),
            ("reproduce", self.reproduce.as_deref().unwrap_or_default()),
            (
                "acknowledge",
                self.acknowledge.as_deref().unwrap_or_default(),
            ),
        ];
        all.into_iter()
            .filter(|(_, value)| !value.is_empty() && *value != ABSENT)
            .collect()
    }

    /// The alarm as a paragraph, its lines no longer than `width`; only commands are, which are copied whole.
    pub(in crate::cli) fn paragraph(&self, width: Option<usize>) -> String {
        let mut out = format!(
            "{}\n{}\n",
            grid::wrap("", &self.heading, width),
            grid::wrap("  ", &self.sentence, width)
        );
        for (name, value) in self.facts() {
            let width = width.filter(|_| !matches!(name, "reproduce" | "acknowledge"));
            let line = grid::wrap(&format!("  {name:<13}"), value, width);
            out.push_str(&format!("{line}\n"));
        }
        out
    }
}

/// The command that measures again what an alarm is about.
fn reproduce(alarm: &AlarmRow) -> Option<String> {
    if alarm.kind == NIGHT_MISSED {
        Some(format!("batchstep schedule run-now {}", alarm.schedule))
    } else {
        alarm.detail.reproduce.clone()
    }
}

/// The word of a kind as people read it.
pub(in crate::cli) fn words(kind: &str) -> String {
    kind.replace('_', " ")
}

fn heading(alarm: &AlarmRow) -> String {
    let state = match alarm.state {
        AlarmState::Open => "open",
        AlarmState::Acknowledged => "acknowledged",
        AlarmState::Resolved => "over",
    };
    format!(
        "alarm {} ({state}): {}, night {} of {} ({})",
        alarm.id,
        cell(&words(&alarm.kind)),
        alarm.night,
        cell(&alarm.schedule),
        cell(&alarm.detail.date)
    )
}

/// What was before and what is after, time and step; of the step only where the verdict is about it.
fn sides(verdict: &Verdict) -> [String; 2] {
    let numbers = &verdict.numbers;
    let is_step = matches!(
        verdict.kind,
        Kind::StepChanged | Kind::ChangedWithEnvironment | Kind::Outlier
    );
    let steps = numbers.steps.filter(|_| is_step);
    let side = |log: Option<f64>, found: Option<Step>| {
        let time = log.map(|log| cells::duration(log.exp()));
        let both = [time, found.map(step)].into_iter().flatten();
        both.collect::<Vec<_>>().join(", ")
    };
    [
        side(numbers.baseline, steps.map(|[before, _]| before)),
        side(numbers.level, steps.map(|[_, after]| after)),
    ]
}

fn answered(alarm: &AlarmRow) -> String {
    let mut said = Vec::new();
    if let (Some(by), Some(at)) = (&alarm.acknowledged_by, &alarm.acknowledged_at) {
        let reason = alarm.acknowledged_reason.as_deref().unwrap_or_default();
        let reason = if reason.is_empty() {
            String::new()
        } else {
            format!(": {reason}")
        };
        said.push(format!("known to {by} since {}{reason}", minute(at)));
    }
    if let Some(at) = &alarm.resolved_at {
        let how = alarm.resolved_by.as_deref().unwrap_or_default();
        said.push(format!("over since {}: {how}", minute(at)));
    }
    match alarm.is_right {
        Some(true) => said.push("labelled as right".to_owned()),
        Some(false) => said.push("labelled as noise".to_owned()),
        None => {}
    }
    sentence(&said.join("; "))
}
