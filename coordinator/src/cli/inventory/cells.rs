//! Cells of the inventory's tables: values with units, ages, and texts from other machines made harmless. Prints nothing.

use anyhow::{Context as _, Result};
use batchstep_proto::{inventory::Value, size::Size};
use comfy_table::{ContentArrangement, LineStyle, presets};
use serde_json::Value as Json;

use crate::cli::{args::Format, grid, text::harmless};

/// Version of the JSON's layout.
pub(super) const SCHEMA_VERSION: u32 = 1;
/// What stands for a value that is not there.
pub(super) const ABSENT: &str = "-";
/// Characters of a text in a cell; longer ones make a table unreadable.
const LONGEST: usize = 200;
/// Characters of a sentence.
const LONGEST_SENTENCE: usize = 4000;

/// A text from outside as it may stand in a cell: no control characters, no end of line, not endless.
pub(super) fn plain(text: &str) -> String {
    harmless(text, LONGEST)
}

/// The same for sentences, which the coordinator made with texts from outside in them.
pub(super) fn sentence(text: &str) -> String {
    harmless(text, LONGEST_SENTENCE)
}

/// A text of an object; `None` where it is absent.
pub(super) fn text(object: &Json, key: &str) -> Option<String> {
    object[key].as_str().map(plain)
}

/// The same with a dash for what is absent.
pub(super) fn shown(object: &Json, key: &str) -> String {
    text(object, key).unwrap_or_else(|| ABSENT.to_owned())
}

/// Any scalar as people read it.
pub(super) fn scalar(json: &Json) -> Option<String> {
    match json {
        Json::Null | Json::Array(_) | Json::Object(_) => None,
        Json::String(text) => Some(plain(text)),
        Json::Bool(flag) => Some(Value::Flag(*flag).to_string()),
        Json::Number(number) => Some(number.to_string()),
    }
}

/// Any scalar as a cell of CSV: whole, flags as in JSON, numbers as they are.
pub(super) fn csv_value(json: &Json) -> String {
    match json {
        Json::Null | Json::Array(_) | Json::Object(_) => String::new(),
        Json::String(text) => csv_text(text),
        Json::Bool(flag) => flag.to_string(),
        Json::Number(number) => number.to_string(),
    }
}

/// A text as a cell of CSV: whole, and never a formula of the spreadsheet that opens it, which a name from another machine must not write.
pub(super) fn csv_text(text: &str) -> String {
    let out = harmless(text, usize::MAX);
    if text.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        format!("'{out}")
    } else {
        out
    }
}

/// The texts of a list, whole, as one cell of CSV.
pub(super) fn csv_list(json: &Json) -> String {
    let items = json.as_array().into_iter().flatten();
    let texts: Vec<&str> = items.filter_map(Json::as_str).collect();
    csv_text(&texts.join(" "))
}

/// Bytes in the largest binary unit.
pub(super) fn bytes(object: &Json, key: &str) -> Option<String> {
    object[key].as_u64().map(|bytes| Size(bytes).to_string())
}

/// Names of a list.
pub(super) fn list(json: &Json) -> Vec<String> {
    let items = json.as_array().into_iter().flatten();
    items.filter_map(scalar).collect()
}

/// The objects of a list.
pub(super) fn objects<'a>(object: &'a Json, key: &str) -> impl Iterator<Item = &'a Json> {
    object[key].as_array().into_iter().flatten()
}

/// "3 h ago" in the largest unit; "now" within two minutes, twice the time between samples and more.
pub(super) fn ago(seconds: f64) -> String {
    let seconds = seconds.max(0.0);
    if seconds < 120.0 {
        "now".to_owned()
    } else if seconds < 7200.0 {
        format!("{:.0} min ago", (seconds / 60.0).floor())
    } else if seconds < 172_800.0 {
        format!("{:.0} h ago", (seconds / 3600.0).floor())
    } else {
        format!("{:.0} days ago", (seconds / 86_400.0).floor())
    }
}

/// An empty table for this format.
pub(super) fn table(format: Format) -> comfy_table::Table {
    if format == Format::Markdown {
        let mut table = comfy_table::Table::new();
        table
            .load_style(presets::ASCII_MARKDOWN)
            .set_content_arrangement(ContentArrangement::Disabled);
        table
    } else {
        // Labs have many rows: a line between each two would hide them.
        let mut table = grid::grid();
        table.load_style(presets::UTF8_HORIZONTAL_ONLY.row_separator(LineStyle::none()));
        table
    }
}

/// A finished table without the spaces at its lines' ends; a bar in a cell of Markdown would end it.
pub(super) fn finished(table: &comfy_table::Table) -> String {
    grid::trim_lines(&table.to_string())
}

/// A cell of this format.
pub(super) fn cell(format: Format, text: String) -> String {
    if format == Format::Markdown {
        text.replace('|', "\\|")
    } else {
        text
    }
}

/// Rows as CSV.
pub(super) fn csv(
    header: &[String],
    rows: impl IntoIterator<Item = Vec<String>>,
) -> Result<Vec<u8>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(header)?;
    for row in rows {
        writer.write_record(row)?;
    }
    writer
        .into_inner()
        .context("cannot write the inventory as CSV")
}

/// Objects as CSV, a column for each of these keys.
pub(super) fn csv_of(objects: &[Json], keys: &[&str]) -> Result<Vec<u8>> {
    let header: Vec<String> = keys.iter().map(|key| (*key).to_owned()).collect();
    let rows = objects
        .iter()
        .map(|object| keys.iter().map(|key| csv_value(&object[*key])).collect());
    csv(&header, rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_from_outside_cannot_paint_the_terminal() {
        assert_eq!(plain("NVIDIA H200"), "NVIDIA H200");
        assert_eq!(
            plain("a\u{1b}[31mb\n\u{202e}c"),
            "a\\u{1b}[31mb\\u{a}\\u{202e}c"
        );
        let long = plain(&"x".repeat(10_000_000));
        assert_eq!(long.len(), LONGEST + 2);
    }

    #[test]
    fn csv_is_whole_and_no_formula() {
        let long = "x".repeat(5000);
        assert_eq!(csv_value(&long.as_str().into()), long);
        for formula in ["=HYPERLINK(\"http://x\")", "+1", "-1", "@SUM(A1)"] {
            assert_eq!(csv_value(&formula.into()), format!("'{formula}"));
        }
        assert_eq!(csv_value(&"\t=1".into()), "'\\u{9}=1");
        assert_eq!(csv_value(&(-5.5).into()), "-5.5");
        assert_eq!(csv_value(&true.into()), "true");
        assert_eq!(csv_list(&serde_json::json!(["=a", "b"])), "'=a b");
    }

    #[test]
    fn ages_are_in_their_largest_unit() {
        for (seconds, shown) in [
            (-5.0, "now"),
            (119.0, "now"),
            (120.0, "2 min ago"),
            (7200.0, "2 h ago"),
            (3.0 * 86_400.0, "3 days ago"),
        ] {
            assert_eq!(ago(seconds), shown);
        }
    }
}
