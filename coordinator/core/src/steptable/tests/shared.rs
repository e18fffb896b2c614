//! Devices that shared a series: one answer, and who contributed what.

use super::*;
use crate::{
    steptable::{Row, Verdict},
    sweep::simulator::{run_shared, shared_plan},
};

/// A series that three devices shared, the second slower by a tenth.
fn shared(names: &[&str; 3]) -> Measured {
    let plan = shared_plan(spec("1-64", 120), names);
    let device = |factor: f64| {
        let law = staircase(8);
        Simulator::new(move |size| factor * law(size))
    };
    let (history, end, _) = run_shared(&[device(1.0), device(1.1), device(1.0)], &plan);
    Measured::of(plan, history, end)
}

fn only_row(series: &[&Measured]) -> Row {
    let mut rows = table(series);
    assert_eq!(rows.len(), 1);
    rows.remove(0).row
}

#[test]
fn devices_that_shared_have_one_answer() {
    let row = only_row(&[&shared(&["SIM-a", "SIM-b", "SIM-c"])]);
    assert_eq!((row.verdict, row.step), (Verdict::Step, Some(8.0)));
    assert_eq!(row.devices, ["SIM-a", "SIM-b", "SIM-c"]);
    assert_eq!((row.agreeing_devices, row.answers()), (1, 1));
    assert_eq!(row.representative_device, "SIM-a");
    assert_eq!(row.spread, None, "nothing was measured twice");
    assert!(
        row.reason.contains("3 devices shared the measurement"),
        "{}",
        row.reason
    );
    let shared = row.shared_by();
    let hosts: Vec<&str> = shared.iter().map(|it| it.hostname.as_str()).collect();
    assert_eq!(hosts, ["here", "host of SIM-b", "host of SIM-c"]);
    let pace = shared[1].relative_time.unwrap();
    assert!((pace - 1.1).abs() < 0.01, "{pace}");
    let blocks: u32 = shared.iter().map(|it| it.blocks).sum();
    assert_eq!(blocks, row.blocks);
    let seconds: f64 = shared.iter().map(|it| it.measuring_seconds).sum();
    assert!((seconds - row.measuring_seconds).abs() < 1e-9);
}

#[test]
fn those_who_shared_confirm_another_device_once() {
    let own = Measured::with(
        plan(spec("1-64", 120), "SIM-d"),
        &Simulator::new(staircase(8)),
    );
    let row = only_row(&[&shared(&["SIM-a", "SIM-b", "SIM-c"]), &own]);
    assert_eq!(row.devices.len(), 4);
    assert_eq!((row.agreeing_devices, row.answers()), (2, 2));
    assert!(row.shared_by().is_empty(), "it is not the only measurement");
}

#[test]
fn a_device_that_shared_and_measured_alone_confirms_nothing() {
    let own = Measured::staircase("SIM-b", 8);
    let row = only_row(&[&shared(&["SIM-a", "SIM-b", "SIM-c"]), &own]);
    assert_eq!((row.devices.len(), row.device_answers.len()), (3, 2));
    assert_eq!((row.agreeing_devices, row.answers()), (1, 1));
    assert!(!row.reason.contains("say so"), "{}", row.reason);
    // Two pools with a device in common, and one that is in neither.
    let other = shared(&["SIM-b", "SIM-c", "SIM-d"]);
    let far = Measured::staircase("SIM-e", 8);
    let row = only_row(&[&shared(&["SIM-a", "SIM-b", "SIM-c"]), &other, &far]);
    assert_eq!((row.devices.len(), row.device_answers.len()), (5, 3));
    assert_eq!((row.agreeing_devices, row.answers()), (2, 2));
    assert!(
        row.reason.contains("all 2 devices say so"),
        "{}",
        row.reason
    );
}

#[test]
fn devices_of_different_software_are_to_be_measured_apart() {
    let mut series = shared(&["SIM-a", "SIM-b", "SIM-c"]);
    let rounds = &mut series.history.rounds;
    let measuring = |round: &&mut crate::sweep::RoundRecord| round.round.device_id == "SIM-b";
    for record in rounds.iter_mut().filter(measuring) {
        record.facts.as_mut().unwrap().software.batchstep = Some("another".to_owned());
    }
    // Too little of either software.
    rounds.truncate(5);
    let rows = table(&[&series]);
    assert_eq!(rows.len(), 2);
    for DetailedRow { row, .. } in rows {
        assert_eq!(row.verdict, Verdict::Insufficient);
        assert!(row.reason.contains("other software than"), "{}", row.reason);
        let action = row.next_action.unwrap();
        assert!(action.contains("apart"), "{action}");
    }
}
