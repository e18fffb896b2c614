//! A backup of a coordinator that is at work, and what becomes of its agents once it is used.

use std::{collections::BTreeSet, fs, path::PathBuf};

use batchstep_tests::{Agent, Lab, Process, binaries::scripted_worker, eventually};
use nix::sys::signal::Signal;

fn agent(lab: &Lab) -> Agent {
    let worker = scripted_worker();
    let worker = worker.to_str().unwrap();
    lab.start_agent_with("agent", &["--devices", "cpu", "--worker", worker])
}

/// Starts a sweep and comes back; the worker follows a script of this number.
fn submit(lab: &Lab, script: &str, budget: &str) {
    let workload = format!("linear:outputs={script}");
    let asked = lab.ask(&[
        "sweep",
        "run",
        "--detach",
        "--workload",
        &workload,
        "--batch-sizes",
        "1-4",
        "--budget",
        budget,
    ]);
    assert_eq!(asked.code(), 0, "{}", asked.stderr);
}

/// Every timed block, without the numbers that later blocks change.
fn blocks(csv: &str) -> BTreeSet<Vec<String>> {
    let mut lines = csv.lines();
    let Some(header) = lines.next() else {
        return BTreeSet::new();
    };
    let names: Vec<&str> = header.split(',').collect();
    let keep = |name: &str| !matches!(name, "corrected_seconds" | "flags");
    lines
        .map(|line| {
            let cells = line.split(',').zip(&names);
            cells
                .filter(|(_, name)| keep(name))
                .map(|(cell, _)| cell.to_owned())
                .collect()
        })
        .collect()
}

fn measured(lab: &Lab) -> BTreeSet<Vec<String>> {
    blocks(&lab.ask(&["export", "last", "--format", "csv"]).stdout)
}

fn back_up(lab: &Lab) {
    let made = Process::run(
        "batchstep backup",
        &mut lab.batchstep(&["backup", "--data-dir", "data", "--to", "copy"]),
    );
    assert_eq!(made.code(), 0, "{}", made.stderr);
    assert!(
        made.stdout.contains("batchstep restore --from copy"),
        "{}",
        made.stdout
    );
}

fn restore(lab: &Lab) {
    let arguments = ["restore", "--from", "copy", "--data-dir", "restored"];
    let made = Process::run("batchstep restore", &mut lab.batchstep(&arguments));
    assert_eq!(made.code(), 0, "{}", made.stderr);
}

/// Ends a process as a host that burns down does.
fn lose(process: Process) {
    process.signal(Signal::SIGKILL);
    let _ = process.finish();
}

#[test]
fn a_sweep_goes_on_from_a_backup_of_its_coordinator() {
    let lab = Lab::new();
    let coordinator = lab.start_coordinator();
    let _agent = agent(&lab);
    submit(&lab, "4", "20s");
    eventually("a block", || (!measured(&lab).is_empty()).then_some(()));
    back_up(&lab);
    let later = measured(&lab);
    lose(coordinator.0);

    restore(&lab);
    let offline = lab.batchstep(&[
        "export",
        "last",
        "--data-dir",
        "restored",
        "--format",
        "csv",
    ]);
    let kept = blocks(&Process::run("batchstep export", &mut { offline }).stdout);
    assert!(
        !kept.is_empty() && kept.is_subset(&later),
        "{kept:?}\n{later:?}"
    );
    let _restored = lab.start_coordinator_on("restored");
    eventually("the sweep's end", || {
        let sweeps = lab.ask_json(&["sweep", "list"]);
        let state = sweeps["sweeps"][0]["state"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        assert!(["active", "done"].contains(&state.as_str()), "{sweeps}");
        (state == "done").then_some(())
    });
    let end = measured(&lab);
    assert!(kept.is_subset(&end) && kept.len() < end.len());
}

/// The coordinator that comes back knows neither the sweep nor the round that the agent works on.
#[test]
fn what_a_backup_does_not_know_is_kept_in_quarantine() {
    let lab = Lab::new();
    let coordinator = lab.start_coordinator();
    let agent = agent(&lab);
    back_up(&lab);
    // A worker that hangs in the middle of its round, with a block measured.
    submit(&lab, "2", "20s");
    eventually("a worker", || Lab::workers_of(&agent.0).first().copied());
    lose(coordinator.0);

    restore(&lab);
    let _restored = lab.start_coordinator_on("restored");
    eventually("the report", || {
        let metrics = lab.get("/metrics")?;
        let quarantined = "batchstep_reports_total{disposition=\"quarantined\"}";
        let line = metrics.lines().find(|line| line.starts_with(quarantined))?;
        (!line.ends_with(" 0")).then_some(())
    });
    let sweeps = lab.ask_json(&["sweep", "list"]);
    assert_eq!(sweeps["sweeps"].as_array().unwrap().len(), 0, "{sweeps}");
}

fn refused(lab: &Lab, arguments: &[&str], said: &[&str]) {
    let end = Process::run("batchstep", &mut lab.batchstep(arguments));
    assert_eq!(end.code(), 3, "{arguments:?}: {}", end.stderr);
    for word in said {
        assert!(end.stderr.contains(word), "{arguments:?}: {}", end.stderr);
    }
}

#[test]
fn nothing_is_overwritten_and_nothing_damaged_is_used() {
    let lab = Lab::new();
    lab.start_coordinator().stop();
    let files = |name: &str| -> Vec<PathBuf> {
        let entries = fs::read_dir(lab.path(name)).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    };
    let backup = ["backup", "--data-dir", "data", "--to", "copy"];
    let restore = ["restore", "--from", "copy", "--data-dir", "restored"];
    fs::create_dir(lab.path("other")).unwrap();
    refused(
        &lab,
        &["backup", "--data-dir", "other", "--to", "copy"],
        &["other", "coordinator.db"],
    );
    refused(&lab, &restore, &["copy", "coordinator.db"]);
    back_up(&lab);
    refused(&lab, &backup, &["copy exists", "overwritten"]);
    assert!(!files("copy").iter().any(|path| path.ends_with("lock")));
    refused(
        &lab,
        &["restore", "--from", "copy", "--data-dir", "data"],
        &["data exists", "overwritten"],
    );

    let database = lab.path("copy/coordinator.db");
    let whole = fs::read(&database).unwrap();
    fs::write(&database, &whole[..whole.len() / 2]).unwrap();
    refused(&lab, &restore, &["coordinator.db"]);
    fs::write(&database, &whole).unwrap();
    let model = lab
        .path("copy/models")
        .join(format!("{}.pt", "0".repeat(64)));
    fs::write(&model, "not what its name says").unwrap();
    refused(&lab, &restore, &["0000.pt", "damaged"]);
    assert!(!lab.path("restored").exists() && !lab.path("restored.partial").exists());
    fs::remove_file(model).unwrap();
    // A service manager may have made the folder.
    fs::create_dir(lab.path("restored")).unwrap();
    self::restore(&lab);
    lab.start_coordinator_on("restored").stop();
}
