//! How a round meets a device that runs out of memory, refuses a batch, or is lost: a stand-in fails where a GPU would.
#![allow(clippy::unwrap_used)]

use std::{
    sync::atomic::AtomicBool,
    time::{Duration, Instant},
};

use batchstep_proto::domain::{
    Dtype, Mode, Round, RoundKind, Timing, Visit, VisitFailureKind, VisitRole,
};
use batchstep_worker::{
    failure::Failure,
    measure::{
        Subject,
        round::{Ended, Event, History, Outcome, Runner},
    },
};

/// Fails with `error` at batch sizes from `fails_from`.
struct Fake {
    fails_from: u32,
    error: &'static str,
    batch_size: u32,
    /// Batch sizes in the order in which they were prepared.
    prepared: Vec<u32>,
    released: u32,
}

fn fake(fails_from: u32, error: &'static str) -> Fake {
    Fake {
        fails_from,
        error,
        batch_size: 0,
        prepared: Vec::new(),
        released: 0,
    }
}

impl Subject for Fake {
    fn prepare(&mut self, batch_size: u32) -> Result<(), Failure> {
        self.batch_size = batch_size;
        self.prepared.push(batch_size);
        Ok(())
    }

    fn iterate(&mut self) -> Result<(), Failure> {
        if self.batch_size >= self.fails_from {
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
    }
}

/// Runs a round; gives back the sizes of its blocks, its failures, and its end.
fn run(
    subject: &mut Fake,
    round: &Round,
) -> (Vec<u32>, Vec<(u32, VisitFailureKind, String)>, Ended) {
    let (mut blocks, mut failures) = (Vec::new(), Vec::new());
    let mut emit = |event| match event {
        Event::Block(block) => blocks.push(block.batch_size),
        Event::Failure(failure) => {
            failures.push((failure.batch_size, failure.kind, failure.message));
        }
        Event::Progress { .. } => {}
    };
    let stop = AtomicBool::new(false);
    let mut history = History::new(Some(0));
    let ended = Runner::new(
        round,
        subject,
        &mut history,
        &stop,
        &mut emit,
        Instant::now(),
    )
    .run(&mut true);
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
fn a_lost_device_ends_the_round_at_once() {
    let mut subject = fake(2, "CUDA error: an illegal memory access was encountered");
    let (blocks, failures, ended) = run(&mut subject, &round(RoundKind::Measure, &[1, 2, 1]));
    assert_eq!(blocks, [1]);
    assert!(failures.is_empty());
    assert!(
        matches!(ended.outcome, Outcome::DeviceLost(failure) if failure.message.contains("illegal memory access"))
    );
}
