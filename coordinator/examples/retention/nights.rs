//! Nights as the coordinator records them: a sweep of some series, each of three rounds of 320 blocks, with times that have a step and some noise.

use std::{collections::BTreeMap, time::Duration};

use anyhow::Result;
use batchstep_core::{
    fleet::{Disposition, Record, SeriesState, SeriesSummary, SweepState},
    sweep::SeriesPlan,
};
use batchstep_proto::{
    domain::{
        AttemptOutcome, AttemptReport, BatchSizes, Block, Device, DeviceKind, DeviceSelector,
        Dtype, Mode, Round, RoundKind, Scheduling, Software, Strategy, SweepSpec, Timing, Visit,
        VisitOrder, VisitRole, WorkerFacts,
    },
    ids::{AgentId, AttemptId, RequestId, RoundId, SeriesId, SweepId},
};
use rand::{RngExt as _, SeedableRng as _, seq::SliceRandom as _};
use rand_chacha::ChaCha8Rng;

/// Rounds of a series and night.
pub const ROUNDS: u32 = 3;
/// Blocks of a round: every batch size once, and a reference after each four.
pub const BLOCKS: u32 = BATCH_SIZES + BATCH_SIZES / REFERENCE_EVERY;
const BATCH_SIZES: u32 = 256;
/// Batch sizes of a reporter's round, which with its references has 30 blocks.
const REPORTED: u32 = 24;
const REFERENCE_EVERY: u32 = 4;
const REFERENCE: u32 = 64;
/// Samples of a wave.
const STEP: u32 = 16;
/// Time of an iteration without any sample, and of each wave, nanoseconds.
const BASE_NS: u64 = 300_000;
const WAVE_NS: u64 = 200_000;
/// Largest relative noise of a block.
const NOISE: f64 = 0.004;

/// One night's sweep.
pub struct Night {
    pub sweep: SweepId,
    pub plans: Vec<SeriesPlan>,
    random: ChaCha8Rng,
    /// Of a round.
    batch_sizes: u32,
}

impl Night {
    /// One device whose rounds are short, for as long as somebody goes on with them.
    pub fn of_a_reporter() -> Result<Self> {
        Ok(Self {
            batch_sizes: REPORTED,
            ..Self::new(u32::MAX, 1)?
        })
    }

    pub fn new(number: u32, series: u32) -> Result<Self> {
        let (sweep, spec) = (SweepId::generate(), spec()?);
        let plans = (0..series).map(|number| {
            let device = device(&format!("GPU-{number:04}"));
            SeriesPlan {
                others: Vec::new(),
                departed: BTreeMap::new(),
                id: SeriesId::of(sweep, &device.id, "linear"),
                sweep,
                workload: spec.workloads[0].clone(),
                spec: spec.clone(),
                device,
                hostname: "host".to_owned(),
                threads: None,
            }
        });
        Ok(Self {
            sweep,
            plans: plans.collect(),
            random: ChaCha8Rng::seed_from_u64(u64::from(number)),
            batch_sizes: BATCH_SIZES,
        })
    }

    pub fn submitted(&self) -> Vec<Record> {
        let spec = self.plans[0].spec.clone();
        let sweep = Record::SweepSubmitted {
            sweep: self.sweep,
            request: RequestId::generate(),
            spec,
        };
        let series = (0..)
            .zip(&self.plans)
            .map(|(ordinal, plan)| Record::SeriesCreated {
                plan: plan.clone(),
                ordinal,
            });
        std::iter::once(sweep).chain(series).collect()
    }

    /// A round from its assignment to its end.
    pub fn round(&mut self, series: usize, index: u32) -> Vec<Record> {
        let plan = &self.plans[series];
        let round = round(plan, index, self.batch_sizes, &mut self.random);
        let attempt = AttemptId::of(round.id, 0);
        let agent = AgentId::from_uuid(*plan.id.as_uuid());
        let mut digest = [0; 32];
        digest[..16].copy_from_slice(attempt.as_uuid().as_bytes());
        let report = report(attempt, &round, &mut self.random);
        let id = round.id;
        vec![
            Record::AttemptAssigned {
                attempt,
                number: 0,
                agent,
                round,
            },
            Record::AttemptAccepted { attempt },
            Record::Report {
                agent,
                digest,
                disposition: Disposition::Accepted,
                report,
            },
            Record::RoundEnded { round: id },
        ]
    }

    pub fn ended(&self) -> Vec<Record> {
        let series = self.plans.iter().map(|plan| Record::SeriesEnded {
            series: plan.id,
            state: SeriesState::Done,
            message: "every batch size is precise".to_owned(),
            summary: Some(SeriesSummary {
                rounds_done: ROUNDS,
                blocks: ROUNDS * BLOCKS,
                measuring: Duration::from_secs(60),
            }),
        });
        let sweep = Record::SweepEnded {
            sweep: self.sweep,
            state: SweepState::Done,
            message: "all series are over".to_owned(),
        };
        series.chain([sweep]).collect()
    }
}

fn spec() -> Result<SweepSpec> {
    Ok(SweepSpec {
        workloads: vec!["linear".parse()?],
        batch_sizes: BatchSizes::Listed((1..=BATCH_SIZES).collect()),
        mode: Mode::Train,
        dtype: Dtype::F32,
        threads: None,
        strategy: Strategy::Dense,
        budget: Duration::from_secs(600),
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
        kind: DeviceKind::Cuda,
        model: "Example".to_owned(),
        compute_units: Some(132),
        memory_bytes: Some(80 << 30),
        mig_profile: None,
        compute_capability: Some("9.0".to_owned()),
        driver: Some("580.95.05".to_owned()),
        pci_device_id: None,
        ineligible: Vec::new(),
    }
}

fn round(plan: &SeriesPlan, index: u32, batch_sizes: u32, random: &mut ChaCha8Rng) -> Round {
    let mut sizes: Vec<u32> = (1..=batch_sizes).collect();
    sizes.shuffle(random);
    let visit = |batch_size, role| Visit {
        batch_size,
        role,
        iterations: None,
    };
    let visits = sizes.chunks(REFERENCE_EVERY as usize).flat_map(|sizes| {
        let measured = sizes.iter().map(|size| visit(*size, VisitRole::Measure));
        std::iter::once(visit(REFERENCE, VisitRole::Reference)).chain(measured)
    });
    Round {
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
        reference_batch_size: Some(REFERENCE),
        visits: visits.collect(),
        timing: Timing::protocol(false),
        time_limit: Duration::from_secs(600),
        idle_only: false,
    }
}

fn report(attempt: AttemptId, round: &Round, random: &mut ChaCha8Rng) -> AttemptReport {
    let blocks: Vec<Block> = (0_u32..)
        .zip(&round.visits)
        .map(|(visit, asked)| block(visit, asked, random))
        .collect();
    let measuring = blocks.iter().map(|block| block.elapsed).sum();
    AttemptReport {
        attempt,
        round: round.id,
        part: 0,
        outcome: Some(AttemptOutcome::Finished),
        message: String::new(),
        blocks,
        failures: Vec::new(),
        facts: Some(WorkerFacts {
            software: Software {
                driver: Some("580.95.05".to_owned()),
                libtorch: Some("2.11.0".to_owned()),
                cuda: Some("13.0".to_owned()),
                ..Software::default()
            },
            ..WorkerFacts::default()
        }),
        measuring,
        warm_up: measuring / 10,
        elapsed: measuring + measuring / 5,
    }
}

fn block(visit: u32, asked: &Visit, random: &mut ChaCha8Rng) -> Block {
    let iteration = BASE_NS + WAVE_NS * u64::from(asked.batch_size.div_ceil(STEP));
    let iterations = u32::try_from(20_000_000 / iteration).unwrap_or(1).max(1);
    let exact = Duration::from_nanos(iteration * u64::from(iterations));
    let elapsed = exact.mul_f64(1.0 + NOISE * random.random::<f64>());
    Block {
        visit,
        batch_size: asked.batch_size,
        role: asked.role,
        iterations,
        elapsed,
        device_elapsed: Some(elapsed.mul_f64(0.998)),
        started_after: Duration::from_millis(25) * visit,
        warm_up_iterations: 3,
        warm_up: Duration::from_nanos(3 * iteration),
        foreign_cores: Some(0.01 * random.random::<f64>()),
        peak_memory_bytes: Some(u64::from(asked.batch_size) << 24),
        temperature_celsius: Some(61.0),
        power_watts: Some(300.0 + 100.0 * random.random::<f64>()),
        sm_clock_mhz: Some(1980.0),
        throttle_reasons: Some(0),
        foreign_processes: Some(0),
    }
}
