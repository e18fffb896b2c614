//! The file of simulated devices: what it says, what it may not say, and that nothing in it brings the program down.

// A test that meets a state it does not expect must fail, in helpers too.
#![allow(clippy::unwrap_used)]

mod anything;

use std::{io, path::Path, time::Duration};

use batchstep_proto::{
    domain::{Dtype, Mode, Round, RoundKind, Timing, Visit, VisitRole},
    ids::{RoundId, SeriesId, SweepId},
};
use batchstep_simulated::{Event, Simulation, Speed, Timings as _};

const EXAMPLE: &str = include_str!("../../../../docs/examples/simulated.toml");

/// What any recording holds in these tests.
const RECORDING: &str = "batch_size,seconds\n1,0.010\n2,0.020\n4,0.030\n";

#[test]
fn a_file_without_an_end_is_not_read_to_its_end() {
    for (file, problem) in [
        ("/dev/zero", "holds more than 256 MiB"),
        ("/nonexistent/devices.toml", "No such file"),
    ] {
        let error = Simulation::read(Path::new(file)).unwrap_err().to_string();
        assert!(
            error.starts_with("cannot read the simulated devices of ")
                && error.contains(file)
                && error.contains(problem),
            "{error}"
        );
    }
}

fn parse(text: &str) -> Result<Simulation, String> {
    let read = |path: &Path| {
        if path == Path::new("lab/recorded.csv") {
            Ok(RECORDING.to_owned())
        } else {
            Err(io::Error::from(io::ErrorKind::NotFound))
        }
    };
    Simulation::parse(Path::new("lab/devices.toml"), text, read).map_err(|error| error.to_string())
}

fn round(workload: &str, batch_sizes: &[u32]) -> Round {
    let sweep: SweepId = "0190d3a0-0000-7000-8000-000000000001".parse().unwrap();
    let series = SeriesId::of(sweep, "SIM-1", workload);
    Round {
        id: RoundId::of(series, 0),
        series,
        sweep,
        device_id: "SIM-1".to_owned(),
        index: 0,
        kind: RoundKind::Measure,
        workload: workload.parse().unwrap(),
        mode: Mode::Train,
        dtype: Dtype::F32,
        threads: None,
        seed: 7,
        reference_batch_size: batch_sizes.first().copied(),
        visits: batch_sizes
            .iter()
            .map(|&batch_size| Visit {
                batch_size,
                role: VisitRole::Measure,
                iterations: None,
            })
            .collect(),
        timing: Timing::protocol(true),
        time_limit: Duration::from_secs(600),
        idle_only: false,
    }
}

#[test]
fn the_example_of_the_guide_says_what_its_comments_say() {
    let simulation = parse(EXAMPLE).unwrap();
    assert_eq!(simulation.speed, Speed::Instant);
    let models: Vec<&str> = simulation
        .devices
        .iter()
        .map(|device| device.model.as_str())
        .collect();
    assert_eq!(
        models,
        [
            "Sixteen",
            "Sixteen",
            "Fractional",
            "Straight",
            "Hot",
            "Shared",
            "Fragile"
        ]
    );
    let times = |device: usize, workload: &str, batch_size: u32| {
        let round = round(workload, &[1]);
        simulation.devices[device]
            .laws
            .iteration(&round, batch_size, Duration::ZERO)
            .unwrap()
            .seconds
    };
    // Siblings differ a little, and by no more than they may.
    let apart = times(0, "cnn", 8) / times(1, "cnn", 8) - 1.0;
    assert!(apart.abs() > 1e-5 && apart.abs() < 0.01, "{apart}");
    assert!(times(0, "cnn", 17) / times(0, "cnn", 16) > 1.1);
    assert!(times(0, "linear:inputs=64", 5) / times(0, "linear:inputs=64", 4) > 1.1);
    assert_ne!(simulation.devices[0].seed, simulation.devices[1].seed);
}

#[test]
fn a_workload_is_found_by_its_spec_before_its_name() {
    let text = "[[device]]\nmodel = 'A'\n\
        [[device.workload]]\nname = 'linear'\nlaw = { constant = 1.0 }\n\
        [[device.workload]]\nname = 'linear:outputs=64,inputs=128'\nlaw = { constant = 2.0 }\n";
    let simulation = parse(text).unwrap();
    let seconds = |workload: &str| {
        simulation.devices[0]
            .laws
            .iteration(&round(workload, &[1]), 1, Duration::ZERO)
            .map(|one| one.seconds)
    };
    assert_eq!(seconds("linear"), Ok(1.0));
    assert_eq!(seconds("linear:inputs=128,outputs=64"), Ok(2.0));
    let error = seconds("cnn").unwrap_err();
    assert!(
        error.contains("no law for cnn; it has: linear, linear:inputs=128,outputs=64"),
        "{error}"
    );
}

#[test]
fn a_recording_is_followed_and_nothing_beyond_it_is_made_up() {
    let simulation = parse("[[device]]\nmodel = 'A'\nrecorded = 'recorded.csv'\n").unwrap();
    let mut machine = simulation.devices[0].machine();
    let steps = machine.run(&round("linear", &[1, 3, 8]));
    let told: Vec<String> = steps
        .iter()
        .filter_map(|step| match &step.event {
            Event::Block(block) => Some(format!("{:.3}", block.seconds_per_iteration())),
            Event::Failure(failure) => Some(failure.message.clone()),
            _ => None,
        })
        .collect();
    assert_eq!(
        told,
        [
            "0.010",
            "0.025",
            "simulated: lab/recorded.csv says nothing of batch size 8; recorded are 1 to 4"
        ]
    );
}

#[test]
fn launching_shows_on_the_devices_own_clock() {
    let text =
        "[[device]]\nmodel = 'A'\ndevice_clock = true\nlaw = { slope = 0.001, floor = 0.010 }\n";
    let simulation = parse(text).unwrap();
    let one = |batch_size| {
        simulation.devices[0]
            .laws
            .iteration(&round("cnn", &[1]), batch_size, Duration::ZERO)
            .unwrap()
    };
    assert_eq!(
        (one(2).seconds, one(2).device_seconds),
        (0.010, Some(0.002))
    );
    assert_eq!(
        (one(20).seconds, one(20).device_seconds),
        (0.020, Some(0.020))
    );
}

#[test]
fn speeds_are_factors_or_words() {
    let speed = |text: &str| {
        parse(&format!(
            "speed = {text}\n[[device]]\nmodel = 'A'\nlaw = {{ constant = 1.0 }}\n"
        ))
        .map(|simulation| simulation.speed)
    };
    assert_eq!(speed("50.0"), Ok(Speed::Times(50.0)));
    assert_eq!(speed("2"), Ok(Speed::Times(2.0)));
    assert_eq!(speed("1"), Ok(Speed::Real));
    assert_eq!(speed("'instant'"), Ok(Speed::Instant));
    for wrong in ["0.5", "nan", "'fast'", "true", "-1"] {
        let error = speed(wrong).unwrap_err();
        assert!(
            error.contains("a factor from 1 (real time) to 1000000, or \"instant\""),
            "{error}"
        );
        assert!(error.contains("line 1"), "{error}");
    }
}

/// What is wrong with a device of these lines.
fn wrong(lines: &str) -> String {
    let error = parse(&format!("[[device]]\nmodel = 'A'\n{lines}\n")).unwrap_err();
    error
        .strip_prefix("lab/devices.toml: ")
        .unwrap_or_else(|| panic!("the file is named: {error}"))
        .to_owned()
}

#[test]
fn what_is_wrong_is_named_with_its_place_and_what_is_allowed() {
    let law = "law = { constant = 1.0 }\n";
    for (lines, error) in [
        (
            "",
            "device[0]: has no times; give it one of `law`, `class` and `recorded`, or a [[device.workload]] that has",
        ),
        (
            "law = { constant = 1.0 }\nclass = 'flat'",
            "device[0]: has more than one of `law`, `class` and `recorded`",
        ),
        (
            "law = { constant = 1.0 }\nseed = 3",
            "device[0].seed: draws the law of a `class`, and there is none",
        ),
        (
            "law = { slope = -1.0, constant = 2.5 }",
            "device[0].law: at batch size 3 the law gives 0 s: an iteration takes a time above 0",
        ),
        (
            "law = { constant = 1.0, combs = [{ period = 0.5, jump = 1.0 }] }",
            "device[0].law: combs[0].period = 0.5: a round holds at least one sample",
        ),
        (
            "recorded = 'other.csv'",
            "device[0].recorded: lab/other.csv cannot be read: entity not found",
        ),
        (
            "recorded = 'recorded.csv'\nseries = 'ab'",
            "device[0].recorded: lab/recorded.csv has no column series_id, so that all of it is one series: leave `series` out",
        ),
    ] {
        assert_eq!(wrong(lines), error);
    }
    for (lines, error) in [
        (
            "count = 0",
            "device[0].count: is 0; a whole number from 1 to 256",
        ),
        (
            "spread = 0.9",
            "device[0].spread: is 0.9; a number from 0 to 0.5",
        ),
        (
            "compute_units = 0",
            "device[0].compute_units: is 0; a whole number from 1 to 1048576",
        ),
        (
            "scatter = { sigma = 3.0 }",
            "device[0].scatter: sigma = 3: a share from 0 to 1",
        ),
        (
            "scatter = { drift = 0.1 }",
            "device[0].scatter: drift needs drift_seconds, the time of one swing, above 0",
        ),
        (
            "memory = { total_bytes = 5, idle_bytes = 5, bytes_per_sample = 1 }",
            "device[0].memory: total_bytes must be above idle_bytes",
        ),
        (
            "throttling = [{ slowdown = 0.5 }]",
            "device[0].throttling[0]: slowdown is 0.5; a number from 1 to 1000",
        ),
        (
            "throttling = [{}, { every_seconds = 5 }]",
            "device[0].throttling[1]: every_seconds needs lasts_seconds: how long it is so each time",
        ),
        (
            "contention = [{ lasts_seconds = 9, every_seconds = 5 }]",
            "device[0].contention[0]: lasts_seconds is 9; at most every_seconds, which is 5",
        ),
        (
            "faults = { crashes_at = [0] }",
            "device[0].faults: crashes_at is 0; a whole number from 1 to 1048576",
        ),
        (
            "[[device.workload]]\nname = 'lineal'\nlaw = { constant = 1.0 }",
            "device[0].workload[0].name: is no workload: ",
        ),
        (
            "[[device.workload]]\nname = 'linear'",
            "device[0].workload[0]: has no times; give it one of `law`, `class` and `recorded`",
        ),
    ] {
        let said = wrong(&format!("{law}{lines}"));
        assert!(said.starts_with(error), "{said}\n{error}");
    }
    assert!(
        wrong("class = 'stairs'")
            .starts_with("device[0].class: is \"stairs\"; one of: staircase, ")
    );
}

#[test]
fn unknown_fields_and_wrong_types_are_named_with_their_line() {
    for (lines, needles) in [
        ("laws = 3", ["line 3", "unknown field `laws`"]),
        (
            "law = { constnat = 3 }",
            ["line 3", "unknown field `constnat`"],
        ),
        ("count = -1", ["line 3", "u32"]),
        ("count = 'two'", ["line 3", "expected u32"]),
    ] {
        let said = wrong(lines);
        assert!(needles.iter().all(|needle| said.contains(needle)), "{said}");
    }
    assert_eq!(
        parse("").unwrap_err(),
        "lab/devices.toml: device: there is none; begin one with the line [[device]]"
    );
    let many = "[[device]]\nmodel = 'A'\ncount = 200\nlaw = { constant = 1.0 }\n".repeat(2);
    assert_eq!(
        parse(&many).unwrap_err(),
        "lab/devices.toml: device: an agent offers at most 256 devices"
    );
}
