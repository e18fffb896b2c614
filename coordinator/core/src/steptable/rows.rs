//! From series to rows: grouped by key, of each device the series that tells most.
//!
//! Called by the coordinator whenever the table is asked for; a pure function of the series, whatever their order.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

use super::{
    DetailedRow,
    assess::Assessment,
    combine::combine,
    key::{self, Key},
    verdict::Verdict,
    voice::Voice,
};
use crate::sweep::{History, SeriesPlan};

/// What to do where devices of different software shared a series.
const APART: &str =
    "measure the devices that the reason names apart, or give all of them the same software";

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
        let parts = key::by_software(result.history);
        for part in &parts {
            let mut assessment = Assessment::of(&SeriesResult {
                history: part,
                ..result
            });
            if assessment.verdict == Verdict::Insufficient
                && let Some(remark) = split_by_device(part, &parts)
            {
                assessment.inference.reason.push_str("; ");
                assessment.inference.reason.push_str(&remark);
                assessment.inference.next_action = Some(APART.to_owned());
            }
            let voice = Voice {
                plan: result.plan,
                assessment,
            };
            let devices = groups.entry(Key::of(result.plan, part)).or_default();
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

/// What to say of a part of a shared series whose devices have other software than those of the other parts; `None` where the software of a device was
/// replaced meanwhile.
fn split_by_device(part: &History, parts: &[Cow<'_, History>]) -> Option<String> {
    let devices = |history: &History| -> BTreeSet<String> {
        let told = history.rounds.iter().filter(|it| it.facts.is_some());
        told.map(|it| it.round.device_id.clone()).collect()
    };
    let others = parts.iter().map(AsRef::as_ref);
    let others = others.filter(|other| !std::ptr::eq(*other, part));
    let (own, others): (_, BTreeSet<String>) = (devices(part), others.flat_map(devices).collect());
    let names = |devices: &BTreeSet<String>| Vec::from_iter(devices.clone()).join(", ");
    let has = if own.len() == 1 { "has" } else { "have" };
    (!own.is_empty() && !others.is_empty() && own.is_disjoint(&others)).then(|| {
        format!(
            "{} {has} other software than {}, with which the measurement was shared",
            names(&own),
            names(&others)
        )
    })
}
