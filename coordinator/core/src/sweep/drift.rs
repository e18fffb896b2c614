//! How much slower than usual the device was while each block ran.
//!
//! Called by `correct` only. A block's logarithm is taken as its batch size's level, plus the device's drift at that moment, plus noise. The drift
//! is learned in two passes. First from the reference batch, which is visited throughout every round: it ties distant moments and different
//! rounds together, but it passes only every eighth visit. Then from the neighbours: what the blocks right before and after have above their own
//! batch sizes' levels, which follows a disturbance that lasts a second. Batch sizes are free levels, so no staircase is ever smoothed away, and the
//! random order is what tells the two apart. This is a median polish (Tukey, "Exploratory Data Analysis", 1977, chapter 11) whose columns are moments.
//!
//! A drift that is learned is as noisy as what it is learned from, so the series itself decides how: see [`learned`].

use std::collections::BTreeMap;

use batchstep_proto::domain::{Block, DeviceKind, RoundKind, VisitRole};

use super::{
    History, RoundRecord,
    cost::{median, median_of},
};

/// Reference blocks that a running median spans.
const REFERENCE_SPAN: usize = 3;
/// Neighbours on either side of a block that may speak for its moment.
const REACHES: [usize; 3] = [2, 4, 8];
/// Another drift must leave this share of the usual one's scatter at most to be preferred.
const CLEARLY_LESS: f64 = 0.98;
/// Repeats of a batch size from which their scatter counts, and blocks in all from which it decides.
const LEAST_REPEATS: usize = 3;
const LEAST_BLOCKS: usize = 36;
/// The moments of a processor that count as undisturbed: who shares it only ever slows it down.
const UNDISTURBED_SHARE: f64 = 0.1;

/// The drift of a series.
#[derive(Debug)]
pub(super) struct Drift {
    /// By round of the history and block of the round, the time over the usual one; `None` for blocks of attempts without a reference.
    ratios: Vec<Vec<Option<f64>>>,
    /// By round of the history, by how much the highest reference exceeds the lowest in the worst attempt, relative; 0 without one.
    ranges: Vec<f64>,
}

/// A block that takes part.
struct Witness {
    /// Position of its round in the history, and its own in the round.
    place: (usize, usize),
    /// Counts attempts over the series; neighbours are of one attempt.
    attempt: usize,
    /// Stands for its batch size: counts the series' batch sizes from 0.
    level: usize,
    measures: bool,
    /// Of seconds per iteration.
    logarithm: f64,
    /// Drift by the reference alone, a logarithm.
    by_reference: f64,
}

impl Drift {
    /// Learns the drift from all blocks of the measuring rounds.
    pub(super) fn of(history: &History, kind: DeviceKind) -> Self {
        let (witnesses, ranges) = witnesses(history);
        let rounds = history.rounds.iter();
        let mut ratios: Vec<Vec<Option<f64>>> = rounds
            .map(|record| vec![None; record.blocks.len()])
            .collect();
        let logarithms = learned(&witnesses);
        let usual = usual(&logarithms, kind);
        for (witness, logarithm) in witnesses.iter().zip(logarithms) {
            let (round, block) = witness.place;
            ratios[round][block] = Some((logarithm - usual).exp());
        }
        Self { ratios, ranges }
    }

    /// Time over the usual one while block `block` of round `round` ran, both counted as in the history.
    pub(super) fn ratio(&self, round: usize, block: usize) -> Option<f64> {
        self.ratios[round][block]
    }

    /// By how much the reference moved within round `round`, relative.
    pub(super) fn range(&self, round: usize) -> f64 {
        self.ranges[round]
    }
}

/// The blocks that take part, in the order of time, and by how much the reference moved in each round of the history.
fn witnesses(history: &History) -> (Vec<Witness>, Vec<f64>) {
    let baseline = reference_medians(history);
    let mut witnesses = Vec::new();
    let mut levels = BTreeMap::new();
    let mut ranges = vec![0.0_f64; history.rounds.len()];
    let mut attempt = 0;
    for (round, record) in measuring(history) {
        let mut first = 0;
        for part in attempts(record) {
            if let Some(reference) = Reference::of(part, &baseline) {
                ranges[round] = ranges[round].max(reference.range());
                witnesses.extend(part.iter().enumerate().map(|(position, block)| {
                    let next = levels.len();
                    Witness {
                        place: (round, first + position),
                        attempt,
                        level: *levels.entry(block.batch_size).or_insert(next),
                        measures: block.role == VisitRole::Measure,
                        logarithm: block.seconds_per_iteration().ln(),
                        by_reference: reference.at(middle(block)),
                    }
                }));
            }
            first += part.len();
            attempt += 1;
        }
    }
    (witnesses, ranges)
}

/// The drift at each witness, logarithms.
///
/// Usually by the reference alone. With neighbours where the drift is quick, and without the reference where there is none but noise: whatever brings
/// repeats of the same batch size closest together, if clearly. No block speaks for its own moment, which keeps the choice honest.
fn learned(witnesses: &[Witness]) -> Vec<f64> {
    let usual: Vec<f64> = witnesses
        .iter()
        .map(|witness| witness.by_reference)
        .collect();
    let Some(least) = scatter(witnesses, &usual) else {
        return usual;
    };
    let none = vec![0.0; witnesses.len()];
    let mut others: Vec<Vec<f64>> = with_neighbours(witnesses, &usual).collect();
    others.extend(with_neighbours(witnesses, &none));
    others.push(none);
    others
        .into_iter()
        .filter_map(|drift| Some((scatter(witnesses, &drift)?, drift)))
        .filter(|&(scatter, _)| scatter < CLEARLY_LESS * least)
        .min_by(|(one, _), (other, _)| one.total_cmp(other))
        .map_or(usual, |(_, drift)| drift)
}

/// The drift at each witness with what its neighbours have above it, for every reach, logarithms.
fn with_neighbours(witnesses: &[Witness], drift: &[f64]) -> impl Iterator<Item = Vec<f64>> {
    let above: Vec<f64> = residuals(witnesses, drift, |_| true)
        .into_iter()
        .map(|(_, residual)| residual)
        .collect();
    REACHES.into_iter().map(move |reach| {
        let mut neighbours = Vec::with_capacity(2 * reach);
        drift
            .iter()
            .enumerate()
            .map(|(at, drift)| drift + around(witnesses, &above, at, reach, &mut neighbours))
            .collect()
    })
}

/// The median of what the neighbours of witness `at` have above their levels, itself left out. `neighbours` is room for them.
fn around(
    witnesses: &[Witness],
    above: &[f64],
    at: usize,
    reach: usize,
    neighbours: &mut Vec<f64>,
) -> f64 {
    let last = (at + reach).min(witnesses.len() - 1);
    neighbours.clear();
    neighbours.extend(
        (at.saturating_sub(reach)..=last)
            .filter(|&other| other != at && witnesses[other].attempt == witnesses[at].attempt)
            .map(|other| above[other]),
    );
    median_of(neighbours)
}

/// What each of the witnesses that are asked for has above its batch size's median once `drift` is taken out, with the number of its repeats.
fn residuals(
    witnesses: &[Witness],
    drift: &[f64],
    asked: impl Fn(&Witness) -> bool,
) -> Vec<(usize, f64)> {
    let corrected: Vec<(usize, f64)> = witnesses
        .iter()
        .zip(drift)
        .filter(|(witness, _)| asked(witness))
        .map(|(witness, drift)| (witness.level, witness.logarithm - drift))
        .collect();
    let count = corrected.iter().map(|&(level, _)| level + 1).max();
    let mut by_level = vec![Vec::new(); count.unwrap_or(0)];
    for &(level, logarithm) in &corrected {
        by_level[level].push(logarithm);
    }
    let levels: Vec<(usize, f64)> = by_level
        .into_iter()
        .map(|logarithms| (logarithms.len(), median(logarithms)))
        .collect();
    corrected
        .into_iter()
        .map(|(level, logarithm)| {
            let (repeats, level) = levels[level];
            (repeats, logarithm - level)
        })
        .collect()
}

/// Median distance of a corrected measuring block from its batch size's median; `None` while too few of them are repeats.
fn scatter(witnesses: &[Witness], drift: &[f64]) -> Option<f64> {
    let distances: Vec<f64> = residuals(witnesses, drift, |witness| witness.measures)
        .into_iter()
        .filter(|&(repeats, _)| repeats >= LEAST_REPEATS)
        .map(|(_, residual)| residual.abs())
        .collect();
    (distances.len() >= LEAST_BLOCKS).then(|| median(distances))
}

/// The drift that counts as none, a logarithm. A processor is at its usual speed when nobody else slows it down, so that two runs agree however
/// loaded their hosts were; a device of its own drifts in both directions, and its usual state is the one it is mostly in.
fn usual(logarithms: &[f64], kind: DeviceKind) -> f64 {
    match kind {
        DeviceKind::Cpu => {
            let mut sorted = logarithms.to_vec();
            sorted.sort_by(f64::total_cmp);
            let rank = (sorted.len() as f64 * UNDISTURBED_SHARE) as usize;
            sorted.get(rank).copied().unwrap_or(0.0)
        }
        DeviceKind::Cuda | DeviceKind::Simulated => median(logarithms.to_vec()),
    }
}

/// The reference's time along one attempt, relative to its median over the series.
struct Reference {
    /// Seconds since the attempt's start, and the logarithm of the ratio there; ascending in time, at least one.
    knots: Vec<(f64, f64)>,
}

impl Reference {
    /// `None` without a reference block among `blocks`, which are those of one attempt.
    fn of(blocks: &[Block], baseline: &BTreeMap<u32, f64>) -> Option<Self> {
        let raw: Vec<(f64, f64)> = blocks
            .iter()
            .filter(|block| block.role == VisitRole::Reference)
            .filter_map(|block| {
                let median = baseline.get(&block.batch_size)?;
                Some((middle(block), (block.seconds_per_iteration() / median).ln()))
            })
            .collect();
        (!raw.is_empty()).then(|| Self {
            knots: smoothed(&raw),
        })
    }

    /// The logarithm at `time`, seconds since the attempt's start: interpolated between the knots, constant outside.
    fn at(&self, time: f64) -> f64 {
        let above = self.knots.partition_point(|&(knot, _)| knot < time);
        match (
            above.checked_sub(1).map(|below| self.knots[below]),
            self.knots.get(above),
        ) {
            (Some((start, low)), Some(&(end, high))) if end > start => {
                low + (high - low) * (time - start) / (end - start)
            }
            (_, Some(&(_, logarithm))) | (Some((_, logarithm)), None) => logarithm,
            (None, None) => 0.0,
        }
    }

    /// By how much the highest ratio exceeds the lowest, relative.
    fn range(&self) -> f64 {
        let logarithms = || self.knots.iter().map(|&(_, logarithm)| logarithm);
        let low = logarithms().fold(f64::INFINITY, f64::min);
        let high = logarithms().fold(f64::NEG_INFINITY, f64::max);
        (high - low).exp_m1()
    }
}

/// Running medians of three knots, so that one disturbed reference block does not disturb sixteen others; the ends by Tukey's end-point rule, which
/// follows a trend ("Exploratory Data Analysis", 7E).
fn smoothed(knots: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let last = knots.len() - 1;
    let mut smooth: Vec<(f64, f64)> = (0..=last)
        .map(|at| {
            let reach = (REFERENCE_SPAN / 2).min(at).min(last - at);
            let window = knots[at - reach..=at + reach]
                .iter()
                .map(|&(_, logarithm)| logarithm);
            (knots[at].0, median(window.collect()))
        })
        .collect();
    if knots.len() >= 4 {
        let end =
            |outer: f64, near: f64, far: f64| median(vec![outer, near, 3.0 * near - 2.0 * far]);
        smooth[0].1 = end(knots[0].1, smooth[1].1, smooth[2].1);
        smooth[last].1 = end(knots[last].1, smooth[last - 1].1, smooth[last - 2].1);
    }
    smooth
}

fn measuring(history: &History) -> impl Iterator<Item = (usize, &RoundRecord)> {
    history
        .rounds
        .iter()
        .enumerate()
        .filter(|(_, record)| record.round.kind == RoundKind::Measure)
}

/// Median seconds of the reference, for each batch size that was one.
fn reference_medians(history: &History) -> BTreeMap<u32, f64> {
    let mut by_size: BTreeMap<u32, Vec<f64>> = BTreeMap::new();
    let blocks = measuring(history).flat_map(|(_, record)| &record.blocks);
    for block in blocks.filter(|block| block.role == VisitRole::Reference) {
        by_size
            .entry(block.batch_size)
            .or_default()
            .push(block.seconds_per_iteration());
    }
    by_size
        .into_iter()
        .map(|(size, seconds)| (size, median(seconds)))
        .collect()
}

/// The blocks of a round by attempt: time starts again with each.
fn attempts(record: &RoundRecord) -> impl Iterator<Item = &[Block]> {
    record
        .blocks
        .chunk_by(|earlier, later| later.started_after >= earlier.started_after)
}

/// The middle of a block, seconds since its attempt's start.
fn middle(block: &Block) -> f64 {
    block.started_after.as_secs_f64() + block.elapsed.as_secs_f64() / 2.0
}
