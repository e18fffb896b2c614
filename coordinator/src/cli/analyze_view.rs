//! How an inference reads: sentences and small bars for people, one record for spreadsheets. Called by `analyze`; computes nothing.

use std::fmt::Write as _;

use anyhow::{Context as _, Result};
use batchstep_inference::{EdgeSight, Inference, Trace, Verdict};
use batchstep_report::cells;

use super::{text, timings::Input};

/// Longest bar of the profile, in characters.
const BAR_CHARACTERS: f64 = 32.0;
/// Recommended sizes that are listed.
const SIZES_SHOWN: usize = 16;

/// The word of a verdict, as JSON prints it.
const fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Step => "step",
        Verdict::NoStep => "no_step",
        Verdict::Irregular => "irregular",
        Verdict::Insufficient => "insufficient",
    }
}

/// The answer in a few lines.
pub(super) fn for_people(trace: &Trace, inference: &Inference, input: &Input) -> String {
    let mut out = headline(inference);
    out.push('\n');
    let mut line = |name: &str, value: String| {
        // Writing to a string cannot fail.
        let _ = writeln!(out, "  {name:<15} {value}");
    };
    let points = trace.points();
    let blocks: usize = points.iter().map(|point| point.blocks).sum();
    let range = match points {
        [] => String::new(),
        [only] => format!(" ({})", only.batch_size),
        [first, .., last] => format!(" ({} to {})", first.batch_size, last.batch_size),
    };
    line(
        "measured",
        format!(
            "{} at {}{range}",
            text::count(blocks as u64, "timing"),
            text::count(points.len() as u64, "batch size")
        ),
    );
    if let Some(words) = reading(input) {
        line("read", words);
    }
    line("why", inference.reason.clone());
    if let (Some(at), Some(jump)) = (inference.jump_at, inference.jump_relative) {
        line(
            "first jump",
            format!(
                "after {at}: one more sample takes {} longer",
                cells::percent(jump)
            ),
        );
    }
    // Where all are confirmed, the reason says so.
    let doubtful = inference
        .edges
        .iter()
        .any(|edge| edge.sight != EdgeSight::Confirmed);
    if let Some(edges) = cells::edges(&inference.edges).filter(|_| doubtful) {
        line("edges", edges);
    }
    for other in &inference.other_steps {
        line(
            "also",
            format!(
                "a step of {} with a jump of {}",
                cells::period(other.step),
                cells::percent(other.jump_relative)
            ),
        );
    }
    if let Some(jump) = inference.smallest_detectable_jump {
        line(
            "would see",
            format!("jumps from {}", cells::detectable(jump)),
        );
    }
    if !inference.recommended_batch_sizes.is_empty() {
        line(
            "good sizes",
            text::list(&inference.recommended_batch_sizes, SIZES_SHOWN),
        );
    }
    if let Some(best) = inference.best_throughput {
        let knee = inference
            .knee_batch_size
            .filter(|knee| *knee < best.batch_size)
            .map_or_else(String::new, |knee| {
                format!("; within 5 % of it from {knee}")
            });
        line(
            "throughput",
            format!(
                "best at {}: {}{knee}",
                best.batch_size,
                cells::throughput(best.samples_per_second)
            ),
        );
    }
    if let Some(action) = &inference.next_action {
        let option = if action.contains("--batch-sizes") {
            " (of batchstep local and sweep run)"
        } else {
            ""
        };
        line("next", format!("{action}{option}"));
    }
    if let Some(profile) = inference
        .profile
        .as_deref()
        .filter(|profile| profile.len() > 1)
    {
        out.push_str(&bars(profile));
    }
    out
}

/// How the file was read, unless it has the usual form and the usual names.
fn reading(input: &Input) -> Option<String> {
    let mut words = Vec::new();
    let columns = (
        input.batch_size_column.as_str(),
        input.seconds_column.as_str(),
    );
    let usual = matches!(columns, ("batch_size", "seconds" | "corrected_seconds"));
    if !usual || input.unit != "s" {
        words.push(format!(
            "batch sizes from column {}, values in {} from column {}",
            columns.0, input.unit, columns.1
        ));
    }
    if let Some(round) = input
        .round_column
        .as_deref()
        .filter(|name| *name != "round")
    {
        words.push(format!("rounds from column {round}"));
    }
    if input.separator != "comma" {
        words.push(format!("separated by {}", input.separator));
    }
    if input.decimal != "point" {
        words.push("decimal commas".to_owned());
    }
    (!words.is_empty()).then(|| words.join(", "))
}

fn headline(inference: &Inference) -> String {
    let Some(step) = inference.step else {
        return match inference.verdict {
            Verdict::Step => "step".to_owned(),
            Verdict::NoStep => "no step".to_owned(),
            Verdict::Irregular => "irregular: it jumps, but not periodically".to_owned(),
            Verdict::Insufficient => "insufficient: these timings cannot tell".to_owned(),
        };
    };
    let mut headline = format!("step {}", cells::period(step));
    if let Some([low, high]) = inference.step_interval
        && cells::period(low) != cells::period(high)
    {
        let _ = write!(
            headline,
            " ({} to {})",
            cells::period(low),
            cells::period(high)
        );
    }
    if let Some(kind) = inference.kind {
        let _ = write!(headline, ", {}", cells::kind(kind));
    }
    if let Some(offset) = inference.offset.filter(|offset| *offset != 0.0) {
        let _ = write!(headline, ", shifted by {}", cells::period(offset));
    }
    if let Some(confidence) = inference.confidence {
        let _ = write!(headline, ", confidence {:.0} %", confidence * 100.0);
    }
    headline
}

/// Extra time by left-over samples, as bars.
fn bars(profile: &[f64]) -> String {
    let most = profile.iter().fold(0.0_f64, |most, value| most.max(*value));
    let mut out = "\n  left-over samples and their extra time\n".to_owned();
    for (left_over, extra) in profile.iter().enumerate() {
        let length = if most > 0.0 {
            (extra.max(0.0) / most * BAR_CHARACTERS).round() as usize
        } else {
            0
        };
        let _ = writeln!(
            out,
            "  {left_over:>4}  {:<width$}  {}",
            "\u{2588}".repeat(length),
            cells::percent(*extra),
            width = BAR_CHARACTERS as usize
        );
    }
    out
}

/// Names and values, in the order of the JSON; absent values are empty.
fn fields(inference: &Inference) -> Vec<(&'static str, String)> {
    fn optional<T: ToString>(value: Option<T>) -> String {
        value.map_or_else(String::new, |value| value.to_string())
    }
    fn joined<T: ToString>(values: &[T]) -> String {
        values
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(" ")
    }
    let interval = inference.step_interval;
    vec![
        ("verdict", word(inference.verdict).to_owned()),
        ("step", optional(inference.step)),
        ("step_low", optional(interval.map(|[low, _]| low))),
        ("step_high", optional(interval.map(|[_, high]| high))),
        ("offset", optional(inference.offset)),
        ("kind", optional(inference.kind.map(cells::kind))),
        (
            "profile",
            joined(inference.profile.as_deref().unwrap_or_default()),
        ),
        ("confidence", optional(inference.confidence)),
        ("jump_at", optional(inference.jump_at)),
        ("jump_relative", optional(inference.jump_relative)),
        (
            "other_steps",
            joined(
                &inference
                    .other_steps
                    .iter()
                    .map(|other| other.step)
                    .collect::<Vec<_>>(),
            ),
        ),
        (
            "smallest_detectable_jump",
            optional(inference.smallest_detectable_jump),
        ),
        ("reason", inference.reason.clone()),
        ("next_action", optional(inference.next_action.as_ref())),
        (
            "recommended_batch_sizes",
            joined(&inference.recommended_batch_sizes),
        ),
        ("knee_batch_size", optional(inference.knee_batch_size)),
        (
            "best_batch_size",
            optional(inference.best_throughput.map(|best| best.batch_size)),
        ),
        (
            "best_samples_per_second",
            optional(
                inference
                    .best_throughput
                    .map(|best| best.samples_per_second),
            ),
        ),
    ]
}

/// A header and one record; lists are separated by spaces.
///
/// # Errors
/// When the record cannot be written.
pub(super) fn csv(inference: &Inference) -> Result<Vec<u8>> {
    let fields = fields(inference);
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(fields.iter().map(|(name, _)| *name))?;
    writer.write_record(fields.iter().map(|(_, value)| value))?;
    writer
        .into_inner()
        .context("cannot write the answer as CSV")
}

/// A table of names and values.
pub(super) fn markdown(inference: &Inference) -> String {
    let mut out = "| field | value |\n|---|---|\n".to_owned();
    for (name, value) in fields(inference) {
        let _ = writeln!(out, "| {name} | {} |", value.replace('|', "\\|"));
    }
    out
}
