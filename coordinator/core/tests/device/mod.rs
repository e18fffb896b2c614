//! A series, and what a simulated device makes of its rounds. Shared by tests and examples.

#![allow(
    clippy::unwrap_used,
    reason = "a series that cannot be made is a broken test or example"
)]

use std::{collections::BTreeMap, time::Duration};

use batchstep_core::sweep::{RoundRecord, SeriesPlan};
use batchstep_proto::{
    domain::{
        BatchSizes, Device, DeviceKind, DeviceSelector, Dtype, Mode, Round, Scheduling, Strategy,
        SweepSpec, VisitOrder,
    },
    ids::{SeriesId, SweepId},
};
use batchstep_simulated::{Event, Machine, Timings};

/// A series of one processor over these batch sizes; `precision` is a share.
pub fn plan(
    batch_sizes: BatchSizes,
    strategy: Strategy,
    precision: f64,
    budget: Duration,
    seed: u64,
) -> SeriesPlan {
    let device = "SIM-a".to_owned();
    let sweep: SweepId = "0190d3a0-0000-7000-8000-000000000001".parse().unwrap();
    let spec = SweepSpec {
        workloads: vec!["linear".parse().unwrap()],
        batch_sizes,
        mode: Mode::Train,
        dtype: Dtype::F32,
        threads: Some(1),
        strategy,
        budget,
        precision,
        iterations: None,
        seed,
        devices: DeviceSelector::All,
        preset: None,
        visit_order: VisitOrder::Random,
        scheduling: Scheduling::default(),
    };
    let workload = spec.workloads[0].clone();
    SeriesPlan {
        others: Vec::new(),
        departed: BTreeMap::new(),
        id: SeriesId::of(sweep, &device, &workload.to_string()),
        sweep,
        threads: spec.threads,
        workload,
        spec,
        device: Device {
            id: device,
            kind: DeviceKind::Simulated,
            model: "Law".to_owned(),
            compute_units: Some(4),
            memory_bytes: None,
            mig_profile: None,
            compute_capability: None,
            driver: None,
            pci_device_id: None,
            ineligible: Vec::new(),
        },
        hostname: "here".to_owned(),
    }
}

/// A round with what an agent would report of it.
pub fn executed(device: &mut Machine<impl Timings>, round: Round) -> RoundRecord {
    let steps = device.run(&round);
    let mut record = RoundRecord::new(round);
    for step in steps {
        match step.event {
            Event::Progress { .. } => {}
            Event::Block(block) => record.blocks.push(block),
            Event::Failure(failure) => record.failures.push(failure),
            Event::Ended(ending) => {
                record.outcomes.push((ending.outcome, ending.message));
                record.measuring = ending.measuring;
                record.warm_up = ending.warm_up;
                record.elapsed = ending.elapsed;
            }
        }
    }
    record
}
