//! `batchstep inventory` as people and their scripts meet it: a coordinator with a few hosts, and every form of every answer.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod forms;
#[path = "../support/mod.rs"]
mod support;

use std::path::Path;

use assert_cmd::Command;
use batchstep_coordinator::store::{Memory, Sqlite};
use batchstep_proto::{
    domain::Ineligibility,
    inventory::{
        Absent, Gpu, Record, Scope,
        catalogue::{self, gpu, host},
    },
};
use serde_json::Value as Json;
use support::{
    Agent, Coordinator, PATIENCE,
    lab::{connect, h200, machine, report, send},
};
use tempfile::TempDir;

/// Runs the command beside the coordinator of this test: code, stdout, stderr.
async fn inventory(coordinator: &Coordinator, arguments: &[&str]) -> (i32, String, String) {
    let url = format!("http://{}", coordinator.address);
    let arguments: Vec<String> = ["inventory", "--coordinator", &url]
        .iter()
        .chain(arguments)
        .map(|word| (*word).to_owned())
        .collect();
    run(arguments).await
}

async fn run(arguments: Vec<String>) -> (i32, String, String) {
    let ran = tokio::task::spawn_blocking(move || {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin!("batchstep"));
        command
            .args(arguments)
            .env("NO_COLOR", "1")
            .env_remove("BATCHSTEP_LOG")
            .env_remove("BATCHSTEP_COORDINATOR")
            .timeout(PATIENCE);
        command.output().unwrap()
    });
    let output = ran.await.unwrap();
    (
        output.status.code().unwrap(),
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

async fn json(coordinator: &Coordinator, arguments: &[&str]) -> Json {
    let arguments: Vec<&str> = arguments
        .iter()
        .copied()
        .chain(["--format", "json"])
        .collect();
    let (_, stdout, stderr) = inventory(coordinator, &arguments).await;
    serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{error}\n{stdout}\n{stderr}"))
}

fn csv(text: &str) -> Vec<std::collections::BTreeMap<String, String>> {
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let header = reader.headers().unwrap().clone();
    reader
        .records()
        .map(|row| {
            let row = row.unwrap();
            let cells = header.iter().zip(row.iter());
            cells.map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
        })
        .collect()
}

fn instance(uuid: &str) -> Gpu {
    let mut facts = Record::new(Scope::Gpu);
    facts.set(gpu::UUID, Ok(uuid.to_owned()));
    facts.set(gpu::NAME, Ok("NVIDIA H200 MIG 1g.18gb".to_owned()));
    facts.set(gpu::MIG_PROFILE, Ok("1g.18gb".to_owned()));
    facts.set(gpu::MEMORY_TOTAL_BYTES, Ok(18 << 30));
    Gpu::new(facts)
}

/// Two hosts with GPUs, one of them with an older driver, a divided and a busy card; and one without any.
async fn lab() -> (Coordinator, Vec<Agent>) {
    let coordinator = Coordinator::start(Memory::new()).await;
    let mut agents = Vec::new();
    for (number, name) in [(1, "node1"), (2, "node2"), (3, "cpu-only")] {
        agents.push(connect(&coordinator, number, name).await);
    }
    let mut first = machine("node1", vec![h200("GPU-a"), h200("GPU-b")]);
    first.gpus[0].instances = vec![instance("MIG-1")];
    first.gpus[1].facts.set(gpu::INDEX, Ok(1));
    first.gpus[1].ineligible = vec![Ineligibility {
        code: "foreign_process".to_owned(),
        message: "python3 computes on it".to_owned(),
    }];
    let mut second = machine("node2", vec![h200("GPU-c")]);
    second
        .host
        .set(host::DRIVER_VERSION, Ok("570.86.10".to_owned()));
    second.gpus[0].facts.set(gpu::POWER_LIMIT_WATTS, Ok(500.0));
    for (number, document) in [(1, first), (2, second), (3, machine("cpu-only", vec![]))] {
        send(&coordinator, report(number, &document)).await.unwrap();
    }
    (coordinator, agents)
}

#[tokio::test]
async fn people_see_hosts_gpus_instances_and_why_one_is_not_ready() {
    let (coordinator, _agents) = lab().await;
    let (code, out, err) = inventory(&coordinator, &[]).await;
    assert_eq!((code, err.as_str()), (0, ""), "{err}");
    let line = |part: &str| {
        out.lines()
            .find(|line| line.contains(part))
            .unwrap_or_else(|| panic!("{part}\n{out}"))
    };
    for part in [
        "NVIDIA H200",
        "140.4 GiB",
        "580.95.05",
        "5 x16",
        "700 W",
        "35 degC",
        "ready",
    ] {
        assert!(line("node1").contains(part), "{part}\n{out}");
    }
    assert!(line("MIG 1g.18gb").contains("18 GiB"));
    assert!(line("foreign_process").contains("NVIDIA H200"));
    assert!(
        out.contains("GPU 1 on node1: python3 computes on it"),
        "{out}"
    );
    assert!(line("cpu-only").contains("no NVIDIA driver"));
    assert!(out.lines().all(|line| line == line.trim_end()));

    // Instances that were taken down are no longer shown; a GPU that does not answer is told with where it is.
    let mut lost = machine("node1", vec![h200("GPU-a"), h200("GPU-b")]);
    lost.gpus[1]
        .facts
        .lose(|field| field.name != "uuid", Absent::Lost);
    lost.gpus[1].problems = vec!["it fell silent".to_owned()];
    send(&coordinator, report(1, &lost)).await.unwrap();
    let (_, out, _) = inventory(&coordinator, &["--host", "node1"]).await;
    assert!(!out.contains("MIG"), "{out}");
    assert!(out.contains("GPU 1 on node1: it fell silent"), "{out}");
    assert!(
        out.contains("GPU 1 on node1: lost; GPU-b, slot 00000000:18:00.0, last seen"),
        "{out}"
    );

    let (_, markdown, _) = inventory(&coordinator, &["--format", "markdown"]).await;
    assert!(markdown.starts_with("| host"), "{markdown}");
    coordinator.stop().await;
}

#[tokio::test]
async fn models_are_told_with_what_differs() {
    let (coordinator, _agents) = lab().await;
    let (code, out, _) = inventory(&coordinator, &["--by", "model"]).await;
    assert_eq!(code, 0);
    for part in [
        "580.95.05 (2), 570.86.10 (1)",
        "2 of 3 NVIDIA H200 have driver_version 580.95.05, 1 has 570.86.10: GPU-c on node2",
        "warning: 2 of 3 NVIDIA H200 have power_limit_watts 700, 1 has 500: GPU-c on node2",
    ] {
        assert!(out.contains(part), "{part}\n{out}");
    }
    let models = json(&coordinator, &["--by", "model"]).await;
    assert_eq!(models["schema_version"], 1);
    assert_eq!(models["models"][0]["count"], 3);
    assert_eq!(models["models"][0]["driver_versions"]["570.86.10"], 1);
    let (_, text, _) = inventory(&coordinator, &["--by", "model", "--format", "csv"]).await;
    let rows = csv(&text);
    assert_eq!(rows[0]["skew"], "driver_version;power_limit_watts");
    assert_eq!(rows[1]["mig_profile"], "1g.18gb");
    coordinator.stop().await;
}

#[tokio::test]
async fn filters_choose_and_refuse() {
    let (coordinator, _agents) = lab().await;
    let uuids = async |arguments: &[&str]| -> Vec<String> {
        let answer = json(&coordinator, arguments).await;
        let hosts = answer["hosts"].as_array().unwrap().clone();
        hosts
            .iter()
            .flat_map(|host| host["gpus"].as_array().unwrap().clone())
            .map(|gpu| gpu["uuid"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(uuids(&["--where", "driver<580"]).await, ["GPU-c"]);
    assert_eq!(
        uuids(&["--model", "h200", "--host", "NODE1"]).await,
        ["GPU-a", "GPU-b"]
    );
    let both = ["--where", "memory>=80GiB", "--where", "power_limit<700"];
    assert_eq!(uuids(&both).await, ["GPU-c"]);
    assert!(uuids(&["--where", "ecc=no"]).await.is_empty());
    let (code, out, _) = inventory(&coordinator, &["--where", "ecc=no"]).await;
    assert_eq!(code, 0);
    assert!(
        out.contains("Nothing matches; 3 hosts with 3 GPUs"),
        "{out}"
    );
    let (code, out, err) = inventory(&coordinator, &["--where", "drivr<580"]).await;
    assert_eq!((code, out.as_str()), (2, ""));
    assert!(
        err.contains("`drivr`") && err.contains("driver_version"),
        "{err}"
    );
    let (code, _, err) = inventory(&coordinator, &["--since", "7d"]).await;
    assert_eq!(code, 2, "{err}");
    let reversed = ["--changes", "--since", "1h", "--until", "2h"];
    let (code, _, err) = inventory(&coordinator, &reversed).await;
    assert_eq!(code, 2, "{err}");
    assert!(err.contains("--since is not before --until"), "{err}");
    let (code, _, err) = inventory(&coordinator, &["--where", "host=node1 or host=node2"]).await;
    assert_eq!(code, 2);
    assert!(err.contains("`and`"), "{err}");
    let (code, _, err) = inventory(&coordinator, &["--changes", "--since", "soon"]).await;
    assert_eq!(code, 2);
    assert!(err.contains("7d"), "{err}");
    coordinator.stop().await;
}

#[tokio::test]
async fn csv_has_a_row_for_each_device_and_every_field() {
    let (coordinator, _agents) = lab().await;
    let (_, text, _) = inventory(&coordinator, &["--format", "csv"]).await;
    let rows = csv(&text);
    let uuids: Vec<&str> = rows.iter().map(|row| row["uuid"].as_str()).collect();
    assert_eq!(uuids, ["", "GPU-a", "MIG-1", "GPU-b", "GPU-c"]);
    let row = &rows[3];
    assert_eq!(row["memory_total_bytes"], "150754820096");
    assert_eq!(row["host_hostname"], "node1");
    assert_eq!(row["ecc_enabled"], "true");
    assert_eq!(row["serial"], "", "absent is empty");
    assert_eq!(row["absent"], "serial=not_supported");
    assert_eq!(row["ineligible"], "foreign_process");
    assert_eq!(
        (row["connected"].as_str(), row["state"].as_str()),
        ("true", "present")
    );
    assert_eq!(rows[2]["parent_uuid"], "GPU-a");
    for field in catalogue::fields(Scope::Gpu) {
        assert!(row.contains_key(field.name), "{}", field.name);
    }
    for field in catalogue::fields(Scope::Host) {
        assert!(
            row.contains_key(&format!("host_{}", field.name)),
            "{}",
            field.name
        );
    }
    // The GPU of an instance that is asked for is no answer itself.
    let chosen = ["--where", "mig_profile!=absent", "--format", "csv"];
    let (_, text, _) = inventory(&coordinator, &chosen).await;
    let rows = csv(&text);
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0]["uuid"], "MIG-1");
    coordinator.stop().await;
}

#[tokio::test]
async fn changes_are_told_with_before_and_after() {
    let (coordinator, _agents) = lab().await;
    let mut less = machine("node2", vec![h200("GPU-c")]);
    less.gpus[0]
        .facts
        .set(gpu::ECC_ENABLED, Err(Absent::NoPermission));
    less.gpus[0].facts.set(gpu::POWER_LIMIT_WATTS, Ok(500.0));
    send(&coordinator, report(2, &less)).await.unwrap();
    let (code, out, _) = inventory(&coordinator, &["--changes", "--since", "1h"]).await;
    assert_eq!(code, 0);
    for part in [
        "570.86.10 -> 580.95.05",
        "yes -> absent (no_permission)",
        "NVIDIA H200 GPU-c",
        "host_appeared",
        " UTC",
    ] {
        assert!(out.contains(part), "{part}\n{out}");
    }
    let of_device = json(&coordinator, &["--changes", "--where", "power_limit<600"]).await;
    let kinds: Vec<&str> = of_device["changes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|change| change["kind"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["appeared", "changed"]);
    let (_, text, _) = inventory(&coordinator, &["--changes", "--format", "csv"]).await;
    let last = csv(&text).pop().unwrap();
    assert_eq!(last["before"], "true");
    assert_eq!(last["after_absent"], "no_permission");
    let (_, none, _) = inventory(&coordinator, &["--changes", "--until", "1d"]).await;
    assert!(none.contains("No change in this time; 3 hosts"), "{none}");
    let nobody = ["--changes", "--host", "nobody"];
    let (_, none, _) = inventory(&coordinator, &nobody).await;
    assert!(none.contains("No change of what matches"), "{none}");
    coordinator.stop().await;
}

#[tokio::test]
async fn health_ends_with_1_when_something_is_critical() {
    let (coordinator, _agents) = lab().await;
    let (code, out, _) = inventory(&coordinator, &["--health"]).await;
    assert_eq!(code, 0, "{out}");
    assert!(
        out.contains("0 critical findings, 1 warning, 2 notices"),
        "{out}"
    );
    assert!(
        out.contains("ineligible") && out.contains("python3 computes on it"),
        "{out}"
    );
    let (_, out, _) = inventory(&coordinator, &["--health", "--host", "cpu-only"]).await;
    assert!(out.contains("No finding among what matches"), "{out}");
    let mut lost = machine("node2", vec![h200("GPU-c")]);
    lost.gpus[0]
        .facts
        .lose(|field| field.name != "uuid", Absent::Lost);
    send(&coordinator, report(2, &lost)).await.unwrap();
    for format in ["table", "json", "csv", "markdown"] {
        let (code, out, _) = inventory(&coordinator, &["--health", "--format", format]).await;
        assert_eq!(code, 1, "{format}");
        assert!(out.contains("GPU-c") && out.contains("nvidia-smi"), "{out}");
    }
    coordinator.stop().await;
}

#[tokio::test]
async fn texts_of_agents_cannot_paint_the_terminal() {
    let coordinator = Coordinator::start(Memory::new()).await;
    let mut evil = machine("node1", vec![h200("GPU-\u{1b}]0;owned\u{7}")]);
    evil.host
        .set(host::HOSTNAME, Ok("node\u{1b}[2J1\n| x".to_owned()));
    evil.gpus[0]
        .facts
        .set(gpu::NAME, Ok("H200\r\u{9b}31m\u{202e}".to_owned()));
    evil.gpus[0].problems = vec!["\u{1b}[31mred".to_owned()];
    evil.problems = vec!["bell\u{7}".to_owned()];
    send(&coordinator, report(1, &evil)).await.unwrap();
    for view in [&[][..], &["--by", "model"], &["--changes"], &["--health"]] {
        for format in ["table", "markdown", "csv", "json"] {
            let arguments: Vec<&str> = view.iter().copied().chain(["--format", format]).collect();
            let (_, out, err) = inventory(&coordinator, &arguments).await;
            assert!(!out.is_empty(), "{arguments:?} {err}");
            let harmless = |c: char| c == '\n' || !c.is_control();
            assert!(out.chars().all(harmless), "{arguments:?}: {out:?}");
        }
    }
    coordinator.stop().await;
}

#[tokio::test]
async fn an_empty_lab_says_what_to_do() {
    let coordinator = Coordinator::start(Memory::new()).await;
    let (code, out, _) = inventory(&coordinator, &[]).await;
    assert_eq!(code, 0);
    assert!(out.contains("batchstep-agent run"), "{out}");
    assert_eq!(
        json(&coordinator, &[]).await["hosts"],
        serde_json::json!([])
    );
    let (code, text, _) = inventory(&coordinator, &["--format", "csv"]).await;
    assert_eq!((code, csv(&text).len()), (0, 0), "the header alone");
    // An agent of a version that sends nothing.
    let _agent = connect(&coordinator, 1, "node1").await;
    let (_, out, _) = inventory(&coordinator, &[]).await;
    assert!(
        out.contains("no inventory") && out.contains("update it"),
        "{out}"
    );
    coordinator.stop().await;
}

#[tokio::test]
async fn a_data_directory_tells_what_was_last_known() {
    let folder = TempDir::new().unwrap();
    let coordinator = Coordinator::start(Sqlite::open(folder.path()).await.unwrap()).await;
    let document = machine("node1", vec![h200("GPU-a")]);
    send(&coordinator, report(1, &document)).await.unwrap();
    coordinator.stop().await;
    let path = folder.path().to_str().unwrap();
    let arguments = ["inventory", "--data-dir", path].map(ToOwned::to_owned);
    let (code, out, err) = run(arguments.into()).await;
    assert_eq!(code, 0, "{err}");
    assert!(
        out.contains("offline") && out.contains("NVIDIA H200"),
        "{out}"
    );
    assert!(err.contains("last known"), "{err}");
}

#[tokio::test]
async fn the_fields_of_the_guide_are_those_of_the_catalogue() {
    let arguments = ["inventory", "--fields", "--format"].map(ToOwned::to_owned);
    let fields = async |format: &str| {
        let with = arguments.iter().cloned().chain([format.to_owned()]);
        let (code, out, err) = run(with.collect()).await;
        assert_eq!(code, 0, "{err}");
        out
    };
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/guide/inventory.md");
    let guide = std::fs::read_to_string(guide).unwrap();
    let table = fields("markdown").await;
    assert!(
        guide.contains(table.trim()),
        "docs/guide/inventory.md: put the output of `batchstep inventory --fields --format markdown` in place of its table"
    );
    for rule in batchstep_core::inventory::RULES {
        let row = format!(
            "| `{}` | {} | {} | {} |",
            rule.code,
            rule.severity.word(),
            rule.when,
            rule.action
        );
        assert!(guide.contains(&row), "the guide lacks {row}");
    }
    for kind in batchstep_core::inventory::ChangeKind::ALL {
        let row = format!("| `{}` | {} |", kind.word(), kind.about());
        assert!(guide.contains(&row), "the guide lacks {row}");
    }
    let json: Json = serde_json::from_str(&fields("json").await).unwrap();
    let count = catalogue::fields(Scope::Host).len() + catalogue::fields(Scope::Gpu).len();
    assert_eq!(json["fields"].as_array().unwrap().len(), count);
    assert_eq!(csv(&fields("csv").await).len(), count);
    assert!(fields("table").await.contains("memory_total_bytes"));
}
