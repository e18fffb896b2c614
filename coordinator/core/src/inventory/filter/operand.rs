//! The right side of a term, read as its field's values are: versions, bytes with units, yes and no. What cannot be compared is refused when it is read.

use std::cmp::Ordering;

use batchstep_proto::{
    inventory::{Field, Kind, Unit, Value},
    size::Size,
};

use super::{error::Problem, operator::Operator};
use crate::inventory::version;

/// Bytes below which a number without a unit was meant to have one.
const FEW_BYTES: u64 = 1 << 20;

/// A value to compare with.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Operand {
    /// No value.
    Absent,
    /// Words, in lower case.
    Text(String),
    Version(String),
    Integer(u64),
    Number(f64),
    Flag(bool),
}

/// The operators that a field knows, for people.
pub(super) const fn allowed(field: &Field) -> &'static str {
    match (field.kind, field.unit) {
        (Kind::Text, Unit::Version) => "= != < <= > >= ~",
        (Kind::Text, _) => "= != ~",
        (Kind::Integer | Kind::Number, _) => "= != < <= > >=",
        (Kind::Flag, _) => "= !=",
    }
}

/// What a field's values are, for people.
pub(super) const fn kind(field: &Field) -> &'static str {
    match (field.kind, field.unit) {
        (Kind::Text, Unit::Version) => "version",
        (Kind::Text, _) => "text",
        (Kind::Integer | Kind::Number, _) => "number",
        (Kind::Flag, _) => "flag",
    }
}

/// True when a field can be compared so.
pub(super) fn knows(field: &Field, operator: Operator) -> bool {
    match operator {
        Operator::Equal | Operator::NotEqual => true,
        Operator::Contains => field.kind == Kind::Text,
        Operator::Less | Operator::AtMost | Operator::Greater | Operator::AtLeast => {
            field.kind != Kind::Flag && (field.kind != Kind::Text || field.unit == Unit::Version)
        }
    }
}

impl Operand {
    /// Reads a value of this field.
    pub(super) fn read(
        field: &'static Field,
        operator: Operator,
        text: &str,
        is_quoted: bool,
    ) -> Result<Self, Problem> {
        let is_equality = matches!(operator, Operator::Equal | Operator::NotEqual);
        if is_equality && !is_quoted && text.eq_ignore_ascii_case("absent") {
            return Ok(Self::Absent);
        }
        let wrong = |wanted: String| Problem::WrongValue {
            field: field.name,
            value: text.chars().take(64).collect(),
            wanted,
        };
        match field.kind {
            Kind::Text if field.unit == Unit::Version && operator != Operator::Contains => {
                Ok(Self::Version(text.to_owned()))
            }
            Kind::Text => Ok(Self::Text(text.to_lowercase())),
            Kind::Flag => match text.to_ascii_lowercase().as_str() {
                "yes" | "true" | "on" | "1" => Ok(Self::Flag(true)),
                "no" | "false" | "off" | "0" => Ok(Self::Flag(false)),
                _ => Err(wrong("write yes, no or absent".to_owned())),
            },
            Kind::Integer | Kind::Number => number(field, text).map_err(wrong),
        }
    }

    /// True when the comparison holds for a value of the field.
    pub(super) fn compares(&self, operator: Operator, value: &Value) -> bool {
        if operator == Operator::Contains {
            return match (self, value) {
                (Self::Text(part), Value::Text(text)) => text.to_lowercase().contains(part),
                _ => false,
            };
        }
        let order = match (self, value) {
            (Self::Text(wanted), Value::Text(text)) => Some(text.to_lowercase().cmp(wanted)),
            (Self::Version(wanted), Value::Text(text)) => Some(version::compare(text, wanted)),
            (Self::Integer(wanted), Value::Integer(integer)) => Some(integer.cmp(wanted)),
            (Self::Integer(wanted), value) => {
                let wanted = Value::Integer(*wanted).as_f64();
                value.as_f64().partial_cmp(&wanted)
            }
            (Self::Number(wanted), value) => {
                value.as_f64().and_then(|value| value.partial_cmp(wanted))
            }
            (Self::Flag(wanted), Value::Flag(flag)) => Some(flag.cmp(wanted)),
            _ => None,
        };
        order.is_some_and(|order| match operator {
            Operator::Equal => order == Ordering::Equal,
            Operator::NotEqual => order != Ordering::Equal,
            Operator::Less => order == Ordering::Less,
            Operator::AtMost => order != Ordering::Greater,
            Operator::Greater => order == Ordering::Greater,
            Operator::AtLeast => order != Ordering::Less,
            Operator::Contains => false,
        })
    }
}

/// A number, with its field's unit or without.
fn number(field: &Field, text: &str) -> Result<Operand, String> {
    let unit = field.unit.word();
    let bare = match text.len().checked_sub(unit.len()) {
        Some(end)
            if text
                .get(end..)
                .is_some_and(|tail| tail.eq_ignore_ascii_case(unit)) =>
        {
            text[..end].trim_end()
        }
        _ => text,
    };
    let hexadecimal = bare.strip_prefix("0x").or_else(|| bare.strip_prefix("0X"));
    if let Some(digits) = hexadecimal
        && let Ok(integer) = u64::from_str_radix(digits, 16)
    {
        return Ok(Operand::Integer(integer));
    }
    if let Ok(integer) = bare.parse() {
        // Nobody asks for 80 bytes of memory.
        if field.unit == Unit::Bytes && bare == text && (1..FEW_BYTES).contains(&integer) {
            return Err(format!(
                "write a unit, as {integer}GiB, or {integer}B for so few bytes"
            ));
        }
        return Ok(Operand::Integer(integer));
    }
    if field.unit == Unit::Bytes {
        return match text.parse::<Size>() {
            Ok(size) => Ok(Operand::Integer(size.0)),
            Err(error) => Err(error.to_string()),
        };
    }
    match bare.parse::<f64>() {
        Ok(number) if number.is_finite() => Ok(Operand::Number(number)),
        _ if unit.is_empty() => Err("write a number, or absent".to_owned()),
        _ => Err(format!("write a number (of {unit}), or absent")),
    }
}
