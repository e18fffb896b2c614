//! Made-up rows from stated laws, shared by the tests and the gallery example.

#![allow(dead_code, clippy::unwrap_used)]

pub mod nights;
pub mod svg;

use std::collections::BTreeMap;

use batchstep_core::steptable::{
    BestThroughput, DetailedRow, Edge, EdgeSight, FittedPoint, OtherStep, PointRow, Row,
    SCHEMA_VERSION, StepKind, Table, Verdict,
};
use batchstep_proto::domain::{DeviceKind, Dtype, Mode, Software};
use batchstep_proto::wire;
use batchstep_report::Report;

/// A row without a step over `sizes`, whose times follow `law` (seconds) with relative `noise`.
pub fn row(
    sizes: impl IntoIterator<Item = u32>,
    noise: f64,
    law: impl Fn(f64) -> f64,
) -> DetailedRow {
    let points: Vec<PointRow> = sizes
        .into_iter()
        .map(|batch_size| {
            let wobble = |seed: f64| (f64::from(batch_size) * 12.9898 + seed).sin() * 43_758.545;
            let unit = |seed: f64| wobble(seed) - wobble(seed).floor();
            let seconds = law(f64::from(batch_size)) * (1.0 + noise * (unit(1.0) - 0.5));
            PointRow {
                batch_size,
                seconds,
                low: seconds * (1.0 - noise * unit(2.0)),
                high: seconds * (1.0 + 1.6 * noise * unit(3.0)),
                blocks: 9,
                outliers: 0,
                peak_memory_bytes: None,
            }
        })
        .collect();
    let best = points
        .iter()
        .map(|point| {
            (
                point.batch_size,
                f64::from(point.batch_size) / point.seconds,
            )
        })
        .max_by(|a, b| a.1.total_cmp(&b.1));
    let knee = points.iter().find(|point| {
        best.is_some_and(|(_, best)| f64::from(point.batch_size) / point.seconds >= 0.95 * best)
    });
    let fitted = match (points.first(), points.last()) {
        (Some(first), Some(last)) => (first.batch_size
            ..=last.batch_size.min(first.batch_size + 5000))
            .map(|batch_size| FittedPoint {
                batch_size,
                seconds: law(f64::from(batch_size)),
            })
            .collect(),
        _ => Vec::new(),
    };
    DetailedRow {
        row: Row {
            device_model: "AMD EPYC 9B14".to_owned(),
            device_kind: DeviceKind::Cpu,
            compute_units: Some(2),
            mig_profile: None,
            threads: Some(2),
            workload: "linear".to_owned(),
            parameters: BTreeMap::from([("in".to_owned(), 512.into()), ("out".to_owned(), 512.into())]),
            mode: Mode::Train,
            dtype: Dtype::F32,
            verdict: Verdict::NoStep,
            step: None,
            step_interval: None,
            offset: None,
            kind: None,
            profile: None,
            confidence: None,
            jump_at: None,
            jump_relative: None,
            other_steps: Vec::new(),
            smallest_detectable_jump: Some(0.0042),
            reason: "the time grows in proportion to the batch size; no period wins over a straight line".to_owned(),
            next_action: Some("choose the batch size by memory and accuracy alone".to_owned()),
            recommended_batch_sizes: Vec::new(),
            best_throughput: best.map(|(batch_size, samples_per_second)| BestThroughput { batch_size, samples_per_second }),
            knee_batch_size: knee.map(|point| point.batch_size),
            out_of_memory_at: None,
            quarantined_batch_sizes: Vec::new(),
            batch_sizes_measured: u32::try_from(points.len()).unwrap(),
            blocks: 9 * u32::try_from(points.len()).unwrap(),
            measuring_seconds: 93.1,
            devices: vec!["CPU-5f1d".to_owned()],
            agreeing_devices: 1,
            representative_device: "CPU-5f1d".to_owned(),
            spread: None,
            device_answers: Vec::new(),
            software: Software {
                libtorch: Some("2.11.0".to_owned()),
                batchstep: Some("0.1.0".to_owned()),
                ..Software::default()
            },
        },
        points,
        fitted,
        edges: Vec::new(),
    }
}

/// The same with a step found in it.
pub fn with_step(
    mut detailed: DetailedRow,
    step: f64,
    kind: StepKind,
    jump_at: u32,
) -> DetailedRow {
    let at = |size: u32| {
        detailed
            .fitted
            .iter()
            .find(|point| point.batch_size == size)
            .unwrap()
            .seconds
    };
    let last = f64::from(detailed.points.last().unwrap().batch_size);
    let profile = (step.fract() == 0.0 && step <= 64.0).then(|| {
        let good = f64::from(jump_at);
        (0..step as u32)
            .map(|residue| {
                let share = f64::from(residue) / step;
                let line = at(jump_at) + share * (at((good + step) as u32) - at(jump_at));
                at(jump_at + residue) / line - 1.0
            })
            .collect()
    });
    let relative = at(jump_at + 1) / at(jump_at) - 1.0;
    let row = &mut detailed.row;
    row.verdict = Verdict::Step;
    row.step = Some(step);
    row.step_interval = Some([step - 0.1, step + 0.1]);
    row.offset = Some(0.0);
    row.kind = Some(kind);
    row.profile = profile;
    row.confidence = Some(0.99);
    row.jump_at = Some(jump_at);
    row.jump_relative = Some(relative);
    row.reason = format!("time jumps every {step} samples; 5 of 5 predicted edges confirmed");
    row.next_action = None;
    row.recommended_batch_sizes = (1..)
        .map(|k| f64::from(k) * step)
        .take_while(|size| *size <= last)
        .map(|size| size.floor() as u32)
        .filter(|size| *size >= jump_at)
        .take(32)
        .collect();
    detailed.edges = (1..)
        .map(|k| (f64::from(k) * step).floor() as u32)
        .filter(|size| *size >= jump_at)
        .take_while(|size| f64::from(*size) < last)
        .map(|batch_size| Edge {
            batch_size,
            sight: EdgeSight::Confirmed,
        })
        .collect();
    detailed
}

/// The same, whose edges at `places` show as `sight`.
pub fn seen_as(
    mut detailed: DetailedRow,
    places: impl IntoIterator<Item = usize>,
    sight: EdgeSight,
) -> DetailedRow {
    for place in places {
        detailed.edges[place].sight = sight;
    }
    detailed
}

/// A clean staircase of 16.
pub fn staircase() -> DetailedRow {
    let law = |b: f64| 0.35e-3 + 0.23e-3 * (b / 16.0).ceil() + 1.2e-6 * b;
    let mut detailed = with_step(row(1..=96, 0.02, law), 16.0, StepKind::Staircase, 16);
    detailed.row.other_steps = vec![OtherStep {
        step: 8.0,
        jump_relative: 0.03,
    }];
    detailed
}

/// A report of `rows` with `blocks` blocks.
pub fn report(rows: Vec<DetailedRow>, blocks: Vec<wire::BlockRecord>) -> Report {
    Report {
        title: "Batch sizes that fit".to_owned(),
        command: "batchstep local --workload linear --batch-sizes 1-96 --budget 2m --output report"
            .to_owned(),
        generated_at: "2026-01-01T12:00:00Z".to_owned(),
        host: Some("bench-7".to_owned()),
        preset: None,
        table: Table {
            schema_version: SCHEMA_VERSION,
            rows,
        },
        blocks,
        notes: Vec::new(),
    }
}

/// A block with every optional value present, or none.
pub fn block(visit: u32, full: bool) -> wire::BlockRecord {
    wire::BlockRecord {
        series_id: "series-1".to_owned(),
        device_id: "CPU-5f1d".to_owned(),
        device_model: "a, \"quoted\" model\nwith a line".to_owned(),
        device_kind: wire::DeviceKind::Cpu as i32,
        workload: "linear:in=512,out=512".to_owned(),
        mode: wire::Mode::Train as i32,
        dtype: wire::Dtype::F32 as i32,
        threads: full.then_some(2),
        round: 3,
        block: Some(wire::Block {
            visit,
            batch_size: 8 + visit,
            role: wire::VisitRole::Measure as i32,
            iterations: 4,
            elapsed_ns: 5_000_001,
            device_ns: full.then_some(4_000_000),
            started_after_ns: 1_500_000_000,
            warm_up_iterations: 3,
            warm_up_ns: 250_000_000,
            foreign_cores: full.then_some(0.25),
            peak_memory_bytes: full.then_some(1 << 40),
            temperature_celsius: full.then_some(61.0),
            power_watts: full.then_some(310.5),
            sm_clock_mhz: full.then_some(1755.0),
            throttle_reasons: full.then_some(4),
            foreign_processes: full.then_some(0),
        }),
        corrected_seconds: full.then_some(0.001_25),
        flags: if full {
            vec!["drifting".to_owned(), "host_bound".to_owned()]
        } else {
            Vec::new()
        },
        attempt_id: "attempt-1".to_owned(),
    }
}

/// Every kind of row that a plot has to cope with, by name.
pub fn gallery() -> Vec<(&'static str, DetailedRow)> {
    let mut rows = vec![("staircase", staircase())];
    let remainder = |b: f64| {
        let residue = [0.0, 0.09, 0.05, 0.10][(b as usize) % 4];
        (18e-6 + 7.6e-6 * b) * (1.0 + residue)
    };
    rows.push((
        "remainder",
        with_step(row(4..=64, 0.015, remainder), 4.0, StepKind::Remainder, 8),
    ));

    let waves = |b: f64| 1.1e-3 + 1.4e-3 * (b / 26.4).ceil() + 4e-6 * b;
    let mut fractional = with_step(row(1..=256, 0.01, waves), 26.4, StepKind::Staircase, 26);
    fractional.row.device_model = "NVIDIA H200 <b>& friends</b>, a card with a name far longer than any that anyone would print on a box or a heading".to_owned();
    fractional.row.device_kind = DeviceKind::Cuda;
    fractional.row.threads = None;
    fractional.row.workload = "conv".to_owned();
    fractional.row.dtype = Dtype::Bf16;
    fractional.row.mode = Mode::Infer;
    fractional.row.out_of_memory_at = Some(288);
    fractional.row.quarantined_batch_sizes = vec![13, 37];
    fractional.row.devices = vec!["GPU-1".to_owned(), "GPU-2".to_owned()];
    fractional.row.agreeing_devices = 2;
    fractional.row.representative_device = "GPU-1".to_owned();
    rows.push(("fractional", fractional));

    rows.push(("linear", row(1..=64, 0.03, |b| 40e-6 + 11e-6 * b)));
    let mut noisy = row((1..=128).step_by(3), 0.5, |b| 0.2 + 0.011 * b);
    noisy.row.verdict = Verdict::Insufficient;
    noisy.row.smallest_detectable_jump = None;
    noisy.row.reason = "the confidence in the best period, 24, is 0.61 and would have to be 0.80; other processes used up to 1.4 cores while 31 % of the blocks ran, and the odd rounds disagree with the even ones about where the time jumps".to_owned();
    noisy.row.next_action =
        Some("measure again on an idle machine, or raise --budget to 10m".to_owned());
    noisy.fitted.clear();
    rows.push(("noisy", noisy));

    let mut one = row([7], 0.02, |_| 3.0);
    one.row.verdict = Verdict::Insufficient;
    one.row.reason = "only 1 batch size was measured".to_owned();
    rows.push(("one", one));
    let mut none = row([], 0.0, |_| 1.0);
    none.row.verdict = Verdict::Contended;
    none.row.reason = "another process used the device".to_owned();
    rows.push(("none", none));
    let mut huge = row((0..18).map(|power| 1 << power), 0.02, |b| 90e-6 + 3e-6 * b);
    huge.row.workload = "matmul".to_owned();
    rows.push(("huge", huge));
    let close = with_step(
        row(64..=128, 0.002, |b| 10e-3 + 0.06e-3 * (b / 8.0).ceil()),
        8.0,
        StepKind::Staircase,
        72,
    );
    rows.push(("close", close));
    let floor = with_step(
        row(1..=192, 0.01, |b| {
            (0.9e-3_f64).max(0.2e-3 + 0.25e-3 * (b / 24.0).ceil())
        }),
        24.0,
        StepKind::Staircase,
        72,
    );
    rows.push(("floor", floor));
    let missed = |b: f64| {
        let rounds = (b / 16.0).ceil();
        // The jumps after 64 and 112 are not there.
        0.5e-3 + 0.2e-3 * (rounds - f64::from(b > 64.0) - f64::from(b > 112.0))
    };
    let missed = with_step(row(1..=160, 0.02, missed), 16.0, StepKind::Staircase, 16);
    let missed = seen_as(missed, [3, 6], EdgeSight::Missed);
    rows.push(("missed", seen_as(missed, [8], EdgeSight::Unclear)));
    let alternating = |b: f64| (20e-6 + 3e-6 * b) * (1.0 + 0.06 * (b % 2.0));
    let many = with_step(row(2..=256, 0.01, alternating), 2.0, StepKind::Remainder, 2);
    let many = seen_as(many, 90..120, EdgeSight::Unclear);
    rows.push(("many edges", seen_as(many, [40, 80], EdgeSight::Missed)));
    let sparse = with_step(
        row((1..=128).step_by(5), 0.02, |b| {
            1e-3 + 0.4e-3 * (b / 32.0).ceil()
        }),
        32.0,
        StepKind::Staircase,
        32,
    );
    rows.push(("sparse", seen_as(sparse, 0..3, EdgeSight::Unclear)));
    let mut wide = with_step(
        row((1..=2048).step_by(3), 0.04, |b| {
            0.3e-3 + 0.1e-3 * (b / 132.0).ceil()
        }),
        132.0,
        StepKind::Staircase,
        132,
    );
    wide.points[300].seconds *= 3.0;
    rows.push(("wide", wide));
    let mut odd = row(1..=8, 0.02, |b| 1e-3 * b);
    odd.points[2].seconds = f64::NAN;
    odd.points[3].high = f64::INFINITY;
    odd.points[4].low = -1.0;
    odd.row.verdict = Verdict::Irregular;
    rows.push(("odd values", odd));
    rows
}
