//! How nights read: a list of them, and one with its series, the gravest first. Prints nothing.

use std::collections::{BTreeMap, BTreeSet};

use batchstep_judge::{Kind, Step, Verdict};
use batchstep_report::{cells, markdown_text};
use jiff::Timestamp;

use super::{
    alarm::{Told, words},
    cell,
    findings::Findings,
    markdown_table, minute, sentence,
};
use crate::{
    cli::{grid, text},
    nightly::{
        document::{NightDocument, NightRow, SeriesRow, Summary},
        kind, sentence as verdict_sentence, setting,
    },
};

/// What stands for what does not apply.
const ABSENT: &str = "-";
/// Characters of a device's id, unless more tell devices apart.
const ID_SHOWN: usize = 12;

/// What a person sees of a night in a list, in this order.
const NIGHTS: [&str; 8] = [
    "schedule", "night", "date", "state", "began", "took", "series", "alarms",
];

/// What a person sees of a series, in this order.
const SERIES: [&str; 10] = [
    "device",
    "id",
    "host",
    "workload",
    "time",
    "usual",
    "shift",
    "detectable",
    "step",
    "verdict",
];

/// What a narrow terminal does without.
const SPARE_OF_NIGHTS: [&str; 2] = ["took", "began"];
/// The same of series.
const SPARE_OF_SERIES: [&str; 2] = ["detectable", "host"];

/// Nights, a line each.
pub(in crate::cli) fn list(nights: &[NightRow]) -> String {
    if nights.is_empty() {
        return "No night yet. `batchstep schedule list` says when the next ones begin.".to_owned();
    }
    let rows: Vec<_> = nights.iter().map(night_cells).collect();
    let width = grid::width();
    let mut out = grid::fit(NIGHTS, &rows, &SPARE_OF_NIGHTS, width);
    for night in nights.iter().filter(|night| !night.note.is_empty()) {
        let label = format!("\nnight {} of {}: ", night.number, cell(&night.schedule));
        out.push_str(&grid::wrap(&label, &sentence(&night.note), width));
    }
    out
}

/// The same as Markdown.
pub(in crate::cli) fn list_markdown(nights: &[NightRow]) -> String {
    markdown_table(
        &NIGHTS,
        nights.iter().map(|night| night_cells(night).to_vec()),
    )
}

fn night_cells(night: &NightRow) -> [String; 8] {
    [
        cell(&night.schedule),
        night.number.to_string(),
        cell(&night.date),
        cell(&night.state),
        night
            .started_at
            .as_deref()
            .map_or_else(|| ABSENT.to_owned(), minute),
        took(night).unwrap_or_else(|| ABSENT.to_owned()),
        match night.summary.series() {
            0 => series_of_none(night).to_owned(),
            _ => counts(&night.summary),
        },
        night.summary.alarms.to_string(),
    ]
}

/// How long a night took; `None`: it did not happen, or is under way.
fn took(night: &NightRow) -> Option<String> {
    let time = |text: &Option<String>| text.as_ref()?.parse::<Timestamp>().ok();
    let took = time(&night.finished_at)?.duration_since(time(&night.started_at)?);
    Some(cells::long_duration(took.as_secs_f64().max(0.0)))
}

/// How many series have which verdict, the gravest first.
fn counts(summary: &Summary) -> String {
    let counts: Vec<String> = summary
        .verdicts
        .iter()
        .rev()
        .map(|(of, count)| format!("{count} {}", words(&kind(*of))))
        .collect();
    counts.join(", ")
}

/// What stands for the series of a night that has none.
fn series_of_none(night: &NightRow) -> &'static str {
    match night.state.as_str() {
        "missed" => "did not happen",
        "measuring" | "again" => "not judged yet",
        _ => "no series",
    }
}

/// Where a night is, and what was said of it as a whole.
pub(in crate::cli) fn heading(night: &NightRow) -> String {
    let mut out = format!(
        "night {} of {} ({}): {}",
        night.number,
        cell(&night.schedule),
        cell(&night.date),
        cell(&night.state)
    );
    if let Some(began) = &night.started_at {
        out.push_str(&format!(", began {}", minute(began)));
    }
    if let Some(took) = took(night) {
        out.push_str(&format!(", took {took}"));
    }
    out.push('\n');
    if !night.note.is_empty() {
        out.push_str(&format!("{}\n", sentence(&night.note)));
    }
    let summary = &night.summary;
    out.push_str(&match summary.series() {
        0 => series_of_none(night).to_owned(),
        series => format!("{series} series: {}", counts(summary)),
    });
    if summary.again > 0 {
        out.push_str(&format!("; {} measured again", summary.again));
    }
    out.push_str(&format!(
        "; {} raised",
        text::count(summary.alarms, "alarm")
    ));
    out
}

/// One night for people; `all` also shows the series of which there is nothing to say.
pub(in crate::cli) fn show(findings: &Findings, all: bool, flag: &str) -> String {
    let mut out = String::new();
    let width = grid::width();
    for document in &findings.nights {
        for line in heading(&document.night).lines() {
            out.push_str(&format!("{}\n", grid::wrap("", line, width)));
        }
        for alarm in &findings.alarms {
            out.push('\n');
            out.push_str(&Told::of(alarm, flag).paragraph(width));
        }
        let (shown, folded) = series(document, all);
        let ids = distinct(document);
        if !shown.is_empty() {
            let rows: Vec<_> = shown.iter().map(|row| series_cells(row, ids)).collect();
            let table = grid::fit(SERIES, &rows, &SPARE_OF_SERIES, width);
            out.push_str(&format!("\n{table}\n"));
        }
        if !folded.is_empty() {
            out.push_str(&format!("\nNot shown: {folded}; --all shows them.\n"));
        }
    }
    out
}

/// The same as Markdown.
pub(in crate::cli) fn show_markdown(findings: &Findings, all: bool, flag: &str) -> String {
    let mut out = String::new();
    for document in &findings.nights {
        let heading = heading(&document.night);
        let (first, rest) = heading.split_once('\n').unwrap_or((&heading, ""));
        out.push_str(&format!(
            "### {}\n\n{}\n",
            markdown_text(first),
            markdown_text(rest)
        ));
        for alarm in &findings.alarms {
            out.push_str(&alarm_markdown(&Told::of(alarm, flag)));
        }
        let (shown, folded) = series(document, all);
        let ids = distinct(document);
        if !shown.is_empty() {
            let rows = shown.into_iter().map(|row| series_cells(row, ids).to_vec());
            out.push_str(&format!("\n{}", markdown_table(&SERIES, rows)));
        }
        if !folded.is_empty() {
            out.push_str(&format!("\nNot shown: {folded}.\n"));
        }
    }
    out
}

/// An alarm as a paragraph of Markdown with its commands.
pub(in crate::cli) fn alarm_markdown(told: &Told) -> String {
    let text = markdown_text;
    let mut out = format!(
        "\n**{}**: {}\n\n",
        text(&told.heading),
        text(&told.sentence)
    );
    let commands = [&told.reproduce, &told.acknowledge];
    for (name, value) in told.facts() {
        if !matches!(name, "reproduce" | "acknowledge") {
            out.push_str(&format!("- {name}: {}\n", text(value)));
        }
    }
    if commands.iter().any(|command| command.is_some()) {
        out.push_str("\n```sh\n");
        for command in commands.into_iter().flatten() {
            out.push_str(&format!("{command}\n"));
        }
        out.push_str("```\n");
    }
    out
}

/// The series that are shown, the gravest first, and how many are not, in words.
fn series(document: &NightDocument, all: bool) -> (Vec<&SeriesRow>, String) {
    let (mut shown, folded): (Vec<&SeriesRow>, Vec<&SeriesRow>) = document
        .series
        .iter()
        .partition(|row| all || !is_quiet(row));
    // By model, workload and device within one gravity, as they come.
    let last = (true, true, Kind::Missing);
    shown.sort_by_key(|row| row.verdicts.first().map_or(last, Verdict::gravity));
    let mut counts: BTreeMap<&'static str, usize> = BTreeMap::new();
    for row in folded {
        let word = match row.verdicts.first().map(|verdict| verdict.kind) {
            Some(Kind::Learning) => "learning",
            _ => "normal",
        };
        *counts.entry(word).or_default() += 1;
    }
    let counts: Vec<String> = counts
        .iter()
        .map(|(word, count)| format!("{count} {word}"))
        .collect();
    (shown, counts.join(", "))
}

/// How many characters of their ids tell the devices of a night apart.
fn distinct(document: &NightDocument) -> usize {
    let devices = document.series.iter().map(|row| row.about.device.as_str());
    let devices: BTreeSet<&str> = devices.collect();
    let longest = devices.iter().map(|id| id.chars().count()).max();
    let tells_apart = |shown: &usize| {
        let shown: BTreeSet<String> = devices
            .iter()
            .map(|id| id.chars().take(*shown).collect())
            .collect();
        shown.len() == devices.len()
    };
    let mut lengths = ID_SHOWN..longest.unwrap_or(0);
    lengths.find(tells_apart).or(longest).unwrap_or(ID_SHOWN)
}

fn is_quiet(row: &SeriesRow) -> bool {
    let is_quiet = |verdict: &Verdict| matches!(verdict.kind, Kind::Normal | Kind::Learning);
    row.verdicts.iter().all(is_quiet)
}

fn series_cells(row: &SeriesRow, ids: usize) -> [String; 10] {
    let about = &row.about;
    let absent = || ABSENT.to_owned();
    let time = |seconds: Option<f64>| seconds.map_or_else(absent, cells::duration);
    let percent = |share: f64| format!("{:+.1} %", share * 100.0);
    [
        cell(&cells::device_name(&about.group().model, about.device_kind)),
        cell(&about.device.chars().take(ids).collect::<String>()),
        cell(&about.hostname),
        cell(&setting(&about.setting(&about.workload))),
        time(row.seconds),
        time(row.baseline_seconds),
        row.shift.map_or_else(absent, percent),
        row.detectable_shift.map_or_else(absent, cells::percent),
        match row.step {
            None => absent(),
            Some(Step::Unknown) => "?".to_owned(),
            Some(Step::None) => "none".to_owned(),
            Some(Step::Period(period)) => cells::significant(period, 3),
        },
        said(row),
    ]
}

/// What is said of a series, the gravest first.
pub(in crate::cli) fn said(row: &SeriesRow) -> String {
    let said = |verdict: &Verdict| {
        let mut text = words(&kind(verdict.kind));
        let why = verdict_sentence(verdict);
        if why.starts_with(&text) {
            text = why;
        } else if verdict.kind != Kind::Normal {
            text.push_str(&format!(": {why}"));
        }
        if verdict.is_silenced {
            text.push_str(" (silenced)");
        }
        text
    };
    // That something else is over is no news where the alarm that stands for it has told so.
    let is_hidden = |verdict: &&Verdict| {
        verdict.kind == Kind::Resolved && verdict.is_silenced && row.verdicts.len() > 1
    };
    let told = row.verdicts.iter().filter(|verdict| !is_hidden(verdict));
    let all: Vec<String> = told.map(said).collect();
    sentence(&all.join("; "))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn that_something_silenced_is_over_is_said_only_where_nothing_else_is() {
        let verdict = |kind: &str, reason: &str, is_silenced: bool| {
            json!({
                "kind": kind, "reason": reason, "is_alarm": false, "is_new": false, "is_silenced": is_silenced,
                "cause": null, "numbers": {"nights": 0}, "changes": [],
            })
        };
        let row = |verdicts: &[serde_json::Value]| -> SeriesRow {
            serde_json::from_value(json!({
                "series": "GPU-1|linear|train|f32", "device": "GPU-1", "hostname": "gpu-07", "device_model": "Example",
                "device_kind": "cuda", "mig_profile": null, "workload": "linear", "workload_key": "linear",
                "mode": "train", "dtype": "f32", "threads": null, "seconds": null, "baseline_seconds": null,
                "shift": null, "detectable_shift": null, "step": null, "verdicts": verdicts,
            }))
            .unwrap()
        };
        let normal = verdict("normal", "within_gates", false);
        let over = |is_silenced| verdict("resolved", "near_baseline", is_silenced);
        assert_eq!(said(&row(&[over(true), normal.clone()])), "normal");
        assert_eq!(
            said(&row(&[over(false), normal])),
            "resolved: as before again; normal"
        );
        assert_eq!(
            said(&row(&[over(true)])),
            "resolved: as before again (silenced)"
        );
    }
}
