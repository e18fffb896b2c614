//! A small version of `make validate-nightly`: its bars, with fixed seeds and fewer nights.

use batchstep_judge::{Kind, replay::alarms};

use crate::simulator::{Happening, Lab, Noise, What, World, series};

const LEARNING: u32 = 28;

#[test]
fn false_alarms_are_rare_in_every_kind_of_noise() {
    const NIGHTS: u32 = 100;
    for noise in Noise::ALL {
        let lab = Lab {
            models: 5,
            devices: 8,
            spread: 0.01,
            silicon: 0.01,
            noise,
        };
        let (mut told, mut nights) = (0, 0);
        for seed in 0..3 {
            let mut world = World::new(lab, seed);
            for night in 1..=LEARNING + NIGHTS {
                let judgement = world.next(&[]);
                if night > LEARNING {
                    told += alarms(&judgement).count();
                    nights += judgement.series.len();
                }
            }
        }
        let rate = 300.0 * told as f64 / nights as f64;
        assert!(
            rate <= 0.05,
            "{}: {told} false alarms in {nights} series-nights",
            noise.name()
        );
    }
}

#[test]
fn eight_percent_is_confirmed_by_the_third_night() {
    const CASES: usize = 40;
    for noise in Noise::ALL {
        let lab = Lab {
            models: CASES,
            devices: 4,
            spread: 0.01,
            silicon: 0.01,
            noise,
        };
        let slow: Vec<_> = (0..CASES)
            .map(|model| Happening::new(LEARNING + 1, model, Some(1), What::Slower(0.08)))
            .collect();
        let mut world = World::new(lab, 100);
        while world.night < LEARNING + 2 {
            let _ = world.next(&slow);
        }
        let judgement = world.next(&slow);
        let is_confirmed = |model: &usize| {
            judgement.series[&series(*model, 1)]
                .iter()
                .any(|verdict| verdict.kind == Kind::Confirmed)
        };
        let found = (0..CASES).filter(is_confirmed).count();
        assert!(
            20 * found >= 19 * CASES,
            "{}: {found} of {CASES}",
            noise.name()
        );
    }
}
