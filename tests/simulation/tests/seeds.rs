//! A few worlds on every change; `make simulate` runs thousands.

#![allow(clippy::unwrap_used)]

use std::{
    process::{Child, Command, Output, Stdio},
    thread,
};

/// So many that they take seconds, not minutes.
const SEEDS: &str = "4";
/// One with faults of many kinds.
const STORMY: &str = "2";

fn simulation(arguments: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_batchstep-simulation"))
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn every_rule_is_kept_in_a_few_worlds() {
    let campaign = simulation(&["campaign", "--seeds", SEEDS]);
    let output = campaign.wait_with_output().unwrap();
    let told = text(&output);
    assert!(output.status.success(), "{told}");
    assert!(told.contains(&format!("{SEEDS} seeds, 0 failed")), "{told}");
}

#[test]
fn a_seed_is_the_same_to_the_last_event_when_it_is_run_again() {
    // At the same time, so that each disturbs the real time of the other.
    let runs = [(); 2].map(|()| simulation(&["seed", STORMY, "--trace"]));
    let outputs = runs.map(|run| thread::spawn(move || run.wait_with_output().unwrap()));
    let [first, second] = outputs.map(|output| output.join().unwrap());
    assert!(first.status.success(), "{}", text(&first));
    assert!(
        text(&first).lines().count() > 100,
        "nothing happened: {}",
        text(&first)
    );
    assert_eq!(text(&first), text(&second));
}
