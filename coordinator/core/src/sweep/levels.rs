//! How fast each device of a shared series is, so that the blocks of all of them can be read as those of one.
//!
//! Called before drift is learned and before rounds are foreseen. The law that is assumed: two devices of one model differ by a factor that is the same at
//! every batch size. The factor is read off the reference batch, which each measuring round visits throughout, and nothing else: no staircase takes part.
//! The series of one device is left as it is, to the last bit.

use std::{collections::BTreeMap, time::Duration};

use batchstep_proto::domain::{Block, RoundKind, VisitRole};
use serde::{Deserialize, Serialize};

use super::{History, RoundRecord, SeriesPlan, history::Past, medians::median};

/// What one of several devices that share a series has measured of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Contribution {
    /// Id of the device.
    pub device: String,
    /// Name of its host.
    pub hostname: String,
    /// Its time at the reference batch over that of the device that stands for all; `None` where it never visited it.
    pub relative_time: Option<f64>,
    /// Timed blocks, reference and probe blocks included.
    pub blocks: usize,
    /// Time in them.
    pub measuring: Duration,
}

/// By device the time of an iteration over that of the device which stands for all: the first of the series, or the one with most references before that
/// has measured any.
#[derive(Debug, Default)]
pub(super) struct Levels<'a>(BTreeMap<&'a str, f64>);

impl<'a> Levels<'a> {
    /// As the references of all measuring rounds show them; empty for the series of one device.
    pub(super) fn of(plan: &SeriesPlan, past: &Past<'a>) -> Self {
        if !plan.is_shared() {
            return Self::default();
        }
        let references = references(past);
        let count = |device: &str| -> usize { references[device].values().map(Vec::len).sum() };
        // Of equals the first by id.
        let richest = references.keys().rev().max_by_key(|device| count(device));
        let first = references.get_key_value(plan.device.id.as_str());
        let Some(base) = first.map(|(device, _)| device).or(richest) else {
            return Self::default();
        };
        let usual: BTreeMap<u32, f64> = references[base]
            .iter()
            .map(|(&size, logarithms)| (size, median(logarithms.clone())))
            .collect();
        Self(
            references
                .iter()
                .filter_map(|(&device, by_size)| {
                    // A reference that only one of the two has visited compares nothing.
                    let above: Vec<f64> = by_size
                        .iter()
                        .filter_map(|(size, logarithms)| Some((usual.get(size)?, logarithms)))
                        .flat_map(|(usual, logarithms)| logarithms.iter().map(move |it| it - usual))
                        .collect();
                    let level = if device == *base {
                        0.0
                    } else {
                        median(above.clone())
                    };
                    (!above.is_empty()).then(|| (device, level.exp()))
                })
                .collect(),
        )
    }

    /// The rounds as the device that stands for all would have made them.
    pub(super) fn leveled<'h>(&self, past: &Past<'h>) -> Leveled<'h> {
        if self.0.is_empty() {
            return Leveled::AsTheyAre(past.clone());
        }
        let leveled = past.rounds.iter().map(|&record| {
            let mut record = record.clone();
            let level = self.level(&record.round.device_id);
            for block in &mut record.blocks {
                scale(block, 1.0 / level);
            }
            record
        });
        Leveled::Scaled(History {
            rounds: leveled.collect(),
        })
    }

    /// A block of a leveled history as `device` would time it.
    pub(super) fn on(&self, device: &str, leveled: &Block) -> Block {
        let mut block = leveled.clone();
        scale(&mut block, self.level(device));
        block
    }

    /// 1 for a device that cannot be compared.
    fn level(&self, device: &str) -> f64 {
        self.0.get(device).copied().unwrap_or(1.0)
    }
}

/// The rounds of a series at one level.
#[derive(Debug)]
pub(super) enum Leveled<'h> {
    /// Of one device, or of devices that cannot be compared.
    AsTheyAre(Past<'h>),
    /// Copies with other times.
    Scaled(History),
}

impl Leveled<'_> {
    pub(super) fn past(&self) -> Past<'_> {
        match self {
            Self::AsTheyAre(past) => past.clone(),
            Self::Scaled(history) => history.past(),
        }
    }
}

/// What each device of a shared series has measured, by id; empty for the series of one device.
#[must_use]
pub fn contributions(plan: &SeriesPlan, history: &History) -> Vec<Contribution> {
    let past = history.past();
    let levels = Levels::of(plan, &past);
    let mut by_device: BTreeMap<&str, (usize, Duration)> = BTreeMap::new();
    for record in history.rounds.iter().filter(|_| plan.is_shared()) {
        let (blocks, measuring) = by_device.entry(&record.round.device_id).or_default();
        *blocks += record.blocks.len();
        *measuring += record.measuring;
    }
    plan.places()
        .filter_map(|(device, hostname)| {
            let (blocks, measuring) = *by_device.get(device)?;
            (blocks > 0).then(|| Contribution {
                device: device.to_owned(),
                hostname: hostname.to_owned(),
                relative_time: levels.0.get(device).copied(),
                blocks,
                measuring,
            })
        })
        .collect()
}

/// Logarithms of the reference's seconds per iteration, by device and batch size.
fn references<'a>(past: &Past<'a>) -> BTreeMap<&'a str, BTreeMap<u32, Vec<f64>>> {
    let mut references: BTreeMap<&str, BTreeMap<u32, Vec<f64>>> = BTreeMap::new();
    let is_measuring = |record: &&RoundRecord| record.round.kind == RoundKind::Measure;
    for record in past.rounds.iter().copied().filter(is_measuring) {
        let blocks = record.blocks.iter();
        for block in blocks.filter(|block| block.role == VisitRole::Reference) {
            references
                .entry(&record.round.device_id)
                .or_default()
                .entry(block.batch_size)
                .or_default()
                .push(block.seconds_per_iteration().ln());
        }
    }
    references
}

/// Multiplies the times of a block; a factor that no device has leaves it alone.
fn scale(block: &mut Block, factor: f64) {
    let scaled = |time: Duration| {
        Duration::try_from_secs_f64(time.as_secs_f64() * factor)
            .ok()
            .filter(|scaled| !scaled.is_zero())
    };
    if factor == 1.0 {
        return;
    }
    block.elapsed = scaled(block.elapsed).unwrap_or(block.elapsed);
    block.device_elapsed = block
        .device_elapsed
        .map(|time| scaled(time).unwrap_or(time));
}
