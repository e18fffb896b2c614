//! Devices that share a series and do not belong together: their times differ by more than a factor.
//!
//! Called by `steptable` for what a reader should know. The blocks are compared after they were brought to one level, so what is left of a device's
//! distance from the others is its own law, a slow drift in its references, or noise. Nothing is left out because of it: a person decides.

use std::collections::BTreeMap;

use batchstep_proto::domain::VisitRole;

use super::{Corrected, Flag, medians::median};

/// Batch sizes a device must have in common with others before it is compared with them: half of a short run of neighbours may be odd by chance.
const LEAST_SIZES: usize = 12;
/// How many times its distance from the others must exceed what repeats on one device lie apart. Of devices that fit, the two are alike.
const CLEARLY_MORE: f64 = 4.0;
/// A distance that is not worth a word, relative: steps are looked for from 2 % on.
const NEGLIGIBLE: f64 = 0.01;
/// One odd device also moves the middle that the others are compared with; those that are this much nearer to it are not to blame.
const TO_BLAME: f64 = 0.5;

/// A device whose times do not follow those of the others.
#[derive(Debug, Clone, PartialEq)]
pub struct Misfit {
    /// Its id.
    pub device: String,
    /// Its usual distance from the middle of the devices at the same batch size, relative.
    pub distance: f64,
}

/// The devices that do not fit the others, by id. Of two devices neither can be blamed alone, so both are named.
#[must_use]
pub fn misfits(corrected: &Corrected<'_>) -> Vec<Misfit> {
    // Logarithms by batch size and device.
    let mut by_size: BTreeMap<u32, BTreeMap<&str, Vec<f64>>> = BTreeMap::new();
    for block in &corrected.blocks {
        let is_told = block.block.role == VisitRole::Measure;
        if let (true, Some(seconds)) = (is_told, block.corrected_seconds)
            && !block.flags.contains(&Flag::Throttled)
        {
            by_size
                .entry(block.block.batch_size)
                .or_default()
                .entry(block.device)
                .or_default()
                .push(seconds.ln());
        }
    }
    let distances = distances(&by_size);
    let threshold = (CLEARLY_MORE * repeatability(&by_size)).max(NEGLIGIBLE);
    let largest = distances.values().copied().fold(0.0, f64::max);
    distances
        .into_iter()
        .filter(|(_, distance)| *distance > threshold && *distance >= TO_BLAME * largest)
        .map(|(device, distance)| Misfit {
            device: device.to_owned(),
            distance: distance.exp_m1(),
        })
        .collect()
}

/// By device its median distance from the middle of all devices, over the batch sizes it has in common with others.
fn distances<'a>(by_size: &BTreeMap<u32, BTreeMap<&'a str, Vec<f64>>>) -> BTreeMap<&'a str, f64> {
    let mut distances: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for devices in by_size.values().filter(|devices| devices.len() > 1) {
        let levels: Vec<(&str, f64)> = devices
            .iter()
            .map(|(device, logarithms)| (*device, median(logarithms.clone())))
            .collect();
        let middle = median(levels.iter().map(|(_, level)| *level).collect());
        for (device, level) in levels {
            distances
                .entry(device)
                .or_default()
                .push((level - middle).abs());
        }
    }
    distances
        .into_iter()
        .filter(|(_, distances)| distances.len() >= LEAST_SIZES)
        .map(|(device, distances)| (device, median(distances)))
        .collect()
}

/// The median distance of repeats on one device from their own middle.
fn repeatability(by_size: &BTreeMap<u32, BTreeMap<&str, Vec<f64>>>) -> f64 {
    let repeats = by_size.values().flat_map(BTreeMap::values);
    let distances = repeats
        .filter(|logarithms| logarithms.len() > 1)
        .flat_map(|logarithms| {
            let middle = median(logarithms.clone());
            logarithms.iter().map(move |it| (it - middle).abs())
        });
    median(distances.collect())
}
