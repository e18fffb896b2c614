//! `batchstep advise` and `batchstep table` as people meet them, on a data directory that scripted agents filled through a coordinator.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod support;

use std::{
    path::{Path, PathBuf},
    sync::{LazyLock, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use assert_cmd::Command;
use batchstep_coordinator::store::Sqlite;
use batchstep_proto::{
    domain::{BatchSizes, Device, DeviceKind, DeviceSelector, SweepSpec},
    ids::RequestId,
    wire::{self, agent_message, event::Kind, report_attempt_response::Disposition},
};
use serde_json::Value;
use support::{Agent, Coordinator, PATIENCE, device, hello, measured, soon, spec};

const MIB: u64 = 1 << 20;

/// Seconds per iteration of a workload on a device, by batch size.
fn law(device: &str, workload: &str, size: u32) -> f64 {
    let size = f64::from(size);
    let step = match (device, workload) {
        (_, "matmul") => return 0.01 + 1e-3 * size,
        ("CPU-2", "linear:outputs=64") => 12.0,
        ("SIM-1", _) => 16.0,
        _ => 8.0,
    };
    let pace = if device == "CPU-2" { 1.05 } else { 1.0 };
    pace * (0.02 + 0.01 * (size / step).ceil())
}

/// What a device reports of a round by its law; `conv` is disturbed by others, and `matmul` tells no memory.
fn report(assignment: &wire::Assignment) -> wire::AttemptReport {
    let round = assignment.round.as_ref().unwrap();
    let mut report = measured(assignment);
    for block in &mut report.blocks {
        let seconds = law(&round.device_id, &round.workload, block.batch_size);
        block.iterations = 4;
        block.elapsed_ns =
            u64::try_from(Duration::from_secs_f64(4.0 * seconds).as_nanos()).unwrap();
        block.peak_memory_bytes =
            (round.workload != "matmul").then(|| MIB * (100 + 10 * u64::from(block.batch_size)));
        block.foreign_cores = (round.workload == "conv").then_some(8.0);
    }
    report.measuring_ns = report.blocks.iter().map(|block| block.elapsed_ns).sum();
    report.elapsed_ns = report.measuring_ns;
    report
}

/// Sweeps `workloads` on one device, to the end.
async fn sweep(coordinator: &Coordinator, agent: &mut Agent, device: &str, workloads: &[&str]) {
    let spec = SweepSpec {
        workloads: workloads.iter().map(|spec| spec.parse().unwrap()).collect(),
        batch_sizes: BatchSizes::Listed((1..=64).collect()),
        budget: Duration::from_secs(600),
        devices: DeviceSelector::Listed(vec![device.to_owned()]),
        ..spec()
    };
    let request = wire::SubmitSweepRequest {
        request_id: RequestId::generate().to_string(),
        spec: Some(spec.into()),
    };
    let mut operator = coordinator.operator().await;
    let sweep_id = operator
        .submit_sweep(request)
        .await
        .unwrap()
        .into_inner()
        .sweep_id;
    let watch = wire::WatchEventsRequest {
        after_seq: 0,
        sweep_id: Some(sweep_id),
    };
    let mut events = operator.watch_events(watch).await.unwrap().into_inner();
    loop {
        tokio::select! {
            assignment = agent.assignment() => {
                let assignment = assignment.expect("the stream is open");
                agent.accept(&assignment).await;
                let answer = agent.report(report(&assignment)).await.unwrap();
                assert_eq!(answer, Disposition::Accepted);
            }
            event = soon("an event", events.message()) => {
                if let Some(Kind::SweepEnded(ended)) = event.unwrap().unwrap().kind {
                    assert_eq!(ended.state(), wire::SweepState::Done, "{}", ended.message);
                    return;
                }
            }
        }
    }
}

async fn fill(folder: &Path) {
    let coordinator = Coordinator::start(Sqlite::open(folder).await.unwrap()).await;
    let simulated = Device {
        kind: DeviceKind::Simulated,
        model: "Law".to_owned(),
        ..device("SIM-1")
    };
    let mut first = hello("CPU-1");
    first
        .devices
        .extend([device("CPU-2").into(), simulated.into()]);
    let mut agent = Agent::try_connect(&coordinator, agent_message::Message::Hello(first))
        .await
        .unwrap();
    let all = ["linear", "linear:outputs=64", "matmul", "conv"];
    sweep(&coordinator, &mut agent, "CPU-1", &all).await;
    sweep(&coordinator, &mut agent, "CPU-2", &all).await;
    sweep(&coordinator, &mut agent, "SIM-1", &["linear"]).await;
    coordinator.stop().await;
}

/// A folder with the data directory `lab`, which holds everything above and is filled once. In the build's own folder for such things, since nothing
/// removes a temporary folder that all tests share.
static FILLED: LazyLock<PathBuf> = LazyLock::new(|| {
    let home = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("cli_advise");
    if home.exists() {
        std::fs::remove_dir_all(&home).unwrap();
    }
    std::fs::create_dir_all(&home).unwrap();
    // A runtime of its own: tests wait for it without one.
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(fill(&home.join("lab")));
    home
});

/// A data directory is used by one coordinator at a time, and every command below runs one.
static TURN: Mutex<()> = Mutex::new(());

/// An operator's shell beside the data directory `lab`.
struct Shell {
    home: &'static Path,
    _turn: MutexGuard<'static, ()>,
}

impl Shell {
    fn new() -> Self {
        Self {
            _turn: TURN.lock().unwrap_or_else(PoisonError::into_inner),
            home: &FILLED,
        }
    }

    fn run(&self, arguments: &[&str]) -> (Option<i32>, String, String) {
        let output = Command::new(assert_cmd::cargo::cargo_bin!("batchstep"))
            .args(arguments)
            .args(["--data-dir", "lab"])
            .current_dir(self.home)
            .env("HOME", self.home)
            .env("NO_COLOR", "1")
            .env_remove("BATCHSTEP_COORDINATOR")
            .env_remove("BATCHSTEP_LOG")
            .timeout(PATIENCE)
            .output()
            .unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stdout).unwrap(),
            String::from_utf8(output.stderr).unwrap(),
        )
    }

    /// Stdout of a command that ends with `code`.
    fn out(&self, arguments: &[&str], code: i32) -> String {
        let (found, stdout, stderr) = self.run(arguments);
        assert_eq!(found, Some(code), "{arguments:?}\n{stdout}\n{stderr}");
        stdout
    }

    fn json(&self, arguments: &[&str], code: i32) -> Value {
        let all: Vec<&str> = arguments
            .iter()
            .chain(&["--format", "json"])
            .copied()
            .collect();
        serde_json::from_str(&self.out(&all, code)).unwrap()
    }

    /// Stderr of a command that prints no data and ends with `code`.
    fn refused(&self, arguments: &[&str], code: i32) -> String {
        let (found, stdout, stderr) = self.run(arguments);
        assert_eq!(
            (found, stdout.as_str()),
            (Some(code), ""),
            "{arguments:?}\n{stderr}"
        );
        stderr
    }
}

fn says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in:\n{text}");
    }
}

#[test]
fn a_size_in_mind_is_told_what_it_costs_and_what_is_better() {
    let shell = Shell::new();
    let text = shell.out(&["advise", "--workload", "linear", "--near", "34"], 0);
    // 20 ms and 10 ms for every round of 8: 34 takes 70 ms, 32 takes 60, 40 takes 70.
    says(
        &text,
        &[
            "linear:inputs=512,outputs=512 on Example CPU: train · f32 · 2 threads",
            "Step 8: 9 costs",
            "2 of 2 devices",
            "Batch size 34 takes 1.17 times as long as 32, for 6.2 % more samples.",
            "At 34 a sample costs 1.32 times the cheapest one measured.",
            "Against 34, a sample costs 8.9 % less at 32 and 15 % less at 40.",
            "Use 32 or 40. A sample costs 6.7 % less at 40.",
        ],
    );
    let json = shell.json(&["advise", "--workload", "linear", "--near", "34"], 0);
    assert_eq!(json["schema_version"], 1);
    assert_eq!(
        (&json["basis"], &json["verdict"]),
        (&"step".into(), &"step".into())
    );
    assert_eq!(json["advised_batch_sizes"], serde_json::json!([32, 40]));
    assert_eq!(json["near"]["below"]["batch_size"], 32);
    let ratio = json["near"]["below"]["time_ratio"].as_f64().unwrap();
    assert!((ratio - 7.0 / 6.0).abs() < 0.01, "{ratio}");
    assert_eq!(
        (&json["near"]["is_good"], &json["command"]),
        (&false.into(), &Value::Null)
    );
    assert_eq!(json["device_kind"], "cpu");
}

#[test]
fn without_a_size_in_mind_the_good_ones_are_listed() {
    let shell = Shell::new();
    let text = shell.out(&["advise", "--workload", "linear"], 0);
    says(
        &text,
        &[
            "batch size",
            "cost per sample",
            "extrapolated",
            "Use 56 or 64.",
        ],
    );
    let json = shell.json(&["advise", "--workload", "linear"], 0);
    let sizes: Vec<u64> = json["batch_sizes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|facts| facts["batch_size"].as_u64().unwrap())
        .collect();
    assert_eq!(sizes, [8, 16, 24, 32, 40, 48, 56, 64, 72, 80]);
    assert_eq!(json["batch_sizes"][0]["peak_memory_bytes"], 180 * MIB);
    assert_eq!(json["near"], Value::Null);
}

#[test]
fn memory_is_kept_where_it_is_known_and_refused_where_not() {
    let shell = Shell::new();
    let at_most = |workload| {
        [
            "advise",
            "--workload",
            workload,
            "--at-most-memory",
            "400MiB",
        ]
    };
    let json = shell.json(&at_most("linear"), 0);
    assert_eq!(json["memory_limit"]["largest_batch_size"], 30);
    assert_eq!(json["advised_batch_sizes"], serde_json::json!([24]));
    says(
        &shell.out(&at_most("linear"), 0),
        &[
            "Within 400 MiB: batch sizes up to 30",
            "does not fit",
            "Use 24.",
        ],
    );
    let stderr = shell.refused(&at_most("matmul"), 3);
    says(&stderr, &["--at-most-memory", "matmul", "no peak memory"]);
    let stderr = shell.refused(&["advise", "--at-most-memory", "16G"], 2);
    says(&stderr, &["1000 or of 1024"]);
}

#[test]
fn without_a_step_any_size_is_as_good() {
    let shell = Shell::new();
    let text = shell.out(&["advise", "--workload", "matmul", "--near", "60"], 0);
    says(
        &text,
        &[
            "No step of",
            "as good as its neighbours",
            "each further sample costs 1 ms",
            "Use 60.",
        ],
    );
    let json = shell.json(&["advise", "--workload", "matmul"], 0);
    assert_eq!(
        (&json["basis"], &json["near"]),
        (&"no_step".into(), &Value::Null)
    );
}

#[test]
fn beyond_what_was_measured_it_says_how_far_and_then_what_to_measure() {
    let shell = Shell::new();
    let text = shell.out(&["advise", "--workload", "linear", "--near", "100"], 0);
    says(
        &text,
        &[
            "100 was not measured: its time is extrapolated",
            "Use 96 or 104",
        ],
    );
    let text = shell.out(&["advise", "--workload", "linear", "--near", "500"], 3);
    says(
        &text,
        &[
            "What 500 costs is not known: it is more than 2 times the largest batch size measured, 64",
            "the good batch sizes next to it are 496 and 504",
            "local --data-dir lab --workload linear --threads 2 --devices CPU-1,CPU-2 --batch-sizes 468-532",
        ],
    );
}

#[test]
fn a_question_that_fits_several_rows_is_answered_with_the_flags_of_each() {
    let shell = Shell::new();
    let stderr = shell.refused(&["advise", "--device-model", "example"], 2);
    says(
        &stderr,
        &[
            "fits 4 rows",
            "linear:inputs=512,outputs=64 on Example CPU",
            "--workload linear:outputs=64",
            "--workload matmul",
        ],
    );
    // With simulated devices there are two models for one workload; without, one.
    let both = ["advise", "--workload", "linear", "--simulated"];
    says(
        &shell.refused(&both, 2),
        &["--device-model Law", "--device-model 'Example CPU'"],
    );
    let text = shell.out(&[&both[..], &["--device-model", "law"]].concat(), 0);
    says(&text, &["Law (simulated)", "Step 16"]);
}

#[test]
fn what_the_table_does_not_know_is_told_with_what_to_measure() {
    let shell = Shell::new();
    let unknown = [
        "advise",
        "--workload",
        "cnn",
        "--dtype",
        "bf16",
        "--mode",
        "infer",
    ];
    let stderr = shell.refused(&unknown, 3);
    says(
        &stderr,
        &[
            "has no row for cnn (infer, bf16)",
            "it knows:",
            "matmul",
            "local --data-dir lab --workload cnn --mode infer --dtype bf16",
        ],
    );
    assert!(
        !stderr.contains("Law"),
        "simulated devices are not listed unasked:\n{stderr}"
    );
    let stderr = shell.refused(&["advise", "--device-model", "law"], 3);
    says(&stderr, &["a device named \"law\"", "add --simulated"]);
}

#[test]
fn rows_without_an_answer_say_why_and_what_to_measure() {
    let shell = Shell::new();
    let text = shell.out(&["advise", "--workload", "conv", "--near", "34"], 3);
    says(
        &text,
        &[
            "Contended",
            "There is no advice: other processes used the device",
            "To measure it:",
            "--workload conv --threads 2 --devices CPU-1,CPU-2",
        ],
    );
    assert!(!text.contains("Use "), "{text}");
    let disputed = ["advise", "--workload", "linear:outputs=64"];
    says(
        &shell.out(&disputed, 3),
        &[
            "CPU-1 has a step of 8, CPU-2 has a step of 12",
            "CPU-1 (host): step 8, confidence",
            "CPU-2 (host): step 12, confidence",
            "Good on each of the devices that have an answer: 24, 48.",
        ],
    );
    let json = shell.json(&disputed, 3);
    assert_eq!(
        (&json["basis"], &json["step"]),
        (&"nothing".into(), &Value::Null)
    );
    assert_eq!(json["device_answers"][1]["step"], 12.0);
    assert_eq!(json["common_good_batch_sizes"], serde_json::json!([24, 48]));
}

#[test]
fn the_table_shows_each_device_of_a_dispute_and_how_far_the_others_lie_apart() {
    let shell = Shell::new();
    let table = shell.json(&["table"], 0);
    let rows = table["rows"].as_array().unwrap();
    let workloads: Vec<&str> = rows
        .iter()
        .map(|row| row["workload"].as_str().unwrap())
        .collect();
    assert_eq!(workloads, ["conv", "linear", "linear", "matmul"]);
    assert!(rows.iter().all(|row| row["device_kind"] == "cpu" && row["devices"].as_array().unwrap().len() == 2));
    assert_eq!(
        (&rows[0]["verdict"], &rows[0]["agreeing_devices"]),
        (&"contended".into(), &0.into())
    );
    let (agreed, disputed) = (&rows[1], &rows[2]);
    assert_eq!(
        (&agreed["verdict"], &agreed["agreeing_devices"]),
        (&"step".into(), &2.into())
    );
    let spread = agreed["spread"]["time"].as_f64().unwrap();
    assert!((spread - 0.05).abs() < 1e-3, "{spread}");
    assert_eq!(disputed["verdict"], "disputed");
    assert_eq!(disputed["device_answers"][0]["hostname"], "host");

    for (format, parts) in [
        (
            "table",
            &[
                "step · 2 of 2 devices",
                "CPU-2 (host): step 12",
                "5 % apart",
            ][..],
        ),
        (
            "markdown",
            &["step · 2 of 2 devices", "  - CPU-2 (host): step 12"],
        ),
        (
            "csv",
            &["CPU-1=step:8:", "CPU-2=step:12:", "CPU-1=contended::"],
        ),
    ] {
        says(&shell.out(&["table", "--format", format], 0), parts);
    }
}
