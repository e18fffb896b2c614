//! S0: what is told when something beside the device changes.

use batchstep_judge::{
    Kind, Reason,
    replay::{Part, alarms},
};

use crate::{
    LAB, of_series,
    simulator::{Happening, What, World, group, series},
    told, told_by,
};

#[test]
fn a_driver_that_changes_nothing_is_quiet() {
    let whole = Happening::new(40, 0, None, What::Driver(0.0));
    let one = Happening::new(42, 1, Some(3), What::Driver(0.0));
    assert_eq!(told(&[whole, one], 3, 70), []);
}

#[test]
fn a_driver_that_makes_a_model_slower_is_told_once_the_same_night() {
    let slower = Happening::new(40, 0, None, What::Driver(0.08));
    let mut world = World::new(LAB, 3);
    assert_eq!(told_by(&mut world, &[slower], 39), []);
    let judgement = world.next(&[slower]);
    let told: Vec<_> = alarms(&judgement).collect();
    assert_eq!(told.len(), 1);
    let (of, verdict) = &told[0];
    assert_eq!(
        (of, verdict.kind),
        (&Part::Group(group(0)), Kind::ChangedWithEnvironment)
    );
    assert_eq!(verdict.changes[0].to_string(), "driver 580.0 -> 580.1");
    assert!((verdict.numbers.shift.unwrap() - 0.077).abs() < 0.02);
    assert!(verdict.numbers.steps.is_some());
    assert_eq!(told_by(&mut world, &[slower], 70), []);
}

#[test]
fn a_driver_that_makes_one_device_slower_is_told_once_the_same_night() {
    let slower = Happening::new(40, 1, Some(3), What::Driver(0.10));
    let told = told(&[slower], 3, 70);
    assert_eq!(told, [(40, of_series(1, 3), Kind::ChangedWithEnvironment)]);
}

#[test]
fn a_driver_that_moves_the_step_is_told() {
    let all = [
        Happening::new(40, 1, Some(3), What::Driver(0.0)),
        Happening::new(40, 1, Some(3), What::Step(24.0)),
    ];
    let told = told(&all, 3, 43);
    assert_eq!(told, [(40, of_series(1, 3), Kind::ChangedWithEnvironment)]);
}

#[test]
fn a_slowdown_of_the_night_before_is_told_with_the_change_and_with_its_own_night() {
    let all = [
        Happening::new(39, 1, Some(3), What::Slower(0.12)),
        Happening::new(40, 1, Some(3), What::Driver(0.0)),
    ];
    let mut world = World::new(LAB, 3);
    assert_eq!(told_by(&mut world, &all, 39), []);
    let judgement = world.next(&all);
    let told: Vec<_> = alarms(&judgement).collect();
    assert_eq!(told.len(), 1);
    let verdict = told[0].1;
    assert_eq!(
        (verdict.kind, verdict.reason),
        (Kind::ChangedWithEnvironment, Reason::HitBeforeChange)
    );
    assert_eq!(verdict.numbers.since, Some(39));
    assert_eq!(told_by(&mut world, &all, 70), []);
}

#[test]
fn a_device_that_returns_with_another_driver_is_compared_with_before() {
    let all = [
        Happening::new(38, 1, Some(3), What::Lost).until(44),
        Happening::new(40, 1, Some(3), What::Driver(0.12)),
    ];
    let mut world = World::new(LAB, 3);
    assert_eq!(told_by(&mut world, &all, 43).len(), 1, "lost");
    let judgement = world.next(&all);
    let told: Vec<_> = alarms(&judgement)
        .map(|(_, verdict)| verdict.kind)
        .collect();
    assert_eq!(told, [Kind::ChangedWithEnvironment]);
    let is_back = judgement
        .devices
        .values()
        .any(|verdict| verdict.reason == Reason::Returned);
    assert!(is_back);
}

#[test]
fn an_open_slowdown_outlasts_a_change_of_driver_and_is_told_once() {
    let all = [
        Happening::new(40, 1, Some(3), What::Slower(0.12)).until(50),
        Happening::new(45, 1, Some(3), What::Driver(0.0)),
    ];
    let mut world = World::new(LAB, 3);
    let told = told_by(&mut world, &all, 49);
    assert_eq!(told, [(41, of_series(1, 3), Kind::Confirmed)]);
    assert!(world.books.series[&series(1, 3)].alarm.is_some());
    assert_eq!(told_by(&mut world, &all, 70), []);
    assert!(world.books.series[&series(1, 3)].alarm.is_none());
}

#[test]
fn a_driver_that_is_faster_is_reported_and_no_alarm() {
    let faster = Happening::new(40, 0, None, What::Driver(-0.08));
    let mut world = World::new(LAB, 3);
    assert_eq!(told_by(&mut world, &[faster], 39), []);
    let judgement = world.next(&[faster]);
    let verdict = &judgement.models[&group(0)][0];
    assert_eq!(
        (verdict.kind, verdict.is_alarm, verdict.is_new),
        (Kind::ChangedWithEnvironment, false, true)
    );
    assert_eq!(told_by(&mut world, &[faster], 70), []);
}

#[test]
fn a_model_that_was_slower_the_night_before_its_driver_changed_has_that_night_named() {
    let all = [
        Happening::new(39, 0, None, What::Slower(0.08)),
        Happening::new(40, 0, None, What::Driver(0.0)),
    ];
    let mut world = World::new(LAB, 3);
    assert_eq!(told_by(&mut world, &all, 39), []);
    let judgement = world.next(&all);
    let told: Vec<_> = alarms(&judgement).collect();
    assert_eq!(told.len(), 1);
    let (of, verdict) = &told[0];
    assert_eq!(of, &Part::Group(group(0)));
    assert_eq!(verdict.reason, Reason::HitBeforeChange);
    assert_eq!(verdict.numbers.since, Some(39));
    assert_eq!(told_by(&mut world, &all, 70), []);
}

#[test]
fn a_slower_model_whose_driver_changes_is_told_once() {
    let all = [
        Happening::new(40, 0, None, What::Slower(0.06)),
        Happening::new(45, 0, None, What::Driver(0.0)),
    ];
    let mut world = World::new(LAB, 3);
    let told = told_by(&mut world, &all, 44);
    assert_eq!(told, [(41, Part::Group(group(0)), Kind::ModelWide)]);
    let judgement = world.next(&all);
    assert_eq!(alarms(&judgement).count(), 0);
    let verdict = &judgement.models[&group(0)][0];
    assert_eq!(
        (verdict.kind, verdict.reason),
        (Kind::Resolved, Reason::EnvironmentChanged)
    );
    assert_eq!(told_by(&mut world, &all, 80), []);
}

#[test]
fn a_device_whose_siblings_have_the_change_and_do_not_show_it_waits_for_a_second_night() {
    let driver = Happening::new(40, 0, None, What::Driver(0.0));
    let spike = Happening::new(40, 0, Some(3), What::Slower(0.12)).until(41);
    assert_eq!(told(&[driver, spike], 3, 70), []);
    let stays = Happening::new(40, 0, Some(3), What::Slower(0.12));
    let told = told(&[driver, stays], 3, 70);
    assert_eq!(told, [(41, of_series(0, 3), Kind::ChangedWithEnvironment)]);
}
