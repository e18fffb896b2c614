//! What every conversion from the wire has in common: the error that names the field, and the checks of [`crate::limits`].

use std::{str::FromStr, time::Duration};

use crate::limits;

/// A message from outside that breaks a rule; answered with `INVALID_ARGUMENT`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("field `{field}`: {problem}")]
pub struct InvalidField {
    /// Path of the field within its message.
    pub field: &'static str,
    /// What is wrong with it.
    pub problem: String,
}

impl InvalidField {
    /// Names a field and what is wrong with it.
    pub fn new(field: &'static str, problem: impl Into<String>) -> Self {
        Self {
            field,
            problem: problem.into(),
        }
    }
}

/// A string within [`limits::STRING_BYTES`] and without control characters.
pub(crate) fn text(field: &'static str, value: String) -> Result<String, InvalidField> {
    if value.len() > limits::STRING_BYTES {
        return Err(InvalidField::new(
            field,
            format!(
                "{} bytes, more than the {} allowed",
                value.len(),
                limits::STRING_BYTES
            ),
        ));
    }
    if value
        .chars()
        .any(|c| c.is_control() && c != '\n' && c != '\t')
    {
        return Err(InvalidField::new(field, "contains control characters"));
    }
    Ok(value)
}

/// The same for a string that may not be empty.
pub(crate) fn name(field: &'static str, value: String) -> Result<String, InvalidField> {
    if value.is_empty() {
        Err(InvalidField::new(field, "is empty"))
    } else {
        text(field, value)
    }
}

pub(crate) fn optional_text(
    field: &'static str,
    value: Option<String>,
) -> Result<Option<String>, InvalidField> {
    value.map(|value| text(field, value)).transpose()
}

/// Parses a string with its type's own parser.
pub(crate) fn parsed<T: FromStr<Err: std::fmt::Display>>(
    field: &'static str,
    value: &str,
) -> Result<T, InvalidField> {
    value
        .parse()
        .map_err(|error: T::Err| InvalidField::new(field, error.to_string()))
}

pub(crate) fn batch_size(field: &'static str, value: u32) -> Result<u32, InvalidField> {
    if (1..=limits::BATCH_SIZE).contains(&value) {
        Ok(value)
    } else {
        Err(InvalidField::new(
            field,
            format!("{value} is not between 1 and {}", limits::BATCH_SIZE),
        ))
    }
}

pub(crate) fn finite(field: &'static str, value: f64) -> Result<f64, InvalidField> {
    if value.is_finite() {
        Ok(value)
    } else {
        Err(InvalidField::new(
            field,
            format!("{value} is not a finite number"),
        ))
    }
}

pub(crate) fn at_most<T>(
    field: &'static str,
    values: Vec<T>,
    limit: usize,
) -> Result<Vec<T>, InvalidField> {
    if values.len() > limit {
        Err(InvalidField::new(
            field,
            format!("{} entries, more than the {limit} allowed", values.len()),
        ))
    } else {
        Ok(values)
    }
}

pub(crate) fn present<T>(field: &'static str, value: Option<T>) -> Result<T, InvalidField> {
    value.ok_or_else(|| InvalidField::new(field, "is missing"))
}

/// Nanoseconds for the wire; saturates after 584 years.
#[must_use]
pub fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
