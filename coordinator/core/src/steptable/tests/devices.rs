//! Several devices of one model: who counts, what is combined, and what a dispute shows.

use proptest::prelude::*;

use super::*;
use crate::steptable::{DeviceAnswer, Row};

/// A device of that name with a staircase of that step, by `factor` slower than its siblings.
fn paced(device: &str, step: u32, factor: f64) -> Measured {
    let law = staircase(step);
    Measured::with(
        plan(spec("1-64", 120), device),
        &Simulator::new(move |size| factor * law(size)),
    )
}

fn contended(device: &str) -> Measured {
    let mut shared = Simulator::new(staircase(8));
    shared.foreign_cores = Some(4.0);
    Measured::with(plan(spec("1-64", 60), device), &shared)
}

fn throttled(device: &str) -> Measured {
    let mut hot = Simulator::new(staircase(8));
    // HW thermal slowdown.
    hot.throttle_reasons = Some(0x40);
    Measured::with(plan(spec("1-64", 60), device), &hot)
}

fn insufficient(device: &str) -> Measured {
    Measured::with(
        plan(spec("1-64", 20), device),
        &Simulator::new(staircase(8)),
    )
}

/// Time grows with every sample; `noise` takes away the power to see steps.
fn smooth(device: &str, sizes: &str, noise: f64) -> Measured {
    let mut simulator = Simulator::new(|size| 2e-3 + 2e-4 * f64::from(size));
    simulator.noise = noise;
    Measured::with(plan(spec(sizes, 120), device), &simulator)
}

fn only_row(series: &[&Measured]) -> Row {
    let mut rows = table(series);
    assert_eq!(rows.len(), 1);
    rows.remove(0).row
}

#[test]
fn devices_that_agree_share_a_row_that_claims_what_each_supports() {
    let (a, b) = (paced("SIM-a", 8, 1.0), paced("SIM-b", 8, 1.1));
    let row = only_row(&[&a, &b]);
    assert_eq!((row.verdict, row.step), (Verdict::Step, Some(8.0)));
    assert_eq!((row.devices.len(), row.agreeing_devices), (2, 2));
    assert!(
        row.reason.ends_with("; all 2 devices say so"),
        "{}",
        row.reason
    );

    let singles = [only_row(&[&a]), only_row(&[&b])];
    assert_eq!(row.blocks, singles[0].blocks + singles[1].blocks);
    let seconds: f64 = singles.iter().map(|one| one.measuring_seconds).sum();
    assert!((row.measuring_seconds - seconds).abs() < 1e-9);
    let least = singles
        .iter()
        .filter_map(|one| one.confidence)
        .reduce(f64::min);
    assert_eq!(row.confidence, least);
    for one in &singles {
        let (own, shared) = (one.step_interval.unwrap(), row.step_interval.unwrap());
        assert!(shared[0] <= own[0] && own[1] <= shared[1]);
        assert_eq!(one.spread, None);
    }

    let spread = row.spread.unwrap();
    assert_eq!((spread.step, spread.batch_sizes), (Some(0.0), 64));
    let near = |value: Option<f64>, expected: f64| (value.unwrap() - expected).abs() < 0.01;
    assert!(near(spread.time, 0.1), "{spread:?}");
    assert!(near(spread.largest_time, 0.1) && spread.largest_time >= spread.time);
    let slower = &row.device_answers[1];
    let faster = &row.device_answers[0];
    assert_eq!((slower.device.as_str(), slower.agrees), ("SIM-b", true));
    let ratio = slower.relative_time.unwrap() / faster.relative_time.unwrap();
    assert!(near(Some(ratio), 1.1), "{ratio}");
}

#[test]
fn the_device_in_the_middle_is_shown() {
    let devices = [
        paced("SIM-a", 8, 1.2),
        paced("SIM-b", 8, 1.0),
        paced("SIM-c", 8, 1.05),
    ];
    let row = only_row(&devices.each_ref());
    assert_eq!(row.representative_device, "SIM-c");
    let own = only_row(&[&devices[2]]);
    assert_eq!(row.best_throughput, own.best_throughput);
    assert_eq!(row.jump_relative, own.jump_relative);
}

#[test]
fn devices_that_differ_dispute_the_row_and_each_keeps_its_answer() {
    let (a, b, c) = (
        paced("SIM-a", 8, 1.0),
        paced("SIM-b", 8, 1.0),
        paced("SIM-c", 12, 1.0),
    );
    let row = only_row(&[&a, &c, &b]);
    assert_eq!(
        (row.verdict, row.step, row.confidence),
        (Verdict::Disputed, None, None)
    );
    assert_eq!((row.best_throughput, row.knee_batch_size), (None, None));
    assert_eq!(
        row.reason,
        "SIM-a and SIM-b have a step of 8, SIM-c has a step of 12"
    );
    assert_eq!((row.devices.len(), row.agreeing_devices), (3, 2));
    let answers: Vec<(&str, bool, Option<f64>)> = row
        .device_answers
        .iter()
        .map(|answer| (answer.device.as_str(), answer.agrees, answer.step))
        .collect();
    assert_eq!(
        answers,
        [
            ("SIM-a", true, Some(8.0)),
            ("SIM-b", true, Some(8.0)),
            ("SIM-c", false, Some(12.0))
        ]
    );
    assert!(row.device_answers.iter().all(|answer| {
        answer.verdict == Verdict::Step && answer.hostname == "here" && answer.confidence.is_some()
    }));
    assert!(row.spread.unwrap().step.unwrap() > 0.4);
}

#[test]
fn a_step_stands_beside_a_device_that_could_not_have_seen_it() {
    // One sample after the first eight costs 5 % more.
    let stepped = Measured::with(
        plan(spec("1-64", 120), "SIM-a"),
        &Simulator::new(|size| 0.02 + 1e-3 * f64::from(size.div_ceil(8))),
    );
    // Two periods of its range are no contradiction, and neither is a smooth trace whose noise would hide the step.
    for (blind, disputed) in [
        (smooth("SIM-b", "1-64", 0.0), true),
        (smooth("SIM-b", "1-20", 0.0), false),
        (smooth("SIM-b", "1-64", 0.08), false),
    ] {
        let row = only_row(&[&stepped, &blind]);
        let own = only_row(&[&blind]);
        assert_eq!(own.verdict, Verdict::NoStep, "{}", own.reason);
        let expected = if disputed {
            Verdict::Disputed
        } else {
            Verdict::Step
        };
        assert_eq!(row.verdict, expected, "{} {own:?}", row.reason);
        if !disputed {
            assert_eq!((row.step, row.agreeing_devices), (Some(8.0), 1));
            assert!(
                row.reason
                    .ends_with("; 1 of 2 devices say so, the others: 1 without a step"),
                "{}",
                row.reason
            );
        }
    }
}

#[test]
fn where_no_device_has_an_answer_none_agrees_and_one_says_why() {
    let (a, b) = (contended("SIM-a"), insufficient("SIM-b"));
    let row = only_row(&[&a, &b]);
    assert_eq!((row.step, row.agreeing_devices), (None, 0));
    assert!(matches!(
        row.verdict,
        Verdict::Contended | Verdict::Insufficient
    ));
    assert!(
        row.reason.contains("none of the 2 devices has an answer"),
        "{}",
        row.reason
    );
    let shown = row
        .device_answers
        .iter()
        .find(|answer| answer.device == row.representative_device)
        .unwrap();
    assert_eq!((row.blocks, row.verdict), (shown.blocks, shown.verdict));
    assert_eq!(row.spread, None);
    assert_eq!(only_row(&[&a]).agreeing_devices, 0);
}

#[test]
fn of_two_series_that_tell_as_much_the_later_sweep_counts_in_any_order() {
    let early = paced("SIM-a", 8, 1.0);
    let mut late = paced("SIM-a", 8, 1.0);
    late.plan.sweep = "0190d3a0-0000-7000-8000-000000000002".parse().unwrap();
    late.plan.hostname = "elsewhere".to_owned();
    for order in [[&early, &late], [&late, &early]] {
        let row = only_row(&order);
        assert_eq!(row.device_answers.len(), 1);
        assert_eq!(row.device_answers[0].hostname, "elsewhere");
    }
}

#[test]
fn software_that_changes_during_a_series_makes_two_rows() {
    let mut measured = paced("SIM-a", 8, 1.0);
    let rounds = measured.history.rounds.len();
    for record in &mut measured.history.rounds[rounds / 2..] {
        record.facts.as_mut().unwrap().software.driver = Some("580.1".to_owned());
    }
    let rows = table(&[&measured]);
    let drivers: Vec<Option<&str>> = rows
        .iter()
        .map(|row| row.row.software.driver.as_deref())
        .collect();
    assert_eq!(drivers, [None, Some("580.1")]);
    let blocks: u32 = rows.iter().map(|row| row.row.blocks).sum();
    assert_eq!(blocks, only_row(&[&paced("SIM-a", 8, 1.0)]).blocks);
}

#[test]
fn memory_of_a_batch_size_is_its_highest_peak() {
    let mut measured = paced("SIM-a", 8, 1.0);
    for (index, record) in (0..).zip(&mut measured.history.rounds) {
        for block in &mut record.blocks {
            block.peak_memory_bytes =
                (block.batch_size != 3).then_some(1000 * u64::from(block.batch_size) + index % 2);
        }
    }
    let points = table(&[&measured]).remove(0).points;
    assert_eq!(points[0].peak_memory_bytes, Some(1001));
    assert_eq!(points[2].peak_memory_bytes, None);
    assert_eq!(points[63].peak_memory_bytes, Some(64_001));
}

/// Everything in a row that stands for its devices together.
fn combined(row: &DetailedRow) -> DetailedRow {
    let mut row = row.clone();
    row.row.devices.clear();
    row.row.device_answers.clear();
    row.row.reason.clear();
    row
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Whatever the siblings say: devices without an answer change nothing but the lists, and the order of series changes nothing at all.
    #[test]
    fn only_answers_count_in_any_order(
        siblings in proptest::collection::vec((0..4_usize, 0..3_usize), 1..4),
        without in proptest::collection::vec(0..3_usize, 1..3),
        rotation in 0..6_usize,
    ) {
        let answering: Vec<Measured> = (0..)
            .zip(&siblings)
            .map(|(index, (law, pace))| {
                let (name, factor) = (format!("SIM-{index}"), [1.0, 1.03, 1.4][*pace]);
                match law {
                    0 | 1 => paced(&name, 8, factor),
                    2 => paced(&name, 12, factor),
                    _ => smooth(&name, "1-64", 0.0),
                }
            })
            .collect();
        let mute: Vec<Measured> = (0..)
            .zip(&without)
            // Before, between and after the others by id.
            .map(|(index, kind)| {
                let name = format!("SIM-{index}x");
                [contended, throttled, insufficient][*kind](&name)
            })
            .collect();
        let alone = table(&answering.iter().collect::<Vec<_>>());
        let mut all: Vec<&Measured> = answering.iter().chain(&mute).collect();
        let together = table(&all);
        prop_assert_eq!(together.len(), 1);
        prop_assert_eq!(combined(&together[0]), combined(&alone[0]));
        prop_assert_eq!(together[0].row.device_answers.len(), all.len());
        let agreeing = together[0].row.device_answers.iter().filter(|answer| answer.agrees).count();
        prop_assert_eq!(together[0].row.agreeing_devices as usize, agreeing);
        let sound = |answer: &DeviceAnswer| !answer.agrees || answer.verdict.is_answer();
        prop_assert!(together[0].row.device_answers.iter().all(sound));
        let length = all.len();
        all.rotate_left(rotation % length);
        all.reverse();
        prop_assert_eq!(table(&all), together);
    }
}
