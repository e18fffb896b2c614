//! Nights on which nothing happens: every alarm is a false one.

use std::collections::BTreeMap;

use batchstep_judge::{Kind, replay::alarms};

use crate::{
    in_parallel,
    simulator::{Lab, Noise, World},
};

/// Nights before anything is counted: the judge learns.
pub const LEARNING: u32 = 28;
/// Nights of a lab that are counted.
pub const COUNTED: u32 = 100;
/// Series-nights of each kind of noise and spread, at least.
pub const SERIES_NIGHTS: f64 = 200_000.0;
pub const SPREADS: [f64; 3] = [0.005, 0.01, 0.02];
pub const LAB: Lab = Lab {
    models: 10,
    devices: 8,
    spread: 0.01,
    silicon: 0.01,
    noise: Noise::Gaussian,
};

/// One kind of noise at one spread.
#[derive(Debug, Clone)]
pub struct Quiet {
    pub noise: Noise,
    pub spread: f64,
    /// Counted series-nights.
    pub nights: u64,
    /// Alarms that were told, by kind.
    pub told: BTreeMap<Kind, u64>,
    /// Reported and no alarm: a person sees them in the digest.
    pub noticed: BTreeMap<Kind, u64>,
    /// Nights that were measured again.
    pub again: u64,
    /// Alarms told in the nights before `LEARNING`, and the series-nights of those.
    pub learning: (u64, u64),
}

impl Quiet {
    pub fn alarms(&self) -> u64 {
        self.told.values().sum()
    }

    pub fn of(counts: &BTreeMap<Kind, u64>, kind: Kind) -> u64 {
        counts.get(&kind).copied().unwrap_or(0)
    }
}

pub fn campaign(scale: f64, seed: u64, threads: usize) -> Vec<Quiet> {
    let per_lab = f64::from(COUNTED) * (LAB.models * LAB.devices) as f64;
    let labs = (scale * SERIES_NIGHTS / per_lab).ceil() as u64;
    let kinds: Vec<(f64, Noise)> = SPREADS
        .into_iter()
        .flat_map(|spread| Noise::ALL.map(|noise| (spread, noise)))
        .collect();
    in_parallel(threads, &kinds, |(spread, noise)| {
        one(*spread, *noise, seed..seed + labs)
    })
}

fn one(spread: f64, noise: Noise, seeds: std::ops::Range<u64>) -> Quiet {
    let mut quiet = Quiet {
        noise,
        spread,
        nights: 0,
        told: BTreeMap::new(),
        noticed: BTreeMap::new(),
        again: 0,
        learning: (0, 0),
    };
    for seed in seeds {
        let mut world = World::new(
            Lab {
                spread,
                noise,
                ..LAB
            },
            seed,
        );
        for night in 1..=LEARNING + COUNTED {
            let judgement = world.next(&[]);
            let series = judgement.series.len() as u64;
            if night <= LEARNING {
                quiet.learning.0 += alarms(&judgement).count() as u64;
                quiet.learning.1 += series;
                continue;
            }
            quiet.nights += series;
            quiet.again += world.again as u64;
            for (_, verdict) in alarms(&judgement) {
                *quiet.told.entry(verdict.kind).or_default() += 1;
            }
            let verdicts = judgement.series.values().flatten();
            let noticed = verdicts.filter(|verdict| {
                (verdict.is_new && !verdict.is_alarm) || verdict.kind == Kind::Provisional
            });
            for verdict in noticed {
                *quiet.noticed.entry(verdict.kind).or_default() += 1;
            }
        }
    }
    quiet
}
