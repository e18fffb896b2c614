//! What the commands about nights share: questions to the coordinator, how nights and alarms read, and which exit code they ask for. Called by `nightly`,
//! `regressions` and `schedule`; knows none of them.

pub(super) mod alarm;
pub(super) mod ask;
pub(super) mod findings;
pub(super) mod night;

use anyhow::{Context as _, Result};
use batchstep_report::markdown_text;
use clap::ValueEnum;
use serde::Serialize;

use super::text;

/// How nights are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum NightFormat {
    /// For people.
    Table,
    /// For programs; carries `schema_version`.
    Json,
    /// For the summary of a CI run, and for comments.
    Markdown,
}

/// Characters of a text in a cell.
const LONGEST_CELL: usize = 200;
/// Characters of a sentence.
const LONGEST_SENTENCE: usize = 2000;

/// A text that came from other machines, for a cell.
pub(super) fn cell(text: &str) -> String {
    text::harmless(&text::short_digests(text), LONGEST_CELL)
}

/// The same for a sentence.
pub(super) fn sentence(text: &str) -> String {
    text::harmless(text, LONGEST_SENTENCE)
}

/// The same for a command, which is copied whole or not at all.
pub(super) fn line(text: &str) -> String {
    text::harmless(text, usize::MAX)
}

/// Prints a document as it was published.
///
/// # Errors
/// When stdout cannot be written.
pub(super) fn print_document(document: &impl Serialize) -> Result<()> {
    let json = serde_json::to_string_pretty(document).context("cannot write the answer as JSON")?;
    text::print_line(&text::harmless_json(&json))
}

/// Rows as a table of Markdown; cells are escaped.
pub(super) fn markdown_table(
    header: &[&str],
    rows: impl IntoIterator<Item = Vec<String>>,
) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let header: Vec<String> = header.iter().map(|name| (*name).to_owned()).collect();
    let mut out = line(&header);
    out.push_str(&format!("|{}\n", "---|".repeat(header.len())));
    for row in rows {
        let cells: Vec<String> = row.iter().map(|text| markdown_text(text)).collect();
        out.push_str(&line(&cells));
    }
    out
}

/// An RFC 3339 time for people, to the minute; a text that is none as it is.
pub(super) fn minute(timestamp: &str) -> String {
    timestamp.parse::<jiff::Timestamp>().map_or_else(
        |_| cell(timestamp),
        |moment| moment.strftime("%Y-%m-%d %H:%M UTC").to_string(),
    )
}
