//! One value of one field: there, or not there for a reason. An absent value is never written as zero.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::field::Kind;

/// Why a value is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Absent {
    /// The device, or its configuration, has no such thing.
    NotSupported,
    /// This user may not read it.
    NoPermission,
    /// The device does not answer any more: it fell off the bus, or needs a reset.
    Lost,
    /// The installed driver's library has no function for it.
    SymbolMissing,
    /// It could not be read, or what was read makes no sense; the record's problems say more.
    Unknown,
}

impl Absent {
    /// Every reason.
    pub const ALL: [Self; 5] = [
        Self::NotSupported,
        Self::NoPermission,
        Self::Lost,
        Self::SymbolMissing,
        Self::Unknown,
    ];

    /// The stable word for programs.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::NotSupported => "not_supported",
            Self::NoPermission => "no_permission",
            Self::Lost => "lost",
            Self::SymbolMissing => "symbol_missing",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Absent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// A value, or why there is none.
pub type Reading<T> = Result<T, Absent>;

/// A value of any field.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Value {
    /// Words, versions, ids.
    Text(String),
    /// Counts, bytes, bits.
    Integer(u64),
    /// Measured quantities; always finite.
    Number(f64),
    /// Yes or no.
    Flag(bool),
}

/// A value that is not of its field's kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{found} is not {wanted}")]
pub struct ValueError {
    /// What is there.
    pub found: String,
    /// What should be.
    pub wanted: &'static str,
}

impl Value {
    /// Reads a JSON value as one of this kind.
    ///
    /// # Errors
    /// When it is of another kind.
    pub fn from_json(kind: Kind, json: &serde_json::Value) -> Result<Self, ValueError> {
        let value = match kind {
            Kind::Text => json.as_str().map(|text| Self::Text(text.to_owned())),
            Kind::Integer => json.as_u64().map(Self::Integer),
            Kind::Number => json
                .as_f64()
                .filter(|number| number.is_finite())
                .map(Self::Number),
            Kind::Flag => json.as_bool().map(Self::Flag),
        };
        value.ok_or_else(|| ValueError {
            found: json.to_string().chars().take(80).collect(),
            wanted: kind.word(),
        })
    }

    /// The value as a number, for metrics and comparisons; flags are 0 and 1, text has none.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        reason = "a comparison or a metric of 2^53 bytes does not need the last one"
    )]
    pub const fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Text(_) => None,
            Self::Integer(integer) => Some(*integer as f64),
            Self::Number(number) => Some(*number),
            Self::Flag(flag) => Some(if *flag { 1.0 } else { 0.0 }),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Integer(integer) => integer.fmt(f),
            Self::Number(number) => number.fmt(f),
            Self::Flag(flag) => f.write_str(if *flag { "yes" } else { "no" }),
        }
    }
}

/// A Rust type that fields are read as.
pub trait Typed: Sized {
    /// Its kind.
    const KIND: Kind;

    /// As a value of any field.
    fn into_value(self) -> Value;

    /// Back again; `None`: of another kind.
    fn from_value(value: &Value) -> Option<Self>;
}

impl Typed for String {
    const KIND: Kind = Kind::Text;

    fn into_value(self) -> Value {
        Value::Text(self)
    }

    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Text(text) => Some(text.clone()),
            _ => None,
        }
    }
}

impl Typed for u64 {
    const KIND: Kind = Kind::Integer;

    fn into_value(self) -> Value {
        Value::Integer(self)
    }

    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Integer(integer) => Some(*integer),
            _ => None,
        }
    }
}

impl Typed for f64 {
    const KIND: Kind = Kind::Number;

    fn into_value(self) -> Value {
        Value::Number(self)
    }

    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Number(number) => Some(*number),
            _ => None,
        }
    }
}

impl Typed for bool {
    const KIND: Kind = Kind::Flag;

    fn into_value(self) -> Value {
        Value::Flag(self)
    }

    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Flag(flag) => Some(*flag),
            _ => None,
        }
    }
}
