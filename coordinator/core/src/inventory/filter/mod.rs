//! The language of `--where`: terms `field OP value`, all of which must hold. Parsed here and evaluated by the coordinator; a term that cannot be right is
//! refused with its place, what is allowed, and the nearest names.

mod error;
mod names;
mod operand;
mod operator;
mod parse;
mod term;

use batchstep_proto::inventory::{Record, Scope};

pub use error::FilterError;
use term::Term;

/// Which hosts and devices are wanted. The empty one admits everything.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Filter {
    terms: Vec<Term>,
}

impl Filter {
    /// Reads terms separated by commas or `and`.
    ///
    /// # Errors
    /// Names the first term that is wrong, its place, and what would be right.
    pub fn parse(text: &str) -> Result<Self, FilterError> {
        Ok(Self {
            terms: parse::terms(text)?,
        })
    }

    /// Both.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.terms.extend(other.terms);
        self
    }

    /// True when it asks about devices, so that a host without any cannot match.
    #[must_use]
    pub fn asks_about_devices(&self) -> bool {
        let mut fields = self.terms.iter().map(|term| term.field.scope);
        fields.any(|scope| scope == Scope::Gpu)
    }

    /// True when every term holds for the records of one device and its host. Of several records of a scope the first that has the field counts: those
    /// of a MIG instance come before those of its GPU.
    #[must_use]
    pub fn matches(&self, records: &[&Record]) -> bool {
        self.terms.iter().all(|term| {
            let reading = records
                .iter()
                .filter(|record| record.scope() == term.field.scope)
                .find_map(|record| record.reading(term.field));
            term.holds(reading)
        })
    }
}
