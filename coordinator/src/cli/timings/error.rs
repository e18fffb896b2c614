//! What can be wrong with a file of timings; every message names the file, the line and the column, and says what would be right. Made by the
//! other modules of `timings`, shown by `analyze`.

use std::fmt::{self, Write as _};

use csv::StringRecord;

use super::{choices::Separator, limits, unit::Unit};
use crate::cli::text;

/// Shown with errors about the form of the file.
const FORM: &str = "write the header batch_size,seconds and one row per timed block or iteration, such as 32,0.0123";
/// Columns that an error lists.
const COLUMNS_SHOWN: usize = 24;
/// Characters of a column's name that an error shows.
const NAME_SHOWN: usize = 40;
/// Series that an error lists.
const SERIES_SHOWN: usize = 40;

/// A file whose timings cannot be used.
#[derive(Debug)]
pub(in crate::cli) struct TimingsError {
    /// Its name, as given.
    pub(super) file: String,
    pub(super) fault: Fault,
}

impl fmt::Display for TimingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.fault.line {
            Some(line) => write!(f, "{}:{line}: {}", self.file, self.fault.problem),
            None => write!(f, "{}: {}", self.file, self.fault.problem),
        }
    }
}

impl std::error::Error for TimingsError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.fault.problem.source()
    }
}

/// A problem, and where it is.
#[derive(Debug)]
pub(super) struct Fault {
    /// Counted from 1; `None` for the file as a whole.
    pub(super) line: Option<u64>,
    pub(super) problem: Problem,
}

impl From<Problem> for Fault {
    fn from(problem: Problem) -> Self {
        Self {
            line: None,
            problem,
        }
    }
}

/// What is wrong.
#[derive(Debug, thiserror::Error)]
pub(super) enum Problem {
    /// It cannot be opened or read.
    #[error("cannot be read")]
    Unreadable(#[source] std::io::Error),
    /// It is a folder.
    #[error("is a directory; give the CSV file in it, such as blocks.csv of a report")]
    Directory,
    /// Nothing is in it.
    #[error("is empty; {FORM}")]
    Empty,
    /// Text of another encoding, or no text.
    #[error("is {kind}, not UTF-8 text; {remedy}")]
    OtherKind {
        kind: &'static str,
        remedy: &'static str,
    },
    /// Comments without end.
    #[error("the first {0} KiB hold comments and blank lines alone; {FORM}")]
    Preamble(u64),
    /// Some bytes are not text.
    #[error("not UTF-8 text; save the file as UTF-8 CSV")]
    NotUtf8,
    /// A record without end.
    #[error(
        "this record has more than {} KiB; is a quote not closed, or is this no file of timings?",
        limits::RECORD_BYTES >> 10
    )]
    TooLong,
    /// The rest of the file would be one value.
    #[error("a quote that begins in this record is not closed")]
    Quote,
    /// More timings than fit.
    #[error(
        "more than {} timings; give fewer repeats of each batch size, or means over some iterations each",
        limits::TIMINGS
    )]
    TooMany,
    /// There is a header and nothing else.
    #[error("has a header but no timings; {FORM}")]
    NoRows,
    /// Our own measurement, without a block that may be used.
    #[error(
        "in every block of this series the device slowed itself down, for heat or power; mend cooling or power supply, then measure again"
    )]
    AllThrottled,
    /// The first line is data, and it does not show what its columns are.
    #[error(
        "there is no header, and only two bare columns are understood without one; this line has {}: {there}. Say which are meant, such as --batch-size-column 1 --seconds-column 2{}",
        text::count(.there.0.len() as u64, "column"),
        if .there.0.len() > 2 { "; should commas begin decimals, separate the columns by semicolons" } else { "" }
    )]
    NoHeader { there: NamedColumns },
    /// A needed column is not there.
    #[error("the header has no column {missing}; it has {there}. Say which is meant: {}", words(.flags))]
    NoColumn {
        missing: &'static str,
        there: NamedColumns,
        flags: Vec<(&'static str, Option<String>)>,
    },
    /// The columns are separated by something else than was thought.
    #[error(
        "the header is one column, {header:?}: say what separates the columns, with --separator {separator}"
    )]
    OneColumn {
        header: String,
        separator: Separator,
    },
    /// A chosen column is not there.
    #[error("there is no column {wanted:?} for {flag}; there are {there}")]
    NoChoice {
        flag: &'static str,
        wanted: String,
        there: NamedColumns,
    },
    /// Which of several columns is meant?
    #[error(
        "the header has {} columns {name}, {}; keep one, or choose one by its number, such as {flag} {}",
        if .numbers.len() == 2 { "two".to_owned() } else { .numbers.len().to_string() },
        text::list(.numbers, COLUMNS_SHOWN),
        .numbers.first().copied().unwrap_or(1)
    )]
    TwoColumns {
        name: String,
        numbers: Vec<usize>,
        flag: &'static str,
    },
    /// One column for two things.
    #[error(
        "batch size and time are both read from column {0}; choose others with --batch-size-column and --seconds-column"
    )]
    SameColumn(String),
    /// A name that says another unit than seconds.
    #[error(
        "column {column} looks like {}: add --unit {}, or --unit s if it holds seconds",
        .named.words(), .named.word()
    )]
    UnitUnsaid { column: String, named: Unit },
    /// Our own export in another unit.
    #[error("this is batchstep's own blocks.csv, which is in seconds; leave out --unit")]
    ExportUnit,
    /// One value is not what its column holds.
    #[error("column {column}: {problem}")]
    Value { column: String, problem: String },
    /// More or fewer columns than there should be.
    #[error(
        "{} where {expected} are expected; {hint}",
        text::count(*.found as u64, "column")
    )]
    Ragged {
        found: usize,
        expected: usize,
        hint: &'static str,
    },
    /// All commas could separate thousands.
    #[error(
        "{text} can be a decimal comma or a separator of thousands, and no other number of the file tells which; add --decimal comma, or leave out what separates thousands"
    )]
    Decimal { text: String },
    /// More than one series and no choice.
    #[error("holds {} series; choose one with --series ID:\n{}", .0.len(), listing(.0))]
    ManySeries(Vec<SeriesLabel>),
    /// More series than anyone's export.
    #[error("holds more than {0} series; export fewer of them")]
    TooManySeries(usize),
    /// The chosen series is not there, or not the only one.
    #[error("has {matches} series whose id begins with {wanted:?}; it holds:\n{}", listing(.series))]
    SeriesChoice {
        wanted: String,
        matches: &'static str,
        series: Vec<SeriesLabel>,
    },
    /// A series chosen where there are none.
    #[error(
        "has no series to choose from, which only batchstep's own blocks.csv has; leave out --series"
    )]
    NoSeries,
}

impl Problem {
    /// The same at a line, counted from 1.
    pub(super) fn at(self, line: u64) -> Fault {
        Fault {
            line: Some(line),
            problem: self,
        }
    }

    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        std::error::Error::source(self)
    }
}

/// Columns with their numbers: "1 batch, 2 time_ms".
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NamedColumns(pub(super) Vec<String>);

impl NamedColumns {
    pub(super) fn of(line: &StringRecord) -> Self {
        Self(
            line.iter()
                .map(|name| name.chars().take(NAME_SHOWN).collect())
                .collect(),
        )
    }
}

impl fmt::Display for NamedColumns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named: Vec<String> = (1_usize..)
            .zip(&self.0)
            .map(|(number, name)| format!("{number} {name:?}"))
            .collect();
        f.write_str(&text::list(&named, COLUMNS_SHOWN))
    }
}

/// What seems to separate columns within the only one there is.
pub(super) fn unseen_separator(header: &StringRecord) -> Option<Separator> {
    let text = header.get(0).filter(|_| header.len() == 1)?;
    b",;|\t:"
        .iter()
        .find(|byte| text.as_bytes().contains(byte))
        .map(|&byte| Separator::Byte(byte))
}

/// Flags as they would be typed; what is not known stands as NAME.
fn words(flags: &[(&'static str, Option<String>)]) -> String {
    let mut out = String::new();
    for (flag, value) in flags {
        let value = value
            .as_deref()
            .map_or_else(|| "NAME".to_owned(), text::shell_word);
        // Writing to a string cannot fail.
        let _ = write!(
            out,
            "{}{flag} {value}",
            if out.is_empty() { "" } else { " " }
        );
    }
    out
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
    let mut lines: Vec<String> = series
        .iter()
        .take(SERIES_SHOWN)
        .map(ToString::to_string)
        .collect();
    if series.len() > SERIES_SHOWN {
        lines.push(format!("  .. ({} more)", series.len() - SERIES_SHOWN));
    }
    lines.join("\n")
}
