//! Reads timings from CSV: anyone's `batch_size,seconds` and our own `blocks.csv`. Called by `analyze`; every error names the file, the line and
//! the column, and nothing that is not a timing gets through.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::Read,
    path::Path,
};

use batchstep_core::sweep::{Flag, undisturbed};
use batchstep_inference::Observation;
use csv::StringRecord;

use super::{
    csv_columns::{CORRECTED, Columns, ExportColumns, ROLE},
    csv_error::{CsvError, SeriesLabel},
    csv_export::{Plan, plan},
    csv_value::{batch_size, seconds},
};

/// What the `role` of the blocks says that measure their batch size; the others serve the protocol.
const MEASURE: &str = "measure";

/// The timings of a file.
#[derive(Debug)]
pub(super) struct Timings {
    pub observations: Vec<Observation>,
    /// How our own measurement was planned; `None` for a file of other origin.
    pub export: Option<Plan>,
}

/// Reads `path`, `-` for stdin; `series` chooses among several by the beginning of its id.
///
/// # Errors
/// The first thing that is wrong, with its place.
pub(super) fn read(path: &Path, series: Option<&str>) -> Result<Timings, CsvError> {
    let stdin = path.as_os_str() == "-";
    let file = if stdin {
        "<stdin>".to_owned()
    } else {
        path.display().to_string()
    };
    if !stdin && path.is_dir() {
        return Err(CsvError::Directory(file));
    }
    let mut bytes = Vec::new();
    let reading = if stdin {
        std::io::stdin().lock().read_to_end(&mut bytes)
    } else {
        File::open(path).and_then(|mut opened| opened.read_to_end(&mut bytes))
    };
    match reading {
        Ok(_) => parse(&file, &bytes, series),
        Err(source) => Err(CsvError::Unreadable { file, source }),
    }
}

fn parse(file: &str, bytes: &[u8], wanted: Option<&str>) -> Result<Timings, CsvError> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(CsvError::Empty {
            file: file.to_owned(),
        });
    }
    let mut reader = csv::ReaderBuilder::new()
        .flexible(true)
        .trim(csv::Trim::All)
        .from_reader(bytes);
    let row_error = |error: csv::Error| CsvError::Row {
        file: file.to_owned(),
        line: error.position().map_or(1, csv::Position::line),
        problem: match error.kind() {
            csv::ErrorKind::Utf8 { .. } => "not UTF-8 text; save the file as UTF-8 CSV".to_owned(),
            _ => error.to_string(),
        },
    };
    let header = reader.headers().map_err(row_error)?.clone();
    let columns = Columns::find(file, &header)?;
    let mut rows = Rows::default();
    for record in reader.records() {
        let record = record.map_err(row_error)?;
        if record.iter().all(str::is_empty) {
            continue;
        }
        rows.add(file, &columns, &record)?;
    }
    let series = rows.choose(file, wanted)?;
    Ok(match columns.export {
        Some(_) if series.timings.is_empty() => {
            return Err(CsvError::AllThrottled {
                file: file.to_owned(),
            });
        }
        Some(_) => Timings {
            export: Some(plan(&series.iterations)),
            observations: undisturbed(series.timings),
        },
        None => Timings {
            export: None,
            observations: series
                .timings
                .into_iter()
                .map(|(observation, _)| observation)
                .collect(),
        },
    })
}

/// A series.
#[derive(Default)]
struct Series {
    /// Rows, and whether each is of a round in which the reference moved; never in a file of other origin.
    timings: Vec<(Observation, bool)>,
    /// The different iterations of its blocks.
    iterations: BTreeSet<String>,
}

/// What has been read so far, by series; a file of other origin is one without a name.
#[derive(Default)]
struct Rows {
    series: Vec<(SeriesLabel, Series)>,
    /// Rounds counted from repeats: how often each batch size of a series was seen.
    seen: BTreeMap<(usize, u32), u32>,
}

impl Rows {
    fn add(
        &mut self,
        file: &str,
        columns: &Columns,
        record: &StringRecord,
    ) -> Result<(), CsvError> {
        let line = record.position().map_or(0, csv::Position::line);
        let value_error = |column, problem| CsvError::Value {
            file: file.to_owned(),
            line,
            column,
            problem,
        };
        let field = |place: usize, column: &'static str| match record.get(place) {
            None => Err(value_error(
                column,
                format!("is missing; the line has only {} columns", record.len()),
            )),
            Some("") => Err(value_error(column, "is empty".to_owned())),
            Some(text) => Ok(text),
        };
        let export = columns.export.as_ref();
        // An empty value is an absent one.
        let told = |place: fn(&ExportColumns) -> Option<usize>| {
            export
                .and_then(place)
                .and_then(|place| record.get(place))
                .filter(|text| !text.is_empty())
        };
        if let Some(export) = export
            && field(export.role, ROLE)? != MEASURE
        {
            return Ok(());
        }
        let batch_size = batch_size(field(columns.batch_size, "batch_size")?)
            .map_err(|problem| value_error("batch_size", problem))?;
        let (text, column) = match told(|export| export.corrected) {
            Some(text) => (text, CORRECTED),
            None => (field(columns.seconds, "seconds")?, "seconds"),
        };
        let seconds = seconds(text).map_err(|problem| value_error(column, problem))?;
        let ordinal = self.ordinal(columns, record);
        let round = match columns.round {
            Some(place) => {
                let text = field(place, "round")?;
                text.parse().map_err(|_| {
                    value_error(
                        "round",
                        format!("{text:?} is not a round: write 0, 1, 2, .."),
                    )
                })?
            }
            None => {
                let times = self.seen.entry((ordinal, batch_size)).or_default();
                *times += 1;
                *times - 1
            }
        };
        let (label, series) = &mut self.series[ordinal];
        label.blocks += 1;
        series
            .iterations
            .extend(told(|export| export.iterations).map(str::to_owned));
        let flags = told(|export| export.flags).unwrap_or_default();
        let flagged = |flag: Flag| flags.split_whitespace().any(|word| word == flag.word());
        if !flagged(Flag::Throttled) {
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
    fn ordinal(&mut self, columns: &Columns, record: &StringRecord) -> usize {
        let export = columns.export.as_ref();
        let id = export
            .and_then(|export| record.get(export.series))
            .unwrap_or_default();
        if let Some(known) = self.series.iter().position(|(label, _)| label.id == id) {
            return known;
        }
        let about: Vec<&str> = export
            .iter()
            .flat_map(|export| &export.about)
            .filter_map(|place| record.get(*place))
            .filter(|text| !text.is_empty())
            .collect();
        let label = SeriesLabel {
            id: id.to_owned(),
            about: about.join(", "),
            blocks: 0,
        };
        self.series.push((label, Series::default()));
        self.series.len() - 1
    }

    fn choose(mut self, file: &str, wanted: Option<&str>) -> Result<Series, CsvError> {
        let labels = |rows: &Self| rows.series.iter().map(|(label, _)| label.clone()).collect();
        match wanted {
            None if self.series.len() > 1 => Err(CsvError::ManySeries {
                file: file.to_owned(),
                series: labels(&self),
            }),
            None => match self.series.pop() {
                Some((_, series)) => Ok(series),
                None => Err(CsvError::NoRows {
                    file: file.to_owned(),
                }),
            },
            Some(wanted) => {
                let mut matching: Vec<usize> = (0..self.series.len())
                    .filter(|place| self.series[*place].0.id.starts_with(wanted))
                    .collect();
                match (matching.pop(), matching.is_empty()) {
                    (Some(place), true) => Ok(self.series.swap_remove(place).1),
                    (place, _) => Err(CsvError::SeriesChoice {
                        file: file.to_owned(),
                        wanted: wanted.chars().take(64).collect(),
                        matches: if place.is_some() { "several" } else { "no" },
                        series: labels(&self),
                    }),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use batchstep_core::sweep::REQUIRED_ROUNDS;

    use super::*;

    fn parsed(text: &str) -> Result<Vec<Observation>, CsvError> {
        parse("t.csv", text.as_bytes(), None).map(|timings| timings.observations)
    }

    #[test]
    fn repeats_become_rounds_in_order_of_measurement() {
        let observations =
            parsed("\u{feff}seconds, batch_size,note\r\n0.5,2,a\r\n0.25,1,b\r\n0.6,2.0,c\r\n")
                .unwrap();
        let found: Vec<_> = observations
            .iter()
            .map(|o| (o.batch_size, o.round))
            .collect();
        assert_eq!(found, [(2, 0), (1, 0), (2, 1)]);
    }

    #[test]
    fn a_round_column_is_taken_as_it_is() {
        let observations = parsed("batch_size,seconds,round\n1,1,7\n1,1,7\n").unwrap();
        assert!(
            observations
                .iter()
                .all(|observation| observation.round == 7)
        );
    }

    #[test]
    fn our_own_blocks_tell_whether_their_iterations_were_fixed() {
        let export = |header: &str, iterations: [u32; 2]| {
            let [one, two] = iterations;
            let text = format!("{header}\n1,1.0,s,measure,{one}\n2,1.0,s,measure,{two}\n");
            parse("t.csv", text.as_bytes(), None).unwrap().export
        };
        let ours = "batch_size,seconds,series_id,role,iterations";
        assert_eq!(export(ours, [200, 200]), Some(Plan::FixedIterations));
        assert_eq!(export(ours, [200, 100]), Some(Plan::Calibrated));
        assert_eq!(export(ours, [1, 1]), Some(Plan::Calibrated));
        let other = "batch_size,seconds,name,role,iterations";
        assert_eq!(export(other, [2, 2]), None);
    }

    #[test]
    fn columns_that_a_file_of_other_origin_shares_with_ours_are_ignored() {
        let text = "batch_size,seconds,role,corrected_seconds,flags,threads,threads\n\
            1,1.0,main,7,throttled,1,1\n2,2.0,,,,,\n";
        let observations = parsed(text).unwrap();
        let seconds: Vec<_> = observations.iter().map(|o| o.seconds).collect();
        assert_eq!(seconds, [1.0, 2.0]);
    }

    #[test]
    fn our_own_throttled_and_drifting_blocks_count_as_in_the_table() {
        let mut text = "series_id,batch_size,role,round,seconds,flags\n".to_owned();
        for round in 0..REQUIRED_ROUNDS + 1 {
            let flags = if round == 0 { "drifting slow" } else { "slow" };
            text.push_str(&format!("s,1,measure,{round},1.{round},{flags}\n"));
        }
        text.push_str("s,2,measure,0,2.0,drifting\ns,3,measure,0,3.0,throttled power_capped\n");
        let observations = parsed(&text).unwrap();
        let of = |size| {
            observations
                .iter()
                .filter(move |observation| observation.batch_size == size)
        };
        // The drifting block gives way where enough others are, and rounds are counted without it.
        assert_eq!(of(1).next().map(|o| (o.round, o.seconds)), Some((0, 1.1)));
        assert_eq!(of(1).count(), REQUIRED_ROUNDS as usize);
        assert_eq!((of(2).count(), of(3).count()), (1, 0));
        let all = "series_id,batch_size,role,seconds,flags\ns,1,measure,1,throttled\n";
        let error = parsed(all).unwrap_err().to_string();
        assert!(error.contains("slowed itself down"), "{error}");
    }

    #[test]
    fn our_own_blocks_are_filtered_and_chosen() {
        let text = "series_id,workload,batch_size,role,round,seconds,corrected_seconds\n\
            aa,cnn,1,measure,0,1.0,0.9\naa,cnn,1,reference,0,9.0,9.0\nab,linear,1,measure,0,2.0,\n";
        let error = parsed(text).unwrap_err().to_string();
        assert!(
            error.contains("holds 2 series") && error.contains("ab  linear (1 blocks)"),
            "{error}"
        );
        let chosen = |wanted| {
            parse("t.csv", text.as_bytes(), Some(wanted)).map(|timings| timings.observations)
        };
        let series = chosen("aa").unwrap();
        assert_eq!(series.len(), 1);
        assert_eq!(series[0].seconds, 0.9);
        assert_eq!(chosen("ab").unwrap()[0].seconds, 2.0);
        assert!(
            chosen("a")
                .unwrap_err()
                .to_string()
                .contains("several series")
        );
        assert!(chosen("x").unwrap_err().to_string().contains("no series"));
    }
}
