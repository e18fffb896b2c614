//! Where the columns of a file of timings are: anyone's `batch_size`, `seconds` and `round`, and the further ones of our own `blocks.csv`. Called by
//! `csv_input`; reads no values.

use csv::StringRecord;

use super::csv_error::CsvError;

/// Why a block was timed. With [`SERIES`] it tells our own export from a file of other origin.
pub(super) const ROLE: &str = "role";
/// Tells the series of an export apart.
const SERIES: &str = "series_id";
/// The drift-corrected time.
pub(super) const CORRECTED: &str = "corrected_seconds";

/// The columns that are read.
pub(super) struct Columns {
    pub batch_size: usize,
    pub seconds: usize,
    pub round: Option<usize>,
    /// `None` for a file of other origin, whose further columns may mean anything.
    pub export: Option<ExportColumns>,
}

/// The further columns of our own export.
pub(super) struct ExportColumns {
    pub series: usize,
    pub role: usize,
    pub corrected: Option<usize>,
    pub iterations: Option<usize>,
    pub flags: Option<usize>,
    /// What tells people one series from another.
    pub about: Vec<usize>,
}

impl Columns {
    /// Finds them in the first line.
    ///
    /// # Errors
    /// When a needed one is missing, one is there twice, or the line is no header.
    pub(super) fn find(file: &str, header: &StringRecord) -> Result<Self, CsvError> {
        check_header(file, header)?;
        let needed = |column: &'static str| {
            place(file, header, column)?.ok_or_else(|| CsvError::NoColumn {
                file: file.to_owned(),
                column,
                found: header.iter().map(str::trim).collect::<Vec<_>>().join(", "),
            })
        };
        Ok(Self {
            batch_size: needed("batch_size")?,
            seconds: needed("seconds")?,
            round: place(file, header, "round")?,
            export: ExportColumns::find(file, header)?,
        })
    }
}

impl ExportColumns {
    fn find(file: &str, header: &StringRecord) -> Result<Option<Self>, CsvError> {
        let missing = |column| places(header, column).next().is_none();
        if missing(SERIES) || missing(ROLE) {
            return Ok(None);
        }
        let optional = |column| place(file, header, column);
        let about = ["device_model", "workload", "threads"]
            .into_iter()
            .map(optional)
            .collect::<Result<Vec<_>, _>>()?;
        let (Some(series), Some(role)) = (optional(SERIES)?, optional(ROLE)?) else {
            return Ok(None);
        };
        Ok(Some(Self {
            series,
            role,
            corrected: optional(CORRECTED)?,
            iterations: optional("iterations")?,
            flags: optional("flags")?,
            about: about.into_iter().flatten().collect(),
        }))
    }
}

fn places<'a>(header: &'a StringRecord, column: &'a str) -> impl Iterator<Item = usize> + 'a {
    header
        .iter()
        .enumerate()
        .filter(move |(_, name)| name.trim().eq_ignore_ascii_case(column))
        .map(|(place, _)| place)
}

/// Where the one column of that name is.
fn place(
    file: &str,
    header: &StringRecord,
    column: &'static str,
) -> Result<Option<usize>, CsvError> {
    let mut places = places(header, column);
    match (places.next(), places.next()) {
        (_, Some(_)) => Err(CsvError::TwoColumns {
            file: file.to_owned(),
            column,
        }),
        (place, None) => Ok(place),
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
