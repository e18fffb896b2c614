//! What somebody should look at, the worst first, each with what to do.

use anyhow::Result;
use serde_json::Value as Json;

use super::cells::{self, ABSENT};
use crate::cli::{args::Format, text};

/// In CSV, named as in the JSON.
const COLUMNS: [&str; 8] = [
    "severity",
    "code",
    "machine_id",
    "hostname",
    "uuid",
    "model",
    "message",
    "action",
];

/// Prints them.
///
/// # Errors
/// When stdout cannot be written.
pub(super) fn print(findings: &[Json], format: Format) -> Result<()> {
    match format {
        Format::Csv => text::print(&cells::csv_of(findings, &COLUMNS)?),
        Format::Markdown => {
            let mut table = cells::table(format);
            table.set_header(["severity", "code", "host", "device", "what", "what to do"]);
            for finding in findings {
                let row = ["severity", "code", "hostname", "uuid", "message", "action"]
                    .map(|key| finding[key].as_str().unwrap_or(ABSENT))
                    .map(|text| cells::cell(format, cells::sentence(text)));
                table.add_row(row);
            }
            text::print_line(&cells::finished(&table))
        }
        // Sentences, not cells: one below the other they can be read.
        Format::Table | Format::Json => text::print_line(&sentences(findings)),
    }
}

fn sentences(findings: &[Json]) -> String {
    let mut out = String::new();
    for finding in findings {
        let device =
            cells::text(finding, "uuid").map_or_else(String::new, |uuid| format!("  {uuid}"));
        let message = finding["message"].as_str().unwrap_or(ABSENT);
        out.push_str(&format!(
            "{:<9} {}{device}\n          {}\n          -> {}\n",
            cells::shown(finding, "severity"),
            cells::shown(finding, "code"),
            cells::sentence(message),
            cells::shown(finding, "action"),
        ));
    }
    let count = |severity: &str, noun: &str| {
        let found = findings
            .iter()
            .filter(|finding| finding["severity"] == severity);
        text::count(found.count() as u64, noun)
    };
    out.push_str(&format!(
        "\n{}, {}, {}",
        count("critical", "critical finding"),
        count("warning", "warning"),
        count("notice", "notice")
    ));
    out
}
