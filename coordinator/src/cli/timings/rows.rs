//! From records to timings, series by series: values are checked, rounds are counted, and our own blocks are sorted by their roles and flags.

use std::collections::BTreeMap;

use batchstep_core::sweep::{Flag, undisturbed};
use batchstep_inference::Observation;
use csv::StringRecord;

use super::{
    choices::{Choices, Decimal, Separator},
    columns::{Column, Columns, ExportColumns},
    decimal::Decimals,
    error::{Fault, Problem, SeriesLabel},
    export::{Iterations, Plan},
    limits, value,
};
use crate::cli::text;

/// What the `role` of the blocks says that measure their batch size; the others serve the protocol.
const MEASURE: &str = "measure";

/// A series.
#[derive(Debug, Default)]
pub(super) struct Series {
    /// Rows, and whether each is of a round in which the reference moved; never in a file of other origin.
    pub(super) timings: Vec<(Observation, bool)>,
    /// The different iterations of its blocks.
    iterations: Iterations,
}

impl Series {
    /// Its timings as the inference takes them, and of our own `export` how it was planned.
    ///
    /// # Errors
    /// When none of our own may be used.
    pub(super) fn observations(
        self,
        export: bool,
    ) -> Result<(Vec<Observation>, Option<Plan>), Fault> {
        if !export {
            let observations = self.timings.into_iter().map(|(observation, _)| observation);
            return Ok((observations.collect(), None));
        }
        if self.timings.is_empty() {
            return Err(Problem::AllThrottled.into());
        }
        Ok((undisturbed(self.timings), Some(self.iterations.plan())))
    }
}

/// What has been read so far, by series; a file of other origin is one without a name.
pub(super) struct Rows<'a> {
    columns: &'a Columns,
    /// The beginning of the wanted series' id.
    wanted: Option<&'a str>,
    decimals: Decimals,
    series: Vec<(SeriesLabel, Series)>,
    /// The series of the last row: neighbours are of one series.
    latest: usize,
    /// Rounds counted from repeats: how often each batch size of a series was seen.
    seen: BTreeMap<(usize, u32), u32>,
    kept: usize,
}

impl<'a> Rows<'a> {
    pub(super) fn new(columns: &'a Columns, choices: &'a Choices) -> Self {
        Self {
            columns,
            wanted: choices.series.as_deref(),
            decimals: Decimals::new(choices.decimal),
            series: Vec::new(),
            latest: 0,
            seen: BTreeMap::new(),
            kept: 0,
        }
    }

    /// Adds a record of a file whose lines have `width` columns.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn add(
        &mut self,
        record: &StringRecord,
        width: usize,
        separator: Separator,
    ) -> Result<(), Problem> {
        check_width(record, width, separator)?;
        let columns = self.columns;
        let line = record.position().map_or(0, csv::Position::line);
        let export = columns.export.as_ref();
        // An empty value is an absent one.
        let told = |place: Option<usize>| {
            place
                .and_then(|place| record.get(place))
                .filter(|text| !text.is_empty())
        };
        if let Some(export) = export
            && field(record, &export.role)? != MEASURE
        {
            return Ok(());
        }
        let ordinal = self.ordinal(record)?;
        let label = &mut self.series[ordinal].0;
        label.blocks += 1;
        if self
            .wanted
            .is_some_and(|wanted| !label.id.starts_with(wanted))
        {
            return Ok(());
        }
        let text = field(record, &columns.batch_size)?;
        let batch_size = value::batch_size(text, &mut self.decimals, line)
            .map_err(in_column(&columns.batch_size))?;
        let corrected = export.and_then(|export| export.corrected.as_ref());
        let (text, column) = match corrected.zip(told(corrected.map(|column| column.place))) {
            Some((column, text)) => (text, column),
            None => (field(record, &columns.seconds)?, &columns.seconds),
        };
        let seconds = value::seconds(text, columns.unit, batch_size, &mut self.decimals, line)
            .map_err(in_column(column))?;
        let round = match &columns.round {
            Some(column) => value::round(field(record, column)?).map_err(in_column(column))?,
            None => {
                let times = self.seen.entry((ordinal, batch_size)).or_default();
                *times += 1;
                *times - 1
            }
        };
        let series = &mut self.series[ordinal].1;
        if let Some(iterations) = told(export.and_then(|export| export.iterations)) {
            series.iterations.meet(iterations);
        }
        let flags = told(export.and_then(|export| export.flags)).unwrap_or_default();
        let flagged = |flag: Flag| flags.split_whitespace().any(|word| word == flag.word());
        if !flagged(Flag::Throttled) {
            self.kept += 1;
            if self.kept > limits::TIMINGS {
                return Err(Problem::TooMany);
            }
            let observation = Observation {
                batch_size,
                round,
                seconds,
            };
            series.timings.push((observation, flagged(Flag::Drifting)));
        }
        Ok(())
    }

    /// The place of the record's series, which is made where it is new.
    fn ordinal(&mut self, record: &StringRecord) -> Result<usize, Problem> {
        let export = self.columns.export.as_ref();
        let id = export
            .and_then(|export| record.get(export.series.place))
            .unwrap_or_default();
        let is_known = |(label, _): &(SeriesLabel, Series)| label.id == id;
        if self.series.get(self.latest).is_some_and(is_known) {
            return Ok(self.latest);
        }
        if let Some(known) = self.series.iter().position(is_known) {
            self.latest = known;
            return Ok(known);
        }
        if self.series.len() == limits::SERIES {
            return Err(Problem::TooManySeries(limits::SERIES));
        }
        let label = SeriesLabel {
            id: id.to_owned(),
            about: export.map_or_else(String::new, |export| about(export, record)),
            blocks: 0,
        };
        self.series.push((label, Series::default()));
        self.latest = self.series.len() - 1;
        Ok(self.latest)
    }

    /// The series that is meant, and how its decimals are written.
    ///
    /// # Errors
    /// When there is none, or more than one and no choice.
    pub(super) fn finish(self) -> Result<(Series, Decimal), Fault> {
        let decimal = self.decimals.settle()?;
        let labels: Vec<SeriesLabel> = self.series.iter().map(|(label, _)| label.clone()).collect();
        let mut matching: Vec<Series> = match self.wanted {
            Some(_) if self.columns.export.is_none() => return Err(Problem::NoSeries.into()),
            wanted => self
                .series
                .into_iter()
                .filter(|(label, _)| wanted.is_none_or(|wanted| label.id.starts_with(wanted)))
                .map(|(_, series)| series)
                .collect(),
        };
        let several = matching.len() > 1;
        match (matching.pop(), self.wanted) {
            (Some(series), _) if !several => Ok((series, decimal)),
            (None, _) if labels.is_empty() => Err(Problem::NoRows.into()),
            (_, None) => Err(Problem::ManySeries(labels).into()),
            (_, Some(wanted)) => Err(Problem::SeriesChoice {
                wanted: wanted.chars().take(64).collect(),
                matches: if several { "several" } else { "no" },
                series: labels,
            }
            .into()),
        }
    }
}

fn about(export: &ExportColumns, record: &StringRecord) -> String {
    export
        .about
        .iter()
        .filter_map(|place| record.get(*place))
        .filter(|text| !text.is_empty())
        .collect::<Vec<_>>()
        .join(", ")
}

fn in_column(column: &Column) -> impl FnOnce(String) -> Problem {
    let column = column.name.clone();
    |problem| Problem::Value { column, problem }
}

/// What a needed column holds.
fn field<'r>(record: &'r StringRecord, column: &Column) -> Result<&'r str, Problem> {
    let problem = match record.get(column.place) {
        Some("") => "is empty; leave out rows without a timing".to_owned(),
        Some(text) => return Ok(text),
        None => format!(
            "is missing; the line has only {}",
            text::count(record.len() as u64, "column")
        ),
    };
    Err(in_column(column)(problem))
}

/// Refuses lines whose values may stand in other columns than they seem to. Missing columns at the end are found where they are read.
fn check_width(record: &StringRecord, width: usize, separator: Separator) -> Result<(), Problem> {
    let (wrong, hint) = match separator {
        Separator::Blanks => (
            record.len() != width,
            "quote names with blanks in them, fill empty columns, or say --separator",
        ),
        Separator::COMMA => (
            record.iter().skip(width).any(|field| !field.is_empty()),
            "should commas begin decimals, separate the columns by semicolons",
        ),
        Separator::Byte(_) => (
            record.iter().skip(width).any(|field| !field.is_empty()),
            "leave out what is too much, or say --separator",
        ),
    };
    if wrong {
        return Err(Problem::Ragged {
            found: record.len(),
            expected: width,
            hint,
        });
    }
    Ok(())
}
