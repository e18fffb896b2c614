//! Nights of simulated labs: what is quiet stays quiet, and what happens is told once.

mod simulator;

use batchstep_judge::{Judgement, Kind};
use simulator::{Happening, Lab, Noise, World, series};

const LAB: Lab = Lab {
    models: 4,
    devices: 8,
    spread: 0.01,
    silicon: 0.01,
    noise: Noise::Gaussian,
};

/// What people are told of a night, by what it is about.
fn told(judgement: &Judgement) -> Vec<(String, Kind)> {
    let models = judgement
        .models
        .iter()
        .map(|(group, verdict)| (group.model.clone(), verdict));
    let series = judgement
        .series
        .iter()
        .flat_map(|(series, verdicts)| verdicts.iter().map(|it| (series.clone(), it)));
    models
        .chain(series)
        .filter(|(_, verdict)| verdict.is_alarm && verdict.is_new && !verdict.is_silenced)
        .map(|(about, verdict)| (about, verdict.kind))
        .collect()
}

/// All that is told in so many nights, with the night.
fn nights(happenings: &[(u32, Happening)], seed: u64, count: u32) -> Vec<(u32, String, Kind)> {
    let mut world = World::new(LAB, seed);
    let mut all = Vec::new();
    for night in 1..=count {
        let judgement = world.next(happenings);
        all.extend(
            told(&judgement)
                .into_iter()
                .map(|(about, kind)| (night, about, kind)),
        );
    }
    all
}

#[test]
fn a_slower_device_is_confirmed_on_its_second_night_and_told_once() {
    let happening = Happening::Device {
        model: 1,
        device: 2,
        shift: 0.10,
    };
    let told = nights(&[(40, happening)], 1, 60);
    assert_eq!(told, [(41, series(1, 2), Kind::Confirmed)]);
}

#[test]
fn a_slower_model_is_one_alarm() {
    let happening = Happening::Model {
        model: 3,
        shift: 0.05,
    };
    let told = nights(&[(40, happening)], 2, 70);
    assert_eq!(told, [(41, "model 03".to_owned(), Kind::ModelWide)]);
}

#[test]
fn a_driver_that_changes_nothing_is_quiet_and_one_that_does_is_told_the_same_night() {
    let quiet = Happening::Driver {
        model: 0,
        shift: 0.0,
    };
    assert_eq!(nights(&[(40, quiet)], 3, 60), []);
    let slower = Happening::Driver {
        model: 0,
        shift: 0.08,
    };
    let told = nights(&[(40, slower)], 3, 60);
    let all: Vec<_> = (0..8)
        .map(|device| (40, series(0, device), Kind::ChangedWithEnvironment))
        .collect();
    assert_eq!(told, all);
}

#[test]
fn another_step_is_told_the_same_night_and_not_again() {
    let happening = Happening::Step {
        model: 2,
        device: 5,
        period: 24.0,
    };
    let told = nights(&[(40, happening)], 4, 46);
    assert_eq!(told, [(40, series(2, 5), Kind::StepChanged)]);
}

#[test]
fn lost_devices_are_each_told_once() {
    let told = nights(&[(40, Happening::Lost { model: 1 })], 5, 60);
    let all: Vec<_> = (0..8)
        .map(|device| (40, series(1, device), Kind::Missing))
        .collect();
    assert_eq!(told, all);
}

#[test]
fn the_same_seed_gives_the_same_verdicts() {
    let mut worlds = [World::new(LAB, 9), World::new(LAB, 9)];
    for _ in 0..20 {
        let [one, other] = worlds.each_mut().map(|world| world.next(&[]));
        assert_eq!(one, other);
    }
}
