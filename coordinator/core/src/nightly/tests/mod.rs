//! Tests of nights: the expressions, the clocks, what is due, and one night's way through crashes.

mod cron;
mod due;
mod night;
mod properties;
mod schedule;
mod timetable;

use std::time::Duration;

use batchstep_proto::domain::{
    BatchSizes, DeviceSelector, Dtype, Mode, Scheduling, Strategy, SweepSpec, VisitOrder,
};
use batchstep_proto::ids::SweepId;
use jiff::Timestamp;

use super::{Schedule, Timetable};

fn timetable(cron: &str, zone: &str) -> Timetable {
    Timetable {
        cron: cron.parse().unwrap(),
        zone: zone.parse().unwrap(),
    }
}

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn sweep(number: usize) -> SweepId {
    let text = format!("00000000-0000-7000-8000-{number:012}");
    text.parse().unwrap()
}

/// Every day at 02:00 in Berlin, for at most six hours; a series measures for a minute.
fn schedule() -> Schedule {
    Schedule {
        name: "gpus".parse().unwrap(),
        timetable: timetable("0 2 * * *", "Europe/Berlin"),
        deadline: Schedule::DEADLINE,
        sweep: SweepSpec {
            workloads: vec!["linear".parse().unwrap(), "cnn".parse().unwrap()],
            batch_sizes: BatchSizes::from_list(vec![8, 16]).unwrap(),
            mode: Mode::Train,
            dtype: Dtype::F32,
            threads: None,
            strategy: Strategy::Dense,
            budget: Duration::from_mins(1),
            precision: 0.01,
            iterations: None,
            seed: 0,
            devices: DeviceSelector::All,
            preset: None,
            visit_order: VisitOrder::Random,
            scheduling: Scheduling::default(),
        },
        enabled: true,
        created_at: time("2026-01-01T00:00:00Z"),
    }
}
