//! What our own blocks tell beyond their times: how they were planned, and which of them count. Called by `csv_input`; holds to what the step table
//! does with the same blocks.

use std::collections::{BTreeMap, BTreeSet};

use batchstep_core::sweep::REQUIRED_ROUNDS;
use batchstep_inference::Observation;

/// What an exported series tells of its plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Plan {
    /// Blocks were as long as each batch size needs.
    Calibrated,
    /// Each block had the number of iterations that a person asked for.
    FixedIterations,
}

/// One row.
pub(super) struct Timing {
    pub observation: Observation,
    /// Of a round in which the reference moved; never in a file of other origin.
    pub drifting: bool,
}

/// Blocks that all had one number of iterations had it because a person asked; a single iteration is also what slow batch sizes are given.
pub(super) fn plan(iterations: &BTreeSet<String>) -> Plan {
    if iterations.len() == 1 && !iterations.contains("1") {
        Plan::FixedIterations
    } else {
        Plan::Calibrated
    }
}

/// The blocks of our own that the step table would use (`batchstep_core::sweep::Corrected::observations`): those of drifting rounds only where there are
/// not enough others, and the blocks of a batch size counted as its rounds.
pub(super) fn undisturbed(timings: Vec<Timing>) -> Vec<Observation> {
    let mut steady: BTreeMap<u32, u32> = BTreeMap::new();
    for timing in timings.iter().filter(|timing| !timing.drifting) {
        *steady.entry(timing.observation.batch_size).or_default() += 1;
    }
    let enough = |size: u32| {
        steady
            .get(&size)
            .is_some_and(|&count| count >= REQUIRED_ROUNDS)
    };
    let mut rounds: BTreeMap<u32, u32> = BTreeMap::new();
    timings
        .into_iter()
        .filter(|timing| !timing.drifting || !enough(timing.observation.batch_size))
        .map(|timing| {
            let next = rounds.entry(timing.observation.batch_size).or_default();
            let round = *next;
            *next += 1;
            Observation {
                round,
                ..timing.observation
            }
        })
        .collect()
}
