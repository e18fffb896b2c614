//! Simulated devices as a person uses them: a file, real processes, and rows whose answer is known and that say everywhere what they are.

use std::fs;

use batchstep_tests::{Agent, Finished, Lab, Process, binaries::root};
use serde_json::Value;

/// One device with a step of 16, as a file in the lab.
const SIXTEEN: &str = "speed = 'instant'\n[[device]]\nmodel = 'Sixteen'\nscatter = { sigma = 0.002 }\n\
    law = { constant = 0.002, slope = 1e-5, combs = [{ period = 16, jump = 0.001 }] }\n";

fn rows(table: &Value) -> &Vec<Value> {
    assert_eq!(table["schema_version"], 1);
    table["rows"].as_array().expect("rows are a list")
}

fn only_row(table: &Value) -> &Value {
    let [row] = rows(table).as_slice() else {
        panic!("one row expected: {table}")
    };
    row
}

fn row_of<'a>(table: &'a Value, model: &str) -> &'a Value {
    rows(table)
        .iter()
        .find(|row| row["device_model"] == model)
        .unwrap_or_else(|| panic!("no row of {model}: {table}"))
}

fn simulate(lab: &Lab, name: &str, text: &str) -> Agent {
    let file = lab.path(&format!("{name}.toml"));
    fs::write(&file, text).expect("a file in the lab's folder");
    lab.start_agent_with(name, &["--simulate", &file.to_string_lossy()])
}

fn local(lab: &Lab, file: &str, arguments: &[&str]) -> Finished {
    let usual = ["local", "--format", "json", "--simulate", file];
    Process::run(
        "batchstep local",
        &mut lab.batchstep(&[&usual[..], arguments].concat()),
    )
}

#[test]
fn a_law_gives_its_step_and_the_row_says_that_nothing_was_measured() {
    let lab = Lab::new();
    let coordinator = lab.start_coordinator();
    let _agent = simulate(&lab, "one", SIXTEEN);
    let run = ["sweep", "run", "--workload", "linear", "--batch-sizes"];
    let table = lab.ask_json(&[&run[..], &["1-80", "--budget", "10m"]].concat());
    let row = only_row(&table);
    assert_eq!(row["verdict"], "step", "{row}");
    assert_eq!(row["step"], 16.0, "{row}");
    assert_eq!(row["device_kind"], "simulated");
    assert_eq!(row["software"]["libtorch"], Value::Null);
    let id = row["devices"][0].as_str().expect("an id").to_owned();
    assert!(id.starts_with("SIM-"), "{id}");

    // The table of real devices stays clean, and says what it leaves out.
    let hidden = lab.ask(&["table"]);
    assert!(!hidden.stdout.contains("Sixteen"), "{}", hidden.stdout);
    assert!(
        hidden
            .stderr
            .contains("Not shown: 1 row of simulated devices; --simulated shows them."),
        "{}",
        hidden.stderr
    );
    let shown = lab.ask(&["table", "--simulated", "--format", "markdown"]);
    assert!(
        shown.stdout.contains("Sixteen (simulated)"),
        "{}",
        shown.stdout
    );
    let sweep = lab.ask(&["sweep", "show", "last", "--explain"]).stdout;
    assert_eq!(
        sweep.matches("Sixteen (simulated)").count(),
        sweep.matches("Sixteen").count()
    );
    let sweep = lab.ask_json(&["sweep", "show", "last"]);
    assert_eq!(
        sweep["sweep"]["series"][0]["device_kind"], "simulated",
        "{sweep}"
    );

    // A second agent with the same file offers a sibling; either can be named alone.
    let _sibling = simulate(&lab, "two", SIXTEEN);
    let again = [&run[..], &["1-40", "--budget", "2m", "--devices", &id]].concat();
    assert_eq!(
        only_row(&lab.ask_json(&again))["devices"],
        serde_json::json!([id])
    );
    let both = lab.ask_json(&[&run[..], &["1-80", "--budget", "10m"]].concat());
    assert_eq!(only_row(&both)["agreeing_devices"], 2);
    coordinator.stop();
}

#[test]
fn the_example_is_answered_as_its_comments_say_and_marked_in_every_file() {
    let lab = Lab::new();
    let example = root().join("docs/examples/simulated.toml");
    let end = local(
        &lab,
        &example.to_string_lossy(),
        &[
            "--workload",
            "cnn",
            "--batch-sizes",
            "1-100",
            "--budget",
            "10m",
            "--output",
            "report",
        ],
    );
    // Not every question is answered: some devices are disturbed.
    assert_eq!(end.code(), 3, "{}", end.stderr);
    let table = end.json();
    let verdict = |model: &str| row_of(&table, model)["verdict"].clone();
    assert_eq!(verdict("Sixteen"), "step");
    assert_eq!(row_of(&table, "Sixteen")["step"], 16.0);
    assert_eq!(row_of(&table, "Sixteen")["agreeing_devices"], 2);
    assert_eq!(verdict("Fractional"), "step");
    assert_eq!(verdict("Straight"), "no_step");
    assert_eq!(verdict("Hot"), "throttled");
    assert_eq!(verdict("Shared"), "contended");
    // The batch size that kills its worker and the one that fails are left out; the rest is answered.
    let fragile = row_of(&table, "Fragile");
    assert_eq!(
        (&fragile["verdict"], &fragile["batch_sizes_measured"]),
        (&"step".into(), &98.into()),
        "{fragile}"
    );

    let checked = Process::run(
        "check_report.py",
        std::process::Command::new("python3")
            .arg(root().join("scripts/check_report.py"))
            .arg(lab.path("report")),
    );
    assert_eq!(checked.code(), 0, "{}", checked.stderr);
    let read = |name: &str| {
        fs::read_to_string(lab.path("report").join(name))
            .unwrap_or_else(|error| panic!("{name}: {error}"))
    };
    assert!(read("table.md").contains("Sixteen (simulated)"));
    assert!(read("table.csv").contains("Sixteen,simulated,"));
    assert!(read("blocks.csv").contains("Sixteen,simulated,"));
    assert!(read("report.html").contains("Sixteen (simulated)"));
    let plots = fs::read_dir(lab.path("report/plots")).expect("plots");
    for plot in plots.flatten() {
        let text = fs::read_to_string(plot.path()).expect("a plot is a file");
        assert!(text.contains("(simulated)"), "{}", plot.path().display());
    }
    // Apart from what was measured on this machine.
    assert!(lab.path(".local/share/batchstep-simulated").is_dir());
    assert!(!lab.path(".local/share/batchstep").exists());
}

#[test]
fn a_file_that_cannot_be_simulated_is_the_callers_mistake() {
    let lab = Lab::new();
    for (file, law) in [("wrong", "constant = -1.0"), ("malformed", "slop = 1.0")] {
        let text = format!("[[device]]\nmodel = 'A'\nlaw = {{ {law} }}\n");
        fs::write(lab.path(&format!("{file}.toml")), text).expect("a file");
    }
    for (file, problem) in [
        ("wrong.toml", "wrong.toml: device[0].law: "),
        (
            "malformed.toml",
            "malformed.toml: TOML parse error at line 3",
        ),
        (
            "absent.toml",
            "cannot read the simulated devices of absent.toml",
        ),
    ] {
        let end = local(&lab, file, &["--workload", "linear"]);
        assert_eq!(end.code(), 2, "{}", end.stderr);
        assert!(end.stderr.contains(problem), "{}", end.stderr);
        assert!(end.stdout.is_empty(), "{}", end.stdout);
        // Nothing was begun.
        assert!(!lab.path(".local").exists() && !lab.path("batchstep-report").exists());
        let file = ["--state-dir", "state", "--simulate", file];
        let nowhere = ["run", "--coordinator", "http://127.0.0.1:1"];
        let end = Process::run(
            "batchstep-agent run",
            &mut lab.agent_command(&[&nowhere[..], &file].concat()),
        );
        assert_eq!(end.code(), 2, "{}", end.stderr);
        assert!(end.stderr.contains(problem), "{}", end.stderr);
    }
}

#[test]
fn a_recording_stands_in_for_the_device_that_it_was_made_on() {
    let lab = Lab::new();
    fs::write(lab.path("law.toml"), SIXTEEN).expect("a file");
    let sweep = [
        "--workload",
        "linear",
        "--batch-sizes",
        "1-80",
        "--budget",
        "10m",
    ];
    let first = local(
        &lab,
        "law.toml",
        &[&sweep[..], &["--output", "report"]].concat(),
    );
    assert_eq!(first.code(), 0, "{}", first.stderr);

    let recorded = "speed = 'instant'\n[[device]]\nmodel = 'Tape'\nrecorded = 'report/blocks.csv'\nscatter = { sigma = 0.002 }\n";
    fs::write(lab.path("tape.toml"), recorded).expect("a file");
    let again = local(
        &lab,
        "tape.toml",
        &[&sweep[..], &["--output", "again"]].concat(),
    );
    let (first, again) = (first.json(), again.json());
    let (law, tape) = (only_row(&first), only_row(&again));
    assert_eq!(
        (&tape["verdict"], &tape["step"]),
        (&law["verdict"], &law["step"])
    );
    assert_eq!(tape["step"], 16.0);

    // What was not recorded is not made up.
    let beyond = [
        "--workload",
        "linear",
        "--batch-sizes",
        "70-90",
        "--output",
        "beyond",
    ];
    let beyond = local(&lab, "tape.toml", &beyond).json();
    assert_eq!(only_row(&beyond)["batch_sizes_measured"], 11, "{beyond}");
}
