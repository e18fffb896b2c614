//! Correction of drift, and what else is to be known about a block before it may be believed.
//!
//! Called by the planner, by `steptable` and by exports. Raw times are always kept beside the corrected ones; nothing is dropped here except from
//! the observations handed to the inference.

use std::collections::BTreeMap;

use batchstep_inference::Observation;
use batchstep_proto::domain::{Block, DeviceKind, RoundKind, VisitRole};

use super::{
    History, RoundRecord, SeriesPlan,
    drift::{Drift, Place, References},
    history::Past,
    levels::{Leveled, Levels},
    medians::median,
    rules::{DRIFT_LIMIT, REQUIRED_ROUNDS},
};

/// NVML clock event bits that void a block: HW slowdown, SW thermal, HW thermal, HW power brake (`nvml.h`, `nvmlClocksEventReason*`).
const THROTTLE_BITS: u64 = 0x8 | 0x20 | 0x40 | 0x80;
/// NVML's bit for the software power cap: the block is kept and tagged.
const POWER_CAP_BIT: u64 = 0x4;
/// A block whose SM clock is below this share of the series' median ran on another clock.
const CLOCK_SHARE: f64 = 0.9;
/// Foreign load beyond the idle cores, as a share of the trial's threads, that disturbs a block.
const FOREIGN_SHARE: f64 = 0.25;
/// A block this many times its batch size's fastest was disturbed.
const SLOW_FACTOR: f64 = 1.5;
/// Share of disturbed or discarded blocks that decides the verdict.
const DISTURBED_SHARE: f64 = 0.2;

/// Something about a block that a reader should know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Flag {
    /// The reference moved by more than 3 % within the block's round.
    Drifting,
    /// The host set the pace: it was never ahead of the device, or the device waited for it for more than 5 % of the block.
    HostBound,
    /// Other processes used the device, or more of the processors than were idle.
    Contended,
    /// More than 1.5 times the fastest block of its batch size.
    Slow,
    /// The device slowed itself down; not an observation.
    Throttled,
    /// The power limit held the clock down.
    PowerCapped,
}

impl Flag {
    /// Its word in exports.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Drifting => "drifting",
            Self::HostBound => "host_bound",
            Self::Contended => "contended",
            Self::Slow => "slow",
            Self::Throttled => "throttled",
            Self::PowerCapped => "power_capped",
        }
    }
}

/// A block with its correction.
#[derive(Debug, Clone, PartialEq)]
pub struct CorrectedBlock<'a> {
    /// Index of its round in the series.
    pub round: u32,
    /// Id of the device that timed it.
    pub device: &'a str,
    /// As reported.
    pub block: &'a Block,
    /// Seconds per iteration, as timed.
    pub seconds: f64,
    /// The same without drift, on the device that stands for all where several share the series; `None` for probe blocks and where the round has no reference.
    pub corrected_seconds: Option<f64>,
    /// Ascending.
    pub flags: Vec<Flag>,
}

impl CorrectedBlock<'_> {
    /// The best figure there is: corrected if possible, seconds per iteration.
    #[must_use]
    pub fn best_seconds(&self) -> f64 {
        self.corrected_seconds.unwrap_or(self.seconds)
    }

    fn has(&self, flag: Flag) -> bool {
        self.flags.contains(&flag)
    }
}

/// All blocks of a series, corrected.
#[derive(Debug, Clone, PartialEq)]
pub struct Corrected<'a> {
    /// In the order of rounds, and within them as reported.
    pub blocks: Vec<CorrectedBlock<'a>>,
    /// Indices of the rounds in which the reference drifted.
    pub drifting_rounds: Vec<u32>,
}

/// Shares of disturbed blocks among those that measure a batch size, 0..1.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Quality {
    /// With foreign processes or load.
    pub foreign: f64,
    /// Above 1.5 times their batch size's fastest.
    pub slow: f64,
    /// Discarded because the device slowed itself down.
    pub throttled: f64,
    /// In which the device waited for the host.
    pub host_bound: f64,
}

impl Quality {
    /// More than 20 % of the blocks were disturbed by others.
    #[must_use]
    pub fn contended(&self) -> bool {
        self.foreign.max(self.slow) > DISTURBED_SHARE
    }

    /// More than 20 % of the blocks were discarded.
    #[must_use]
    pub fn throttled(&self) -> bool {
        self.throttled > DISTURBED_SHARE
    }
}

/// Corrects every block by its device's level, where several share the series, and by the device's drift while it ran.
#[must_use]
pub fn correct<'a>(plan: &SeriesPlan, history: &'a History) -> Corrected<'a> {
    let past = history.past();
    Seen::of(plan, &past).corrected(plan)
}

/// What can be said of blocks without learning the drift: all that the planner asks while batch sizes lack their required blocks.
#[derive(Debug)]
pub(super) struct Seen<'p, 'a> {
    past: &'p Past<'a>,
    leveled: Leveled<'a>,
    references: References,
    median_clocks: BTreeMap<&'a str, f64>,
}

impl<'p, 'a> Seen<'p, 'a> {
    pub(super) fn of(plan: &SeriesPlan, past: &'p Past<'a>) -> Self {
        let leveled = Levels::of(plan, past).leveled(past);
        Self {
            past,
            references: References::of(&leveled.past()),
            leveled,
            median_clocks: median_clocks(past),
        }
    }

    /// Indices of the rounds in which the reference drifted.
    pub(super) fn drifting_rounds(&self) -> Vec<u32> {
        let rounds = self.past.rounds.iter().enumerate();
        rounds
            .filter(|(round, _)| self.drifts(*round))
            .map(|(_, record)| record.round.index)
            .collect()
    }

    /// The batch sizes of the measuring blocks that were not throttled, each with the index of its round.
    pub(super) fn unthrottled(&self) -> impl Iterator<Item = (u32, u32)> {
        self.past.rounds.iter().flat_map(|record| {
            let clock = self.median_clock(record);
            let blocks = record.blocks.iter();
            blocks
                .filter(|block| block.role == VisitRole::Measure)
                .filter(move |block| !throttled(block, clock))
                .map(|block| (record.round.index, block.batch_size))
        })
    }

    /// Whether the reference moved within round `round` of the history.
    pub(super) fn drifts(&self, round: usize) -> bool {
        self.references.range(round) > DRIFT_LIMIT
    }

    /// Whether a block is no observation.
    pub(super) fn is_throttled(&self, (round, block): Place) -> bool {
        let record = self.past.rounds[round];
        throttled(&record.blocks[block], self.median_clock(record))
    }

    pub(super) fn block(&self, (round, block): Place) -> &'a Block {
        &self.past.rounds[round].blocks[block]
    }

    /// The rounds at the level of one device.
    pub(super) fn leveled(&self) -> Past<'_> {
        self.leveled.past()
    }

    /// What the reference shows at that level.
    pub(super) const fn references(&self) -> &References {
        &self.references
    }

    fn median_clock(&self, record: &RoundRecord) -> Option<f64> {
        let device = record.round.device_id.as_str();
        self.median_clocks.get(device).copied()
    }

    /// Learns the drift and corrects every block by it.
    pub(super) fn corrected(&self, plan: &SeriesPlan) -> Corrected<'a> {
        let leveled = self.leveled.past();
        let drift = Drift::of(&leveled, &self.references, plan.device.kind);
        let fastest = fastest(&leveled);
        let mut corrected = Corrected {
            blocks: Vec::new(),
            drifting_rounds: self.drifting_rounds(),
        };
        for (round, record) in self.past.rounds.iter().enumerate() {
            let clock = self.median_clock(record);
            let leveled = &leveled.rounds[round].blocks;
            let drifting = self.drifts(round);
            corrected
                .blocks
                .extend(record.blocks.iter().enumerate().map(|(position, block)| {
                    let leveled = &leveled[position];
                    let seconds = leveled.seconds_per_iteration();
                    let mut flags = flags(plan, leveled, clock, &fastest);
                    if drifting {
                        flags.insert(0, Flag::Drifting);
                    }
                    CorrectedBlock {
                        round: record.round.index,
                        device: &record.round.device_id,
                        block,
                        seconds: block.seconds_per_iteration(),
                        corrected_seconds: drift
                            .ratio(round, position)
                            .map(|ratio| seconds / ratio),
                        flags,
                    }
                }));
        }
        corrected
    }
}

impl Corrected<'_> {
    /// What the inference may use: measuring blocks that were not throttled, as far as they are [`undisturbed`].
    #[must_use]
    pub fn observations(&self) -> Vec<Observation> {
        undisturbed(
            self.measuring()
                .filter(|block| !block.has(Flag::Throttled))
                .map(|block| {
                    let observation = Observation {
                        batch_size: block.block.batch_size,
                        round: block.round,
                        seconds: block.best_seconds(),
                    };
                    (observation, block.has(Flag::Drifting))
                }),
        )
    }

    /// How many of the measuring blocks were disturbed.
    #[must_use]
    pub fn quality(&self) -> Quality {
        let all = self.measuring().count();
        if all == 0 {
            return Quality::default();
        }
        let share = |flag: Flag| {
            self.measuring().filter(|block| block.has(flag)).count() as f64 / all as f64
        };
        Quality {
            foreign: share(Flag::Contended),
            slow: share(Flag::Slow),
            throttled: share(Flag::Throttled),
            host_bound: share(Flag::HostBound),
        }
    }

    fn measuring(&self) -> impl Iterator<Item = &CorrectedBlock<'_>> {
        self.blocks
            .iter()
            .filter(|block| block.block.role == VisitRole::Measure)
    }
}

/// Of observations and whether their round drifted, in order of measurement, those that count, by batch size: drifting ones only where there are not
/// enough others. `round` counts the blocks of a batch size, so that visits which were caught up in a later round take the place of the missed ones.
#[must_use]
pub fn undisturbed(
    observations: impl IntoIterator<Item = (Observation, bool)>,
) -> Vec<Observation> {
    let mut by_size: BTreeMap<u32, Vec<(Observation, bool)>> = BTreeMap::new();
    for (observation, drifting) in observations {
        by_size
            .entry(observation.batch_size)
            .or_default()
            .push((observation, drifting));
    }
    let mut counting = Vec::new();
    for mut of_size in by_size.into_values() {
        let steady = of_size.iter().filter(|(_, drifting)| !drifting).count();
        if steady >= REQUIRED_ROUNDS as usize {
            of_size.retain(|(_, drifting)| !drifting);
        }
        counting.extend(
            (0_u32..)
                .zip(of_size)
                .map(|(round, (observation, _))| Observation {
                    round,
                    ..observation
                }),
        );
    }
    counting
}

fn flags(
    plan: &SeriesPlan,
    block: &Block,
    median_clock: Option<f64>,
    fastest: &BTreeMap<u32, f64>,
) -> Vec<Flag> {
    let power_capped = block.throttle_reasons.unwrap_or(0) & POWER_CAP_BIT != 0;
    let slow = block.role == VisitRole::Measure
        && fastest
            .get(&block.batch_size)
            .is_some_and(|fastest| block.seconds_per_iteration() > fastest * SLOW_FACTOR);
    let contended = block.foreign_processes.is_some_and(|count| count > 0)
        || block
            .foreign_cores
            .is_some_and(|cores| cores > harmless_foreign_cores(plan));
    [
        (Flag::HostBound, block.host_bound()),
        (Flag::Contended, contended),
        (Flag::Slow, slow),
        (Flag::Throttled, throttled(block, median_clock)),
        (Flag::PowerCapped, power_capped),
    ]
    .into_iter()
    .filter_map(|(flag, set)| set.then_some(flag))
    .collect()
}

/// Whether the device slowed itself down: by its own word, or by its clock.
fn throttled(block: &Block, median_clock: Option<f64>) -> bool {
    let says_so = block.throttle_reasons.unwrap_or(0) & THROTTLE_BITS != 0;
    let clocks = block.sm_clock_mhz.zip(median_clock);
    says_so || clocks.is_some_and(|(clock, median)| clock < median * CLOCK_SHARE)
}

/// Load of other processes that a trial hardly feels: what the cores it leaves idle can take, and a quarter of its threads. A GPU's trial needs one
/// core of its host, of which nothing is known here; there the foreign processes on the device count instead.
fn harmless_foreign_cores(plan: &SeriesPlan) -> f64 {
    if plan.device.kind == DeviceKind::Cuda {
        return f64::INFINITY;
    }
    let threads = f64::from(plan.threads.unwrap_or(1));
    let cores = plan.device.compute_units.map_or(threads, f64::from);
    (cores - threads).max(0.0) + FOREIGN_SHARE * threads
}

fn fastest(past: &Past<'_>) -> BTreeMap<u32, f64> {
    let mut fastest = BTreeMap::new();
    for block in measuring(past).flat_map(measuring_blocks) {
        let seconds = block.seconds_per_iteration();
        fastest
            .entry(block.batch_size)
            .and_modify(|least: &mut f64| *least = least.min(seconds))
            .or_insert(seconds);
    }
    fastest
}

/// Of each device, MHz.
fn median_clocks<'a>(past: &Past<'a>) -> BTreeMap<&'a str, f64> {
    let mut clocks: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for record in measuring(past) {
        let known = measuring_blocks(record).filter_map(|block| block.sm_clock_mhz);
        clocks
            .entry(&record.round.device_id)
            .or_default()
            .extend(known);
    }
    clocks
        .into_iter()
        .filter(|(_, clocks)| !clocks.is_empty())
        .map(|(device, clocks)| (device, median(clocks)))
        .collect()
}

fn measuring<'a>(past: &Past<'a>) -> impl Iterator<Item = &'a RoundRecord> {
    let rounds = past.rounds.iter().copied();
    rounds.filter(|record| record.round.kind == RoundKind::Measure)
}

/// The blocks of a round that measure a batch size.
fn measuring_blocks(record: &RoundRecord) -> impl Iterator<Item = &Block> {
    let blocks = record.blocks.iter();
    blocks.filter(|block| block.role == VisitRole::Measure)
}
