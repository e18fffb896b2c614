//! What can be wrong with a file of timings; every message names the file, the line and the column, and says what would be right. Made by
//! `csv_input`, shown by `analyze`.

use std::fmt;

/// Shown with errors about the form of the file.
const FORM: &str = "write the header batch_size,seconds and one row per timed block or iteration, such as 32,0.0123";

/// A file whose timings cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum CsvError {
    /// It cannot be opened or read.
    #[error("cannot read {file}")]
    Unreadable {
        file: String,
        #[source]
        source: std::io::Error,
    },
    /// It is a folder.
    #[error("{0} is a directory; give the CSV file in it, such as blocks.csv of a report")]
    Directory(String),
    /// Nothing is in it.
    #[error("{file} is empty; {FORM}")]
    Empty { file: String },
    /// There is a header and nothing else.
    #[error("{file} has a header but no timings; {FORM}")]
    NoRows { file: String },
    /// Our own measurement, without a block that may be used.
    #[error(
        "{file}: in every block of this series the device slowed itself down, for heat or power; mend cooling or power supply, then measure again"
    )]
    AllThrottled { file: String },
    /// The first line is data.
    #[error("{file}:1: the header is missing (the first line is {line:?}); {FORM}")]
    NoHeader { file: String, line: String },
    /// Another separator.
    #[error(
        "{file}:1: the columns are separated by {separator}, not by commas; convert the file first, for instance with `tr '{tr}' ,`"
    )]
    Separator {
        file: String,
        separator: &'static str,
        tr: &'static str,
    },
    /// A needed column is not there.
    #[error("{file}:1: the header has no column {column} (it has {found}); {FORM}")]
    NoColumn {
        file: String,
        column: &'static str,
        found: String,
    },
    /// Which of two columns is meant?
    #[error("{file}:1: the header has two columns {column}; keep one")]
    TwoColumns { file: String, column: &'static str },
    /// The file breaks CSV's rules.
    #[error("{file}:{line}: {problem}")]
    Row {
        file: String,
        line: u64,
        problem: String,
    },
    /// One value is not what its column holds.
    #[error("{file}:{line}: column {column}: {problem}")]
    Value {
        file: String,
        line: u64,
        column: &'static str,
        problem: String,
    },
    /// More than one series and no choice.
    #[error("{file} holds {} series; choose one with --series ID:\n{}", .series.len(), listing(.series))]
    ManySeries {
        file: String,
        series: Vec<SeriesLabel>,
    },
    /// The chosen series is not there, or not the only one.
    #[error("{file} has {matches} series whose id begins with {wanted:?}; it holds:\n{}", listing(.series))]
    SeriesChoice {
        file: String,
        wanted: String,
        matches: &'static str,
        series: Vec<SeriesLabel>,
    },
}

/// A series as people tell it from another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SeriesLabel {
    /// The beginning of it chooses the series.
    pub(super) id: String,
    /// Device, workload and threads, as far as the file tells.
    pub(super) about: String,
    /// Measuring blocks.
    pub(super) blocks: usize,
}

impl fmt::Display for SeriesLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "  {}  {} ({} blocks)", self.id, self.about, self.blocks)
    }
}

fn listing(series: &[SeriesLabel]) -> String {
    series
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("\n")
}
