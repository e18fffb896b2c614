//! The step table as Markdown, for issues, wikis and READMEs. Called by [`write()`](crate::write()) and by `--format markdown`; shows rounded
//! cells from [`cells`] and, below the table, why rows without a step have none.

use std::fmt::Write as _;

use batchstep_core::steptable::{Row, Verdict};

use crate::{cells, distinct, siblings};

/// Recommended batch sizes shown in a cell.
const SIZES_SHOWN: usize = 5;

/// The rows as a Markdown table, followed by the reasons and next actions of rows without a step, and by what the devices of a row say where they are several.
#[must_use]
pub fn table_markdown(rows: &[Row]) -> String {
    render(&rows.iter().collect::<Vec<_>>())
}

pub(crate) fn render(rows: &[&Row]) -> String {
    if rows.is_empty() {
        return "No rows: nothing was measured.\n".to_owned();
    }
    let mut out = String::from(
        "| device | workload | setting | verdict | step | one sample more | recommended batch sizes | best throughput | blocks |\n\
         |---|---|---|---|---|---|---|---|---:|\n",
    );
    for row in rows {
        let best = row.best_throughput.as_ref().map_or_else(
            || cells::ABSENT.to_owned(),
            |best| {
                format!(
                    "{} at {}",
                    cells::throughput(best.samples_per_second),
                    best.batch_size
                )
            },
        );
        let columns = [
            cells::device(row),
            distinct::workload(row, rows),
            distinct::setting(row, rows),
            siblings::verdict(row),
            cells::step(row),
            cells::jump(row).unwrap_or_else(|| cells::ABSENT.to_owned()),
            cells::batch_sizes(&row.recommended_batch_sizes, SIZES_SHOWN),
            best,
            row.blocks.to_string(),
        ];
        out.push('|');
        for column in &columns {
            let _ = write!(out, " {} |", escape(column));
        }
        out.push('\n');
    }
    let mut remarks = rows
        .iter()
        .filter(|row| row.verdict != Verdict::Step || row.devices.len() > 1)
        .peekable();
    if remarks.peek().is_some() {
        out.push('\n');
    }
    for row in remarks {
        let _ = write!(
            out,
            "- **{}, {}, {}**: {}: {}",
            escape(&cells::device(row)),
            escape(&distinct::workload(row, rows)),
            escape(&distinct::setting(row, rows)),
            cells::verdict(row.verdict),
            escape(&row.reason),
        );
        if let Some(action) = &row.next_action {
            let _ = write!(out, ". Next: {}", escape(action));
        }
        out.push('\n');
        for line in siblings::lines(row) {
            let _ = writeln!(out, "  - {}", escape(&line));
        }
    }
    out
}

/// Text that cannot break out of a table cell or become markup.
#[must_use]
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '|' | '\\' | '`' | '*' | '_' | '[' | ']' => {
                out.push('\\');
                out.push(character);
            }
            '<' => out.push_str("&lt;"),
            '&' => out.push_str("&amp;"),
            '\n' | '\r' => out.push(' '),
            other => out.push(other),
        }
    }
    out
}
