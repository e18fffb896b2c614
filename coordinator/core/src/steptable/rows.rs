//! From series to rows: grouped by key, of each device the series that tells most.
//!
//! Called by the coordinator whenever the table is asked for; a pure function of the series, whatever their order.

use std::collections::BTreeMap;

use super::{
    DetailedRow,
    assess::Assessment,
    combine::combine,
    key::{self, Key},
    voice::Voice,
};
use crate::sweep::{History, SeriesPlan};

/// A series as the table sees it.
#[derive(Debug, Clone, Copy)]
pub struct SeriesResult<'a> {
    /// What it measures.
    pub plan: &'a SeriesPlan,
    /// What is known.
    pub history: &'a History,
    /// False while it may still get blocks.
    pub finished: bool,
    /// True where a person ended it.
    pub cancelled: bool,
    /// Why it ended, for people.
    pub message: Option<&'a str>,
}

/// The table's rows, ordered by key; points and fitted curves only when `detailed`.
///
/// Where one device measured the same thing more than once, its most telling series counts: an answer before none, then the one with more blocks, then
/// that of the later sweep. A series during which the software changed counts once for each software, with that software's rounds.
#[must_use]
pub fn rows(series: &[SeriesResult<'_>], detailed: bool) -> Vec<DetailedRow> {
    let mut groups: BTreeMap<Key, BTreeMap<&str, Voice<'_>>> = BTreeMap::new();
    for &result in series {
        for part in key::by_software(result.history) {
            let voice = Voice {
                plan: result.plan,
                assessment: Assessment::of(&SeriesResult {
                    history: &part,
                    ..result
                }),
            };
            let devices = groups.entry(Key::of(result.plan, &part)).or_default();
            let device = result.plan.device.id.as_str();
            if devices
                .get(device)
                .is_none_or(|known| voice.weight() > known.weight())
            {
                devices.insert(device, voice);
            }
        }
    }
    groups
        .into_iter()
        .filter_map(|(key, devices)| {
            let voices: Vec<Voice<'_>> = devices.into_values().collect();
            combine(key, &voices, detailed)
        })
        .collect()
}
