//! Rounds on simulated devices: that they follow their law and the measurement protocol, and that faults come to order.

// A test that meets a state it does not expect must fail, in helpers too.
#![allow(clippy::unwrap_used)]

mod faults;
mod protocol;

use std::time::Duration;

use batchstep_laws::{Comb, Law};
use batchstep_proto::{
    domain::{
        AttemptOutcome, Block, Dtype, Mode, Round, RoundKind, Timing, Visit, VisitFailure,
        VisitRole,
    },
    ids::{RoundId, SeriesId, SweepId},
};
use batchstep_simulated::{Behaviour, Ending, Event, Machine, Step};

/// Milliseconds, in seconds.
const MS: f64 = 1e-3;

/// A step of 16 samples, 2 ms and 1 ms more for each round.
fn staircase() -> Law {
    Law {
        constant: 2.0 * MS,
        combs: vec![Comb {
            period: 16.0,
            offset: 0.0,
            jump: MS,
            level: false,
        }],
        ..Law::default()
    }
}

fn round(kind: RoundKind, batch_sizes: &[u32]) -> Round {
    let sweep: SweepId = "0190d3a0-0000-7000-8000-000000000001".parse().unwrap();
    let series = SeriesId::of(sweep, "SIM-1", "linear");
    Round {
        id: RoundId::of(series, 0),
        series,
        sweep,
        device_id: "SIM-1".to_owned(),
        index: 0,
        kind,
        workload: "linear".parse().unwrap(),
        mode: Mode::Train,
        dtype: Dtype::F32,
        threads: None,
        seed: 7,
        reference_batch_size: None,
        visits: batch_sizes
            .iter()
            .map(|&batch_size| Visit {
                batch_size,
                role: VisitRole::Measure,
                iterations: None,
            })
            .collect(),
        timing: Timing::protocol(true),
        time_limit: Duration::from_secs(600),
        idle_only: false,
    }
}

fn machine(behaviour: Behaviour) -> Machine<Law> {
    Machine::new(staircase(), behaviour, 1)
}

fn blocks(steps: &[Step]) -> Vec<&Block> {
    steps
        .iter()
        .filter_map(|step| match &step.event {
            Event::Block(block) => Some(block),
            _ => None,
        })
        .collect()
}

fn failures(steps: &[Step]) -> Vec<&VisitFailure> {
    steps
        .iter()
        .filter_map(|step| match &step.event {
            Event::Failure(failure) => Some(failure),
            _ => None,
        })
        .collect()
}

fn ending(steps: &[Step]) -> &Ending {
    match steps.last().map(|step| &step.event) {
        Some(Event::Ended(ending)) => ending,
        other => panic!("a round ends with its ending, not {other:?}"),
    }
}

fn outcome(steps: &[Step]) -> AttemptOutcome {
    ending(steps).outcome
}
