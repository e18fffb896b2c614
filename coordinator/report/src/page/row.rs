//! The section of one row: its plots, what was found, what to do, and the numbers behind the points.

use batchstep_core::steptable::{DetailedRow, Row, Verdict};
use maud::{Markup, PreEscaped, html};

use crate::{cells, distinct, plots, siblings};

/// The id of a row's section.
pub(super) fn anchor(index: usize) -> String {
    format!("row-{}", index + 1)
}

/// A verdict as a word with a shape beside it, so that colour is not needed.
pub(super) fn badge(verdict: Verdict) -> Markup {
    let (class, shape) = match verdict {
        Verdict::Step => ("badge found", "◆"),
        Verdict::NoStep => ("badge", "–"),
        Verdict::Irregular | Verdict::Disputed => ("badge unsure", "≈"),
        Verdict::Insufficient => ("badge unsure", "?"),
        Verdict::Contended | Verdict::Throttled => ("badge unsure", "!"),
    };
    html! { span class=(class) { span aria-hidden="true" { (shape) } " " (cells::verdict(verdict)) } }
}

/// The section of the row at `index` of the table.
pub(super) fn section(
    index: usize,
    detailed: &DetailedRow,
    rows: &[&Row],
    preset: Option<&str>,
) -> Markup {
    let row = &detailed.row;
    let id = anchor(index);
    html! {
        section.row #(id) aria-labelledby=(format!("{id}-heading")) {
            h2 #(format!("{id}-heading")) { (distinct::workload(row, rows)) span.muted { " on " } (cells::device(row)) }
            p.meta { span { (distinct::setting(row, rows)) } (badge(row.verdict)) }
            p.answer { (cells::headline(row)) "." }
            @if !row.reason.is_empty() { p { (cells::sentence(&row.reason)) } }
            @if let Some(action) = &row.next_action { p.notice { b { "Next: " } (cells::sentence(action)) } }
            @if !row.recommended_batch_sizes.is_empty() { (recommended(row)) }
            div.plots {
                @for plot in plots::beside_text(detailed, preset) {
                    figure { (PreEscaped(plot.svg.inline(&format!("{id}-{}", plot.name)))) }
                }
            }
            @if row.devices.len() > 1 && !detailed.points.is_empty() {
                p.muted {
                    @if row.answers() == 1 { "The curve is at the level of " } @else { "The curve is that of " }
                    (row.representative_device) "."
                }
            }
            (facts(detailed))
            (devices_table(row))
            (points(detailed))
        }
    }
}

fn recommended(row: &Row) -> Markup {
    html! {
        p.chips {
            span.muted { "Recommended batch sizes " }
            @for size in &row.recommended_batch_sizes { span.chip { (size) } " " }
        }
    }
}

fn facts(detailed: &DetailedRow) -> Markup {
    let row = &detailed.row;
    let samples = |[low, high]: [f64; 2]| {
        format!(
            "{} to {} samples",
            cells::significant(low, 5),
            cells::significant(high, 5)
        )
    };
    let others = row
        .other_steps
        .iter()
        .map(|other| {
            format!(
                "{} ({})",
                cells::period(other.step),
                cells::percent(other.jump_relative)
            )
        })
        .collect::<Vec<_>>()
        .join(", ");
    let facts: Vec<(&str, Option<String>)> = vec![
        ("Step", row.step.map(|_| cells::step(row))),
        ("95 % interval of the step", row.step_interval.map(samples)),
        (
            "Offset",
            row.offset
                .filter(|offset| *offset != 0.0)
                .map(|offset| format!("{} samples", cells::period(offset))),
        ),
        ("Predicted edges", cells::edges(&detailed.edges)),
        ("Other steps (jump)", (!others.is_empty()).then_some(others)),
        (
            "Smallest detectable jump",
            row.smallest_detectable_jump.map(cells::detectable),
        ),
        (
            "Best throughput",
            row.best_throughput.as_ref().map(|best| {
                format!(
                    "{} at batch size {}",
                    cells::throughput(best.samples_per_second),
                    best.batch_size
                )
            }),
        ),
        (
            "Knee",
            row.knee_batch_size.map(|knee| format!("batch size {knee}")),
        ),
        (
            "Out of memory at",
            row.out_of_memory_at
                .map(|size| format!("batch size {size}")),
        ),
        (
            "Measured",
            Some(format!(
                "{} batch sizes, {} blocks, {}",
                row.batch_sizes_measured,
                row.blocks,
                cells::long_duration(row.measuring_seconds)
            )),
        ),
        (
            "Compute units",
            row.compute_units.map(|units| units.to_string()),
        ),
        ("Devices", Some(devices(row))),
        ("Spread of the devices", siblings::spread(row)),
        ("Workload", Some(cells::workload_spec(row))),
        (
            "Software",
            Some(cells::software(row)).filter(|software| !software.is_empty()),
        ),
    ];
    html! {
        dl.facts {
            @for (name, value) in facts {
                @if let Some(value) = value { div { dt { (name) } dd { (value) } } }
            }
        }
    }
}

fn devices(row: &Row) -> String {
    match row.devices.len() {
        0 | 1 => row.devices.join(""),
        _ if row.answers() == 1 => format!("{} (one shared measurement)", row.devices.join(", ")),
        _ => format!(
            "{} ({} of {} agree)",
            row.devices.join(", "),
            row.agreeing_devices,
            row.answers()
        ),
    }
}

/// What each of several devices says by itself.
fn devices_table(row: &Row) -> Markup {
    let absent = || cells::ABSENT.to_owned();
    html! {
        @if row.devices.len() > 1 {
            details open[row.verdict == Verdict::Disputed] {
                summary { "What each device says" }
                div.scroll tabindex="0" {
                    table.numbers {
                        thead { tr {
                            th scope="col" { "Device" }
                            th scope="col" { "Host" }
                            th scope="col" { "Answer" }
                            th.number scope="col" { "Confidence" }
                            th scope="col" { "One sample more" }
                            th scope="col" { "Best throughput" }
                            th.number scope="col" { "Iteration time" }
                            th.number scope="col" { "Blocks" }
                        } }
                        tbody { @for answer in &row.device_answers { tr {
                            th scope="row" { (answer.device) }
                            td { (answer.hostname) }
                            td { (siblings::said(answer)) @if answer.agrees { " (agrees)" } }
                            td.number { (answer.confidence.map_or_else(absent, cells::confidence)) }
                            td { (cells::jump_at(answer.jump_at, answer.jump_relative).unwrap_or_else(absent)) }
                            td { @match &answer.best_throughput {
                                Some(best) => { (cells::throughput(best.samples_per_second)) " at " (best.batch_size) }
                                None => { (cells::ABSENT) }
                            } }
                            td.number { (answer.relative_time.map_or_else(absent, |ratio| format!("× {}", cells::significant(ratio, 4)))) }
                            td.number { (answer.blocks) }
                        } } }
                    }
                }
                @for shared in row.device_answers.iter().filter_map(siblings::sharers) {
                    p.muted { "Shared by " (shared) "." }
                }
            }
        }
    }
}

fn points(detailed: &DetailedRow) -> Markup {
    html! {
        @if !detailed.points.is_empty() {
            details {
                summary { "The numbers behind the points" }
                div.scroll tabindex="0" {
                    table.numbers {
                        thead { tr {
                            th.number scope="col" { "Batch size" }
                            th.number scope="col" { "Iteration time" }
                            th.number scope="col" { "Interval" }
                            th.number scope="col" { "Throughput" }
                            th.number scope="col" { "Blocks" }
                            th.number scope="col" { "Outliers" }
                        } }
                        tbody { @for point in &detailed.points { tr {
                            th.number scope="row" { (point.batch_size) }
                            td.number { (cells::duration(point.seconds)) }
                            td.number { (cells::duration(point.low)) " to " (cells::duration(point.high)) }
                            td.number { (cells::throughput(f64::from(point.batch_size) / point.seconds)) }
                            td.number { (point.blocks) }
                            td.number { (point.outliers) }
                        } } }
                    }
                }
            }
        }
    }
}
