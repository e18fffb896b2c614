//! `batchstep local` from end to end: real libtorch training, real gRPC, a real report.

use std::{fs, process::Command, time::Duration};

use batchstep_tests::{Lab, Process, binaries::root, eventually};
use nix::sys::signal::{Signal, kill};
use serde_json::Value;

/// A sweep of a few seconds.
const SMALL: [&str; 8] = [
    "local",
    "--workload",
    "linear:inputs=128,outputs=128",
    "--threads",
    "1",
    "--devices",
    "cpu",
    "--seed=7",
];

fn rows(table: &Value) -> &Vec<Value> {
    assert_eq!(table["schema_version"], 1);
    table["rows"].as_array().expect("rows are a list")
}

/// Submits a sweep over 12 batch sizes to the lab's coordinator, without following it; its id.
fn submitted(lab: &Lab, budget: &str) -> String {
    let run = [
        "sweep",
        "run",
        "--detach",
        "--workload",
        "linear:inputs=128,outputs=128",
    ];
    let how = [
        "--threads",
        "1",
        "--batch-sizes",
        "1-12",
        "--devices",
        "cpu",
        "--budget",
        budget,
    ];
    let end = lab.ask(&[&run[..], &how].concat());
    assert_eq!(end.code(), 0, "{}", end.stderr);
    end.stdout
        .split_whitespace()
        .last()
        .unwrap_or_default()
        .to_owned()
}

#[test]
fn a_machine_is_characterised_and_reported() {
    let lab = Lab::that_measures();
    let end = Process::run(
        "batchstep local",
        lab.batchstep(&SMALL).args([
            "--batch-sizes",
            "1-16",
            "--budget",
            "25s",
            "--data-dir",
            "data",
            "--output",
            "report",
            "--format",
            "json",
        ]),
    );
    let table = end.json();
    let [row] = rows(&table).as_slice() else {
        panic!("one row expected: {table}")
    };
    assert_eq!(row["device_kind"], "cpu");
    assert_eq!(row["workload"], "linear");
    assert_eq!(row["parameters"]["inputs"], 128);
    assert_eq!(row["threads"], 1);
    assert_eq!(row["batch_sizes_measured"], 16);
    assert!(
        row["software"]["libtorch"]
            .as_str()
            .is_some_and(|version| version.starts_with("2.11.0")),
        "{row}"
    );
    assert!(
        row["best_throughput"]["samples_per_second"]
            .as_f64()
            .is_some_and(|rate| rate > 0.0),
        "{row}"
    );
    // A busy machine may end in `contended`: that is an answer too, with exit code 3.
    assert_eq!(
        end.code() == 0,
        ["step", "no_step", "irregular"].contains(&row["verdict"].as_str().unwrap_or_default()),
        "{row}\n{}",
        end.stderr
    );
    assert!(end.stderr.contains("report"), "{}", end.stderr);

    let checked = Process::run(
        "check_report.py",
        Command::new("python3")
            .arg(root().join("scripts/check_report.py"))
            .arg(lab.path("report")),
    );
    assert_eq!(checked.code(), 0, "{}", checked.stderr);

    // Our own blocks can be analysed again, by the same inference.
    let blocks = lab.path("report").join("blocks.csv");
    let again = Process::run(
        "batchstep analyze",
        lab.batchstep(&["analyze", "--format", "json"]).arg(blocks),
    )
    .json();
    assert_eq!(again["schema_version"], 1);
    let same = |fields: &[&str]| {
        for &field in fields {
            assert_eq!(again[field], row[field], "{field}: {again}\n{row}");
        }
    };
    same(&[
        "best_throughput",
        "knee_batch_size",
        "smallest_detectable_jump",
    ]);
    // That others disturbed the device is the row's own verdict.
    if row["verdict"] != "contended" {
        same(&["verdict", "step", "offset", "kind", "jump_at"]);
    }

    // And the store can be asked afterwards, without a server.
    let table = Process::run(
        "batchstep table",
        &mut lab.batchstep(&["table", "--data-dir", "data", "--format", "json"]),
    )
    .json();
    assert_eq!(rows(&table)[0]["blocks"], row["blocks"]);
}

#[test]
fn a_budget_that_says_nothing_is_insufficient_and_says_what_to_do() {
    let lab = Lab::that_measures();
    let end = Process::run(
        "batchstep local",
        lab.batchstep(&SMALL).args([
            "--batch-sizes",
            "1-32",
            "--budget",
            "1s",
            "--data-dir",
            "data",
            "--output",
            "report",
            "--format",
            "json",
        ]),
    );
    assert_eq!(end.code(), 3, "{}", end.stderr);
    let table = end.json();
    let row = &rows(&table)[0];
    assert_eq!(row["verdict"], "insufficient", "{row}");
    assert_eq!(row["step"], Value::Null);
    assert!(
        row["next_action"]
            .as_str()
            .is_some_and(|action| action.contains("--budget")),
        "{row}"
    );
}

#[test]
fn a_range_out_of_reach_ends_soon_and_says_what_is_within() {
    let lab = Lab::that_measures();
    let end = Process::run(
        "batchstep local",
        lab.batchstep(&["local", "--devices", "cpu", "--workload", "cnn:image=64"])
            .args(["--batch-sizes", "4096-8192:1024", "--budget", "5s"])
            .args(["--data-dir", "data", "--output", "report"])
            .args(["--format", "json"]),
    );
    assert_eq!(end.code(), 3, "{}", end.stderr);
    let table = end.json();
    let row = &rows(&table)[0];
    assert_eq!(row["verdict"], "insufficient", "{row}");
    // Too long for the budget, or too large for this machine's memory: smaller batch sizes help in any case.
    assert!(
        row["next_action"]
            .as_str()
            .is_some_and(|action| action.contains("--batch-sizes below 4096")),
        "{row}"
    );
}

#[test]
fn interrupted_it_keeps_what_was_measured_and_goes_on_when_asked() {
    let lab = Lab::that_measures();
    let begin = [
        "--batch-sizes",
        "1-12",
        "--budget",
        "20s",
        "--data-dir",
        "data",
        "--output",
        "report",
    ];
    let go_on = [
        "local",
        "--resume",
        "--data-dir",
        "data",
        "--output",
        "report",
    ];
    // The promise is a second; a busy machine may need another attempt to show it.
    let mut quickest = Duration::MAX;
    for attempt in 0..3 {
        let mut command = match attempt {
            0 => lab.batchstep(&[&SMALL[..], &begin].concat()),
            _ => lab.batchstep(&go_on),
        };
        let mut measuring = Process::start("batchstep local", &mut command);
        // Rounds are told on stderr; one after the probe gives something worth keeping.
        measuring.wait_for_stderr(if attempt == 0 { "round 2" } else { " done, " });
        measuring.signal(Signal::SIGINT);
        let end = measuring.finish();
        assert_eq!(end.code(), 3, "{}", end.stderr);
        assert!(end.stderr.contains("--resume"), "{}", end.stderr);
        quickest = quickest.min(end.waited);
        if quickest < Duration::from_secs(1) {
            break;
        }
    }
    assert!(
        quickest < Duration::from_secs(1),
        "Ctrl-C took {quickest:?} at best"
    );
    let before = Process::run(
        "batchstep table",
        &mut lab.batchstep(&["table", "--data-dir", "data", "--format", "json"]),
    )
    .json();
    let kept = rows(&before)[0]["blocks"].as_u64().unwrap_or(0);
    assert!(kept > 0, "{before}");

    let resumed = Process::run(
        "batchstep local --resume",
        lab.batchstep(&go_on).args(["--format", "json"]),
    );
    let table = resumed.json();
    let row = &rows(&table)[0];
    assert!(
        row["blocks"].as_u64().is_some_and(|blocks| blocks > kept),
        "{kept} blocks before, then {row}"
    );
    assert_eq!(row["batch_sizes_measured"], 12);
    assert!(fs::metadata(lab.path("report").join("report.html")).is_ok_and(|page| page.len() > 0));
}

#[test]
fn a_worker_killed_in_mid_round_costs_one_round() {
    let lab = Lab::that_measures();
    let coordinator = lab.start_coordinator();
    let agent = lab.start_agent("agent");
    let sweep = submitted(&lab, "20s");
    let worker = eventually("a worker that has measured something", || {
        let show = lab.ask_json(&["sweep", "show", &sweep]);
        let measured = show["rows"]
            .as_array()
            .is_some_and(|rows| rows.iter().any(|row| row["blocks"].as_u64() > Some(0)));
        Lab::workers_of(&agent.0)
            .first()
            .copied()
            .filter(|_| measured)
    });
    kill(nix::unistd::Pid::from_raw(worker), Signal::SIGKILL).expect("the worker lives");
    let end = lab.ask(&["sweep", "watch", &sweep]);
    let table = lab.ask_json(&["sweep", "show", &sweep]);
    let row = &rows(&table)[0];
    assert_eq!(row["batch_sizes_measured"], 12, "{row}\n{}", end.stderr);
    // The loss is told, not hidden.
    assert!(
        end.stderr.contains("killed") || agent.0.stderr().contains("signal"),
        "{}\n{}",
        end.stderr,
        agent.0.stderr()
    );
    coordinator.stop();
}

#[test]
fn a_sweep_goes_on_where_it_stopped_when_the_coordinator_restarts() {
    let lab = Lab::that_measures();
    let coordinator = lab.start_coordinator();
    let _agent = lab.start_agent("agent");
    let sweep = submitted(&lab, "25s");
    let kept = eventually("some blocks", || {
        let show = lab.ask_json(&["sweep", "show", &sweep]);
        show["rows"]
            .as_array()
            .and_then(|rows| rows.first()?["blocks"].as_u64())
            .filter(|blocks| *blocks > 0)
    });
    // As a crash would: no farewell.
    coordinator.0.signal(Signal::SIGKILL);
    let _ = coordinator.0.finish();
    let coordinator = lab.start_coordinator();
    let _ = lab.ask(&["sweep", "watch", &sweep]);
    let table = lab.ask_json(&["sweep", "show", &sweep]);
    let row = &rows(&table)[0];
    assert!(
        row["blocks"].as_u64() > Some(kept),
        "{kept} before, then {row}"
    );
    assert_eq!(row["batch_sizes_measured"], 12, "{row}");
    let blocks = lab.ask(&["export", &sweep, "--format", "csv"]).stdout;
    assert_eq!(
        blocks.lines().count() as u64,
        1 + row["blocks"].as_u64().unwrap_or(0),
        "one line for each block and none twice"
    );
    coordinator.stop();
}
