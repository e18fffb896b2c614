//! Reads timings from CSV: anyone's `batch_size,seconds` and our own `blocks.csv`. Called by `analyze`; every error names the file, the line and
//! the column, and nothing that is not a timing gets through.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::Read,
    path::Path,
};

use batchstep_inference::Observation;
use csv::StringRecord;

use super::{
    csv_error::{CsvError, SeriesLabel},
    csv_value::{batch_size, seconds},
};

/// Column of our own export that says why a block was timed; only these blocks measure their batch size.
const ROLE: &str = "role";
const MEASURE: &str = "measure";
/// Column of our own export that tells its series apart.
const SERIES: &str = "series_id";
/// Column of our own export with the drift-corrected time.
const CORRECTED: &str = "corrected_seconds";

/// Column of our own export with the iterations of a block.
const ITERATIONS: &str = "iterations";

/// The timings of a file.
#[derive(Debug)]
pub(super) struct Timings {
    pub observations: Vec<Observation>,
    /// How our own measurement was planned; `None` for a file of other origin.
    pub export: Option<Plan>,
}

/// What an exported series tells of its plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Plan {
    /// Blocks were as long as each batch size needs.
    Calibrated,
    /// Each block had the number of iterations that a person asked for.
    FixedIterations,
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

/// Where the known columns are.
struct Columns {
    batch_size: usize,
    seconds: usize,
    corrected: Option<usize>,
    round: Option<usize>,
    role: Option<usize>,
    iterations: Option<usize>,
    series: Option<usize>,
    about: Vec<usize>,
}

impl Columns {
    fn find(file: &str, header: &StringRecord) -> Result<Self, CsvError> {
        let optional = |column: &'static str| {
            let mut places = header
                .iter()
                .enumerate()
                .filter(|(_, name)| name.trim().eq_ignore_ascii_case(column))
                .map(|(place, _)| place);
            match (places.next(), places.next()) {
                (_, Some(_)) => Err(CsvError::TwoColumns {
                    file: file.to_owned(),
                    column,
                }),
                (place, None) => Ok(place),
            }
        };
        let needed = |column: &'static str| {
            optional(column)?.ok_or_else(|| CsvError::NoColumn {
                file: file.to_owned(),
                column,
                found: header.iter().map(str::trim).collect::<Vec<_>>().join(", "),
            })
        };
        let about = ["device_model", "workload", "threads"]
            .into_iter()
            .map(optional)
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            batch_size: needed("batch_size")?,
            seconds: needed("seconds")?,
            corrected: optional(CORRECTED)?,
            round: optional("round")?,
            role: optional(ROLE)?,
            iterations: optional(ITERATIONS)?,
            series: optional(SERIES)?,
            about: about.into_iter().flatten().collect(),
        })
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
    check_header(file, &header)?;
    let columns = Columns::find(file, &header)?;
    let mut rows = Rows::default();
    for record in reader.records() {
        let record = record.map_err(row_error)?;
        if record.iter().all(str::is_empty) {
            continue;
        }
        rows.add(file, &columns, &record)?;
    }
    let (observations, iterations) = rows.choose(file, wanted)?;
    Ok(Timings {
        export: columns.role.map(|_| plan(&iterations)),
        observations,
    })
}

/// Blocks that all had one number of iterations had it because a person asked; a single iteration is also what slow batch sizes are given.
fn plan(iterations: &BTreeSet<String>) -> Plan {
    if iterations.len() == 1 && !iterations.contains("1") {
        Plan::FixedIterations
    } else {
        Plan::Calibrated
    }
}

/// Recognises a first line that is not our header, to say so instead of missing a column.
fn check_header(file: &str, header: &StringRecord) -> Result<(), CsvError> {
    let numbers = header.iter().any(|field| field.parse::<f64>().is_ok());
    let line: String = header.iter().collect::<Vec<_>>().join(",");
    if header.len() == 1 {
        for (byte, separator, tr) in [(';', "semicolons", ";"), ('\t', "tabs", "\\t")] {
            if line.contains(byte) {
                return Err(CsvError::Separator {
                    file: file.to_owned(),
                    separator,
                    tr,
                });
            }
        }
    }
    if numbers {
        return Err(CsvError::NoHeader {
            file: file.to_owned(),
            line: line.chars().take(60).collect(),
        });
    }
    Ok(())
}

/// The timings of a series, and the different iterations of its blocks.
type Series = (Vec<Observation>, BTreeSet<String>);

/// What has been read so far, by series.
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
        if let Some(place) = columns.role
            && field(place, ROLE)? != MEASURE
        {
            return Ok(());
        }
        let batch_size = batch_size(field(columns.batch_size, "batch_size")?)
            .map_err(|problem| value_error("batch_size", problem))?;
        let corrected = columns
            .corrected
            .filter(|place| record.get(*place).is_some_and(|text| !text.is_empty()));
        let (place, column) = match corrected {
            Some(place) => (place, CORRECTED),
            None => (columns.seconds, "seconds"),
        };
        let seconds =
            seconds(field(place, column)?).map_err(|problem| value_error(column, problem))?;
        let label = columns
            .series
            .and_then(|place| record.get(place))
            .unwrap_or("");
        let ordinal = self.ordinal(label, columns, record);
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
        let (label, (observations, iterations)) = &mut self.series[ordinal];
        label.blocks += 1;
        iterations.extend(
            columns
                .iterations
                .and_then(|place| record.get(place))
                .map(str::to_owned),
        );
        observations.push(Observation {
            batch_size,
            round,
            seconds,
        });
        Ok(())
    }

    fn ordinal(&mut self, id: &str, columns: &Columns, record: &StringRecord) -> usize {
        if let Some(known) = self.series.iter().position(|(label, _)| label.id == id) {
            return known;
        }
        let about: Vec<&str> = columns
            .about
            .iter()
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
            let text = format!("{header}\n1,1.0,measure,{one}\n2,1.0,measure,{two}\n");
            parse("t.csv", text.as_bytes(), None).unwrap().export
        };
        let ours = "batch_size,seconds,role,iterations";
        assert_eq!(export(ours, [200, 200]), Some(Plan::FixedIterations));
        assert_eq!(export(ours, [200, 100]), Some(Plan::Calibrated));
        assert_eq!(export(ours, [1, 1]), Some(Plan::Calibrated));
        assert_eq!(export("batch_size,seconds,note,iterations", [2, 2]), None);
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
