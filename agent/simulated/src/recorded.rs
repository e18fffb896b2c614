//! A recording in place of a law: the timings of a real device, as `batchstep export --format csv` or anyone else wrote them. Pure; the caller reads
//! the file.

use std::collections::{BTreeMap, BTreeSet};

use batchstep_proto::limits;

/// Median seconds per iteration by batch size.
#[derive(Debug, Clone, PartialEq)]
pub struct Recording {
    medians: BTreeMap<u32, f64>,
}

/// A recording that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordingError {
    /// It is not CSV.
    #[error("is not CSV: {0}")]
    Csv(String),
    /// A column is missing.
    #[error("has no column {column}; the first line names the columns, and it has: {found}")]
    NoColumn {
        /// The one that is needed.
        column: &'static str,
        /// Those there are.
        found: String,
    },
    /// A value that cannot be.
    #[error("line {line}: {column} is {value:?}: {allowed}")]
    Value {
        /// From 1, the header included.
        line: u64,
        /// Where in it.
        column: &'static str,
        /// As given.
        value: String,
        /// What would do.
        allowed: String,
    },
    /// An export with several series.
    #[error("holds {} series; name one by the beginning of its id with `series`: {}", .0.len(), .0.join(", "))]
    SeveralSeries(Vec<String>),
    /// No series has that id.
    #[error("holds no series {wanted:?}; it has: {}", .known.join(", "))]
    NoSeries {
        /// As given.
        wanted: String,
        /// Those there are.
        known: Vec<String>,
    },
    /// A series is asked for where none is named.
    #[error("has no column series_id, so that all of it is one series: leave `series` out")]
    NotAnExport,
    /// Nothing in it counts.
    #[error("holds no timed block that counts (of role `measure`, and not `throttled`)")]
    Empty,
}

/// Where the columns are.
struct Columns {
    batch_size: usize,
    seconds: usize,
    corrected: Option<usize>,
    role: Option<usize>,
    series: Option<usize>,
    flags: Option<usize>,
}

impl Columns {
    fn find(header: &csv::StringRecord) -> Result<Self, RecordingError> {
        let place = |column: &str| {
            header
                .iter()
                .position(|name| name.trim().eq_ignore_ascii_case(column))
        };
        let needed = |column| {
            place(column).ok_or_else(|| RecordingError::NoColumn {
                column,
                found: header.iter().map(str::trim).collect::<Vec<_>>().join(", "),
            })
        };
        Ok(Self {
            batch_size: needed("batch_size")?,
            seconds: needed("seconds")?,
            corrected: place("corrected_seconds"),
            role: place("role"),
            series: place("series_id"),
            flags: place("flags"),
        })
    }
}

impl Recording {
    /// Reads CSV with a header that names `batch_size` and `seconds` (per iteration). Of our own export the blocks count that `measure` a batch size and
    /// were not throttled, by their corrected times; `series` is the beginning of a series' id.
    ///
    /// # Errors
    /// Names the line and what is wrong with it.
    pub fn read(text: &str, series: Option<&str>) -> Result<Self, RecordingError> {
        let mut reader = csv::ReaderBuilder::new()
            .comment(Some(b'#'))
            .from_reader(text.trim_start_matches('\u{feff}').as_bytes());
        let not_csv = |error: csv::Error| RecordingError::Csv(error.to_string());
        let columns = Columns::find(reader.headers().map_err(not_csv)?)?;
        let mut known = BTreeSet::new();
        let mut chosen = BTreeSet::new();
        let mut times: BTreeMap<u32, Vec<f64>> = BTreeMap::new();
        for record in reader.records() {
            let record = record.map_err(not_csv)?;
            let of =
                |place: Option<usize>| place.and_then(|place| record.get(place)).map(str::trim);
            if let Some(id) = of(columns.series) {
                known.insert(id.to_owned());
                if !series.is_none_or(|beginning| id.starts_with(beginning)) {
                    continue;
                }
                chosen.insert(id.to_owned());
            }
            let throttled = of(columns.flags)
                .is_some_and(|flags| flags.split_whitespace().any(|flag| flag == "throttled"));
            if throttled || of(columns.role).is_some_and(|role| role != "measure") {
                continue;
            }
            let (batch_size, seconds) = values(&record, &columns)?;
            times.entry(batch_size).or_default().push(seconds);
        }
        if series.is_some() && columns.series.is_none() {
            return Err(RecordingError::NotAnExport);
        }
        if let (Some(wanted), true) = (series, chosen.is_empty()) {
            return Err(RecordingError::NoSeries {
                wanted: wanted.to_owned(),
                known: known.into_iter().collect(),
            });
        }
        if chosen.len() > 1 {
            return Err(RecordingError::SeveralSeries(chosen.into_iter().collect()));
        }
        if times.is_empty() {
            return Err(RecordingError::Empty);
        }
        Ok(Self {
            medians: times
                .into_iter()
                .map(|(batch_size, times)| (batch_size, median(times)))
                .collect(),
        })
    }

    /// Seconds per iteration: the median where the batch size was recorded, a straight line between its neighbours where it was not; `None` beyond
    /// what was recorded.
    #[must_use]
    pub fn seconds(&self, batch_size: u32) -> Option<f64> {
        let (&below, &low) = self.medians.range(..=batch_size).next_back()?;
        let (&above, &high) = self.medians.range(batch_size..).next()?;
        if above == below {
            return Some(low);
        }
        let share = f64::from(batch_size - below) / f64::from(above - below);
        Some(low + (high - low) * share)
    }

    /// The smallest and the largest batch size recorded.
    #[must_use]
    pub fn range(&self) -> (u32, u32) {
        let first = self.medians.keys().next().copied().unwrap_or(0);
        (first, self.medians.keys().next_back().copied().unwrap_or(0))
    }
}

fn values(record: &csv::StringRecord, columns: &Columns) -> Result<(u32, f64), RecordingError> {
    let wrong = |column, value: &str, allowed: String| RecordingError::Value {
        line: record.position().map_or(0, csv::Position::line),
        column,
        value: value.chars().take(64).collect(),
        allowed,
    };
    let text = |place: usize| record.get(place).unwrap_or_default().trim();
    let batch_size = text(columns.batch_size);
    let size = batch_size
        .parse()
        .ok()
        .filter(|size| (1..=limits::BATCH_SIZE).contains(size))
        .ok_or_else(|| {
            let allowed = format!("a whole number from 1 to {}", limits::BATCH_SIZE);
            wrong("batch_size", batch_size, allowed)
        })?;
    let corrected = columns
        .corrected
        .map(|place| ("corrected_seconds", text(place)))
        .filter(|(_, text)| !text.is_empty());
    let (column, text) = corrected.unwrap_or(("seconds", text(columns.seconds)));
    let seconds = text
        .parse()
        .ok()
        .filter(|seconds: &f64| *seconds > 0.0 && seconds.is_finite())
        .ok_or_else(|| wrong(column, text, "seconds above 0".to_owned()))?;
    Ok((size, seconds))
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len().is_multiple_of(2) {
        f64::midpoint(values[middle - 1], values[middle])
    } else {
        values[middle]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_file_gives_medians_and_lines_between_them() {
        let text = "batch_size,seconds\n1,0.010\n4,0.050\n1,0.030\n1,0.020\n4,0.040\n";
        let recording = Recording::read(text, None).unwrap();
        assert_eq!(recording.range(), (1, 4));
        assert_eq!(recording.seconds(1), Some(0.020));
        assert!((recording.seconds(4).unwrap() - 0.045).abs() < 1e-12);
        assert!((recording.seconds(3).unwrap() - (0.02 + 0.025 * 2.0 / 3.0)).abs() < 1e-12);
        assert_eq!((recording.seconds(0), recording.seconds(5)), (None, None));
    }

    #[test]
    fn of_our_export_the_blocks_count_that_the_table_uses() {
        let text = "series_id,round,batch_size,role,iterations,seconds,corrected_seconds,flags\n\
                    aa,0,8,probe,3,9.0,,\n\
                    aa,1,8,measure,3,1.0,2.0,slow\n\
                    aa,1,8,measure,3,7.0,7.0,throttled\n\
                    ab,1,8,measure,3,1.0,5.0,\n";
        assert_eq!(
            Recording::read(text, Some("aa")).unwrap().seconds(8),
            Some(2.0)
        );
        assert_eq!(
            Recording::read(text, None).unwrap_err().to_string(),
            "holds 2 series; name one by the beginning of its id with `series`: aa, ab"
        );
        assert_eq!(
            Recording::read(text, Some("b")).unwrap_err().to_string(),
            "holds no series \"b\"; it has: aa, ab"
        );
        assert_eq!(
            Recording::read("batch_size,seconds\n1,0.010\n", Some("aa"))
                .unwrap_err()
                .to_string(),
            "has no column series_id, so that all of it is one series: leave `series` out"
        );
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        for (text, error) in [
            (
                "",
                "has no column batch_size; the first line names the columns, and it has: ",
            ),
            (
                "batch_size,ms\n1,2\n",
                "has no column seconds; the first line names the columns, and it has: batch_size, ms",
            ),
            (
                "batch_size,seconds\n1,2\n0,2\n",
                "line 3: batch_size is \"0\": a whole number from 1 to 1048576",
            ),
            (
                "batch_size,seconds\n1,-2\n",
                "line 2: seconds is \"-2\": seconds above 0",
            ),
            (
                "batch_size,seconds\n",
                "holds no timed block that counts (of role `measure`, and not `throttled`)",
            ),
        ] {
            assert_eq!(Recording::read(text, None).unwrap_err().to_string(), error);
        }
        let ragged = Recording::read("batch_size,seconds\n1\n", None).unwrap_err();
        assert!(ragged.to_string().starts_with("is not CSV: "), "{ragged}");
    }
}
