//! Nights on which something happens: on which night is it told, and what else is?

use std::collections::BTreeMap;

use batchstep_judge::{
    Baseline, Judgement, Kind, Reason, Verdict,
    replay::{Part, alarms},
};

use crate::{
    cases::{By, CASES, Case, DEVICE, Whom},
    in_parallel,
    quiet::{LAB, LEARNING},
    simulator::{self, Lab, Noise, World},
};

/// Labs in which each case happens once, for each kind of noise.
const LABS: f64 = 400.0;
/// The night on which it happens.
const START: u32 = LEARNING + 5;
/// Nights that are looked at from then on.
const NIGHTS: u32 = 28;
/// The night by which something is told, counted from that on which it happens.
pub const BY_NIGHT: [u32; 6] = [1, 2, 3, 7, 14, 28];

/// One case with one kind of noise, at 1 % spread.
#[derive(Debug, Clone)]
pub struct Found {
    pub case: Case,
    pub noise: Noise,
    /// How often it happened.
    pub cases: u64,
    /// By the nights of `BY_NIGHT`.
    pub by_night: [u64; BY_NIGHT.len()],
    /// Told more than once, of one that happened once.
    pub twice: u64,
    /// Of those found, with the cause "clock or power".
    pub clock_or_power: u64,
    /// Reported again, or back at the usual, and told so.
    pub returned: u64,
    /// Confirmed within a week and told, of what it happened to: an alarm that does not say what happened.
    pub unexplained: u64,
    /// What else was told of the model, by kind.
    pub others: BTreeMap<Kind, u64>,
}

pub fn campaign(scale: f64, seed: u64, threads: usize) -> Vec<Found> {
    const PARTS: u64 = 8;
    let labs = (scale * LABS).ceil() as u64;
    let jobs: Vec<(Noise, u64)> = Noise::ALL
        .into_iter()
        .flat_map(|noise| (0..PARTS).map(move |part| (noise, part)))
        .collect();
    let parts = in_parallel(threads, &jobs, |(noise, part)| {
        let mut found: Vec<Found> = CASES
            .into_iter()
            .map(|case| Found::none(case, *noise))
            .collect();
        for lab in (0..labs).filter(|lab| lab % PARTS == *part) {
            one_lab(*noise, seed + lab, &mut found);
        }
        found
    });
    let mut all: Vec<Found> = Vec::new();
    for part in parts.into_iter().flatten() {
        match all
            .iter_mut()
            .find(|it| it.noise == part.noise && it.case.name == part.case.name)
        {
            Some(sum) => sum.add(&part),
            None => all.push(part),
        }
    }
    all
}

fn one_lab(noise: Noise, seed: u64, found: &mut [Found]) {
    let mut world = World::new(
        Lab {
            models: CASES.len(),
            noise,
            ..LAB
        },
        seed,
    );
    let mut happenings = Vec::new();
    let mut first: BTreeMap<(usize, usize), u32> = BTreeMap::new();
    for night in 1..START + NIGHTS {
        if night == START {
            let all = CASES.iter().enumerate();
            happenings = all
                .flat_map(|(model, case)| case.happenings(START, model, own(&world, model)))
                .collect();
        }
        let judgement = world.next(&happenings);
        if night < START {
            continue;
        }
        for (model, found) in found.iter_mut().enumerate() {
            look(found, &judgement, model, night - START + 1, &mut first);
        }
    }
    for (model, found) in found.iter_mut().enumerate() {
        found.cases += found.case.devices().len() as u64;
        let nights = first
            .iter()
            .filter(|((it, _), _)| *it == model)
            .map(|(_, night)| *night);
        for night in nights {
            for (count, by) in found.by_night.iter_mut().zip(BY_NIGHT) {
                *count += u64::from(night <= by);
            }
        }
    }
}

/// The smallest detectable shift of the series to which things happen, as a share.
fn own(world: &World, model: usize) -> f64 {
    let book = world.books.series.get(&simulator::series(model, DEVICE));
    let baseline = book.and_then(|book| Baseline::of(&world.policy, book));
    baseline.map_or(0.0, |baseline| baseline.detectable.exp_m1())
}

/// Enters what a night tells of one model.
fn look(
    found: &mut Found,
    judgement: &Judgement,
    model: usize,
    night: u32,
    first: &mut BTreeMap<(usize, usize), u32>,
) {
    let case = found.case;
    for device in case.devices() {
        let verdicts: Vec<&Verdict> = match case.by {
            By::Series => judgement.series[&simulator::series(model, device)]
                .iter()
                .collect(),
            By::Model => judgement
                .models
                .get(&simulator::group(model))
                .into_iter()
                .flatten()
                .collect(),
            By::Place if case.whom == Whom::Host => judgement
                .hosts
                .get(&simulator::host(model, device))
                .into_iter()
                .collect(),
            By::Place => judgement
                .devices
                .get(&simulator::device(model, device))
                .into_iter()
                .collect(),
        };
        // A driver that makes it faster is reported, and is no alarm.
        let is_of_alarms = case.told == Kind::ChangedWithEnvironment;
        let is_it = |verdict: &&&Verdict| {
            verdict.kind == case.told && (verdict.is_alarm || (verdict.is_new && !is_of_alarms))
        };
        if let Some(verdict) = verdicts.iter().find(is_it)
            && !first.contains_key(&(model, device))
        {
            first.insert((model, device), night);
            found.clock_or_power += u64::from(verdict.is_clock_or_power());
        } else if verdicts
            .iter()
            .any(|verdict| verdict.kind == case.told && verdict.is_told())
        {
            found.twice += 1;
        }
        let is_back = |verdict: &&Verdict| verdict.kind == Kind::Resolved && verdict.is_new;
        let is_gone = |verdict: &&Verdict| verdict.reason == Reason::Returned;
        found.returned += verdicts
            .iter()
            .filter(|verdict| is_back(verdict) && is_gone(verdict))
            .count() as u64;
    }
    for (of, verdict) in alarms(judgement) {
        let is_of_it = case
            .devices()
            .iter()
            .any(|device| of == Part::Series(simulator::series(model, *device)));
        let is_regression = matches!(verdict.kind, Kind::Confirmed | Kind::ModelWide);
        if is_regression && night <= 7 && (is_of_it || of == Part::Group(simulator::group(model))) {
            found.unexplained += 1;
        }
        if is_of(&of, model) && verdict.kind != case.told {
            *found.others.entry(verdict.kind).or_default() += 1;
        }
    }
}

fn is_of(part: &Part, model: usize) -> bool {
    match part {
        Part::Series(name) => name.starts_with(&format!("{model:02}/")),
        Part::Group(group) => *group == simulator::group(model),
        Part::Device(device) => device.starts_with(&format!("GPU-{model:02}-")),
        Part::Host(host) => host.starts_with(&format!("host {model:02}-")),
    }
}

impl Found {
    const fn none(case: Case, noise: Noise) -> Self {
        Self {
            case,
            noise,
            cases: 0,
            by_night: [0; BY_NIGHT.len()],
            twice: 0,
            clock_or_power: 0,
            returned: 0,
            unexplained: 0,
            others: BTreeMap::new(),
        }
    }

    fn add(&mut self, other: &Self) {
        self.cases += other.cases;
        self.twice += other.twice;
        self.clock_or_power += other.clock_or_power;
        self.returned += other.returned;
        self.unexplained += other.unexplained;
        for (count, more) in self.by_night.iter_mut().zip(other.by_night) {
            *count += more;
        }
        for (kind, count) in &other.others {
            *self.others.entry(*kind).or_default() += count;
        }
    }

    /// How often it was told by this night of `BY_NIGHT`.
    pub fn by(&self, night: u32) -> u64 {
        let index = BY_NIGHT
            .iter()
            .position(|it| *it == night)
            .expect("one of BY_NIGHT");
        self.by_night[index]
    }
}
