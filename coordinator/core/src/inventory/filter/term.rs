//! One comparison, and when it holds.

use batchstep_proto::inventory::{Field, Reading, Value};

use super::{operand::Operand, operator::Operator};

/// A field, how it is compared, and with what.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Term {
    pub(super) field: &'static Field,
    pub(super) operator: Operator,
    pub(super) operand: Operand,
}

impl Term {
    /// True when it holds; a value that is absent is neither equal to something nor different from it.
    pub(super) fn holds(&self, reading: Option<&Reading<Value>>) -> bool {
        let value = reading.and_then(|reading| reading.as_ref().ok());
        match (&self.operand, value) {
            (Operand::Absent, value) => value.is_none() == (self.operator == Operator::Equal),
            (_, None) => false,
            (operand, Some(value)) => operand.compares(self.operator, value),
        }
    }
}
