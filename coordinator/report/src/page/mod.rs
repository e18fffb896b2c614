//! `report.html`: one self-contained page with inline styles and SVG, no scripts and nothing fetched from elsewhere. Light or dark as the reader's
//! system asks, light on paper. Says what the table says, in the order in which people ask.

mod nights;
mod row;

use maud::{DOCTYPE, Markup, PreEscaped, html as markup};

use crate::draw::page_css;
use crate::{Report, cells, distinct};
use batchstep_core::steptable::{Row, Verdict};

pub use nights::nights_html;

const PAGE_CSS: &str = include_str!("page.css");

/// Rows up to which each gets a card above the table.
const CARDS: usize = 6;
/// Recommended batch sizes shown in a cell.
const SIZES_SHOWN: usize = 5;

/// The page of a report.
#[must_use]
pub fn html(report: &Report) -> String {
    let rows: Vec<&Row> = report
        .table
        .rows
        .iter()
        .map(|detailed| &detailed.row)
        .collect();
    markup! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="generator" content="batchstep";
                title { (report.title) }
                style { (PreEscaped(page_css())) (PreEscaped(PAGE_CSS)) }
            }
            body {
                (header(report))
                main {
                    @if rows.is_empty() {
                        p.empty { "There are no rows: nothing was measured." }
                    } @else {
                        @if rows.len() <= CARDS { (cards(&rows)) }
                        (overview(&rows))
                        @for (index, detailed) in report.table.rows.iter().enumerate() {
                            (row::section(index, detailed, &rows, report.preset.as_deref()))
                        }
                    }
                    (explanation())
                }
                (footer(report))
            }
        }
    }
    .into_string()
}

fn header(report: &Report) -> Markup {
    markup! {
        header.page {
            h1 { (report.title) }
            p.meta {
                span { "made " time datetime=(report.generated_at) { (report.generated_at) } }
                @if let Some(host) = &report.host { span { "on " b { (host) } } }
                @if let Some(preset) = &report.preset { span { "preset " b { (preset) } } }
                @if !report.blocks.is_empty() { span { (report.blocks.len()) " timed blocks" } }
            }
            @if !report.command.is_empty() {
                pre.command { code { (report.command) } }
            }
            @for note in &report.notes { p.notice { (note) } }
        }
    }
}

fn cards(rows: &[&Row]) -> Markup {
    markup! {
        div.cards {
            @for (index, row) in rows.iter().enumerate() {
                a.card href=(format!("#{}", row::anchor(index))) {
                    span.what { (distinct::workload(row, rows)) span.muted { " · " (distinct::setting(row, rows)) } }
                    span.figure.found[row.verdict == Verdict::Step] {
                        @match (row.verdict, row.step) {
                            (Verdict::Step, Some(step)) => { (cells::period(step)) small { " samples per step" } }
                            _ => { (cells::verdict(row.verdict)) }
                        }
                    }
                    @if let Some(why) = why(row) { span.why { (why) } }
                    span.muted { (cells::device(row)) }
                }
            }
        }
    }
}

/// The line below a card's figure; reasons are left to the row's section.
fn why(row: &Row) -> Option<String> {
    match row.verdict {
        Verdict::Step => cells::jump(row),
        Verdict::NoStep => Some(cells::headline(row)),
        _ => None,
    }
}

fn overview(rows: &[&Row]) -> Markup {
    markup! {
        section aria-labelledby="overview" {
            h2 #overview { "The step table" }
            div.scroll tabindex="0" role="region" aria-labelledby="overview" {
                table {
                    thead { tr {
                        th scope="col" { "Device" }
                        th scope="col" { "Workload" }
                        th scope="col" { "Setting" }
                        th scope="col" { "Verdict" }
                        th scope="col" { "Step" }
                        th scope="col" { "One sample more" }
                        th scope="col" { "Recommended batch sizes" }
                        th scope="col" { "Best throughput" }
                        th.number scope="col" { "Blocks" }
                    } }
                    tbody { @for (index, row) in rows.iter().enumerate() { tr {
                        th scope="row" { a href=(format!("#{}", row::anchor(index))) { (cells::device(row)) } }
                        td.workload { (distinct::workload(row, rows)) }
                        td.setting { (distinct::setting(row, rows)) }
                        td { (row::badge(row.verdict)) }
                        td.short { (cells::step(row)) }
                        td { (cells::jump(row).unwrap_or_else(|| cells::ABSENT.to_owned())) }
                        td.sizes { (cells::batch_sizes(&row.recommended_batch_sizes, SIZES_SHOWN)) }
                        td { @match &row.best_throughput {
                            Some(best) => { (cells::throughput(best.samples_per_second)) " at " (best.batch_size) }
                            None => { (cells::ABSENT) }
                        } }
                        td.number { (row.blocks) }
                    } } }
                }
            }
        }
    }
}

fn explanation() -> Markup {
    markup! {
        section.explanation aria-labelledby="reading" {
            h2 #reading { "How to read this" }
            p {
                "A device works through a batch in rounds. When the batch no longer fits the rounds it had, one sample more buys a whole new \
                 round, and the iteration time jumps. The " b { "step" } " is the number of samples from one such jump to the next: multiples of it \
                 use their rounds fully, and are the batch sizes worth choosing."
            }
            dl.terms {
                dt { "Staircase" } dd { "Time jumps after a multiple of the step and stays up." }
                dt { "Remainder" } dd { "Left-over samples take a slower path; time falls back at each multiple." }
                dt { "Edges" } dd { "Where the step predicts a jump, marked on the axis: confirmed, where the timings show it; missed, where it would have shown and does not; unclear, where too few batch sizes or too much noise surround it." }
                dt { "Every round laid over the others" } dd { "Each batch size at its place within its round, with its extra time over the line through the good batch sizes. A step that repeats gives one pattern; with larger batches the same jump is a smaller share, so late rounds lie flatter. A round without the pattern lies along 0 %." }
                dt { "Confidence" } dd { "The share of resampled measurements that give the same step, or the agreement of odd with even rounds if that is less. High from 0.95." }
                dt { "No step" } dd { "A result, not a failure: any jump at least as large as the one stated would have been found." }
                dt { "Insufficient, contended, throttled" } dd { "The measurement cannot tell; the row says what to do next." }
                dt { "Disputed" } dd { "Devices of one model give answers that cannot both be true; each device's own answer is in the row's section, and none of them is averaged." }
                dt { "Recommended" } dd { "Batch sizes at the end of a full round, from where the time begins to grow." }
                dt { "Knee" } dd { "The smallest batch size within 5 % of the best throughput." }
            }
            p {
                "Points are medians over blocks with the 95 % interval of the median (of fewer than six blocks their whole range, which covers a little less); each block times many iterations between two synchronisations of the \
                 device. Blocks were taken in rounds of random order, so that heat and drift do not follow the batch size."
            }
        }
    }
}

fn footer(report: &Report) -> Markup {
    let version = report
        .table
        .rows
        .iter()
        .find_map(|detailed| detailed.row.software.batchstep.as_deref());
    markup! {
        footer.page {
            p {
                "Beside this page: " code { "results.json" } " (schema " (report.table.schema_version) "), "
                code { "blocks.csv" } " (every timed block), " code { "table.csv" } ", " code { "table.md" } " and the plots as SVG files in "
                code { "plots/" } "."
            }
            p.muted { "batchstep" @if let Some(version) = version { " " (version) } }
        }
    }
}
