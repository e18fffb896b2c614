//! What the store alone costs: rounds of 32 blocks, recorded as the coordinator does it, by how many of them share a commit.
//!
//! `cargo run --release -p batchstep-coordinator --example commits [FOLDER]` prints a line for each size of a batch; the folder decides which disk is
//! measured. Part of `make bench-fleet`'s page of results.

use std::{collections::BTreeMap, env, path::PathBuf, time::Duration, time::Instant};

use anyhow::Result;
use batchstep_coordinator::store::{Sqlite, Store as _};
use batchstep_core::{
    fleet::{Disposition, Event, Record},
    sweep::SeriesPlan,
};
use batchstep_proto::{
    domain::{
        AttemptOutcome, AttemptReport, BatchSizes, Block, Device, DeviceKind, DeviceSelector,
        Dtype, Mode, Round, RoundKind, Scheduling, Strategy, SweepSpec, Timing, Visit, VisitOrder,
        VisitRole,
    },
    ids::{AgentId, AttemptId, RequestId, RoundId, SeriesId, SweepId},
    wire,
};
use jiff::Timestamp;
use nix::sys::resource::{UsageWho, getrusage};

/// Blocks of a round.
const BLOCKS: u32 = 32;
/// Rounds recorded for each size of a batch.
const ROUNDS: u32 = 8192;

fn main() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(measure())
}

async fn measure() -> Result<()> {
    let folder = env::args_os()
        .nth(1)
        .map_or_else(env::temp_dir, PathBuf::from)
        .join(format!("batchstep-commits-{}", std::process::id()));
    let store = Sqlite::open(&folder).await?;
    println!(
        "rounds per commit | commits | ms of CPU per round | ms per commit | rounds per second"
    );
    for width in [1, 8, 64, 256] {
        let rounds = if width == 1 { ROUNDS / 8 } else { ROUNDS };
        let lanes = begin(&store, width).await?;
        let (start, before) = (Instant::now(), processor_time()?);
        let mut commits = 0;
        for index in 0..rounds / width {
            // Accepted, then reported and the next one assigned.
            let accepted: Vec<Record> = lanes
                .iter()
                .map(|plan| Record::AttemptAccepted {
                    attempt: AttemptId::of(RoundId::of(plan.id, index), 0),
                })
                .collect();
            store.commit(Timestamp::now(), &accepted).await?;
            let done: Vec<Record> = lanes
                .iter()
                .flat_map(|plan| reported(plan, index))
                .collect();
            store.commit(Timestamp::now(), &done).await?;
            commits += 2;
        }
        let (took, used) = (start.elapsed(), processor_time()? - before);
        println!(
            "{width} | {commits} | {:.3} | {:.2} | {:.0}",
            used.as_secs_f64() * 1e3 / f64::from(rounds),
            took.as_secs_f64() * 1e3 / f64::from(commits),
            f64::from(rounds) / took.as_secs_f64(),
        );
    }
    store.close().await;
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}

/// Submits a sweep on so many devices and assigns the first round of each.
async fn begin(store: &Sqlite, devices: u32) -> Result<Vec<SeriesPlan>> {
    let sweep = SweepId::generate();
    let spec = spec()?;
    let mut records = vec![Record::SweepSubmitted {
        sweep,
        request: RequestId::generate(),
        spec: spec.clone(),
    }];
    let mut plans = Vec::new();
    for ordinal in 0..devices {
        let device = device(&format!("GPU-{ordinal}"));
        let plan = SeriesPlan {
            others: Vec::new(),
            departed: BTreeMap::new(),
            id: SeriesId::of(sweep, &device.id, "linear"),
            sweep,
            workload: spec.workloads[0].clone(),
            spec: spec.clone(),
            device,
            hostname: "host".to_owned(),
            threads: None,
        };
        records.push(Record::SeriesCreated {
            plan: plan.clone(),
            ordinal,
        });
        records.extend(assigned(&plan, 0));
        plans.push(plan);
    }
    store.commit(Timestamp::now(), &records).await?;
    Ok(plans)
}

fn spec() -> Result<SweepSpec> {
    Ok(SweepSpec {
        workloads: vec!["linear".parse()?],
        batch_sizes: BatchSizes::Listed((1..=BLOCKS).collect()),
        mode: Mode::Train,
        dtype: Dtype::F32,
        threads: None,
        strategy: Strategy::Dense,
        budget: Duration::from_secs(60),
        precision: 0.01,
        iterations: None,
        seed: 7,
        devices: DeviceSelector::All,
        preset: None,
        visit_order: VisitOrder::Random,
        scheduling: Scheduling::default(),
    })
}

fn device(id: &str) -> Device {
    Device {
        id: id.to_owned(),
        kind: DeviceKind::Simulated,
        model: "Example".to_owned(),
        compute_units: Some(132),
        memory_bytes: Some(80 << 30),
        mig_profile: None,
        compute_capability: None,
        driver: None,
        pci_device_id: None,
        ineligible: Vec::new(),
    }
}

fn assigned(plan: &SeriesPlan, index: u32) -> [Record; 2] {
    let round = Round {
        id: RoundId::of(plan.id, index),
        series: plan.id,
        sweep: plan.sweep,
        device_id: plan.device.id.clone(),
        index,
        kind: RoundKind::Measure,
        workload: plan.workload.clone(),
        mode: Mode::Train,
        dtype: Dtype::F32,
        threads: None,
        seed: 7,
        reference_batch_size: Some(4),
        visits: (1..=BLOCKS)
            .map(|batch_size| Visit {
                batch_size,
                role: VisitRole::Measure,
                iterations: Some(10),
            })
            .collect(),
        timing: Timing::protocol(false),
        time_limit: Duration::from_secs(60),
        idle_only: false,
    };
    let event = wire::event::Kind::RoundAssigned(wire::RoundAssigned {
        series_id: plan.id.to_string(),
        device_id: plan.device.id.clone(),
        round: index,
        visits: BLOCKS,
    });
    [
        Record::AttemptAssigned {
            attempt: AttemptId::of(round.id, 0),
            number: 0,
            agent: AgentId::from_uuid(*plan.id.as_uuid()),
            round,
        },
        Record::Event(Event {
            sweep: Some(plan.sweep),
            kind: event,
        }),
    ]
}

fn reported(plan: &SeriesPlan, index: u32) -> Vec<Record> {
    let round = RoundId::of(plan.id, index);
    let attempt = AttemptId::of(round, 0);
    let mut digest = [0; 32];
    digest[..16].copy_from_slice(attempt.as_uuid().as_bytes());
    let report = AttemptReport {
        attempt,
        round,
        part: 0,
        outcome: Some(AttemptOutcome::Finished),
        message: String::new(),
        blocks: (0..BLOCKS).map(block).collect(),
        failures: Vec::new(),
        facts: None,
        measuring: Duration::from_secs(6),
        warm_up: Duration::from_secs(1),
        elapsed: Duration::from_secs(7),
    };
    let ended = wire::event::Kind::RoundEnded(wire::RoundEnded {
        series_id: plan.id.to_string(),
        device_id: plan.device.id.clone(),
        round: index,
        outcome: wire::AttemptOutcome::Finished as i32,
        ..wire::RoundEnded::default()
    });
    let mut records = vec![
        Record::Report {
            agent: AgentId::from_uuid(*plan.id.as_uuid()),
            digest,
            disposition: Disposition::Accepted,
            report,
        },
        Record::RoundEnded { round },
        Record::Event(Event {
            sweep: Some(plan.sweep),
            kind: ended,
        }),
    ];
    records.extend(assigned(plan, index + 1));
    records
}

fn block(visit: u32) -> Block {
    Block {
        visit,
        batch_size: visit + 1,
        role: VisitRole::Measure,
        iterations: 10,
        elapsed: Duration::from_nanos(187_654_321 + u64::from(visit)),
        device_elapsed: Some(Duration::from_nanos(187_154_321)),
        started_after: Duration::from_millis(u64::from(visit) * 200),
        warm_up_iterations: 3,
        warm_up: Duration::from_millis(20),
        foreign_cores: Some(0.125),
        peak_memory_bytes: Some(1 << 33),
        temperature_celsius: Some(61.0),
        power_watts: Some(412.337),
        sm_clock_mhz: Some(1980.0),
        throttle_reasons: Some(0),
        foreign_processes: Some(0),
    }
}

/// Processor time of this process so far, user and system.
fn processor_time() -> Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_SELF)?;
    let time = |value: nix::sys::time::TimeVal| {
        Duration::from_micros(
            u64::try_from(value.tv_sec() * 1_000_000 + value.tv_usec()).unwrap_or(0),
        )
    };
    Ok(time(usage.user_time()) + time(usage.system_time()))
}
