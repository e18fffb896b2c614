//! The built binary over a socket pair, as the agent talks to it: setup, rounds, stop, and the ends of both processes.
#![allow(clippy::unwrap_used)]

mod worker;

use std::{path::Path, time::Duration};

use batchstep_proto::{
    domain::{
        AttemptOutcome, Block, DeviceKind, Dtype, Mode, Round, RoundKind, Timing, Visit,
        VisitFailureKind, VisitRole,
    },
    wire::{self, from_worker::Message as Reply, to_worker::Message as Request},
};

use self::worker::{PATIENCE, Worker};

fn visit(batch_size: u32, role: VisitRole) -> Visit {
    Visit {
        batch_size,
        role,
        iterations: None,
    }
}

fn round(workload: &str, visits: Vec<Visit>) -> Round {
    let sweep = "01900000-0000-7000-8000-000000000001".parse().unwrap();
    Round {
        id: "01900000-0000-7000-8000-000000000002".parse().unwrap(),
        series: "01900000-0000-7000-8000-000000000003".parse().unwrap(),
        sweep,
        device_id: "CPU-test".to_owned(),
        index: 0,
        kind: RoundKind::Measure,
        workload: workload.parse().unwrap(),
        mode: Mode::Train,
        dtype: Dtype::F32,
        threads: Some(1),
        seed: 1,
        reference_batch_size: Some(4),
        visits,
        timing: Timing {
            block_target: Duration::from_millis(10),
            device_warm_up_min: Duration::ZERO,
            device_warm_up_max: Duration::from_millis(200),
            ..Timing::protocol(true)
        },
        time_limit: PATIENCE,
        idle_only: false,
    }
}

fn blocks(replies: &[Reply]) -> Vec<Block> {
    replies
        .iter()
        .filter_map(|reply| match reply {
            Reply::Block(block) => Some(Block::try_from(*block).unwrap()),
            _ => None,
        })
        .collect()
}

fn failures(replies: &[Reply]) -> Vec<(u32, VisitFailureKind, String)> {
    replies
        .iter()
        .filter_map(|reply| match reply {
            Reply::VisitFailure(failure) => {
                let failure =
                    batchstep_proto::domain::VisitFailure::try_from(failure.clone()).unwrap();
                Some((failure.batch_size, failure.kind, failure.message))
            }
            _ => None,
        })
        .collect()
}

fn outcome(end: &wire::RoundEnd) -> AttemptOutcome {
    AttemptOutcome::from_wire(end.outcome).unwrap()
}

#[test]
fn rounds_are_measured_as_they_are_asked_for() {
    let mut worker = Worker::ready();
    let visits = vec![
        visit(4, VisitRole::Reference),
        visit(7, VisitRole::Measure),
        visit(3, VisitRole::Measure),
        visit(4, VisitRole::Reference),
    ];
    let first = round("linear:inputs=64,outputs=64", visits.clone());
    worker.send(Request::Round(first.clone().into()));
    let (replies, end) = worker.until_end();
    assert_eq!(outcome(&end), AttemptOutcome::Finished, "{}", end.message);
    let measured = blocks(&replies);
    assert_eq!(measured.len(), visits.len());
    for (index, (block, visit)) in (0_u32..).zip(measured.iter().zip(&visits)) {
        assert_eq!(
            (block.visit, block.batch_size, block.role),
            (index, visit.batch_size, visit.role)
        );
        assert!(block.iterations >= 3);
        assert!(block.warm_up_iterations >= 1);
        assert!(block.peak_memory_bytes.unwrap() > 0);
        assert!(block.foreign_cores.is_some());
        assert_eq!(block.device_elapsed, None);
    }
    assert!(
        measured
            .windows(2)
            .all(|pair| pair[0].started_after < pair[1].started_after)
    );
    assert_eq!(
        measured[0].iterations, measured[3].iterations,
        "K is fixed per batch size"
    );
    let timed: u128 = measured.iter().map(|block| block.elapsed.as_nanos()).sum();
    assert_eq!(u128::from(end.measuring_ns), timed);
    assert!(end.warm_up_ns > 0);
    assert!(end.elapsed_ns > end.measuring_ns + end.warm_up_ns);
    let phases = |replies: &[Reply], phase: wire::WorkerPhase| {
        replies
            .iter()
            .filter(|reply| matches!(reply, Reply::Progress(progress) if progress.phase() == phase))
            .count()
    };
    assert_eq!(phases(&replies, wire::WorkerPhase::DeviceWarmUp), 1);
    assert_eq!(phases(&replies, wire::WorkerPhase::Timing), visits.len());

    let second = Round {
        visits: vec![Visit {
            iterations: Some(17),
            ..visit(7, VisitRole::Measure)
        }],
        ..first
    };
    worker.send(Request::Round(second.into()));
    let (replies, _) = worker.until_end();
    assert_eq!(blocks(&replies)[0].iterations, 17);
    assert_eq!(
        phases(&replies, wire::WorkerPhase::DeviceWarmUp),
        0,
        "once per reference batch"
    );
}

#[test]
fn a_stop_ends_a_round_that_would_last_for_hours_and_the_worker_goes_on() {
    let mut worker = Worker::ready();
    let mut endless = round(
        "linear",
        vec![visit(4, VisitRole::Measure), visit(8, VisitRole::Measure)],
    );
    endless.visits[1].iterations = Some(u32::MAX);
    worker.send(Request::Round(endless.into()));
    loop {
        match worker.receive().unwrap() {
            Reply::Progress(progress)
                if progress.visit == 1 && progress.phase() == wire::WorkerPhase::Timing =>
            {
                break;
            }
            Reply::RoundEnd(end) => panic!("ended by itself: {end:?}"),
            _ => {}
        }
    }
    worker.send(Request::Stop(wire::StopRound {}));
    let (replies, end) = worker.until_end();
    assert_eq!(outcome(&end), AttemptOutcome::Stopped);
    assert!(blocks(&replies).is_empty(), "the running block is lost");
    worker.send(Request::Round(
        round("linear", vec![visit(2, VisitRole::Measure)]).into(),
    ));
    let (replies, end) = worker.until_end();
    assert_eq!(outcome(&end), AttemptOutcome::Finished);
    assert_eq!(blocks(&replies).len(), 1);
}

#[test]
fn the_worker_ends_when_the_agent_closes_in_mid_round() {
    let mut worker = Worker::ready();
    let mut endless = round("linear", vec![visit(8, VisitRole::Measure)]);
    endless.visits[0].iterations = Some(u32::MAX);
    worker.send(Request::Round(endless.into()));
    assert!(worker.receive().is_some());
    worker.close();
    assert!(worker.exit().success());
}

#[test]
fn an_iteration_above_the_limit_ends_a_probe() {
    let mut worker = Worker::ready();
    let mut probe = round(
        "linear",
        vec![visit(1, VisitRole::Probe), visit(2, VisitRole::Probe)],
    );
    probe.kind = RoundKind::Probe;
    probe.reference_batch_size = None;
    probe.timing.iteration_limit = Some(Duration::from_nanos(1));
    worker.send(Request::Round(probe.into()));
    let (replies, end) = worker.until_end();
    assert_eq!(outcome(&end), AttemptOutcome::Finished);
    let failures = failures(&replies);
    assert_eq!(failures.len(), 1, "{failures:?}");
    assert_eq!(
        (failures[0].0, failures[0].1),
        (1, VisitFailureKind::TimeLimit)
    );
}

#[test]
fn a_batch_beyond_the_memory_share_is_a_result() {
    let mut worker = Worker::ready();
    let mut measure = round(
        "linear",
        vec![
            visit(2, VisitRole::Measure),
            visit(1 << 20, VisitRole::Measure),
            visit(1 << 19, VisitRole::Measure),
            visit(1, VisitRole::Measure),
        ],
    );
    // Room for the libraries and a little more: the ladder of doublings ends long before the asked size.
    let available = batchstep_worker::measure::host::memory_budget_bytes().unwrap();
    #[allow(clippy::cast_precision_loss)]
    let share = (1_u64 << 30) as f64 / available as f64;
    measure.timing.memory_share = share.min(1.0);
    worker.send(Request::Round(measure.into()));
    let (replies, end) = worker.until_end();
    assert_eq!(outcome(&end), AttemptOutcome::Finished, "{}", end.message);
    let sizes: Vec<u32> = blocks(&replies)
        .iter()
        .map(|block| block.batch_size)
        .collect();
    assert_eq!(sizes, [2, 1], "smaller batches are still measured");
    let failures = failures(&replies);
    assert_eq!(failures[0].0, 1 << 20);
    assert!(
        failures
            .iter()
            .all(|failure| failure.1 == VisitFailureKind::MemoryLimit),
        "{failures:?}"
    );
}

#[test]
fn a_network_beyond_the_memory_share_is_never_built() {
    let mut worker = Worker::ready();
    let mut huge = round(
        "linear:inputs=1024,outputs=1024",
        vec![visit(1, VisitRole::Measure), visit(2, VisitRole::Measure)],
    );
    huge.timing.memory_share = 1e-9;
    worker.send(Request::Round(huge.into()));
    let (replies, end) = worker.until_end();
    assert_eq!(outcome(&end), AttemptOutcome::Finished, "{}", end.message);
    assert!(blocks(&replies).is_empty());
    // A million weights and as many gradients of four bytes.
    let message =
        "the network alone, with one sample, needs 9 MiB, more than the 1 MiB allowed".to_owned();
    assert_eq!(
        failures(&replies),
        [
            (1, VisitFailureKind::MemoryLimit, message.clone()),
            (2, VisitFailureKind::MemoryLimit, message)
        ]
    );
    worker.send(Request::Round(
        round("linear", vec![visit(1, VisitRole::Measure)]).into(),
    ));
    let (replies, _) = worker.until_end();
    assert_eq!(blocks(&replies).len(), 1, "the worker goes on");
}

#[test]
fn what_cannot_be_built_breaks_its_round_only() {
    let mut worker = Worker::ready();
    let mut tf32 = round("linear", vec![visit(1, VisitRole::Measure)]);
    tf32.dtype = Dtype::Tf32;
    worker.send(Request::Round(tf32.into()));
    let (_, end) = worker.until_end();
    assert_eq!(outcome(&end), AttemptOutcome::Broken);
    assert_eq!(
        end.message,
        "linear cannot be built: the dtype tf32 exists on CUDA devices only; use f32, bf16 or f16 on a CPU"
    );
    let missing = round(
        "torchscript:path=/no/such/net.pt,input=3,target=class:2",
        vec![visit(1, VisitRole::Measure)],
    );
    worker.send(Request::Round(missing.into()));
    let (_, end) = worker.until_end();
    assert_eq!(outcome(&end), AttemptOutcome::Broken);
    assert!(
        end.message.contains("/no/such/net.pt: cannot be read"),
        "{}",
        end.message
    );
    worker.send(Request::Round(
        round("linear", vec![visit(1, VisitRole::Measure)]).into(),
    ));
    let (_, end) = worker.until_end();
    assert_eq!(outcome(&end), AttemptOutcome::Finished);
}

#[test]
fn content_named_by_its_digest_comes_with_the_round() {
    let file = Path::new(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/data/perceptron.pt"
    ));
    // The agent has checked it: the worker takes its word.
    let workload = format!(
        "torchscript:model=sha256:{},name=my net.pt,input=6,target=class:3",
        "ab".repeat(32)
    );
    let mut worker = Worker::ready();
    let asked = || round(&workload, vec![visit(2, VisitRole::Measure)]);
    worker.send_with(Request::Round(asked().into()), Some(file));
    let (replies, end) = worker.until_end();
    assert_eq!(outcome(&end), AttemptOutcome::Finished, "{}", end.message);
    assert_eq!(blocks(&replies).len(), 1);

    let mut other = asked();
    other.seed += 1;
    worker.send(Request::Round(other.clone().into()));
    let (_, end) = worker.until_end();
    assert_eq!(outcome(&end), AttemptOutcome::Broken);
    assert!(
        end.message
            .contains("my net.pt: the agent handed over no file"),
        "{}",
        end.message
    );

    worker.send_with(
        Request::Round(other.into()),
        Some(Path::new("/no/such/file")),
    );
    let (_, end) = worker.until_end();
    assert!(
        end.message.contains("my net.pt: cannot be read"),
        "{}",
        end.message
    );
}

#[test]
fn a_device_that_is_not_there_is_fatal_and_named() {
    let mut worker = Worker::start();
    worker.send(Request::Setup(wire::WorkerSetup {
        kind: DeviceKind::Cuda.to_wire(),
        device_id: "GPU-00000000-0000-0000-0000-000000000000".to_owned(),
    }));
    let Some(Reply::Fatal(fatal)) = worker.receive() else {
        panic!("not refused")
    };
    assert!(
        fatal.message.contains("libcuda") || fatal.message.contains("GPU-00000000"),
        "{}",
        fatal.message
    );
    assert!(!worker.exit().success());
}
