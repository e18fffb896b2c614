//! Whole series on simulated devices: what the planner and the correction promise, checked from outside.

mod adaptive;
mod ahead;
mod budgets;
mod correction;
mod planner;
mod properties;
mod shared;
mod software;

use std::collections::BTreeMap;

use batchstep_proto::domain::VisitRole;

use super::{Conclusion, History, Next};

fn conclusion(end: Next) -> Conclusion {
    match end {
        Next::Done(conclusion) => conclusion,
        other => panic!("{other:?}"),
    }
}

/// Measuring blocks by batch size.
fn counts(history: &History) -> BTreeMap<u32, usize> {
    let mut counts = BTreeMap::new();
    for block in history.rounds.iter().flat_map(|record| &record.blocks) {
        if block.role == VisitRole::Measure {
            *counts.entry(block.batch_size).or_default() += 1;
        }
    }
    counts
}
