//! What happened, oldest first.

use anyhow::Result;
use serde_json::Value as Json;

use super::cells::{self, ABSENT};
use crate::cli::{args::Format, sweep_view, text};

/// In CSV, named as in the JSON.
const COLUMNS: [&str; 14] = [
    "seq",
    "at",
    "kind",
    "machine_id",
    "hostname",
    "uuid",
    "model",
    "field",
    "before",
    "before_absent",
    "after",
    "after_absent",
    "previous_machine_id",
    "previous_hostname",
];

/// Prints them.
///
/// # Errors
/// When stdout cannot be written.
pub(super) fn print(changes: &[Json], format: Format) -> Result<()> {
    if format == Format::Csv {
        let rows = changes.iter().map(|change| {
            COLUMNS
                .iter()
                .map(|key| match &change[*key] {
                    Json::Bool(flag) => flag.to_string(),
                    other => cells::scalar(other).unwrap_or_default(),
                })
                .collect()
        });
        return text::print(&cells::csv(&COLUMNS.map(ToOwned::to_owned), rows)?);
    }
    let mut table = cells::table(format);
    table.set_header(["time", "host", "device", "what", "change"]);
    for change in changes {
        let device = match (cells::text(change, "model"), cells::text(change, "uuid")) {
            (Some(model), Some(uuid)) => format!("{model} {uuid}"),
            (None, Some(uuid)) => uuid,
            _ => ABSENT.to_owned(),
        };
        let row = [
            sweep_view::when(&cells::shown(change, "at")),
            cells::shown(change, "hostname"),
            device,
            cells::text(change, "field").unwrap_or_else(|| cells::shown(change, "kind")),
            told(change),
        ];
        table.add_row(row.map(|text| cells::cell(format, text)));
    }
    text::print_line(&cells::finished(&table))
}

/// "570.86.10 -> 580.95.05", or what the kind of change needs to be understood.
fn told(change: &Json) -> String {
    let side = |value: &str, absent: &str| {
        let reason = cells::text(change, absent).map(|reason| format!("absent ({reason})"));
        cells::scalar(&change[value]).or(reason)
    };
    let before = side("before", "before_absent");
    let after = side("after", "after_absent");
    let previous = cells::text(change, "previous_hostname");
    match (before, after, previous) {
        (Some(before), Some(after), _) => format!("{before} -> {after}"),
        (None, Some(after), _) => after,
        (_, None, Some(previous)) if change["kind"] == "duplicate" => {
            format!("also on {previous}")
        }
        (_, None, Some(previous)) => format!("{previous} -> {}", cells::shown(change, "hostname")),
        _ => ABSENT.to_owned(),
    }
}
