//! Nights of simulated labs: what is quiet stays quiet, and what happens is told once, as what it is.

mod books;
mod environment;
mod people;
mod rates;
mod simulator;
mod story;

use batchstep_judge::{
    Judgement, Kind, Reason,
    replay::{Part, alarms},
};
use simulator::{Happening, Lab, Noise, What, World, device, group, host, series};

const LAB: Lab = Lab {
    models: 4,
    devices: 8,
    spread: 0.01,
    silicon: 0.01,
    noise: Noise::Gaussian,
};

/// What people are told in so many nights.
fn told(happenings: &[Happening], seed: u64, count: u32) -> Vec<(u32, Part, Kind)> {
    told_by(&mut World::new(LAB, seed), happenings, count)
}

fn told_by(world: &mut World, happenings: &[Happening], count: u32) -> Vec<(u32, Part, Kind)> {
    let mut all = Vec::new();
    while world.night < count {
        let judgement = world.next(happenings);
        all.extend(alarms(&judgement).map(|(of, verdict)| (world.night, of, verdict.kind)));
    }
    all
}

/// The end of an alarm of one series, with its reason, if it is told tonight.
fn resolved(judgement: &Judgement, series: &str) -> Option<Reason> {
    let mut verdicts = judgement.series[series].iter();
    verdicts
        .find(|verdict| verdict.kind == Kind::Resolved && verdict.is_new)
        .map(|verdict| verdict.reason)
}

fn of_series(model: usize, device: usize) -> Part {
    Part::Series(series(model, device))
}

#[test]
fn a_slower_device_is_confirmed_on_its_second_night_told_once_and_resolved_once() {
    let happening = Happening::new(40, 1, Some(2), What::Slower(0.10)).until(50);
    let mut world = World::new(LAB, 1);
    let told = told_by(&mut world, &[happening], 49);
    assert_eq!(told, [(41, of_series(1, 2), Kind::Confirmed)]);
    let mut ends = Vec::new();
    while world.night < 70 {
        let judgement = world.next(&[happening]);
        assert_eq!(alarms(&judgement).count(), 0, "night {}", world.night);
        ends.extend(resolved(&judgement, &series(1, 2)).map(|reason| (world.night, reason)));
    }
    assert_eq!(ends, [(52, Reason::NearBaseline)]);
    // What was slow is no part of what is usual.
    let book = &world.books.series[&series(1, 2)];
    assert!(
        book.entries
            .iter()
            .all(|entry| !(40..50).contains(&entry.night))
    );
}

#[test]
fn a_night_beyond_the_gates_is_provisional_and_measured_again() {
    let spike = Happening::new(40, 1, Some(2), What::Slower(0.15)).until(41);
    let mut world = World::new(LAB, 1);
    assert_eq!(told_by(&mut world, &[spike], 39), []);
    let judgement = world.next(&[spike]);
    let verdict = &judgement.series[&series(1, 2)][0];
    assert_eq!(
        (verdict.kind, verdict.reason),
        (Kind::Provisional, Reason::Hit)
    );
    assert!(world.again > 0 && verdict.numbers.shift_again.is_some());
    assert_eq!(told_by(&mut world, &[spike], 50), []);
}

#[test]
fn without_time_to_measure_again_three_nights_of_three_confirm() {
    let slow = Happening::new(40, 1, Some(2), What::Slower(0.12));
    let mut world = World::new(LAB, 1);
    world.is_hurried = true;
    assert_eq!(told_by(&mut world, &[slow], 41), []);
    assert_eq!(
        told_by(&mut world, &[slow], 50),
        [(42, of_series(1, 2), Kind::Confirmed)]
    );
}

#[test]
fn while_a_series_is_learned_only_ten_percent_counts() {
    let little = Happening::new(6, 1, Some(2), What::Slower(0.06));
    let much = Happening::new(6, 2, Some(2), What::Slower(0.15));
    let mut world = World::new(Lab { devices: 3, ..LAB }, 1);
    let told = told_by(&mut world, &[little, much], 8);
    assert_eq!(told, [(7, of_series(2, 2), Kind::Confirmed)]);
}

#[test]
fn slower_in_cycles_alone_is_reported_and_no_alarm() {
    // As quick as ever, at a clock that is 10 % higher.
    let all = [What::Slower(0.10), What::Clock(-0.1 / 1.1)]
        .map(|what| Happening::new(40, 1, Some(2), what));
    let mut world = World::new(LAB, 6);
    assert_eq!(told_by(&mut world, &all, 40), []);
    let judgement = world.next(&all);
    assert_eq!(alarms(&judgement).count(), 0);
    let verdicts = judgement.series[&series(1, 2)].iter();
    let new: Vec<_> = verdicts
        .filter(|verdict| verdict.is_new)
        .map(|verdict| verdict.kind)
        .collect();
    assert_eq!(new, [Kind::SlowerInCycles]);
    assert_eq!(told_by(&mut world, &all, 60), []);
}

#[test]
fn what_each_of_three_drivers_takes_unnoticed_is_a_creep() {
    let drivers = [40, 60, 80].map(|night| Happening::new(night, 1, Some(2), What::Driver(0.02)));
    let mut world = World::new(
        Lab {
            spread: 0.005,
            ..LAB
        },
        11,
    );
    let mut creeps = Vec::new();
    while world.night < 100 {
        let judgement = world.next(&drivers);
        assert_eq!(alarms(&judgement).count(), 0, "night {}", world.night);
        let verdicts = judgement.series[&series(1, 2)].iter();
        let new = verdicts.filter(|verdict| verdict.reason == Reason::Creep && verdict.is_new);
        creeps.extend(new.map(|_| world.night));
    }
    assert_eq!(creeps.len(), 1, "{creeps:?}");
    assert!(creeps[0] > 80);
}

#[test]
fn a_slower_model_is_one_alarm_and_one_end() {
    let happening = Happening::new(40, 3, None, What::Slower(0.05)).until(55);
    let mut world = World::new(LAB, 2);
    let told = told_by(&mut world, &[happening], 54);
    assert_eq!(told, [(41, Part::Group(group(3)), Kind::ModelWide)]);
    let mut ends = Vec::new();
    while world.night < 80 {
        let judgement = world.next(&[happening]);
        assert_eq!(alarms(&judgement).count(), 0, "night {}", world.night);
        let verdicts = judgement.models.get(&group(3)).into_iter().flatten();
        let new = verdicts.filter(|verdict| verdict.is_new);
        ends.extend(new.map(|verdict| (world.night, verdict.kind)));
    }
    assert_eq!(ends, [(57, Kind::Resolved)]);
}

#[test]
fn a_device_far_beyond_its_model_is_told_beside_it() {
    let all = [
        Happening::new(40, 3, None, What::Slower(0.05)),
        Happening::new(45, 3, Some(1), What::Slower(0.20)),
    ];
    let told = told(&all, 2, 60);
    let device = (46, of_series(3, 1), Kind::Confirmed);
    assert_eq!(told, [(41, Part::Group(group(3)), Kind::ModelWide), device]);
}

#[test]
fn another_step_is_told_the_same_night_and_not_again_and_its_end_is_told() {
    let happening = Happening::new(40, 2, Some(5), What::Step(24.0));
    assert_eq!(
        told(&[happening], 4, 70),
        [(40, of_series(2, 5), Kind::StepChanged)]
    );

    let mut world = World::new(LAB, 4);
    let back = happening.until(45);
    assert_eq!(told_by(&mut world, &[back], 44).len(), 1);
    let mut ends = Vec::new();
    while world.night < 60 {
        let judgement = world.next(&[back]);
        assert_eq!(alarms(&judgement).count(), 0, "night {}", world.night);
        ends.extend(resolved(&judgement, &series(2, 5)));
    }
    assert!(ends.contains(&Reason::UsualStep), "{ends:?}");
}

#[test]
fn a_lost_host_is_told_once_and_so_is_its_return() {
    let lost: Vec<_> = (0..4)
        .map(|device| Happening::new(40, 1, Some(device), What::Lost).until(44))
        .collect();
    let mut world = World::new(LAB, 5);
    let told = told_by(&mut world, &lost, 43);
    assert_eq!(told, [(40, Part::Host(host(1, 0)), Kind::Missing)]);
    let judgement = world.next(&lost);
    assert_eq!(judgement.hosts.len(), 1);
    assert_eq!(judgement.hosts[&host(1, 0)].reason, Reason::Returned);
    assert!(
        judgement
            .series
            .values()
            .flatten()
            .all(|verdict| verdict.is_silenced || !verdict.is_new)
    );
    assert!(world.next(&lost).hosts.is_empty());
}

#[test]
fn a_device_that_stays_away_when_its_host_returns_is_told() {
    let mut lost: Vec<_> = (0..4)
        .map(|device| Happening::new(40, 1, Some(device), What::Lost).until(44))
        .collect();
    lost[2].until = 50;
    let told = told(&lost, 5, 49);
    let host = (40, Part::Host(host(1, 0)), Kind::Missing);
    assert_eq!(
        told,
        [host, (44, Part::Device(device(1, 2)), Kind::Missing)]
    );
}

#[test]
fn lower_clocks_are_named_as_the_cause() {
    let clock = Happening::new(40, 1, Some(2), What::Clock(0.10));
    let mut world = World::new(LAB, 6);
    assert_eq!(told_by(&mut world, &[clock], 41).len(), 1);
    let judgement = world.next(&[clock]);
    assert!(judgement.series[&series(1, 2)][0].is_clock_or_power());

    let device = Happening::new(40, 1, Some(2), What::Slower(0.10));
    let mut world = World::new(LAB, 6);
    assert_eq!(told_by(&mut world, &[device], 41).len(), 1);
    let judgement = world.next(&[device]);
    assert!(!judgement.series[&series(1, 2)][0].is_clock_or_power());
}

#[test]
fn throttled_nights_are_invalid_and_change_nothing() {
    let throttled = Happening::new(40, 1, Some(2), What::Throttled).until(45);
    let mut world = World::new(LAB, 7);
    assert_eq!(told_by(&mut world, &[throttled], 39), []);
    let before = world.books.series[&series(1, 2)].entries.clone();
    let judgement = world.next(&[throttled]);
    let verdict = &judgement.series[&series(1, 2)][0];
    assert_eq!(
        (verdict.kind, verdict.reason),
        (Kind::Invalid, Reason::Throttled)
    );
    assert_eq!(world.books.series[&series(1, 2)].entries, before);
    assert_eq!(told_by(&mut world, &[throttled], 50), []);
}

#[test]
fn a_device_that_was_always_slower_is_an_outlier_on_its_second_night() {
    let slow = Happening::new(1, 1, Some(2), What::Slower(0.20));
    let told = told(&[slow], 8, 50);
    assert_eq!(told, [(2, of_series(1, 2), Kind::Outlier)]);
}

#[test]
fn an_improvement_is_reported_and_no_alarm() {
    let faster = Happening::new(40, 1, Some(2), What::Slower(-0.10));
    let mut world = World::new(LAB, 9);
    let mut new = Vec::new();
    while world.night < 80 {
        let judgement = world.next(&[faster]);
        assert_eq!(alarms(&judgement).count(), 0, "night {}", world.night);
        let verdicts = judgement.series[&series(1, 2)]
            .iter()
            .filter(|verdict| verdict.is_new);
        new.extend(verdicts.map(|verdict| (world.night, verdict.kind)));
    }
    assert_eq!(new, [(41, Kind::Improved)]);
}

#[test]
fn a_creep_is_a_drift_for_the_digest() {
    let creep = Happening::new(40, 1, Some(2), What::Creep(0.002)).until(70);
    let mut world = World::new(LAB, 10);
    let mut drifts = 0;
    while world.night < 70 {
        let judgement = world.next(&[creep]);
        let verdicts = judgement.series[&series(1, 2)].iter();
        let drift = verdicts.filter(|verdict| verdict.kind == Kind::Drift);
        drifts += drift.inspect(|verdict| assert!(!verdict.is_alarm)).count();
    }
    assert!(drifts > 0);
}

#[test]
fn the_same_seed_gives_the_same_verdicts() {
    let mut worlds = [World::new(LAB, 9), World::new(LAB, 9)];
    for _ in 0..20 {
        let [one, other] = worlds.each_mut().map(|world| world.next(&[]));
        assert_eq!(one, other);
    }
}
