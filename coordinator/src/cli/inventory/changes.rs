//! What happened, oldest first.

use anyhow::Result;
use batchstep_proto::{
    inventory::{Scope, Unit, catalogue},
    size::Size,
};
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
        return text::print(&cells::csv_of(changes, &COLUMNS)?);
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

/// A value as people read it, a number with its field's unit: "500 W".
fn measured(change: &Json, value: &Json) -> Option<String> {
    let name = change["field"].as_str().unwrap_or_default();
    let scopes = [Scope::Gpu, Scope::Host];
    let field = scopes
        .into_iter()
        .find_map(|scope| catalogue::find(scope, name));
    let unit = field.map_or(Unit::None, |field| field.unit);
    match (value, unit) {
        (Json::String(text), _) => Some(cells::sentence(text)),
        (Json::Number(_), Unit::Bytes) => value.as_u64().map(|bytes| Size(bytes).to_string()),
        (Json::Number(_), unit) => {
            let word = match unit {
                Unit::Count | Unit::Bits | Unit::Version => "",
                _ => unit.word(),
            };
            let number = value.as_f64().map(|number| number.to_string());
            // Counters may be larger than what a float can tell.
            let number = value.as_u64().map(|number| number.to_string()).or(number)?;
            Some(format!("{number} {word}").trim_end().to_owned())
        }
        _ => cells::scalar(value),
    }
}

/// "570.86.10 -> 580.95.05", or what the kind of change needs to be understood.
fn told(change: &Json) -> String {
    let side = |value: &str, absent: &str| {
        let reason = cells::text(change, absent).map(|reason| format!("absent ({reason})"));
        measured(change, &change[value]).or(reason)
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
