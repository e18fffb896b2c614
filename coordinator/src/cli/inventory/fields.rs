//! Every field there is, as the catalogue has it. The table in `docs/guide/inventory.md` is this one; a test keeps it so.

use anyhow::Result;
use batchstep_proto::inventory::{Field, Scope, catalogue};
use serde_json::{Value as Json, json};

use super::cells::{self, SCHEMA_VERSION};
use crate::cli::{args::Format, text};

const HEADER: [&str; 8] = [
    "field",
    "of",
    "type",
    "unit",
    "class",
    "may be null",
    "meaning",
    "source",
];

/// Prints them.
///
/// # Errors
/// When stdout cannot be written.
pub(super) fn print(format: Format) -> Result<()> {
    let fields = [Scope::Host, Scope::Gpu]
        .into_iter()
        .flat_map(catalogue::fields)
        .copied();
    match format {
        Format::Json => {
            let fields: Vec<Json> = fields.map(as_json).collect();
            text::print_json(&json!({"schema_version": SCHEMA_VERSION, "fields": fields}))
        }
        Format::Csv => {
            let header = [
                "name",
                "scope",
                "type",
                "unit",
                "class",
                "may_be_null",
                "about",
                "source",
            ];
            let rows = fields.map(|field| row(field).into());
            text::print(&cells::csv(&header.map(ToOwned::to_owned), rows)?)
        }
        Format::Table | Format::Markdown => {
            let mut table = cells::table(format);
            table.set_header(HEADER);
            for field in fields {
                table.add_row(row(field).map(|text| cells::cell(format, text)));
            }
            text::print_line(&cells::finished(&table))
        }
    }
}

/// The UUID names the device, so it is always there; everything else may be absent, with a reason.
fn may_be_null(field: &Field) -> bool {
    field.scope != Scope::Gpu || field.name != "uuid"
}

const fn scope(field: &Field) -> &'static str {
    match field.scope {
        Scope::Host => "host",
        Scope::Gpu => "gpu",
    }
}

fn row(field: &Field) -> [String; 8] {
    [
        field.name,
        scope(field),
        field.kind.word(),
        field.unit.word(),
        field.class.word(),
        if may_be_null(field) { "yes" } else { "no" },
        field.about,
        field.source,
    ]
    .map(ToOwned::to_owned)
}

fn as_json(field: &Field) -> Json {
    json!({
        "name": field.name,
        "scope": scope(field),
        "type": field.kind.word(),
        "unit": Some(field.unit.word()).filter(|unit| !unit.is_empty()),
        "class": field.class.word(),
        "makes_events": field.class.makes_events(),
        "may_be_null": may_be_null(field),
        "about": field.about,
        "source": field.source,
    })
}
