//! How much slower than usual the device was while each block ran.
//!
//! Called by `correct` only. A block's logarithm is taken as its batch size's level, plus the device's drift at that moment, plus noise. The drift
//! is learned in two passes. First from the reference batch, which is visited throughout every round: it ties distant moments and different
//! rounds together, but it passes only every eighth visit. Then from the neighbours: what the blocks right before and after have above their own
//! batch sizes' levels, which follows a disturbance that lasts a second. Batch sizes are free levels, so no staircase is ever smoothed away, and the
//! random order is what tells the two apart. This is a median polish (Tukey, "Exploratory Data Analysis", 1977, chapter 11) whose columns are moments.
//!
//! A drift that is learned is as noisy as what it is learned from, so the series itself decides how: see [`learned`].

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use batchstep_proto::domain::{Block, DeviceKind, RoundKind, VisitRole};

use super::{
    RoundRecord,
    history::Past,
    medians::{Neighbours, Pair, median, median_of},
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

/// What the reference shows of a series: all there is to know of its drift before the other blocks have a say.
#[derive(Debug)]
pub(super) struct References {
    /// By round of the history and attempt; `None` for attempts without a reference.
    attempts: Vec<Vec<Option<Reference>>>,
}

impl References {
    pub(super) fn of(past: &Past<'_>) -> Self {
        let baseline = reference_medians(past);
        let of_round = |record: &RoundRecord| match record.round.kind {
            RoundKind::Probe => Vec::new(),
            RoundKind::Measure => attempts(record)
                .map(|blocks| Reference::of(blocks, &baseline))
                .collect(),
        };
        Self {
            attempts: past.rounds.iter().map(|record| of_round(record)).collect(),
        }
    }

    /// By how much the highest reference exceeds the lowest in the worst attempt of round `round` of the history, relative; 0 without one.
    pub(super) fn range(&self, round: usize) -> f64 {
        let references = self.attempts[round].iter().flatten();
        references.map(Reference::range).fold(0.0, f64::max)
    }

    /// True when every attempt has one, so that every measuring block will be corrected.
    fn are_complete(&self) -> bool {
        self.attempts.iter().flatten().all(Option::is_some)
    }
}

/// The drift of a series.
#[derive(Debug)]
pub(super) struct Drift {
    /// By round of the history and block of the round, the time over the usual one; `None` for blocks of attempts without a reference.
    ratios: Vec<Vec<Option<f64>>>,
}

/// Where a block is: the position of its round in the history, and its own in the round.
pub(super) type Place = (usize, usize);

/// A block that takes part.
#[derive(Debug)]
struct Witness {
    place: Place,
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
    pub(super) fn of(past: &Past<'_>, references: &References, kind: DeviceKind) -> Self {
        let witnesses = witnesses(past, references);
        let rounds = past.rounds.iter();
        let mut ratios: Vec<Vec<Option<f64>>> = rounds
            .map(|record| vec![None; record.blocks.len()])
            .collect();
        let logarithms = learned(&witnesses);
        let usual = usual(logarithms.clone(), kind);
        for (witness, logarithm) in witnesses.iter().zip(logarithms) {
            let (round, block) = witness.place;
            ratios[round][block] = Some((logarithm - usual).exp());
        }
        Self { ratios }
    }

    /// Time over the usual one while block `block` of round `round` ran, both counted as in the history.
    pub(super) fn ratio(&self, round: usize, block: usize) -> Option<f64> {
        self.ratios[round][block]
    }
}

/// Every way in which the drift may turn out to be learned, before it is known which is best: what is true in all of them needs no choice.
pub(super) struct Possible {
    witnesses: Vec<Witness>,
    /// Above their levels, by the reference and without it.
    above: Vec<Pair>,
    neighbours: [Neighbours; REACHES.len()],
}

impl Possible {
    /// `None` where some blocks would stay uncorrected beside others that are not.
    pub(super) fn of(past: &Past<'_>, references: &References) -> Option<Self> {
        if !references.are_complete() {
            return None;
        }
        let witnesses = witnesses(past, references);
        let usual: Vec<f64> = witnesses.iter().map(|it| it.by_reference).collect();
        let none = vec![0.0; witnesses.len()];
        Some(Self {
            above: above(&witnesses, [&usual, &none]),
            witnesses,
            neighbours: REACHES.map(Neighbours::within),
        })
    }

    /// The measuring blocks of each batch size, as [`Self::seconds`] takes them and as the history does.
    pub(super) fn repeats(&self) -> Vec<Vec<(usize, Place)>> {
        let levels = by_level(&self.witnesses, |witness| witness.measures);
        let placed = |at: usize| (at, self.witnesses[at].place);
        levels
            .into_iter()
            .map(|level| level.into_iter().map(placed).collect())
            .collect()
    }

    /// Seconds per iteration of these blocks, corrected in each of the ways and up to a factor that all of them share.
    pub(super) fn seconds(&self, blocks: &[usize]) -> impl Iterator<Item = Vec<f64>> {
        let corrected = move |drift: &dyn Fn(usize) -> f64| {
            let logarithms = blocks
                .iter()
                .map(|&at| self.witnesses[at].logarithm - drift(at));
            logarithms.map(f64::exp).collect::<Vec<f64>>()
        };
        let by_reference = move |at: usize| self.witnesses[at].by_reference;
        let plain = [corrected(&by_reference), corrected(&|_| 0.0)];
        let with_neighbours = self.neighbours.iter().flat_map(move |neighbours| {
            let medians: BTreeMap<usize, Pair> = blocks
                .iter()
                .map(|&at| (at, self.around(neighbours, at)))
                .collect();
            [
                corrected(&|at| by_reference(at) + medians[&at][0]),
                corrected(&|at| medians[&at][1]),
            ]
        });
        plain.into_iter().chain(with_neighbours)
    }

    fn around(&self, neighbours: &Neighbours, at: usize) -> Pair {
        let attempt = self.witnesses[at].attempt;
        let is_own = |other: &usize| self.witnesses[*other].attempt == attempt;
        let reach = neighbours.reach();
        let low = (at.saturating_sub(reach)..=at).find(is_own).unwrap_or(at);
        let end = (at + reach + 1).min(self.witnesses.len());
        let high = (at..end).take_while(is_own).last().unwrap_or(at);
        neighbours.median(&self.above[low..=high], at - low)
    }
}

/// The blocks that take part, in the order of time.
fn witnesses(past: &Past<'_>, references: &References) -> Vec<Witness> {
    let mut witnesses = Vec::new();
    let mut levels = BTreeMap::new();
    let mut attempt = 0;
    for (round, record) in measuring(past) {
        let mut first = 0;
        for (part, reference) in attempts(record).zip(&references.attempts[round]) {
            if let Some(reference) = reference {
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
    witnesses
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
    let repeats = by_level(witnesses, |witness| witness.measures);
    let Some(least) = scatter(witnesses, &repeats, &usual) else {
        return usual;
    };
    let none = vec![0.0; witnesses.len()];
    let mut others = with_neighbours(witnesses, [&usual, &none]);
    others.push(none);
    others
        .into_iter()
        .filter_map(|drift| Some((scatter(witnesses, &repeats, &drift)?, drift)))
        .filter(|&(scatter, _)| scatter < CLEARLY_LESS * least)
        .min_by(|(one, _), (other, _)| one.total_cmp(other))
        .map_or(usual, |(_, drift)| drift)
}

/// Positions of those witnesses that are asked for, by level.
fn by_level(witnesses: &[Witness], asked: impl Fn(&Witness) -> bool) -> Vec<Vec<usize>> {
    let count = witnesses.iter().map(|witness| witness.level + 1).max();
    let mut levels = vec![Vec::new(); count.unwrap_or(0)];
    for (at, witness) in witnesses.iter().enumerate() {
        if asked(witness) {
            levels[witness.level].push(at);
        }
    }
    levels
}

/// Either drift at each witness with what its neighbours have above it, for every reach, logarithms; all of the first drift, then all of the second.
fn with_neighbours(witnesses: &[Witness], drifts: [&[f64]; 2]) -> Vec<Vec<f64>> {
    let above = above(witnesses, drifts);
    let mut others: [Vec<Vec<f64>>; 2] = Default::default();
    for reach in REACHES {
        let neighbours = Neighbours::within(reach);
        let mut medians = Vec::with_capacity(witnesses.len());
        // Neighbours are of one attempt.
        for attempt in witnesses.chunk_by(|one, next| one.attempt == next.attempt) {
            let row = &above[medians.len()..medians.len() + attempt.len()];
            medians.extend((0..row.len()).map(|at| neighbours.median(row, at)));
        }
        for (which, (others, drift)) in others.iter_mut().zip(drifts).enumerate() {
            let medians = medians.iter().map(|median: &Pair| median[which]);
            let drift = drift.iter().zip(medians);
            others.push(drift.map(|(drift, more)| drift + more).collect());
        }
    }
    others.into_iter().flatten().collect()
}

/// What each witness has above its batch size's median once either drift is taken out.
fn above(witnesses: &[Witness], drifts: [&[f64]; 2]) -> Vec<Pair> {
    let mut above = vec![[0.0; 2]; witnesses.len()];
    let mut corrected = Vec::new();
    for level in by_level(witnesses, |_| true) {
        for (which, drift) in drifts.into_iter().enumerate() {
            corrected.clear();
            corrected.extend(level.iter().map(|&at| witnesses[at].logarithm - drift[at]));
            for (&at, corrected) in level.iter().zip(&corrected) {
                above[at][which] = *corrected;
            }
            let usual = median_of(&mut corrected);
            for &at in &level {
                above[at][which] -= usual;
            }
        }
    }
    above
}

/// Median distance of a corrected measuring block from its batch size's median, where it has repeats; `None` while too few do.
fn scatter(witnesses: &[Witness], levels: &[Vec<usize>], drift: &[f64]) -> Option<f64> {
    let mut distances: Vec<f64> = Vec::with_capacity(witnesses.len());
    let mut corrected = Vec::new();
    for level in levels.iter().filter(|level| level.len() >= LEAST_REPEATS) {
        corrected.clear();
        corrected.extend(level.iter().map(|&at| witnesses[at].logarithm - drift[at]));
        let first = distances.len();
        distances.extend_from_slice(&corrected);
        let usual = median_of(&mut corrected);
        for distance in &mut distances[first..] {
            *distance = (*distance - usual).abs();
        }
    }
    (distances.len() >= LEAST_BLOCKS).then(|| median_of(&mut distances))
}

/// The drift that counts as none, a logarithm. A processor is at its usual speed when nobody else slows it down, so that two runs agree however
/// loaded their hosts were; a device of its own drifts in both directions, and its usual state is the one it is mostly in.
fn usual(mut logarithms: Vec<f64>, kind: DeviceKind) -> f64 {
    match kind {
        DeviceKind::Cpu => {
            let rank = (logarithms.len() as f64 * UNDISTURBED_SHARE) as usize;
            if logarithms.is_empty() {
                return 0.0;
            }
            *logarithms.select_nth_unstable_by(rank, f64::total_cmp).1
        }
        DeviceKind::Cuda | DeviceKind::Simulated => median(logarithms),
    }
}

/// The reference's time along one attempt, relative to its median over the series.
#[derive(Debug)]
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

fn measuring<'a>(past: &Past<'a>) -> impl Iterator<Item = (usize, &'a RoundRecord)> {
    let rounds = past.rounds.iter().copied().enumerate();
    rounds.filter(|(_, record)| record.round.kind == RoundKind::Measure)
}

/// Median seconds of the reference, for each batch size that was one.
fn reference_medians(past: &Past<'_>) -> BTreeMap<u32, f64> {
    let mut by_size: BTreeMap<u32, Vec<f64>> = BTreeMap::new();
    let blocks = measuring(past).flat_map(|(_, record)| &record.blocks);
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
