//! Rows of several devices: each one's answer, and how far apart they are, in every form of the table.

// Helpers of tests may fail loudly as well.
#![allow(clippy::unwrap_used)]

mod common;

use batchstep_core::steptable::{DetailedRow, DeviceAnswer, Sharer, Spread, Verdict};
use batchstep_report::{html, siblings, table_csv, table_markdown};

fn answer(device: &str, verdict: Verdict, step: Option<f64>, pace: Option<f64>) -> DeviceAnswer {
    DeviceAnswer {
        device: device.to_owned(),
        hostname: format!("host-of-{device}"),
        agrees: step == Some(16.0),
        verdict,
        step,
        step_interval: step.map(|step| [step, step]),
        offset: step.map(|_| 0.0),
        confidence: Some(0.97),
        jump_at: step.map(|step| step as u32),
        jump_relative: step.map(|_| 0.31),
        smallest_detectable_jump: None,
        best_throughput: None,
        relative_time: pace,
        batch_sizes_measured: 96,
        blocks: 480,
        measuring_seconds: 48.0,
        reason: "because".to_owned(),
        shared_by: Vec::new(),
    }
}

/// Three devices: two with a step of 16, one of them slow, and one that was contended.
fn agreeing() -> DetailedRow {
    let mut detailed = common::staircase();
    let row = &mut detailed.row;
    row.devices = ["GPU-a", "GPU-b", "GPU-c"].map(str::to_owned).to_vec();
    row.agreeing_devices = 2;
    row.representative_device = "GPU-a".to_owned();
    row.spread = Some(Spread {
        step: Some(0.0),
        time: Some(0.04),
        largest_time: Some(0.09),
        largest_time_at: Some(33),
        batch_sizes: 96,
    });
    row.device_answers = vec![
        answer("GPU-a", Verdict::Step, Some(16.0), Some(1.0)),
        answer("GPU-b", Verdict::Step, Some(16.0), Some(1.04)),
        answer("GPU-c", Verdict::Contended, None, None),
    ];
    detailed
}

fn disputed() -> DetailedRow {
    let mut detailed = agreeing();
    let row = &mut detailed.row;
    row.verdict = Verdict::Disputed;
    (row.step, row.confidence) = (None, None);
    row.device_answers[2] = answer("GPU-c", Verdict::Step, Some(24.0), Some(0.9));
    detailed
}

#[test]
fn the_remarks_tell_the_spread_and_the_devices_that_stand_out() {
    assert_eq!(
        siblings::lines(&agreeing().row),
        [
            "times at the same batch size lie 4 % apart, at most 9 % (batch size 33)",
            "GPU-b (host-of-GPU-b): step 16, confidence 0.97, 17 costs 31 % more than 16, 480 blocks, 4 % slower",
            "GPU-c (host-of-GPU-c): contended, 480 blocks",
        ]
    );
    assert_eq!(
        siblings::lines(&disputed().row).len(),
        4,
        "all of a dispute"
    );
    assert_eq!(siblings::verdict(&agreeing().row), "step · 2 of 3 devices");
    assert_eq!(siblings::verdict(&disputed().row), "disputed · 3 devices");
    let alone = common::staircase().row;
    assert!(siblings::lines(&alone).is_empty());
    assert_eq!(siblings::verdict(&alone), "step");
}

/// Two devices that shared one measurement, one of them slow.
fn shared() -> DetailedRow {
    let sharer = |device: &str, pace| Sharer {
        device: device.to_owned(),
        hostname: format!("host-of-{device}"),
        relative_time: pace,
        blocks: 240,
        measuring_seconds: 24.0,
    };
    let mut detailed = common::staircase();
    let row = &mut detailed.row;
    row.devices = ["GPU-a", "GPU-b"].map(str::to_owned).to_vec();
    row.agreeing_devices = 1;
    row.representative_device = "GPU-a".to_owned();
    row.device_answers = vec![DeviceAnswer {
        shared_by: vec![sharer("GPU-a", Some(1.0)), sharer("GPU-b", Some(1.04))],
        ..answer("GPU-a", Verdict::Step, Some(16.0), Some(1.0))
    }];
    detailed
}

#[test]
fn devices_that_shared_a_measurement_are_named_and_count_once() {
    let row = shared().row;
    assert_eq!(siblings::verdict(&row), "step · shared by 2 devices");
    let who = "GPU-a (host-of-GPU-a): 240 blocks; GPU-b (host-of-GPU-b): 240 blocks, 4 % slower";
    assert_eq!(siblings::lines(&row), [format!("shared by {who}")]);
    let page = html(&common::report(vec![shared()], Vec::new()));
    for part in [
        format!("Shared by {who}."),
        "GPU-a, GPU-b (one shared measurement)".to_owned(),
        "The curve is at the level of GPU-a.".to_owned(),
    ] {
        assert!(page.contains(&part), "{part}");
    }
}

#[test]
fn markdown_lists_them_below_the_table() {
    let markdown = table_markdown(&[disputed().row]);
    assert!(markdown.contains("| disputed · 3 devices |"), "{markdown}");
    assert!(
        markdown.contains("\n  - GPU-c (host-of-GPU-c): step 24, confidence 0.97"),
        "{markdown}"
    );
}

#[test]
fn csv_has_them_in_columns_of_their_own() {
    let csv = table_csv(&[agreeing().row, common::staircase().row]).unwrap();
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    let lines: Vec<std::collections::HashMap<String, String>> =
        reader.deserialize().map(Result::unwrap).collect();
    for (name, value) in [
        ("representative_device", "GPU-a"),
        ("step_spread", "0.0"),
        ("time_spread", "0.04"),
        ("largest_time_spread", "0.09"),
        ("largest_time_spread_at", "33"),
        (
            "device_answers",
            "GPU-a=step:16:0.97:1 GPU-b=step:16:0.97:1.04 GPU-c=contended::0.97:",
        ),
    ] {
        assert_eq!(lines[0][name], value, "{name}");
    }
    assert_eq!(lines[1]["time_spread"], "");
}

#[test]
fn the_page_has_a_table_of_them_open_where_they_dispute() {
    let page = |row: DetailedRow| html(&common::report(vec![row], Vec::new()));
    let (agreed, disputed, alone) = (
        page(agreeing()),
        page(disputed()),
        page(common::staircase()),
    );
    for part in [
        "What each device says",
        "host-of-GPU-b",
        "× 1.04",
        "The curve is that of GPU-a.",
    ] {
        assert!(agreed.contains(part), "{part}");
        assert!(!alone.contains(part), "{part}");
    }
    assert!(disputed.contains("<details open>") && !agreed.contains("<details open>"));
}
