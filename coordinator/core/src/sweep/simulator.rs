//! A device for tests: executes rounds by a timing law with noise, drift, memory limits and crashes.
//!
//! Only compiled for tests of `sweep` and `steptable`.

use std::{collections::BTreeSet, time::Duration};

use batchstep_proto::{
    domain::{
        AttemptOutcome, BatchSizes, Block, Device, DeviceKind, DeviceSelector, Dtype, Mode, Round,
        RoundKind, Software, Strategy, SweepSpec, VisitFailure, VisitFailureKind, VisitOrder,
        VisitRole, WorkerFacts,
    },
    ids::{SeriesId, SweepId},
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{History, Next, RoundRecord, SeriesPlan, next};

/// A sweep of `linear` with everything at its default.
pub(crate) fn spec(batch_sizes: &str, budget_seconds: u64) -> SweepSpec {
    SweepSpec {
        workloads: vec!["linear".parse().unwrap()],
        batch_sizes: batch_sizes.parse::<BatchSizes>().unwrap(),
        mode: Mode::Train,
        dtype: Dtype::F32,
        threads: Some(1),
        strategy: Strategy::Dense,
        budget: Duration::from_secs(budget_seconds),
        precision: 0.003,
        iterations: None,
        seed: 7,
        devices: DeviceSelector::All,
        preset: None,
        visit_order: VisitOrder::Random,
    }
}

/// A series of `spec` on a simulated device of that name.
pub(crate) fn plan(spec: SweepSpec, device: &str) -> SeriesPlan {
    let sweep: SweepId = "0190d3a0-0000-7000-8000-000000000001".parse().unwrap();
    let workload = spec.workloads[0].clone();
    SeriesPlan {
        id: SeriesId::of(sweep, device, &workload.to_string()),
        sweep,
        threads: spec.threads,
        workload,
        spec,
        device: Device {
            id: device.to_owned(),
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

/// 2 ms, and 1 ms for every `step` samples begun.
pub(crate) fn staircase(step: u32) -> impl Fn(u32) -> f64 {
    move |size| 2e-3 + 1e-3 * f64::from(size.div_ceil(step))
}

/// The device.
pub(crate) struct Simulator<'a> {
    pub law: Box<dyn Fn(u32) -> f64 + 'a>,
    /// Relative, uniform in both directions.
    pub noise: f64,
    /// Factor on the time at a moment in seconds.
    pub drift: Box<dyn Fn(f64) -> f64 + 'a>,
    pub out_of_memory_at: u32,
    pub crashes_at: BTreeSet<u32>,
    pub errors_at: BTreeSet<u32>,
    /// Every so many visits the worker is killed from outside; 0: never.
    pub killed_every: u32,
    pub foreign_cores: Option<f64>,
    pub throttle_reasons: Option<u64>,
    /// Seconds since the series began.
    pub now: f64,
    visits: u32,
    /// By this worker.
    visited: BTreeSet<u32>,
    random: ChaCha8Rng,
}

impl<'a> Simulator<'a> {
    pub(crate) fn new(law: impl Fn(u32) -> f64 + 'a) -> Self {
        Self {
            law: Box::new(law),
            noise: 0.002,
            drift: Box::new(|_| 1.0),
            out_of_memory_at: u32::MAX,
            crashes_at: BTreeSet::new(),
            errors_at: BTreeSet::new(),
            killed_every: 0,
            foreign_cores: None,
            throttle_reasons: None,
            now: 0.0,
            visits: 0,
            visited: BTreeSet::new(),
            random: ChaCha8Rng::seed_from_u64(1),
        }
    }

    /// Executes one round as an agent and its worker would.
    pub(crate) fn execute(&mut self, round: &Round) -> RoundRecord {
        let start = self.now;
        let mut record = RoundRecord::new(round.clone());
        record.facts = Some(WorkerFacts {
            software: Software {
                batchstep: Some("test".to_owned()),
                ..Software::default()
            },
            ..WorkerFacts::default()
        });
        let mut outcome = (AttemptOutcome::Finished, String::new());
        for (position, visit) in (0..).zip(&round.visits) {
            let size = visit.batch_size;
            self.visits += 1;
            if self.crashes_at.contains(&size)
                || (self.killed_every > 0 && self.visits.is_multiple_of(self.killed_every))
            {
                self.now += 0.05;
                self.visited.clear();
                outcome = (AttemptOutcome::Broken, "the worker died".to_owned());
                break;
            }
            let mut fail = |kind, message: &str| {
                record.failures.push(VisitFailure {
                    visit: position,
                    batch_size: size,
                    kind,
                    message: message.to_owned(),
                });
            };
            if self.errors_at.contains(&size) {
                fail(VisitFailureKind::Error, "expected more than 1 value");
                continue;
            }
            if size >= self.out_of_memory_at {
                fail(VisitFailureKind::OutOfMemory, "out of memory");
                if round.kind == RoundKind::Probe {
                    break;
                }
                continue;
            }
            let iteration = (self.law)(size) * (self.drift)(self.now);
            if let Some(limit) = round.timing.iteration_limit
                && iteration > limit.as_secs_f64()
            {
                self.now += 2.0 * iteration;
                fail(VisitFailureKind::TimeLimit, "too long");
                record.warm_up += Duration::from_secs_f64(2.0 * iteration);
                break;
            }
            let warm_ups = if self.visited.insert(size) {
                round.timing.first_visit_warm_up
            } else {
                round.timing.later_visit_warm_up
            };
            let iterations = visit.iterations.unwrap_or_else(|| {
                let target = (round.timing.block_target.as_secs_f64() / iteration).ceil() as u32;
                if iteration * 3.0 < round.timing.block_ceiling.as_secs_f64() {
                    target.max(3)
                } else {
                    1
                }
            });
            let warm_up = iteration * f64::from(warm_ups);
            self.now += warm_up;
            let noise = 1.0 + self.noise * self.random.random_range(-1.0..1.0);
            let elapsed = iteration * f64::from(iterations) * noise;
            record.blocks.push(Block {
                visit: position,
                batch_size: size,
                role: visit.role,
                iterations,
                elapsed: Duration::from_secs_f64(elapsed),
                device_elapsed: None,
                started_after: Duration::from_secs_f64(self.now - start),
                warm_up_iterations: warm_ups,
                warm_up: Duration::from_secs_f64(warm_up),
                foreign_cores: self.foreign_cores,
                peak_memory_bytes: None,
                temperature_celsius: None,
                power_watts: None,
                sm_clock_mhz: None,
                throttle_reasons: self.throttle_reasons,
                foreign_processes: None,
            });
            record.measuring += Duration::from_secs_f64(elapsed);
            record.warm_up += Duration::from_secs_f64(warm_up);
            self.now += elapsed;
        }
        record.outcomes.push(outcome);
        record.elapsed = Duration::from_secs_f64(self.now - start);
        record
    }

    /// Runs a series to its end; panics when it never ends or a round breaks the rules every round keeps.
    pub(crate) fn run(&mut self, plan: &SeriesPlan) -> (History, Next) {
        let mut history = History::default();
        for index in 0..2000 {
            match next(plan, &history) {
                Next::Round(round) => {
                    assert_eq!(round.index, index);
                    check(plan, &round);
                    let record = self.execute(&round);
                    history.rounds.push(record);
                }
                end => return (history, end),
            }
        }
        panic!("the series did not end within 2000 rounds");
    }
}

/// What holds for every round, whatever the history.
fn check(plan: &SeriesPlan, round: &Round) {
    assert!(!round.visits.is_empty());
    assert!(round.time_limit >= Duration::from_secs(60));
    if let BatchSizes::Listed(sizes) = &plan.spec.batch_sizes {
        assert!(
            round
                .visits
                .iter()
                .all(|visit| sizes.contains(&visit.batch_size))
        );
    }
    if round.kind == RoundKind::Probe {
        assert!(
            round
                .visits
                .windows(2)
                .all(|pair| pair[0].batch_size < pair[1].batch_size)
        );
        return;
    }
    let reference = |position: usize| round.visits[position].role == VisitRole::Reference;
    if plan.spec.visit_order == VisitOrder::Random {
        assert!(reference(0) && reference(round.visits.len() - 1));
        assert!(round.visits.windows(9).all(|window| {
            window
                .iter()
                .any(|visit| visit.role == VisitRole::Reference)
        }));
    } else {
        assert!((0..round.visits.len()).all(|position| !reference(position)));
    }
}
