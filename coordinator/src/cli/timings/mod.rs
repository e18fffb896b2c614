//! Reads timings from text of any origin: CSV and its relatives with semicolons, tabs or blanks, and our own `blocks.csv`. Called by `analyze`.
//!
//! A file passes through `source` (is this text at all), `layout` (separator, header), `columns` (which ones are read), `records` (one line at a
//! time, in bounded memory) and `rows` (the timings). Every error names the file, the line and the column, and says what to do; nothing that is
//! not a timing gets through, and nothing is guessed where a wrong guess would go unnoticed.

mod choices;
mod columns;
mod decimal;
mod error;
mod export;
mod guess;
mod layout;
mod limits;
mod names;
#[cfg(test)]
mod properties;
mod records;
mod rows;
mod source;
#[cfg(test)]
mod tests;
mod unit;
mod value;

use std::{io::Read, path::Path};

use batchstep_inference::Observation;
use serde::Serialize;

pub(super) use choices::Choices;
pub(super) use error::TimingsError;
pub(super) use export::Plan;

use columns::Columns;
use error::Fault;
use layout::Layout;
use rows::Rows;
use source::Source;

/// The timings of a file.
#[derive(Debug)]
pub(super) struct Timings {
    pub(super) observations: Vec<Observation>,
    /// How our own measurement was planned; `None` for a file of other origin.
    pub(super) export: Option<Plan>,
    /// How the file was understood.
    pub(super) input: Input,
}

/// How a file was understood, as it is told to people and programs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Input {
    /// `comma`, `semicolon`, `tab`, `space`, or the character itself.
    pub(super) separator: String,
    /// `point` or `comma`.
    pub(super) decimal: &'static str,
    /// What the times are given in.
    pub(super) unit: &'static str,
    /// Name of a column, or its number where there is no header.
    pub(super) batch_size_column: String,
    pub(super) seconds_column: String,
    /// `null` where rounds are counted from repeats.
    pub(super) round_column: Option<String>,
    /// Timings read from these columns; those that are judged may be fewer.
    pub(super) timings: usize,
}

/// Reads `path`, `-` for stdin.
///
/// # Errors
/// The first thing that is wrong, with its place.
pub(super) fn read(path: &Path, choices: &Choices) -> Result<Timings, TimingsError> {
    let stdin = path.as_os_str() == "-";
    let file = if stdin {
        "<stdin>".to_owned()
    } else {
        path.display().to_string()
    };
    let timings = if stdin {
        Source::new(std::io::stdin().lock()).and_then(|source| parse(source, choices))
    } else {
        source::open(path).and_then(|source| parse(source, choices))
    };
    timings.map_err(|fault| TimingsError { file, fault })
}

fn parse<R: Read>(source: Source<R>, choices: &Choices) -> Result<Timings, Fault> {
    let layout = Layout::of(&source, choices)?;
    let columns = Columns::find(&layout, choices)?;
    let mut records = source.records(layout.separator);
    let mut rows = Rows::new(&columns, choices);
    while let Some(record) = records.next()? {
        let line = record.position().map_or(0, csv::Position::line);
        if line <= layout.header_line {
            continue;
        }
        rows.add(record, layout.width(), layout.separator)
            .map_err(|problem| problem.at(line))?;
    }
    let (series, decimal) = rows.finish()?;
    let timings = series.timings.len();
    let (observations, export) = series.observations(columns.export.is_some())?;
    Ok(Timings {
        observations,
        export,
        input: Input {
            separator: layout.separator.to_string(),
            decimal: decimal.word(),
            unit: columns.unit.word(),
            batch_size_column: columns.batch_size.name.clone(),
            seconds_column: columns.seconds.name.clone(),
            round_column: columns.round.as_ref().map(|round| round.name.clone()),
            timings,
        },
    })
}
