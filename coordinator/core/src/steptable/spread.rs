//! How the times of devices compare at the same batch sizes: ratios of medians, and the device in the middle.
//!
//! Called by `combine`. A ratio at one batch size needs no model of either device; nothing here averages times.

use std::{cmp::Reverse, collections::BTreeMap};

use super::{
    device_answer::Spread,
    row::{PointRow, count},
    voice::Voice,
};
use crate::sweep::median;

/// Resolution at which distances between devices are compared, so that rounding does not choose among equals.
const PACE_RESOLUTION: f64 = 1e-9;

/// The median ratio of `one`'s times to `other`'s, over the batch sizes that both have; `None` without any.
pub(super) fn relative_time(one: &[PointRow], other: &[PointRow]) -> Option<f64> {
    let times: BTreeMap<u32, f64> = other
        .iter()
        .map(|point| (point.batch_size, point.seconds))
        .collect();
    let ratios = one
        .iter()
        .filter_map(|point| Some(point.seconds / times.get(&point.batch_size)?))
        .filter(|ratio| ratio.is_finite() && *ratio > 0.0)
        .collect();
    median_of(ratios)
}

/// Of devices that agree, the one whose speed lies in the middle, among those with at least half as many blocks as the richest of them: neither a slow
/// card nor a lucky one stands for its model. Of two, the one with more blocks; among equals, the first by id. `None` for none.
pub(super) fn representative<'v, 'a>(camp: &[&'v Voice<'a>]) -> Option<&'v Voice<'a>> {
    let richest = *camp
        .iter()
        .max_by_key(|voice| (voice.assessment.blocks, Reverse(voice.device())))?;
    let paces: Vec<(f64, &Voice<'a>)> = camp
        .iter()
        .filter_map(|voice| {
            let pace = relative_time(&voice.assessment.points, &richest.assessment.points)?;
            Some((pace.ln(), *voice))
        })
        .collect();
    let Some(middle) = median_of(paces.iter().map(|(pace, _)| *pace).collect()) else {
        return Some(richest);
    };
    paces
        .into_iter()
        .filter(|(_, voice)| voice.assessment.blocks.saturating_mul(2) >= richest.assessment.blocks)
        .min_by_key(|(pace, voice)| {
            let distance = ((pace - middle).abs() / PACE_RESOLUTION).round() as u64;
            (distance, Reverse(voice.assessment.blocks), voice.device())
        })
        .map(|(_, voice)| voice)
}

/// How far devices lie apart; `None` for fewer than two.
pub(super) fn spread<'v, 'a: 'v>(
    voices: impl Iterator<Item = &'v Voice<'a>> + Clone,
) -> Option<Spread> {
    voices.clone().nth(1)?;
    let steps = voices
        .clone()
        .filter_map(|voice| voice.assessment.inference.step);
    let mut ranges: BTreeMap<u32, Range> = BTreeMap::new();
    for point in voices.flat_map(|voice| &voice.assessment.points) {
        ranges
            .entry(point.batch_size)
            .or_default()
            .add(point.seconds);
    }
    let ratios: BTreeMap<u32, f64> = ranges
        .into_iter()
        .filter_map(|(size, range)| Some((size, range.excess()?)))
        .collect();
    // Of equal ratios the one at the smallest batch size, whatever the order of the devices.
    let largest = ratios
        .iter()
        .rev()
        .max_by(|one, other| one.1.total_cmp(other.1));
    Some(Spread {
        step: steps.collect::<Range>().excess(),
        time: median_of(ratios.values().copied().collect()),
        largest_time: largest.map(|(_, ratio)| *ratio),
        largest_time_at: largest.map(|(size, _)| *size),
        batch_sizes: count(ratios.len()),
    })
}

/// The extremes of some values.
#[derive(Debug, Clone, Copy)]
struct Range {
    low: f64,
    high: f64,
    count: u32,
}

impl Default for Range {
    fn default() -> Self {
        Self {
            low: f64::INFINITY,
            high: f64::NEG_INFINITY,
            count: 0,
        }
    }
}

impl Range {
    fn add(&mut self, value: f64) {
        self.low = self.low.min(value);
        self.high = self.high.max(value);
        self.count += 1;
    }

    /// The largest over the smallest, less one; `None` for fewer than two.
    fn excess(self) -> Option<f64> {
        let excess = self.high / self.low - 1.0;
        (self.count > 1 && excess.is_finite()).then_some(excess)
    }
}

impl FromIterator<f64> for Range {
    fn from_iter<T: IntoIterator<Item = f64>>(values: T) -> Self {
        let mut range = Self::default();
        for value in values {
            range.add(value);
        }
        range
    }
}

/// The median of any number of values; `None` for none.
fn median_of(values: Vec<f64>) -> Option<f64> {
    (!values.is_empty()).then(|| median(values))
}
