//! What our own blocks tell of how they were planned. Called by `csv_input`.

use std::collections::BTreeSet;

/// What an exported series tells of its plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Plan {
    /// Blocks were as long as each batch size needs.
    Calibrated,
    /// Each block had the number of iterations that a person asked for.
    FixedIterations,
}

/// Blocks that all had one number of iterations had it because a person asked; a single iteration is also what slow batch sizes are given.
pub(super) fn plan(iterations: &BTreeSet<String>) -> Plan {
    if iterations.len() == 1 && !iterations.contains("1") {
        Plan::FixedIterations
    } else {
        Plan::Calibrated
    }
}
