//! What is known about a field before any value is read: its name, kind, unit and class. Rows of the [`super::catalogue`] are made of these.

use std::marker::PhantomData;

/// A field of the inventory. Two fields are the same when their scope and name are.
#[derive(Debug, PartialEq, Eq)]
pub struct Field {
    /// What it belongs to.
    pub scope: Scope,
    /// In JSON, CSV and `--where`; carries the unit, as in `memory_total_bytes`.
    pub name: &'static str,
    /// What values it has.
    pub kind: Kind,
    /// What they are counted in.
    pub unit: Unit,
    /// How it changes, and what a change means.
    pub class: Class,
    /// One sentence for people.
    pub about: &'static str,
    /// Where it comes from.
    pub source: &'static str,
}

/// A field together with the Rust type of its values.
#[derive(Debug)]
pub struct Key<T> {
    field: &'static Field,
    kind: PhantomData<fn() -> T>,
}

impl<T: super::reading::Typed> Key<T> {
    /// # Panics
    /// When the catalogue says another kind, at compile time.
    pub(super) const fn new(field: &'static Field) -> Self {
        assert!(
            field.kind as u8 == T::KIND as u8,
            "the key's type is its field's kind"
        );
        Self {
            field,
            kind: PhantomData,
        }
    }

    /// The field.
    #[must_use]
    pub const fn field(&self) -> &'static Field {
        self.field
    }
}

impl<T> Clone for Key<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Key<T> {}

/// What a field belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// A machine, with its driver and its libtorch.
    Host,
    /// A GPU, or a MIG instance, which has some of a GPU's fields.
    Gpu,
}

/// The type of a field's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A string.
    Text,
    /// A non-negative integer of at most 64 bits.
    Integer,
    /// A finite floating-point number.
    Number,
    /// True or false.
    Flag,
}

impl Kind {
    /// The word of the field list.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Text => "string",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Flag => "boolean",
        }
    }
}

/// What a field is counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Unit {
    /// Nothing.
    None,
    /// Things.
    Count,
    /// Bytes.
    Bytes,
    /// Watts.
    Watts,
    /// Joules.
    Joules,
    /// Megahertz.
    Megahertz,
    /// Degrees Celsius.
    Celsius,
    /// Hundredths of the whole.
    Percent,
    /// A set of bits.
    Bits,
    /// A version: numbers with points between them, compared number by number.
    Version,
}

impl Unit {
    /// The word of the field list.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Count => "count",
            Self::Bytes => "bytes",
            Self::Watts => "W",
            Self::Joules => "J",
            Self::Megahertz => "MHz",
            Self::Celsius => "degC",
            Self::Percent => "%",
            Self::Bits => "bits",
            Self::Version => "version",
        }
    }
}

/// How a field changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// A property of the thing itself; a change is worth an event, and a question.
    Fixed,
    /// How it is built in and configured; a change is worth an event.
    Setting,
    /// How well it is, told in counters that should not move; a change is worth an event.
    Health,
    /// May change at any restart without meaning anything: no event.
    Unstable,
    /// Changes all the time: sampled for metrics, part of no digest and no event.
    Live,
}

impl Class {
    /// The word of the field list.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Fixed => "fixed",
            Self::Setting => "setting",
            Self::Health => "health",
            Self::Unstable => "unstable",
            Self::Live => "live",
        }
    }

    /// True when a change is worth an entry in the history.
    #[must_use]
    pub const fn makes_events(self) -> bool {
        matches!(self, Self::Fixed | Self::Setting | Self::Health)
    }
}
