//! How often the judge is right: false alarms and detections on simulated nights, for `docs/results/nightly.md`.
//!
//! usage: `cargo run --release -p batchstep-judge --example validate [-- SERIES_NIGHTS]`

#[path = "../tests/nights/simulator.rs"]
mod simulator;

use std::collections::BTreeMap;

use batchstep_judge::{Judgement, Kind};
use simulator::{Happening, Lab, Noise, World};

/// Nights before anything is counted: the judge learns.
const LEARNING: u32 = 28;
/// Nights of a world that are counted.
const COUNTED: u32 = 100;
const LAB: Lab = Lab {
    models: 40,
    devices: 8,
    spread: 0.01,
    silicon: 0.01,
    noise: Noise::Gaussian,
};

fn main() {
    let wanted: u64 = std::env::args()
        .nth(1)
        .map_or(200_000, |text| text.parse().expect("a number"));
    println!(
        "False alarms per 300 series-nights, nothing happening ({} models of {} devices):",
        LAB.models, LAB.devices
    );
    for spread in [0.005, 0.01, 0.02] {
        for noise in Noise::ALL {
            let (mut nights, mut alarms) = (0_u64, BTreeMap::<Kind, u64>::new());
            let mut again = 0_u64;
            let mut seed = 0;
            while nights < wanted {
                let mut world = World::new(
                    Lab {
                        spread,
                        noise,
                        ..LAB
                    },
                    seed,
                );
                seed += 1;
                for night in 1..=LEARNING + COUNTED {
                    let judgement = world.next(&[]);
                    if night > LEARNING {
                        nights += judgement.series.len() as u64;
                        again += judgement.again.len() as u64;
                        for kind in told(&judgement) {
                            *alarms.entry(kind).or_default() += 1;
                        }
                    }
                }
            }
            let per = |count: u64| 300.0 * count as f64 / nights as f64;
            let all: u64 = alarms.values().sum();
            let (low, high) = poisson(all);
            println!(
                "  {:>4.1} % {:<15} {:.4} [{:.4}, {:.4}] of {nights} series-nights {:?}",
                spread * 100.0,
                noise.name(),
                per(all),
                300.0 * low / nights as f64,
                300.0 * high / nights as f64,
                alarms,
            );
            let _ = again;
        }
    }
    println!("Detected by night 1, 2, 3, 7:");
    let device = |shift| {
        move |index: usize| Happening::Device {
            model: index,
            device: 3,
            shift,
        }
    };
    let model = |shift| {
        move |index: usize| Happening::Model {
            model: index,
            shift,
        }
    };
    let driver = |shift| {
        move |index: usize| Happening::Driver {
            model: index,
            shift,
        }
    };
    for noise in Noise::ALL {
        detected("device +8 %", noise, 0.01, device(0.08), Kind::Confirmed);
        detected("device +5 %", noise, 0.01, device(0.05), Kind::Confirmed);
        detected("model +3 %", noise, 0.01, model(0.03), Kind::ModelWide);
        detected(
            "driver and +8 %",
            noise,
            0.01,
            driver(0.08),
            Kind::ChangedWithEnvironment,
        );
        detected(
            "driver and +0 %",
            noise,
            0.01,
            driver(0.0),
            Kind::ChangedWithEnvironment,
        );
    }
}

fn told(judgement: &Judgement) -> Vec<Kind> {
    let series = judgement.series.values().flatten();
    judgement
        .models
        .values()
        .chain(series)
        .filter(|verdict| verdict.is_alarm && verdict.is_new && !verdict.is_silenced)
        .map(|verdict| verdict.kind)
        .collect()
}

/// What happens happens to every second model of a lab on the night after learning.
fn detected(
    what: &str,
    noise: Noise,
    spread: f64,
    happening: impl Fn(usize) -> Happening,
    kind: Kind,
) {
    let mut by_night = [0_u64; 7];
    let mut cases = 0_u64;
    let mut others = BTreeMap::<Kind, u64>::new();
    for seed in 0..25 {
        let mut world = World::new(
            Lab {
                spread,
                noise,
                ..LAB
            },
            1000 + seed,
        );
        let all: Vec<_> = (0..LAB.models)
            .step_by(2)
            .map(|model| (LEARNING + 3, happening(model)))
            .collect();
        let mut found = BTreeMap::new();
        for night in 1..LEARNING + 10 {
            let judgement = world.next(&all);
            if night < LEARNING + 3 {
                continue;
            }
            for (group, verdict) in &judgement.models {
                if verdict.kind == kind && verdict.is_alarm {
                    found
                        .entry(group.model.clone())
                        .or_insert(night - LEARNING - 3);
                }
            }
            for (series, verdicts) in &judgement.series {
                for verdict in verdicts {
                    if verdict.kind == kind && verdict.is_alarm {
                        found.entry(series.clone()).or_insert(night - LEARNING - 3);
                    } else if verdict.is_alarm && verdict.is_new && !verdict.is_silenced {
                        *others.entry(verdict.kind).or_default() += 1;
                    }
                }
            }
        }
        cases += all.len() as u64
            * if matches!(all[0].1, Happening::Driver { .. }) {
                LAB.devices as u64
            } else {
                1
            };
        for night in found.into_values() {
            for slot in by_night.iter_mut().skip(night as usize) {
                *slot += 1;
            }
        }
    }
    let share = |night: usize| by_night[night - 1] as f64 / cases as f64;
    println!(
        "  {what:<16} {:<15} {:.3} {:.3} {:.3} {:.3} of {cases}; others {others:?}",
        noise.name(),
        share(1),
        share(2),
        share(3),
        share(7)
    );
}

/// 95 % interval of a Poisson mean (Garwood 1936), by the normal approximation of Wilson and Hilferty.
fn poisson(count: u64) -> (f64, f64) {
    let count = count as f64;
    let bound = |k: f64, z: f64| k * (1.0 - 1.0 / (9.0 * k) + z / (3.0 * k.sqrt())).powi(3);
    let low = if count > 0.0 {
        bound(count, -1.96)
    } else {
        0.0
    };
    (low, bound(count + 1.0, 1.96))
}
