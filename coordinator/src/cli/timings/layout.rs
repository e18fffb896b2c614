//! What the first lines show: which separator, and whether there is a header. Called once per file, before any value is read.

use std::io::Read;

use csv::StringRecord;

use super::{
    choices::{Choices, Separator},
    decimal::is_number,
    error::{Fault, Problem},
    guess,
    limits::SAMPLE_BYTES,
    names,
    records::{COMMENT, Records},
    source::Source,
};

/// Lines with columns that are looked at.
const LINES: usize = 64;

/// The form of a file.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Layout {
    pub(super) separator: Separator,
    /// Names of the columns, if the file has any.
    pub(super) header: Option<StringRecord>,
    /// Line of the header, from 1; lines up to it hold no timings. 0 without a header.
    pub(super) header_line: u64,
    /// The first line with columns.
    pub(super) first: StringRecord,
}

impl Layout {
    /// Looks at the beginning of `source`.
    ///
    /// # Errors
    /// When there is no line with columns.
    pub(super) fn of<R: Read>(source: &Source<R>, choices: &Choices) -> Result<Self, Fault> {
        let lines = source.lines();
        let is_comment = |line: &str| line.trim_start().as_bytes().first() == Some(&COMMENT);
        let (comments, content): (Vec<_>, Vec<_>) = lines
            .iter()
            .filter(|(_, line)| !line.trim().is_empty())
            .partition(|(_, line)| is_comment(line));
        let Some((number, first)) = content.first().map(|(number, line)| (*number, line)) else {
            return Err(Problem::Preamble(SAMPLE_BYTES >> 10).into());
        };
        let sample: Vec<&str> = content
            .iter()
            .take(LINES)
            .map(|(_, line)| line.as_str())
            .collect();
        let separator = choices.separator.unwrap_or_else(|| separator(&sample));
        let first = split(first, separator);
        if is_header(&first, choices) {
            return Ok(Self {
                separator,
                header: Some(first.clone()),
                header_line: number,
                first,
            });
        }
        // Plotting programs and numpy write the names as a comment.
        let header = comments
            .iter()
            .rev()
            .find(|(line, _)| *line < number)
            .map(|(_, line)| split(line.trim_start().trim_start_matches('#'), separator))
            .filter(|names| names.len() == first.len() && names_columns(names, choices));
        Ok(Self {
            separator,
            header,
            header_line: 0,
            first,
        })
    }

    /// Columns that a line should have.
    pub(super) fn width(&self) -> usize {
        self.header.as_ref().unwrap_or(&self.first).len()
    }
}

/// The columns of one line.
fn split(line: &str, separator: Separator) -> StringRecord {
    let mut records = Records::new(line.as_bytes(), separator);
    match records.next() {
        Ok(Some(record)) => record.clone(),
        // The line is shown to be wrong when it is read.
        Ok(None) | Err(_) => StringRecord::new(),
    }
}

/// What separates the columns of the first lines.
fn separator(lines: &[&str]) -> Separator {
    let first = lines.first().copied().unwrap_or_default();
    let columns = |line: &str, separator| split(line, separator).len();
    let divides = |separator| columns(first, separator) > 1;
    if divides(Separator::SEMICOLON) {
        return Separator::SEMICOLON;
    }
    if divides(Separator::TAB) {
        let count = columns(first, Separator::TAB);
        let even = lines
            .iter()
            .all(|line| columns(line, Separator::TAB) == count);
        return if even {
            Separator::TAB
        } else {
            Separator::Blanks
        };
    }
    if divides(Separator::COMMA) {
        // In "32 0,0123" blanks separate, and the comma begins decimals.
        let numbers_apart = split(first, Separator::COMMA)
            .iter()
            .any(|field| field.contains(' ') && field.split_whitespace().all(is_number));
        return if numbers_apart {
            Separator::Blanks
        } else {
            Separator::COMMA
        };
    }
    if divides(Separator::Blanks) {
        Separator::Blanks
    } else {
        Separator::COMMA
    }
}

/// Whether a line names columns: it has a name that is looked for, or no number.
fn is_header(line: &StringRecord, choices: &Choices) -> bool {
    names::has_wanted(line, choices) || !line.iter().any(is_number)
}

/// Whether a comment names columns rather than saying something.
fn names_columns(names: &StringRecord, choices: &Choices) -> bool {
    names::has_wanted(names, choices)
        || (!names.iter().any(is_number)
            && names
                .iter()
                .any(|name| guess::is_batch_size(name) || guess::is_time(name)))
}
