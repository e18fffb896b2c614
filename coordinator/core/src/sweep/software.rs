//! Devices that share a series with other software than the rest: what they measure belongs to another row of the table, so it must neither go on nor count.
//!
//! Called by `fleet` when a worker has told its software, and before each plan. Workers are believed: agents alike before may still differ in what their
//! workers load.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

use batchstep_proto::domain::{AttemptOutcome, Software};

use super::{History, RoundRecord, SeriesPlan};

/// The software that each device still there told last.
struct Told<'a> {
    by_device: BTreeMap<&'a str, &'a Software>,
    /// What was told, in order of first mention.
    kinds: Vec<&'a Software>,
}

impl<'a> Told<'a> {
    fn of(plan: &SeriesPlan, rounds: impl Iterator<Item = &'a RoundRecord>) -> Self {
        let mut told = Self {
            by_device: BTreeMap::new(),
            kinds: Vec::new(),
        };
        for record in rounds {
            let device = record.round.device_id.as_str();
            // A round that brought nothing goes to another device, and keeps what the first one told until that tells its own.
            let Some(facts) = record.facts.as_ref().filter(|_| !record.is_empty()) else {
                continue;
            };
            if plan.departed.contains_key(device) {
                continue;
            }
            told.by_device.insert(device, &facts.software);
            if !told.kinds.contains(&&facts.software) {
                told.kinds.push(&facts.software);
            }
        }
        told
    }

    /// What most devices have, and how many they are; of equals what was told first.
    fn usual(&self) -> Option<(&'a Software, usize)> {
        let count = |kind: &Software| self.by_device.values().filter(|it| **it == kind).count();
        let kinds = self.kinds.iter().rev();
        kinds
            .map(|kind| (*kind, count(kind)))
            .max_by_key(|(_, devices)| *devices)
    }
}

/// The devices of a shared series that measure with other software than most, each with the difference; none while that is not settled: devices that are
/// `expected` to tell theirs may still make the others the odd ones. `rounds` are those of its history and those that are open.
pub fn odd_software<'a>(
    plan: &SeriesPlan,
    rounds: impl Iterator<Item = &'a RoundRecord>,
    expected: impl Fn(&str) -> bool,
) -> Vec<(String, String)> {
    if !plan.is_shared() {
        return Vec::new();
    }
    let told = Told::of(plan, rounds);
    let Some((usual, devices)) = told.usual() else {
        return Vec::new();
    };
    let silent = plan.present().filter(|it| !told.by_device.contains_key(it));
    let silent = silent.filter(|device| expected(device)).count();
    let all = told.by_device.len() + silent;
    if silent > 0 && 2 * devices <= all {
        return Vec::new();
    }
    let odd = told.by_device.iter().filter(|(_, own)| **own != usual);
    odd.map(|(device, own)| ((*device).to_owned(), difference(own, usual)))
        .collect()
}

/// "libtorch 2.11.0 where the others have 2.10.0".
fn difference(own: &Software, usual: &Software) -> String {
    let versions = [
        ("driver", &own.driver, &usual.driver),
        ("libtorch", &own.libtorch, &usual.libtorch),
        ("CUDA", &own.cuda, &usual.cuda),
        ("cuDNN", &own.cudnn, &usual.cudnn),
        ("batchstep", &own.batchstep, &usual.batchstep),
    ];
    let differing = versions.iter().filter(|(_, own, usual)| own != usual);
    let differences: Vec<String> = differing
        .map(|(name, own, usual)| {
            let usual = usual.as_deref().unwrap_or("none");
            match own {
                Some(own) => format!("{name} {own} where the others have {usual}"),
                None => format!("no {name} where the others have {usual}"),
            }
        })
        .collect();
    differences.join(", ")
}

/// The history as a plan may count on it: of a shared series without what was measured with other software than that of most devices, which is no answer
/// to the same question. The time it took is spent all the same.
#[must_use]
pub fn comparable<'h>(plan: &SeriesPlan, history: &'h History) -> Cow<'h, History> {
    let told = Told::of(plan, history.rounds.iter().filter(|_| plan.is_shared()));
    let Some((usual, _)) = told.usual() else {
        return Cow::Borrowed(history);
    };
    let is_other = |record: &RoundRecord| {
        let facts = record.facts.as_ref();
        facts.is_some_and(|facts| facts.software != *usual)
    };
    let others: BTreeSet<u32> = history
        .rounds
        .iter()
        .filter(|record| is_other(record))
        .map(|record| record.round.index)
        .collect();
    if others.is_empty() {
        return Cow::Borrowed(history);
    }
    let mut comparable = history.clone();
    for record in &mut comparable.rounds {
        if others.contains(&record.round.index) {
            record.blocks.clear();
            record.failures.clear();
            // What is left of it must not look like a round that failed.
            record.outcomes = vec![(AttemptOutcome::Finished, String::new())];
        }
    }
    Cow::Owned(comparable)
}
