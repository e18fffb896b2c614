//! Where the columns of a file of timings are: batch size, time and round, found by name, by number or by place, and the further ones of our own
//! `blocks.csv`. Reads no values.

use csv::StringRecord;

use super::{
    choices::Choices,
    error::{Fault, NamedColumns, Problem, unseen_separator},
    guess,
    layout::Layout,
    names::{BATCH_SIZE, ROUND, places},
    unit::Unit,
};

/// Tells the series of an export apart. With [`ROLE`] it tells our own export from a file of other origin.
const SERIES: &str = "series_id";
/// Why a block was timed.
const ROLE: &str = "role";
/// The drift-corrected time.
const CORRECTED: &str = "corrected_seconds";

/// One column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Column {
    /// Counted from 0.
    pub(super) place: usize,
    /// As the header spells it; its number where there is no header.
    pub(super) name: String,
}

/// The columns that are read.
#[derive(Debug)]
pub(super) struct Columns {
    pub(super) batch_size: Column,
    /// Holds [`unit`](Self::unit).
    pub(super) seconds: Column,
    pub(super) unit: Unit,
    pub(super) round: Option<Column>,
    /// `None` for a file of other origin, whose further columns may mean anything.
    pub(super) export: Option<ExportColumns>,
}

/// The further columns of our own export.
#[derive(Debug)]
pub(super) struct ExportColumns {
    pub(super) series: Column,
    pub(super) role: Column,
    /// `None` where a person chose another column of seconds.
    pub(super) corrected: Option<Column>,
    pub(super) iterations: Option<usize>,
    pub(super) flags: Option<usize>,
    /// What tells people one series from another.
    pub(super) about: Vec<usize>,
}

impl Columns {
    /// Finds them.
    ///
    /// # Errors
    /// When a needed one is missing or could be another, or its unit contradicts its name.
    pub(super) fn find(layout: &Layout, choices: &Choices) -> Result<Self, Fault> {
        let found = match &layout.header {
            Some(header) => Self::named(header, choices),
            None => Self::counted(&layout.first, choices),
        };
        let line = layout.header_line.max(1);
        let columns = found.map_err(|problem| problem.at(line))?;
        if columns.batch_size.place == columns.seconds.place {
            return Err(Problem::SameColumn(columns.seconds.name).at(line));
        }
        Ok(columns)
    }

    fn named(header: &StringRecord, choices: &Choices) -> Result<Self, Problem> {
        let batch_size = match &choices.batch_size_column {
            Some(wanted) => Some(chosen(header, wanted, "--batch-size-column")?),
            None => one(header, BATCH_SIZE, "--batch-size-column")?,
        };
        let seconds = match &choices.seconds_column {
            Some(wanted) => Some(chosen(header, wanted, "--seconds-column")?),
            None => usual_seconds(header, choices.unit)?,
        };
        let (Some(batch_size), Some(seconds)) = (&batch_size, &seconds) else {
            let missing = if batch_size.is_none() {
                BATCH_SIZE
            } else {
                Unit::Seconds.column_names()[0]
            };
            if let Some(separator) = unseen_separator(header) {
                return Err(Problem::OneColumn {
                    header: header.get(0).unwrap_or_default().chars().take(64).collect(),
                    separator,
                });
            }
            return Err(Problem::NoColumn {
                missing,
                there: NamedColumns::of(header),
                flags: flags(
                    header,
                    batch_size.is_none(),
                    seconds.is_none(),
                    choices.unit,
                ),
            });
        };
        let round = match &choices.round_column {
            Some(wanted) => Some(chosen(header, wanted, "--round-column")?),
            None => one(header, ROUND, "--round-column")?,
        };
        let mut export = ExportColumns::find(header)?;
        if let Some(export) = &mut export {
            if choices.unit.is_some_and(|unit| unit != Unit::Seconds) {
                return Err(Problem::ExportUnit);
            }
            if choices.seconds_column.is_some() {
                export.corrected = None;
            }
        }
        let unit = unit(seconds, choices)?;
        Ok(Self {
            batch_size: batch_size.clone(),
            seconds: seconds.clone(),
            unit,
            round,
            export,
        })
    }

    /// Without a header: by the numbers that were given, else the first and the second of two.
    fn counted(first: &StringRecord, choices: &Choices) -> Result<Self, Problem> {
        let number = |wanted: &Option<String>, flag| match wanted {
            Some(wanted) => nth(first, wanted, flag).map(Some),
            None => Ok(None),
        };
        let batch_size = number(&choices.batch_size_column, "--batch-size-column")?;
        let seconds = number(&choices.seconds_column, "--seconds-column")?;
        let round = number(&choices.round_column, "--round-column")?;
        let usual = |place: usize| (first.len() == 2).then(|| counted(place));
        // With one of two columns named, the other is the other.
        let other = |column: &Option<Column>| {
            column
                .as_ref()
                .and_then(|column| usual(1 - column.place.min(1)))
        };
        let (batch_size, seconds) = match (batch_size, seconds) {
            (None, None) => (usual(0), usual(1)),
            (batch_size, None) => {
                let seconds = other(&batch_size);
                (batch_size, seconds)
            }
            (None, seconds) => (other(&seconds), seconds),
            both => both,
        };
        let (Some(batch_size), Some(seconds)) = (batch_size, seconds) else {
            return Err(Problem::NoHeader {
                there: NamedColumns::of(first),
            });
        };
        Ok(Self {
            batch_size,
            seconds,
            unit: choices.unit.unwrap_or(Unit::Seconds),
            round,
            export: None,
        })
    }
}

impl ExportColumns {
    fn find(header: &StringRecord) -> Result<Option<Self>, Problem> {
        if places(header, SERIES).next().is_none() || places(header, ROLE).next().is_none() {
            return Ok(None);
        }
        let optional = |name| one(header, name, "--seconds-column");
        let place = |name| Ok::<_, Problem>(optional(name)?.map(|column| column.place));
        let (Some(series), Some(role)) = (optional(SERIES)?, optional(ROLE)?) else {
            return Ok(None);
        };
        let about = ["device_model", "workload", "threads"]
            .into_iter()
            .map(place)
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Some(Self {
            series,
            role,
            corrected: optional(CORRECTED)?,
            iterations: place("iterations")?,
            flags: place("flags")?,
            about: about.into_iter().flatten().collect(),
        }))
    }
}

fn counted(place: usize) -> Column {
    Column {
        place,
        name: (place + 1).to_string(),
    }
}

fn at(header: &StringRecord, place: usize) -> Column {
    Column {
        place,
        name: header.get(place).unwrap_or_default().to_owned(),
    }
}

/// The one column called `name`, if there is one.
fn one(header: &StringRecord, name: &str, flag: &'static str) -> Result<Option<Column>, Problem> {
    let found: Vec<usize> = places(header, name).collect();
    match found.as_slice() {
        [] => Ok(None),
        [place] => Ok(Some(at(header, *place))),
        several => Err(Problem::TwoColumns {
            name: name.to_owned(),
            numbers: several.iter().map(|place| place + 1).collect(),
            flag,
        }),
    }
}

/// The column that a person named, or numbered from 1; a name wins over a number.
fn chosen(header: &StringRecord, wanted: &str, flag: &'static str) -> Result<Column, Problem> {
    if let Some(column) = one(header, wanted.trim(), flag)? {
        return Ok(column);
    }
    nth(header, wanted, flag).map(|column| at(header, column.place))
}

/// The column with a number from 1.
fn nth(line: &StringRecord, wanted: &str, flag: &'static str) -> Result<Column, Problem> {
    wanted
        .trim()
        .parse::<usize>()
        .ok()
        .and_then(|number| number.checked_sub(1))
        .filter(|place| *place < line.len())
        .map(counted)
        .ok_or_else(|| Problem::NoChoice {
            flag,
            wanted: wanted.chars().take(64).collect(),
            there: NamedColumns::of(line),
        })
}

/// The column of seconds where nobody chose one: one that is called like the unit, else `seconds`.
fn usual_seconds(header: &StringRecord, unit: Option<Unit>) -> Result<Option<Column>, Problem> {
    let names = unit.unwrap_or(Unit::Seconds).column_names().iter().rev();
    for name in names.chain(Unit::Seconds.column_names()) {
        if let Some(column) = one(header, name, "--seconds-column")? {
            return Ok(Some(column));
        }
    }
    Ok(None)
}

/// The unit that was given, else seconds, unless a chosen column is called like another.
fn unit(seconds: &Column, choices: &Choices) -> Result<Unit, Problem> {
    match (choices.unit, guess::unit(&seconds.name)) {
        (Some(unit), _) => Ok(unit),
        (None, Some(named)) if named != Unit::Seconds => Err(Problem::UnitUnsaid {
            column: seconds.name.clone(),
            named,
        }),
        (None, _) => Ok(Unit::Seconds),
    }
}

/// The flags that would name the missing columns, as far as the header suggests them.
fn flags(
    header: &StringRecord,
    batch_size: bool,
    seconds: bool,
    unit: Option<Unit>,
) -> Vec<(&'static str, Option<String>)> {
    let first = |fits: fn(&str) -> bool| header.iter().find(|name| fits(name)).map(str::to_owned);
    let mut flags = Vec::new();
    if batch_size {
        flags.push(("--batch-size-column", first(guess::is_batch_size)));
    }
    if seconds {
        let time = first(guess::is_time);
        let named = time.as_deref().and_then(guess::unit);
        flags.push(("--seconds-column", time));
        if let Some(named) = named.filter(|named| *named != Unit::Seconds && unit.is_none()) {
            flags.push(("--unit", Some(named.word().to_owned())));
        }
    }
    flags
}
