//! Nights in numbers, for the metrics.

use std::collections::BTreeMap;

use batchstep_tell::message::Kind;
use jiff::Timestamp;

use super::{
    document::{Detail, Summary},
    keeper::Nightly,
    kept::from_json,
    letters,
    people::NightlyError,
    views::{INCOMPLETE, state},
    words,
};
use crate::store::{AlarmsWanted, NightState, NightlyStore as _, NightsWanted, Store};

/// Kinds of alarms, each told as 0 while there is none: a graph has no holes, and the first alarm is an increase.
const KINDS: [Kind; 9] = [
    Kind::ModelWide,
    Kind::Regression,
    Kind::ChangedWithEnvironment,
    Kind::StepChanged,
    Kind::Outlier,
    Kind::MissingHost,
    Kind::MissingDevice,
    Kind::MissingSeries,
    Kind::NightMissed,
];

/// Nights that are looked through for the last one that measured something.
const LOOKED_THROUGH: u32 = 60;

/// One schedule in numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct Figures {
    /// Its name.
    pub schedule: String,
    /// Alarms that are open and not acknowledged, by kind.
    pub alarms: BTreeMap<String, u32>,
    /// When the last night ended that measured something; before the first one, when the schedule was made.
    pub last_night: Timestamp,
    /// Where the newest night is, or that it lacks series.
    pub state: Option<&'static str>,
    /// Series of the newest judged night, by verdict.
    pub series: BTreeMap<String, u32>,
}

impl<S: Store> Nightly<S> {
    /// Every schedule in numbers, but for those that are disabled: nobody waits for their nights.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn figures(&self) -> Result<Vec<Figures>, NightlyError> {
        let open = self
            .store
            .nightly()
            .alarms(&AlarmsWanted::default())
            .await?;
        let mut all = Vec::new();
        let schedules = self.store.nightly().schedules().await?;
        for stored in schedules.into_iter().filter(|stored| stored.enabled) {
            let kinds = KINDS.map(|kind| (kind.word().to_owned(), 0));
            let mut figures = Figures {
                schedule: stored.name.clone(),
                alarms: kinds.into(),
                last_night: stored.created_at,
                state: None,
                series: BTreeMap::new(),
            };
            let unknown = |alarm: &&crate::store::StoredAlarm| {
                alarm.schedule == stored.name && alarm.acknowledged.is_none()
            };
            for alarm in open.iter().filter(unknown) {
                let detail: Detail = from_json("alarm", &alarm.detail)?;
                let kind = letters::kind_of(&alarm.kind, &detail).word().to_owned();
                *figures.alarms.entry(kind).or_default() += 1;
            }
            let wanted = NightsWanted {
                schedule: Some(stored.name.clone()),
                limit: LOOKED_THROUGH,
                ..NightsWanted::default()
            };
            let nights = self.store.nightly().nights(&wanted).await?;
            figures.state = nights.first().map(|night| state(night.state));
            let mut is_newest = true;
            for night in nights
                .iter()
                .filter(|night| night.state == NightState::Done)
            {
                let summary: Summary = from_json("summary of a night", &night.summary)?;
                if figures.series.is_empty() {
                    let verdicts = summary.verdicts.iter();
                    figures.series = verdicts
                        .map(|(kind, count)| (words::kind(*kind), *count))
                        .collect();
                }
                let is_first = std::mem::take(&mut is_newest);
                if is_first
                    && figures.state == Some(state(NightState::Done))
                    && summary.unjudged() > 0
                {
                    figures.state = Some(INCOMPLETE);
                }
                if summary.unjudged() < summary.series() {
                    figures.last_night = night.finished_at.unwrap_or(figures.last_night);
                    break;
                }
            }
            all.push(figures);
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_alerting_rules_ask_for_kinds_that_are_told() {
        let rules = include_str!("../../../deploy/prometheus/batchstep-rules.yml");
        let told: Vec<&str> = KINDS.iter().map(|kind| kind.word()).collect();
        let mut asked = 0;
        for (_, rest) in rules
            .match_indices("kind=")
            .map(|(at, _)| rules.split_at(at + 5))
        {
            let words = rest.trim_start_matches('~').split('"').nth(1).unwrap();
            for word in words.split('|') {
                asked += 1;
                assert!(
                    told.contains(&word),
                    "{word} is in the rules and never told"
                );
            }
        }
        assert!(asked >= 4, "{asked}");
    }
}
