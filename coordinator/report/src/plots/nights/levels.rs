//! Which times the vertical axis of a series has room for: all, but for rare ones so far out that nothing else would be seen.

use crate::draw::Scale;
use crate::history::NightPoint;

/// From this many judged nights on, up to this share of them (at least one) on either side does not count for the axis if it lies further from the
/// others than they from each other: a single night of ten times the usual would hide every other shift. Nights with an alarm always count.
const RARE_FROM: usize = 10;
const RARE: f64 = 0.03;
/// The least that counts as far from the others, as a share of their largest.
const FAR: f64 = 0.2;
/// An axis that leaves rare times out reaches this share of what is far beyond the others.
const BEYOND: f64 = 0.3;

/// Every value that the vertical axis has to have room for.
pub(super) fn all(nights: &[NightPoint]) -> impl Iterator<Item = f64> {
    nights.iter().flat_map(|night| {
        let band = night.usable_band().into_iter().flatten();
        let baseline = night.usable_baseline();
        night
            .judged_seconds()
            .into_iter()
            .chain(baseline)
            .chain(band)
    })
}

/// The vertical axis between two pixels.
pub(super) fn scale(nights: &[NightPoint], top: f64, bottom: f64) -> Scale {
    let ends = |values: &mut dyn Iterator<Item = f64>| {
        values.fold((f64::INFINITY, 0.0_f64), |(low, high), value| {
            (low.min(value), high.max(value))
        })
    };
    let (mut low, mut high) = ends(&mut all(nights));
    let (common_low, common_high) = ends(&mut common(nights));
    let far = (common_high - common_low).max(FAR * common_high);
    if high > common_high + far {
        high = common_high + BEYOND * far;
    }
    if low < common_low - far {
        low = (common_low - BEYOND * far).max(low);
    }
    Scale::levels(low.min(high), high, bottom, top)
}

/// The levels without the rare times at both ends that nobody raised an alarm for.
fn common(nights: &[NightPoint]) -> impl Iterator<Item = f64> {
    let mut times: Vec<(f64, bool)> = nights
        .iter()
        .filter_map(|night| Some((night.judged_seconds()?, night.is_alarm)))
        .collect();
    times.sort_by(|one, other| one.0.total_cmp(&other.0));
    let rare = if times.len() < RARE_FROM {
        0
    } else {
        ((RARE * times.len() as f64) as usize).max(1)
    };
    let common = rare..times.len() - rare;
    let kept = times
        .into_iter()
        .enumerate()
        .filter(move |(index, (_, is_alarm))| *is_alarm || common.contains(index))
        .map(|(_, (seconds, _))| seconds);
    let gates = nights.iter().flat_map(|night| {
        let band = night.usable_band().into_iter().flatten();
        band.chain(night.usable_baseline())
    });
    kept.chain(gates)
}
