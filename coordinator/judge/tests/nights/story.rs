//! Thirty nights in which much happens: what is told is what a careful person would tell, once each.

use batchstep_judge::{Kind, Reason, replay::Part};

use crate::{
    LAB, of_series, resolved,
    simulator::{Happening, Lab, What, World, group, host, series},
    told_by,
};

#[test]
fn thirty_nights_are_told_as_a_careful_person_would() {
    let mut happenings = vec![
        Happening::new(12, 0, None, What::Driver(0.0)),
        Happening::new(20, 0, Some(6), What::Slower(0.10)),
        Happening::new(24, 0, None, What::Slower(0.05)),
        Happening::new(26, 0, Some(7), What::Step(24.0)),
    ];
    let dead = |device| Happening::new(15, 0, Some(device), What::Lost).until(18);
    happenings.extend((0..4).map(dead));
    for seed in 0..20 {
        let mut world = World::new(
            Lab {
                models: 1,
                spread: 0.005,
                ..LAB
            },
            seed,
        );
        let told = told_by(&mut world, &happenings, 30);
        let expected = [
            (15, Part::Host(host(0, 0)), Kind::Missing),
            (21, of_series(0, 6), Kind::Confirmed),
            (25, Part::Group(group(0)), Kind::ModelWide),
            (26, of_series(0, 7), Kind::StepChanged),
        ];
        // A step is not found on every night: then the next one tells.
        let told: Vec<_> = told
            .into_iter()
            .map(|(night, of, kind)| {
                let is_late = kind == Kind::StepChanged && night == 27;
                (if is_late { 26 } else { night }, of, kind)
            })
            .collect();
        assert_eq!(told, expected, "seed {seed}");
    }
}

#[test]
fn an_alarm_that_its_model_hid_is_told_when_the_model_is_well_again_and_it_is_not() {
    let all = [
        Happening::new(40, 3, None, What::Slower(0.05)).until(50),
        Happening::new(50, 3, Some(1), What::Slower(0.06)),
    ];
    let mut world = World::new(
        Lab {
            spread: 0.005,
            ..LAB
        },
        2,
    );
    let told = told_by(&mut world, &all, 70);
    let model = (41, Part::Group(group(3)), Kind::ModelWide);
    assert_eq!(told.len(), 2, "{told:?}");
    assert_eq!(told[0], model);
    assert_eq!((&told[1].1, told[1].2), (&of_series(3, 1), Kind::Confirmed));
    assert!((51..=53).contains(&told[1].0), "{told:?}");
}

#[test]
fn a_slowdown_that_ends_with_a_driver_is_resolved() {
    let all = [
        Happening::new(40, 1, Some(2), What::Slower(0.10)),
        Happening::new(45, 1, Some(2), What::Driver(1.0 / 1.1 - 1.0)),
    ];
    let mut world = World::new(
        Lab {
            spread: 0.005,
            ..LAB
        },
        2,
    );
    assert_eq!(
        told_by(&mut world, &all, 44),
        [(41, of_series(1, 2), Kind::Confirmed)]
    );
    let mut ends = Vec::new();
    while world.night < 60 {
        let judgement = world.next(&all);
        assert_eq!(
            batchstep_judge::replay::alarms(&judgement).count(),
            0,
            "night {}",
            world.night
        );
        ends.extend(resolved(&judgement, &series(1, 2)));
    }
    assert_eq!(ends, [Reason::NearBaseline]);
}

#[test]
fn a_device_that_had_a_bad_night_before_its_model_became_slower_is_not_told_beside_it() {
    let all = [
        Happening::new(39, 3, Some(1), What::Slower(0.06)).until(40),
        Happening::new(40, 3, None, What::Slower(0.06)),
    ];
    let told = told_by(
        &mut World::new(
            Lab {
                spread: 0.005,
                ..LAB
            },
            2,
        ),
        &all,
        60,
    );
    assert_eq!(told, [(41, Part::Group(group(3)), Kind::ModelWide)]);
}
