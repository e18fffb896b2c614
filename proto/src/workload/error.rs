//! What can be wrong with a workload spec; every message says what would be right.

use super::catalogue::CATALOGUE;
use crate::suggestion::suggestion;

/// A workload spec that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WorkloadError {
    /// Nothing before the colon.
    #[error("no workload given; known: {}", names())]
    Empty,
    /// Not in the catalogue.
    #[error("unknown workload {name:?}; {}known: {}", suggestion(.name, CATALOGUE.iter().map(|definition| definition.name)), names())]
    UnknownWorkload {
        /// As written.
        name: String,
    },
    /// Not one of the workload's parameters.
    #[error("workload {workload} has no parameter {parameter:?}; {}known: {}", suggestion(.parameter, .known.iter().copied()), .known.join(", "))]
    UnknownParameter {
        /// Its name.
        workload: &'static str,
        /// As written.
        parameter: String,
        /// What it does have.
        known: Vec<&'static str>,
    },
    /// A part without `=`.
    #[error("{part:?} in workload {workload} is not of the form key=value")]
    NotAPair {
        /// Its name.
        workload: &'static str,
        /// As written.
        part: String,
    },
    /// The same parameter twice.
    #[error("parameter {parameter} of workload {workload} is given twice")]
    Twice {
        /// Its name.
        workload: &'static str,
        /// The parameter.
        parameter: &'static str,
    },
    /// A parameter that has no default.
    #[error("workload {workload} needs the parameter {parameter}: {meaning}")]
    Missing {
        /// Its name.
        workload: &'static str,
        /// The parameter.
        parameter: &'static str,
        /// What it is.
        meaning: &'static str,
    },
    /// Text where a number belongs.
    #[error(
        "parameter {parameter} of workload {workload} is {text:?}, not a whole number between {least} and {most}"
    )]
    NotANumber {
        /// Its name.
        workload: &'static str,
        /// The parameter.
        parameter: &'static str,
        /// As written.
        text: String,
        /// Smallest allowed.
        least: u32,
        /// Largest allowed.
        most: u32,
    },
    /// A number outside its range.
    #[error(
        "parameter {parameter} of workload {workload} is {value}, not between {least} and {most}"
    )]
    OutOfRange {
        /// Its name.
        workload: &'static str,
        /// The parameter.
        parameter: &'static str,
        /// As written.
        value: u64,
        /// Smallest allowed.
        least: u32,
        /// Largest allowed.
        most: u32,
    },
    /// A number that must be a multiple of another.
    #[error("parameter {parameter} of workload {workload} is {value}, not a multiple of {of}")]
    NotAMultiple {
        /// Its name.
        workload: &'static str,
        /// The parameter.
        parameter: &'static str,
        /// As written.
        value: u32,
        /// The divisor.
        of: u32,
    },
    /// A number that must divide another parameter.
    #[error(
        "parameter {parameter} of workload {workload} is {value}, which does not divide {other}={of}"
    )]
    NotADivisor {
        /// Its name.
        workload: &'static str,
        /// The parameter.
        parameter: &'static str,
        /// As written.
        value: u32,
        /// The other parameter.
        other: &'static str,
        /// Its value.
        of: u32,
    },
    /// A number that must be odd.
    #[error(
        "parameter {parameter} of workload {workload} is {value}, which is even; only odd values keep the image centred"
    )]
    NotOdd {
        /// Its name.
        workload: &'static str,
        /// The parameter.
        parameter: &'static str,
        /// As written.
        value: u32,
    },
    /// Two parameters that exclude each other.
    #[error(
        "parameters {parameter} and {other} of workload {workload} exclude each other; give one of them"
    )]
    Excluded {
        /// Its name.
        workload: &'static str,
        /// The parameter.
        parameter: &'static str,
        /// The other one.
        other: &'static str,
    },
    /// Text that does not have its parameter's form.
    #[error("parameter {parameter} of workload {workload} is {text:?}, not {form}")]
    Malformed {
        /// Its name.
        workload: &'static str,
        /// The parameter.
        parameter: &'static str,
        /// As written.
        text: String,
        /// What it should look like.
        form: &'static str,
    },
}

fn names() -> String {
    CATALOGUE
        .iter()
        .map(|definition| definition.name)
        .collect::<Vec<_>>()
        .join(", ")
}
