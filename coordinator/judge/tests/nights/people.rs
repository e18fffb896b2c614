//! What a person does about an alarm: mute it, or accept it as the new baseline.

use batchstep_judge::{Kind, replay::Part};

use crate::{
    LAB, of_series,
    simulator::{Happening, What, World, group, series},
    told_by,
};

const SLOW: Happening = Happening::new(40, 1, Some(2), What::Slower(0.12));

fn day(world: &World) -> i32 {
    20_000 + world.night.cast_signed()
}

#[test]
fn a_mute_ends_after_its_days_and_what_is_still_the_case_is_told_once_more() {
    let mut world = World::new(LAB, 1);
    assert_eq!(told_by(&mut world, &[SLOW], 42).len(), 1);
    let (policy, day) = (world.policy.clone(), day(&world));
    world
        .books
        .series
        .get_mut(&series(1, 2))
        .unwrap()
        .mute(&policy, day);
    let told = told_by(&mut world, &[SLOW], 70);
    assert_eq!(told, [(57, of_series(1, 2), Kind::Confirmed)]);
}

#[test]
fn a_mute_ends_with_the_alarm_and_does_not_hide_the_next_one() {
    let first = SLOW.until(45);
    let second = Happening { from: 52, ..SLOW };
    let mut world = World::new(LAB, 1);
    assert_eq!(told_by(&mut world, &[first, second], 42).len(), 1);
    let (policy, day) = (world.policy.clone(), day(&world));
    world
        .books
        .series
        .get_mut(&series(1, 2))
        .unwrap()
        .mute(&policy, day);
    let told = told_by(&mut world, &[first, second], 54);
    assert_eq!(told, [(53, of_series(1, 2), Kind::Confirmed)]);
}

#[test]
fn a_new_baseline_begins_with_the_first_hit_and_keeps_the_spread() {
    let worse = Happening { from: 60, ..SLOW };
    let mut world = World::new(LAB, 1);
    assert_eq!(told_by(&mut world, &[SLOW], 43).len(), 1);
    let book = world.books.series.get_mut(&series(1, 2)).unwrap();
    book.rebaseline();
    let of_new = book
        .entries
        .iter()
        .filter(|entry| entry.segment == book.segment);
    assert_eq!(
        of_new.map(|entry| entry.night).collect::<Vec<_>>(),
        [40, 41, 42, 43]
    );
    // Accepted: neither it nor being slower than its siblings is an alarm any more.
    while world.night < 59 {
        let judgement = world.next(&[SLOW]);
        let mut verdicts = judgement.series[&series(1, 2)].iter();
        let is_quiet = verdicts.all(|verdict| !verdict.is_alarm || verdict.is_silenced);
        assert!(is_quiet, "night {}", world.night);
    }
    let baseline =
        batchstep_judge::Baseline::of(&world.policy, &world.books.series[&series(1, 2)]).unwrap();
    assert!(baseline.sigma > 0.005 && baseline.sigma < 0.02 && !baseline.is_learning);
    let told = told_by(&mut world, &[SLOW, worse], 65);
    assert_eq!(told, [(61, of_series(1, 2), Kind::Confirmed)]);
}

#[test]
fn a_model_is_accepted_with_its_devices() {
    let slow = Happening::new(40, 3, None, What::Slower(0.06));
    let mut world = World::new(LAB, 2);
    assert_eq!(told_by(&mut world, &[slow], 45).len(), 1);
    world.books.models.get_mut(&group(3)).unwrap().rebaseline();
    for device in 0..LAB.devices {
        world
            .books
            .series
            .get_mut(&series(3, device))
            .unwrap()
            .rebaseline();
    }
    assert_eq!(told_by(&mut world, &[slow], 80), []);
    let worse = Happening::new(81, 3, None, What::Slower(0.05));
    let told = told_by(&mut world, &[slow, worse], 90);
    assert_eq!(told, [(82, Part::Group(group(3)), Kind::ModelWide)]);
}

#[test]
fn a_new_step_is_accepted() {
    let step = Happening::new(40, 2, Some(5), What::Step(24.0));
    let mut world = World::new(LAB, 4);
    assert_eq!(told_by(&mut world, &[step], 41).len(), 1);
    world
        .books
        .series
        .get_mut(&series(2, 5))
        .unwrap()
        .rebaseline();
    assert_eq!(told_by(&mut world, &[step], 70), []);
}
