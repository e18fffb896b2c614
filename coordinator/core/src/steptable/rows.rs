//! From series to rows: grouped by key, of each device the series that tells most.
//!
//! Called by the coordinator whenever the table is asked for; a pure function of the series, whatever their order.

use std::collections::BTreeMap;

use super::{DetailedRow, answer::Answer, combine::combine, key::Key, voice::Voice};
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
    let answers: Vec<Answer> = series.iter().map(Answer::of).collect();
    rows_of(series.iter().map(|one| one.plan).zip(&answers), detailed)
}

/// The same rows from what each series says, be it judged now or kept from when it had its blocks.
pub fn rows_of<'a>(
    answers: impl IntoIterator<Item = (&'a SeriesPlan, &'a Answer)>,
    detailed: bool,
) -> Vec<DetailedRow> {
    let mut groups: BTreeMap<Key, BTreeMap<&str, Voice<'_>>> = BTreeMap::new();
    for (plan, answer) in answers {
        for part in &answer.parts {
            let assessment = &part.assessment;
            let voice = Voice { plan, assessment };
            let key = Key::of(plan, part.software.clone(), part.compute_units);
            let devices = groups.entry(key).or_default();
            let device = plan.device.id.as_str();
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
