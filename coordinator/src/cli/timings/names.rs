//! Names of columns, and where a header has them. Letters count alike, large or small.

use csv::StringRecord;

use super::{choices::Choices, unit::Unit};

/// The column of batch sizes, unless another is chosen.
pub(super) const BATCH_SIZE: &str = "batch_size";
/// The column of rounds, unless another is chosen.
pub(super) const ROUND: &str = "round";

/// The places of all columns called `name`, counted from 0.
pub(super) fn places<'a>(
    header: &'a StringRecord,
    name: &'a str,
) -> impl Iterator<Item = usize> + 'a {
    header
        .iter()
        .enumerate()
        .filter(move |(_, found)| found.eq_ignore_ascii_case(name))
        .map(|(place, _)| place)
}

/// Whether `line` holds the name of a column that is looked for.
pub(super) fn has_wanted(line: &StringRecord, choices: &Choices) -> bool {
    let has = |name: &str| !is_count(name) && places(line, name).next().is_some();
    let usual = choices.unit.unwrap_or(Unit::Seconds).column_names();
    has(choices.batch_size_column.as_deref().unwrap_or(BATCH_SIZE))
        || match &choices.seconds_column {
            Some(wanted) => has(wanted),
            None => usual.iter().any(|name| has(name)),
        }
}

fn is_count(text: &str) -> bool {
    text.parse::<usize>().is_ok()
}
