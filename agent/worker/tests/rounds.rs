//! How a round meets a device that runs out of memory, refuses a batch, or is lost: a stand-in fails where a GPU would.
#![allow(clippy::unwrap_used)]

use std::{
    ops::RangeInclusive,
    sync::atomic::AtomicBool,
    thread,
    time::{Duration, Instant},
};

use batchstep_proto::domain::{
    AttemptOutcome, Block, Dtype, Mode, Round, RoundKind, Timing, Visit, VisitFailure,
    VisitFailureKind, VisitRole,
};
use batchstep_simulated::{self as simulated, Timings};
use batchstep_worker::{
    failure::Failure,
    measure::{
        Subject,
        round::{Ended, Event, History, Outcome, Phase, Runner},
    },
};

/// Fails with `error` at some batch sizes, and takes `pace` for each sample of a batch.
struct Fake {
    fails_at: RangeInclusive<u32>,
    error: &'static str,
    batch_size: u32,
    /// Batch sizes in the order in which they were prepared.
    prepared: Vec<u32>,
    released: u32,
    pace: Duration,
    iterations: u32,
}

fn fake(fails_from: u32, error: &'static str) -> Fake {
    Fake {
        fails_at: fails_from..=u32::MAX,
        error,
        batch_size: 0,
        prepared: Vec::new(),
        released: 0,
        pace: Duration::ZERO,
        iterations: 0,
    }
}

impl Subject for Fake {
    fn prepare(&mut self, batch_size: u32) -> Result<(), Failure> {
        self.batch_size = batch_size;
        self.prepared.push(batch_size);
        Ok(())
    }

    fn iterate(&mut self) -> Result<(), Failure> {
        self.iterations += 1;
        thread::sleep(self.pace * self.batch_size);
        if self.fails_at.contains(&self.batch_size) {
            return Err(Failure::classify(self.error));
        }
        Ok(())
    }

    fn synchronize(&mut self) -> Result<(), Failure> {
        Ok(())
    }

    fn release(&mut self) {
        self.released += 1;
    }

    fn reset_peak_memory(&mut self) {}

    fn peak_memory(&mut self) -> Option<u64> {
        Some(u64::from(self.batch_size) * 1000)
    }

    fn memory_budget(&mut self) -> Option<u64> {
        Some(100_000)
    }
}

fn round(kind: RoundKind, sizes: &[u32]) -> Round {
    Round {
        id: "01900000-0000-7000-8000-000000000002".parse().unwrap(),
        series: "01900000-0000-7000-8000-000000000003".parse().unwrap(),
        sweep: "01900000-0000-7000-8000-000000000001".parse().unwrap(),
        device_id: "fake".to_owned(),
        index: 0,
        kind,
        workload: "linear".parse().unwrap(),
        mode: Mode::Train,
        dtype: Dtype::F32,
        threads: None,
        seed: 0,
        reference_batch_size: None,
        visits: sizes
            .iter()
            .map(|batch_size| Visit {
                batch_size: *batch_size,
                role: VisitRole::Measure,
                iterations: Some(3),
            })
            .collect(),
        timing: Timing {
            block_target: Duration::ZERO,
            memory_share: 1.0,
            ..Timing::protocol(true)
        },
        time_limit: Duration::from_secs(60),
        idle_only: false,
    }
}

/// Runs the first round of a network; gives back the sizes of its blocks, its failures, and its end.
fn run(
    subject: &mut Fake,
    round: &Round,
) -> (Vec<u32>, Vec<(u32, VisitFailureKind, String)>, Ended) {
    let mut warmed = Vec::new();
    run_after(&mut History::new(Some(0)), subject, round, &mut warmed)
}

/// The same after other rounds; adds the batch sizes that the device was warmed on to `warmed`.
fn run_after(
    history: &mut History,
    subject: &mut Fake,
    round: &Round,
    warmed: &mut Vec<u32>,
) -> (Vec<u32>, Vec<(u32, VisitFailureKind, String)>, Ended) {
    let (mut blocks, mut failures) = (Vec::new(), Vec::new());
    let mut emit = |event| match event {
        Event::Block(block) => blocks.push(block.batch_size),
        Event::Failure(failure) => {
            failures.push((failure.batch_size, failure.kind, failure.message));
        }
        Event::Progress {
            batch_size,
            phase: Phase::DeviceWarmUp,
            ..
        } => warmed.push(batch_size),
        Event::Progress { .. } => {}
    };
    let stop = AtomicBool::new(false);
    let ended = Runner::new(round, subject, history, &stop, &mut emit, Instant::now()).run();
    (blocks, failures, ended)
}

#[test]
fn out_of_memory_ends_a_probe_and_is_its_result() {
    let mut subject = fake(
        8,
        "CUDA out of memory. Tried to allocate 2.00 GiB\nbacktrace",
    );
    let (blocks, failures, ended) = run(&mut subject, &round(RoundKind::Probe, &[1, 2, 4, 8, 16]));
    assert_eq!(blocks, [1, 2, 4]);
    assert_eq!(
        failures,
        [(
            8,
            VisitFailureKind::OutOfMemory,
            "CUDA out of memory. Tried to allocate 2.00 GiB".to_owned()
        )]
    );
    assert_eq!(ended.outcome, Outcome::Finished);
    assert_eq!(subject.released, 1, "the batch's memory is given back");
    assert!(!subject.prepared.contains(&16));
}

#[test]
fn in_a_random_order_larger_batches_fail_untried_and_smaller_ones_go_on() {
    let mut subject = fake(8, "CUDA error: out of memory");
    let (blocks, failures, ended) = run(&mut subject, &round(RoundKind::Measure, &[2, 8, 3, 9, 1]));
    assert_eq!(blocks, [2, 3, 1]);
    let sizes: Vec<u32> = failures.iter().map(|failure| failure.0).collect();
    assert_eq!(sizes, [8, 9], "every visit has its block or its failure");
    let tried = subject.prepared.iter().filter(|size| **size >= 8).count();
    assert_eq!(tried, 1, "{:?}", subject.prepared);
    assert_eq!(ended.outcome, Outcome::Finished);
}

#[test]
fn a_batch_above_the_memory_share_is_never_tried() {
    let mut subject = fake(u32::MAX, "");
    let (blocks, failures, _) = run(
        &mut subject,
        &round(RoundKind::Probe, &[1, 2, 4, 8, 16, 32, 64, 128]),
    );
    assert_eq!(blocks, [1, 2, 4, 8, 16, 32, 64]);
    assert_eq!(
        (failures[0].0, failures[0].1),
        (128, VisitFailureKind::MemoryLimit)
    );
    assert!(!subject.prepared.contains(&128));
}

#[test]
fn an_untried_large_batch_is_approached_by_doublings() {
    let mut subject = fake(u32::MAX, "");
    let (blocks, _, _) = run(&mut subject, &round(RoundKind::Measure, &[20]));
    assert_eq!(blocks, [20]);
    assert_eq!(subject.prepared, [1, 2, 4, 8, 16, 20]);
}

#[test]
fn any_other_error_costs_its_own_visit_only() {
    let mut subject = fake(4, "shapes cannot be multiplied");
    let (blocks, failures, ended) = run(&mut subject, &round(RoundKind::Measure, &[4, 2, 5]));
    assert_eq!(blocks, [2]);
    assert!(
        failures
            .iter()
            .all(|failure| failure.1 == VisitFailureKind::Error)
    );
    assert_eq!(failures.len(), 2);
    assert_eq!(ended.outcome, Outcome::Finished);
}

#[test]
fn a_network_that_refuses_one_sample_is_measured_with_more() {
    let mut subject = fake(1, "Expected more than 1 value per channel when training");
    subject.fails_at = 1..=1;
    let (blocks, failures, _) = run(&mut subject, &round(RoundKind::Measure, &[12, 1]));
    assert_eq!(blocks, [12]);
    assert_eq!(failures.len(), 1);
    assert_eq!((failures[0].0, failures[0].1), (1, VisitFailureKind::Error));
    assert_eq!(subject.prepared, [1, 2, 4, 8, 12, 1]);
}

#[test]
fn a_lost_device_ends_the_round_at_once() {
    let mut subject = fake(2, "CUDA error: an illegal memory access was encountered");
    let (blocks, failures, ended) = run(&mut subject, &round(RoundKind::Measure, &[1, 2, 1]));
    assert_eq!(blocks, [1]);
    assert!(failures.is_empty());
    assert!(
        matches!(ended.outcome, Outcome::DeviceLost(failure) if failure.message.contains("illegal memory access"))
    );
}

#[test]
fn the_way_up_to_a_large_batch_ends_where_an_iteration_takes_too_long() {
    let mut subject = fake(u32::MAX, "");
    subject.pace = Duration::from_millis(5);
    let mut probe = round(RoundKind::Probe, &[64, 96]);
    probe.timing.iteration_limit = Some(Duration::from_millis(12));
    let (blocks, failures, ended) = run(&mut subject, &probe);
    assert!(blocks.is_empty());
    assert_eq!(failures.len(), 1, "{failures:?}");
    let (batch_size, kind, message) = &failures[0];
    assert_eq!((*batch_size, *kind), (64, VisitFailureKind::TimeLimit));
    assert!(
        message.contains("at batch size") && message.contains("0.012 s allowed"),
        "{message}"
    );
    let largest = subject.prepared.iter().max().unwrap();
    assert!(*largest <= 4, "{:?}", subject.prepared);
    // One on each rung, and one more where the machine was slow once.
    assert!(subject.iterations <= 6, "{}", subject.iterations);
    assert_eq!(ended.outcome, Outcome::Finished);
}

#[test]
fn the_device_is_warmed_on_the_reference_that_the_measurement_uses() {
    let mut subject = fake(u32::MAX, "");
    let mut history = History::new(Some(0));
    let mut warmed = Vec::new();
    for (kind, reference) in [
        (RoundKind::Probe, 1),
        (RoundKind::Measure, 4),
        (RoundKind::Measure, 4),
        (RoundKind::Probe, 8),
        (RoundKind::Measure, 2),
    ] {
        let round = Round {
            reference_batch_size: Some(reference),
            timing: Timing {
                device_warm_up_min: Duration::ZERO,
                device_warm_up_max: Duration::from_millis(1),
                ..round(kind, &[1]).timing
            },
            ..round(kind, &[1, 2])
        };
        let (blocks, ..) = run_after(&mut history, &mut subject, &round, &mut warmed);
        assert_eq!(blocks, [1, 2]);
    }
    assert_eq!(warmed, [1, 4, 2], "a probe is content with any");
}

/// Takes its time while it is handed work, or afterwards; its clock runs all the while.
struct Paced {
    host: Duration,
    device: Duration,
    began: Instant,
}

impl Subject for Paced {
    fn prepare(&mut self, _: u32) -> Result<(), Failure> {
        Ok(())
    }

    fn iterate(&mut self) -> Result<(), Failure> {
        thread::sleep(self.host);
        Ok(())
    }

    fn synchronize(&mut self) -> Result<(), Failure> {
        thread::sleep(self.device);
        Ok(())
    }

    fn begin_device_clock(&mut self) -> Result<(), Failure> {
        self.began = Instant::now();
        Ok(())
    }

    fn device_elapsed(&mut self) -> Result<Option<Duration>, Failure> {
        Ok(Some(self.began.elapsed()))
    }

    fn release(&mut self) {}

    fn reset_peak_memory(&mut self) {}

    fn peak_memory(&mut self) -> Option<u64> {
        None
    }

    fn memory_budget(&mut self) -> Option<u64> {
        None
    }
}

#[test]
fn a_block_at_the_hosts_pace_is_host_bound_although_the_devices_clock_runs_on() {
    let block = |host, device| {
        let mut subject = Paced {
            host: Duration::from_millis(host),
            device: Duration::from_millis(device),
            began: Instant::now(),
        };
        let mut blocks = Vec::new();
        let mut emit = |event| {
            if let Event::Block(block) = event {
                blocks.push(block);
            }
        };
        Runner::new(
            &Round {
                visits: vec![Visit {
                    batch_size: 1,
                    role: VisitRole::Measure,
                    iterations: Some(10),
                }],
                ..round(RoundKind::Measure, &[1])
            },
            &mut subject,
            &mut History::new(None),
            &AtomicBool::new(false),
            &mut emit,
            Instant::now(),
        )
        .run();
        blocks[0].clone()
    };
    let launching = block(40, 0);
    assert!(launching.host_bound(), "{launching:?}");
    let computing = block(0, 100);
    assert!(!computing.host_bound(), "{computing:?}");
}

/// An event in the words of the worker and of a simulated device, without times.
#[derive(Debug, PartialEq)]
enum Told {
    Progress(u32, u32, Phase),
    Block(u32, u32, u32, u32, Option<u64>),
    Failure(u32, u32, VisitFailureKind),
}

fn told_by_worker(history: &mut History, subject: &mut Fake, round: &Round) -> Vec<Told> {
    let mut told = Vec::new();
    let mut emit = |event| {
        told.push(match event {
            Event::Progress {
                visit,
                batch_size,
                phase,
            } => Told::Progress(visit, batch_size, phase),
            Event::Block(block) => told_block(&block),
            Event::Failure(failure) => told_failure(&failure),
        });
    };
    let stop = AtomicBool::new(false);
    let ended = Runner::new(round, subject, history, &stop, &mut emit, Instant::now()).run();
    assert_eq!(ended.outcome, Outcome::Finished);
    told
}

fn told_by_simulated(machine: &mut simulated::Machine<impl Timings>, round: &Round) -> Vec<Told> {
    let told = machine.run(round).into_iter().filter_map(|step| {
        Some(match step.event {
            simulated::Event::Progress {
                visit,
                batch_size,
                phase,
            } => Told::Progress(visit, batch_size, phase),
            simulated::Event::Block(block) => told_block(&block),
            simulated::Event::Failure(failure) => told_failure(&failure),
            simulated::Event::Ended(ending) => {
                assert_eq!(ending.outcome, AttemptOutcome::Finished);
                return None;
            }
        })
    });
    told.collect()
}

fn told_block(block: &Block) -> Told {
    Told::Block(
        block.visit,
        block.batch_size,
        block.iterations,
        block.warm_up_iterations,
        block.peak_memory_bytes,
    )
}

fn told_failure(failure: &VisitFailure) -> Told {
    Told::Failure(failure.visit, failure.batch_size, failure.kind)
}

/// The same rounds on the stand-in and on a simulated device with its memory and its faults.
#[test]
fn a_simulated_device_keeps_to_the_protocol_as_the_worker_does() {
    let rounds: [(RoundKind, &[u32]); 4] = [
        (RoundKind::Probe, &[1, 2, 4, 8, 16, 32, 64, 128]),
        (RoundKind::Measure, &[24, 7, 80, 24, 96, 3, 80, 50]),
        (RoundKind::Measure, &[101, 12, 150, 24]),
        (RoundKind::Probe, &[90, 100, 200]),
    ];
    for (fails_at, error) in [
        (300..=300, "never"),
        (40..=300, "CUDA out of memory"),
        (13..=300, "shapes cannot be multiplied"),
        (1..=1, "shapes cannot be multiplied"),
    ] {
        let mut subject = fake(1, error);
        subject.fails_at = fails_at.clone();
        let mut history = History::new(Some(0));
        let out_of_memory = error.contains("memory");
        let behaviour = simulated::Behaviour {
            memory: Some(simulated::Memory {
                total_bytes: 100_000,
                idle_bytes: 0,
                bytes_per_sample: 1000,
            }),
            faults: simulated::Faults {
                out_of_memory_at: out_of_memory.then_some(*fails_at.start()),
                errors_at: fails_at.clone().filter(|_| !out_of_memory).collect(),
                ..simulated::Faults::default()
            },
            ..simulated::Behaviour::default()
        };
        let mut machine = simulated::Machine::new(|_, _| 1e-3, behaviour, 1);
        for reference in [None, Some(8), Some(12)] {
            for (kind, sizes) in rounds {
                let mut round = round(kind, sizes);
                round.reference_batch_size = reference;
                round.timing.device_warm_up_min = Duration::ZERO;
                round.timing.device_warm_up_max = Duration::from_millis(2);
                let simulated = told_by_simulated(&mut machine, &round);
                let worker = told_by_worker(&mut history, &mut subject, &round);
                assert_eq!(
                    simulated, worker,
                    "{error}, {reference:?}, {kind} {sizes:?}"
                );
            }
        }
    }
}
