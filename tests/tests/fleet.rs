//! Who gets work and when, as an operator sees it: agents that are drained, cordoned and removed, windows, rounds that make room.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt as _,
    time::{SystemTime, UNIX_EPOCH},
};

use batchstep_tests::{Agent, Lab, eventually};
use nix::sys::signal::Signal;
use serde_json::Value;

/// One device with a step of 16, as a file in the lab.
const SIXTEEN: &str = "speed = 'instant'\n[[device]]\nmodel = 'Sixteen'\nscatter = { sigma = 0.002 }\n\
    law = { constant = 0.002, slope = 1e-5, combs = [{ period = 16, jump = 0.001 }] }\n";

/// A second one, which somebody else uses all the time.
const SHARED: &str = "\n[[device]]\nmodel = 'Shared'\nscatter = { sigma = 0.002 }\n\
    law = { constant = 0.002, slope = 1e-5, combs = [{ period = 16, jump = 0.001 }] }\n\
    contention = [{ slowdown = 1.5, foreign_processes = 1 }]\n";

/// A small sweep that is not waited for.
const DETACHED: [&str; 9] = [
    "sweep",
    "run",
    "--detach",
    "--workload",
    "linear",
    "--batch-sizes",
    "1-48",
    "--budget",
    "5m",
];

fn simulate(lab: &Lab, name: &str, text: &str) -> Agent {
    let file = lab.path(&format!("{name}.toml"));
    fs::write(&file, text).expect("a file in the lab's folder");
    lab.start_agent_with(name, &["--simulate", &file.to_string_lossy()])
}

fn agents(lab: &Lab) -> Vec<Value> {
    let list = lab.ask_json(&["agents", "list"]);
    assert_eq!(list["schema_version"], 1);
    list["agents"].as_array().expect("a list").clone()
}

/// The only agent once it is in this state.
fn agent_in(lab: &Lab, state: &str) -> Value {
    eventually(&format!("an agent that is {state}"), || {
        let mut agents = agents(lab);
        agents.retain(|agent| agent["state"] == state);
        agents.pop()
    })
}

fn explanation(lab: &Lab) -> String {
    lab.ask(&["sweep", "show", "last", "--explain"]).stdout
}

fn wait_until_done(lab: &Lab) -> Value {
    eventually("the sweep to be done", || {
        let sweep = lab.ask_json(&["sweep", "show", "last"])["sweep"].clone();
        (sweep["state"] == "done").then_some(sweep)
    })
}

/// A window in UTC that begins and ends so many hours from now.
fn window(from: i64, to: i64) -> String {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("a clock after 1970")
        .as_secs();
    let hour = i64::try_from(now / 3600).expect("a small number");
    let clock = |hours: i64| format!("{:02}:00", (hour + hours).rem_euclid(24));
    format!("{}-{}", clock(from), clock(to))
}

#[test]
fn a_drained_agent_gets_nothing_whatever_restarts() {
    let lab = Lab::new();
    let coordinator = lab.start_coordinator();
    assert!(
        lab.ask(&["agents", "list"])
            .stdout
            .contains("No agents yet")
    );
    let agent = simulate(&lab, "one", SIXTEEN);
    let id = agent_in(&lab, "online")["agent_id"]
        .as_str()
        .expect("an id")
        .to_owned();
    let drain = lab.ask(&["agents", "drain", &id[..13], "--reason", "new fans"]);
    assert!(drain.stderr.contains("is drained"), "{}", drain.stderr);
    agent_in(&lab, "drained");

    coordinator.0.signal(Signal::SIGKILL);
    let coordinator = lab.start_coordinator();
    assert_eq!(agent_in(&lab, "drained")["drain_reason"], "new fans");
    assert!(lab.ask(&DETACHED).status.success());
    let why = explanation(&lab);
    assert!(why.contains("is draining: new fans"), "{why}");
    let list = lab.ask(&["agents", "list"]).stdout;
    assert!(list.contains("drained: new fans"), "{list}");

    assert!(lab.ask(&["agents", "undrain", &id]).status.success());
    wait_until_done(&lab);

    let refused = lab.ask(&["agents", "remove", &id]);
    assert_eq!(refused.code(), 2);
    assert!(
        refused.stderr.contains("is connected"),
        "{}",
        refused.stderr
    );
    agent.0.signal(Signal::SIGTERM);
    assert_eq!(agent.0.finish().code(), 0);
    agent_in(&lab, "unreachable");
    assert!(lab.ask(&DETACHED).status.success());
    let removed = lab.ask(&["agents", "remove", &id]);
    assert_eq!(removed.code(), 0, "{}", removed.stderr);
    assert!(
        removed.stderr.contains("nobody else has their devices: 1."),
        "{}",
        removed.stderr
    );
    let why = explanation(&lab);
    assert!(
        why.contains("was removed, and no other agent offers it"),
        "{why}"
    );
    assert!(agents(&lab).is_empty());
    let unknown = lab.ask(&["agents", "drain", "nobody"]);
    assert_eq!(unknown.code(), 2);
    assert!(
        unknown
            .stderr
            .contains("`batchstep agents list` shows them"),
        "{}",
        unknown.stderr
    );
    coordinator.stop();
}

#[test]
fn a_sweep_waits_for_its_window() {
    let lab = Lab::new();
    let coordinator = lab.start_coordinator();
    let _agent = simulate(&lab, "one", SIXTEEN);
    let within = |times: &str, zone: &str| {
        let mut arguments = DETACHED.to_vec();
        arguments.extend([
            "--only-between",
            times,
            "--time-zone",
            zone,
            "--priority",
            "-3",
        ]);
        lab.ask(&arguments)
    };
    for (times, zone, problem) in [
        ("20:00", "UTC", "20:00-06:00"),
        ("20:00-20:00", "UTC", "is empty"),
        (
            "20:00-06:00",
            "Europe/Atlantis",
            "no time zone \"Europe/Atlantis\"",
        ),
    ] {
        let refused = within(times, zone);
        assert_eq!(refused.code(), 2, "{}", refused.stderr);
        assert!(refused.stderr.contains(problem), "{}", refused.stderr);
    }
    let closed = window(2, 4);
    assert!(within(&closed, "UTC").status.success());
    let why = explanation(&lab);
    assert!(
        why.contains(&format!("between {closed} UTC only; that opens in")),
        "{why}"
    );
    assert!(why.contains("priority -3"), "{why}");
    assert!(within(&window(-2, 3), "UTC").status.success());
    let sweep = wait_until_done(&lab);
    assert_eq!(sweep["priority"], -3);
    coordinator.stop();
}

#[test]
fn a_round_on_idle_devices_only_makes_room() {
    let lab = Lab::new();
    let coordinator = lab.start_coordinator();
    let _agent = simulate(&lab, "one", &format!("{SIXTEEN}{SHARED}"));
    let mut arguments = DETACHED.to_vec();
    arguments.push("--idle-only");
    assert!(lab.ask(&arguments).status.success());
    let sweep = eventually("one device to be done and one to wait", || {
        let sweep = lab.ask_json(&["sweep", "show", "last"])["sweep"].clone();
        let series = sweep["series"].as_array()?;
        let is_done = series.iter().any(|series| series["state"] == "done");
        let waits = series.iter().any(|series| {
            let why = series["explanation"].as_str().unwrap_or_default();
            why.starts_with("waits for an idle device: ")
                && why.contains("another process computes")
        });
        (is_done && waits).then_some(sweep)
    });
    for series in sweep["series"].as_array().expect("a list") {
        let is_shared = series["device_model"] == "Shared";
        assert_eq!(series["blocks"] == 0, is_shared, "{series}");
    }
    assert!(lab.ask(&["sweep", "cancel", "last"]).status.success());
    coordinator.stop();
}

#[test]
fn a_host_whose_workers_cannot_start_is_cordoned() {
    let lab = Lab::new();
    let coordinator = lab.start_coordinator();
    let worker = lab.path("no-worker");
    fs::write(&worker, "#!/bin/sh\nexit 1\n").expect("a file in the lab's folder");
    fs::set_permissions(&worker, fs::Permissions::from_mode(0o755)).expect("it may be run");
    let worker = worker.to_string_lossy();
    let agent = lab.start_agent_with("one", &["--devices", "cpu", "--worker", &worker]);
    let run = lab.ask(&[
        "sweep",
        "run",
        "--detach",
        "--workload",
        "linear",
        "--workload",
        "matmul",
        "--workload",
        "cnn",
    ]);
    assert!(run.status.success(), "{}", run.stderr);
    let cordoned = agent_in(&lab, "cordoned");
    let reason = cordoned["cordon_reason"].as_str().expect("a reason");
    assert!(
        reason.starts_with("5 attempts in a row measured nothing; the last: ")
            && reason.contains("worker"),
        "{reason}"
    );
    // The sweep does not wait for somebody to mend the host.
    let sweep = eventually("the sweep to fail", || {
        let sweep = lab.ask_json(&["sweep", "show", "last"])["sweep"].clone();
        (sweep["state"] == "failed").then_some(sweep)
    });
    assert!(
        sweep
            .to_string()
            .contains("is cordoned: it fails at everything"),
        "{sweep}"
    );
    assert!(lab.ask(&DETACHED).status.success());
    let why = explanation(&lab);
    assert!(why.contains("its agent is cordoned"), "{why}");
    drop(agent);
    coordinator.stop();
}

/// The same device at a speed of its own, slow enough to be watched.
fn of_pace(pace: f64) -> String {
    format!(
        "speed = 4\n[[device]]\nmodel = 'Sixteen'\nscatter = {{ sigma = 0.002 }}\n\
         law = {{ constant = {}, slope = {}, combs = [{{ period = 16, jump = {} }}] }}\n",
        0.002 * pace,
        1e-5 * pace,
        0.001 * pace
    )
}

/// Blocks of the last sweep by device.
fn blocks_by_device(lab: &Lab) -> BTreeMap<String, usize> {
    let csv = lab.ask(&["export", "last", "--format", "csv"]).stdout;
    let mut blocks = BTreeMap::new();
    for line in csv.lines().skip(1) {
        let device = line.split(',').nth(1).expect("a device after the series");
        *blocks.entry(device.to_owned()).or_default() += 1;
    }
    blocks
}

/// Asks for a sweep that all of them share, with more rounds than it takes until something goes wrong.
fn share(lab: &Lab) {
    let run = lab.ask(&[
        "sweep",
        "run",
        "--detach",
        "--workload",
        "linear",
        "--batch-sizes",
        "1-80",
        "--budget",
        "4m",
        "--strategy",
        "dense",
        "--precision",
        "0.0002",
        "--share-across-model",
    ]);
    assert!(run.status.success(), "{}", run.stderr);
}

#[test]
fn devices_of_one_model_share_a_sweep_and_the_loss_of_one_delays_nothing() {
    let lab = Lab::new();
    let coordinator = lab.start_coordinator();
    let paces = [("one", 1.0), ("two", 1.06), ("three", 0.95)];
    let mut started: Vec<Agent> = paces
        .iter()
        .map(|(name, pace)| simulate(&lab, name, &of_pace(*pace)))
        .collect();
    eventually("three agents", || (agents(&lab).len() == 3).then_some(()));
    share(&lab);
    let why = explanation(&lab);
    assert!(why.contains("3 × Sixteen"), "{why}");
    eventually("blocks of all three", || {
        let blocks = blocks_by_device(&lab);
        let all = blocks.len() == 3 && blocks.values().all(|count| *count > 20);
        all.then_some(())
    });

    // One host burns down: it never comes back.
    let lost = started.remove(1);
    lost.0.signal(Signal::SIGKILL);
    let gone = agent_in(&lab, "unreachable");
    let sweep = &lab.ask_json(&["sweep", "show", "last"])["sweep"];
    assert_eq!(sweep["state"], "active", "it was lost in the middle");
    let [series] = sweep["series"].as_array().expect("a list").as_slice() else {
        panic!("one series for all: {sweep}");
    };
    assert_eq!(series["shared_by"].as_array().map(Vec::len), Some(3));
    let id = gone["agent_id"].as_str().expect("an id");
    assert!(lab.ask(&["agents", "remove", id]).status.success());
    wait_until_done(&lab);

    let shown = lab.ask_json(&["sweep", "show", "last"]);
    let row = &shown["rows"][0];
    assert_eq!(row["verdict"], "step", "{row}");
    assert_eq!(row["step"], 16.0, "{row}");
    assert_eq!(row["agreeing_devices"], 1, "one measurement, one answer");
    let blocks = blocks_by_device(&lab);
    let devices: Vec<&str> = blocks.keys().map(String::as_str).collect();
    assert_eq!(row["devices"], serde_json::json!(devices));
    let sharers = row["device_answers"][0]["shared_by"]
        .as_array()
        .expect("a list");
    for sharer in sharers {
        let device = sharer["device"].as_str().expect("an id");
        assert_eq!(sharer["blocks"], blocks[device], "{row}");
    }
    let times: Vec<f64> = sharers
        .iter()
        .filter_map(|sharer| sharer["relative_time"].as_f64())
        .collect();
    let (fastest, slowest) = times.iter().fold((f64::MAX, 0.0_f64), |(low, high), time| {
        (low.min(*time), high.max(*time))
    });
    assert!(
        (slowest / fastest / (1.06 / 0.95) - 1.0).abs() < 0.02,
        "{times:?}"
    );
    let table = lab.ask(&["sweep", "show", "last"]).stdout;
    assert!(table.contains("shared by 3 devices"), "{table}");
    coordinator.stop();
}

/// Why one of the devices of the last sweep's only series takes no further part; empty while all do.
fn departure(lab: &Lab) -> String {
    let shown = lab.ask_json(&["sweep", "show", "last"]);
    let devices = &shown["sweep"]["series"][0]["shared_by"];
    let devices = devices.as_array().expect("a list");
    let reasons = devices.iter().filter_map(|it| it["explanation"].as_str());
    let mut reasons = reasons.filter(|reason| reason.starts_with("takes no further part: "));
    reasons.next().unwrap_or_default().to_owned()
}

#[test]
fn one_broken_host_of_three_leaves_a_shared_sweep_and_the_others_finish_it() {
    let lab = Lab::new();
    let coordinator = lab.start_coordinator();
    let dies = of_pace(1.0) + "faults = { killed_every = 1 }\n";
    let texts = [
        ("one", of_pace(1.0)),
        ("two", dies),
        ("three", of_pace(0.97)),
    ];
    let agents: Vec<Agent> = texts
        .iter()
        .map(|(name, text)| simulate(&lab, name, text))
        .collect();
    eventually("three agents", || {
        (self::agents(&lab).len() == 3).then_some(())
    });
    share(&lab);
    let reason = eventually("the broken one to leave", || {
        Some(departure(&lab)).filter(|reason| !reason.is_empty())
    });
    assert!(
        reason.contains(": 3 rounds in a row ended without a single block: "),
        "{reason}"
    );
    // It does not come back with the coordinator.
    coordinator.stop();
    let coordinator = lab.start_coordinator();
    let why = explanation(&lab);
    assert!(why.contains(&reason), "{why}");
    wait_until_done(&lab);

    assert_eq!(
        departure(&lab),
        reason,
        "it is told of the ended sweep, too"
    );
    let blocks = blocks_by_device(&lab);
    let shown = lab.ask_json(&["sweep", "show", "last"]);
    let row = &shown["rows"][0];
    assert_eq!(
        (&row["verdict"], &row["step"]),
        (&"step".into(), &16.0.into())
    );
    let devices: Vec<&str> = blocks.keys().map(String::as_str).collect();
    assert_eq!(row["devices"], serde_json::json!(devices));
    assert_eq!(devices.len(), 2);
    let said = row["reason"].as_str().expect("a reason");
    assert!(said.contains(&reason), "{said}");
    drop(agents);
    coordinator.stop();
}
