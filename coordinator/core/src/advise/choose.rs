//! Which row of the table a question is about. An ambiguous question is answered with the rows it may mean and the flags that tell them apart, never with
//! a guess.

use std::collections::BTreeSet;

use batchstep_proto::{
    domain::{DeviceKind, Dtype, Mode, Software},
    workload::WorkloadSpec,
};

use crate::steptable::{DetailedRow, Row, Verdict};

/// What a question says about its row; absent: anything.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// Case-insensitive part of the device model; the whole name where a device has exactly that.
    pub device_model: Option<String>,
    /// The workload with all of its parameters.
    pub workload: Option<WorkloadSpec>,
    /// What one iteration does.
    pub mode: Option<Mode>,
    /// Arithmetic.
    pub dtype: Option<Dtype>,
    /// CPU threads.
    pub threads: Option<u32>,
    /// MIG profile, or `none`.
    pub mig_profile: Option<String>,
    /// SMs or logical cores.
    pub compute_units: Option<u32>,
    /// What executes it.
    pub device_kind: Option<DeviceKind>,
    /// Case-insensitive parts of the versions as [`Candidate::flags`] writes them, such as `driver 580.1`; all must be there.
    pub software: Vec<String>,
}

/// A question that singles out no row.
#[derive(Debug, Clone, PartialEq)]
pub enum Undecided<'a> {
    /// No row fits.
    Unknown,
    /// Several do.
    Ambiguous(Vec<Candidate<'a>>),
}

/// A row that a question may mean.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate<'a> {
    /// The row.
    pub row: &'a Row,
    /// Flags and values that single it out among the candidates, to be added to the question.
    pub flags: Vec<(&'static str, String)>,
}

/// The one row that the selection means. Among rows that differ in software alone, one with an answer goes before those without.
///
/// # Errors
/// When no row fits, or several do.
pub fn choose<'a>(
    rows: &'a [DetailedRow],
    selection: &Selection,
) -> Result<&'a DetailedRow, Undecided<'a>> {
    let mut fitting: Vec<&DetailedRow> = rows
        .iter()
        .filter(|row| selection.admits(&row.row))
        .collect();
    if let Some(model) = &selection.device_model {
        let exact = |row: &&DetailedRow| row.row.device_model.eq_ignore_ascii_case(model);
        if fitting.iter().any(exact) {
            fitting.retain(exact);
        }
    }
    let answered: Vec<&DetailedRow> = fitting
        .iter()
        .copied()
        .filter(|row| has_answer(&row.row))
        .collect();
    fitting.retain(|row| {
        has_answer(&row.row)
            || !answered
                .iter()
                .any(|other| differ_in_software_alone(&row.row, &other.row))
    });
    match fitting.as_slice() {
        [] => Err(Undecided::Unknown),
        [row] => Ok(row),
        several => {
            let rows: Vec<&Row> = several.iter().map(|row| &row.row).collect();
            Err(Undecided::Ambiguous(
                rows.iter()
                    .map(|row| Candidate {
                        row,
                        flags: telling_flags(row, &rows),
                    })
                    .collect(),
            ))
        }
    }
}

impl Selection {
    fn admits(&self, row: &Row) -> bool {
        let equal = |wanted: Option<u32>, found: Option<u32>| wanted.is_none() || wanted == found;
        self.device_model
            .as_ref()
            .is_none_or(|part| contains(&row.device_model, part))
            && self.workload.as_ref().is_none_or(|spec| is_of(row, spec))
            && self.mode.is_none_or(|mode| mode == row.mode)
            && self.dtype.is_none_or(|dtype| dtype == row.dtype)
            && equal(self.threads, row.threads)
            && equal(self.compute_units, row.compute_units)
            && self.device_kind.is_none_or(|kind| kind == row.device_kind)
            && self
                .mig_profile
                .as_ref()
                .is_none_or(|profile| *profile == mig_profile(row))
            && self.software.iter().all(|part| {
                versions(&row.software)
                    .iter()
                    .any(|version| contains(version, part))
            })
    }
}

fn contains(text: &str, part: &str) -> bool {
    text.to_lowercase().contains(&part.to_lowercase())
}

/// True when the row measured this workload: every parameter of the spec is the row's.
fn is_of(row: &Row, spec: &WorkloadSpec) -> bool {
    row.workload == spec.name()
        && spec.parameter_map().iter().all(|(name, value)| {
            row.parameters.get(name).is_some_and(|found| {
                found
                    .as_str()
                    .map_or_else(|| found.to_string(), str::to_owned)
                    == value.to_string()
            })
        })
}

const fn has_answer(row: &Row) -> bool {
    row.verdict.is_answer() || matches!(row.verdict, Verdict::Disputed)
}

fn differ_in_software_alone(one: &Row, other: &Row) -> bool {
    one.software != other.software
        && flags(one)
            .into_iter()
            .zip(flags(other))
            .all(|(one, other)| one.0 == SOFTWARE || one == other)
}

const SOFTWARE: &str = "--software";

fn mig_profile(row: &Row) -> String {
    row.mig_profile.clone().unwrap_or_else(|| "none".to_owned())
}

/// The versions as `--software` takes them.
fn versions(software: &Software) -> [String; 5] {
    [
        ("driver", &software.driver),
        ("libtorch", &software.libtorch),
        ("CUDA", &software.cuda),
        ("cuDNN", &software.cudnn),
        ("batchstep", &software.batchstep),
    ]
    .map(|(name, version)| format!("{name} {}", version.as_deref().unwrap_or("unknown")))
}

/// Everything that a flag can say about a row, in the order in which people think of it; a value that no flag can say is `None`. Each row has the same
/// flags in the same places.
fn flags(row: &Row) -> Vec<(&'static str, Option<String>)> {
    let mut flags = vec![
        ("--device-model", Some(row.device_model.clone())),
        ("--workload", Some(super::measure::workload(row))),
        ("--mode", Some(row.mode.to_string())),
        ("--dtype", Some(row.dtype.to_string())),
        ("--threads", row.threads.map(|threads| threads.to_string())),
        ("--mig-profile", Some(mig_profile(row))),
        ("--device-kind", Some(row.device_kind.to_string())),
        (
            "--compute-units",
            row.compute_units.map(|units| units.to_string()),
        ),
    ];
    flags.extend(versions(&row.software).map(|version| (SOFTWARE, Some(version))));
    flags
}

/// The fewest flags, taken in order, that leave only `row`.
fn telling_flags(row: &Row, rows: &[&Row]) -> Vec<(&'static str, String)> {
    let own = flags(row);
    let mut left: Vec<Vec<(&'static str, Option<String>)>> = rows
        .iter()
        .filter(|other| !std::ptr::eq(**other, row))
        .map(|other| flags(other))
        .collect();
    let mut telling = Vec::new();
    let mut seen = BTreeSet::new();
    for (index, (flag, value)) in own.iter().enumerate() {
        let Some(value) = value else { continue };
        let before = left.len();
        left.retain(|other| other[index].1.as_ref() == Some(value));
        if left.len() < before && seen.insert((*flag, value.clone())) {
            telling.push((*flag, value.clone()));
        }
    }
    telling
}
