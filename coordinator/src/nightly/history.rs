//! Each series over its nights, as plots and pages want it.

use std::collections::BTreeMap;

use batchstep_judge::{Environment, Invalidity, Kind, Observation, Step, Verdict};
use batchstep_report::{Acknowledgement, Hit, NightPoint, NightStep, SeriesHistory, Unjudged};
use jiff::Timestamp;

use super::{
    about::{About, group_key},
    keeper::Nightly,
    kept::from_json,
    people::NightlyError,
    words,
};
use crate::store::{
    AlarmsWanted, NightlyStore as _, NightsWanted, Store, StoredAlarm, StoredNight,
    StoredNightSeries,
};

/// Nights of one answer, unless another number is asked for.
const NIGHTS: u32 = 90;
/// Nights of one answer at most.
const MOST_NIGHTS: u32 = 400;

/// Which series are asked for.
#[derive(Debug, Clone, Default)]
pub struct HistoryWanted {
    /// Of which schedule; `None`: the only one there is.
    pub schedule: Option<String>,
    /// Part of the device's id or name, or of its host's name; case does not matter.
    pub device: Option<String>,
    /// Part of the workload.
    pub workload: Option<String>,
    /// The newest so many nights; 0: 90.
    pub nights: u32,
}

impl HistoryWanted {
    fn admits(&self, about: &About) -> bool {
        let has = |part: &Option<String>, texts: &[&str]| {
            part.as_ref().is_none_or(|part| {
                let part = part.to_lowercase();
                texts.iter().any(|text| text.to_lowercase().contains(&part))
            })
        };
        has(
            &self.device,
            &[&about.device, &about.device_model, &about.hostname],
        ) && has(&self.workload, &[&about.workload])
    }
}

impl<S: Store> Nightly<S> {
    /// Series over the newest nights of a schedule.
    ///
    /// # Errors
    /// When more than one schedule could be meant, or the store cannot be read.
    pub async fn histories(
        &self,
        wanted: &HistoryWanted,
    ) -> Result<Vec<SeriesHistory>, NightlyError> {
        let schedule = match &wanted.schedule {
            Some(schedule) => schedule.clone(),
            None => self.only_schedule().await?,
        };
        let newest = NightsWanted {
            schedule: Some(schedule.clone()),
            limit: if wanted.nights == 0 {
                NIGHTS
            } else {
                wanted.nights.min(MOST_NIGHTS)
            },
            ..NightsWanted::default()
        };
        let mut nights = self.store.nightly().nights(&newest).await?;
        nights.sort_by_key(|night| night.number);
        let (Some(first), Some(last)) = (nights.first(), nights.last()) else {
            return Ok(Vec::new());
        };
        let rows = self.store.nightly();
        let rows = rows
            .night_series(&schedule, first.number, last.number)
            .await?;
        let all = AlarmsWanted {
            schedule: Some(schedule.clone()),
            since: Some(Timestamp::MIN),
            ids: None,
        };
        let alarms = self.store.nightly().alarms(&all).await?;
        let dates: BTreeMap<u32, &StoredNight> =
            nights.iter().map(|night| (night.number, night)).collect();
        let mut series: BTreeMap<String, SeriesHistory> = BTreeMap::new();
        let mut befores: BTreeMap<&str, Before> = BTreeMap::new();
        for row in &rows {
            let about: About = from_json("series of a night", &row.about)?;
            let Some(night) = dates.get(&row.night).filter(|_| wanted.admits(&about)) else {
                continue;
            };
            let history = series.entry(row.series.clone()).or_default();
            // As it was called last.
            let before = befores.entry(&row.series).or_default();
            let point = point(row, &about, night, before, &alarms)?;
            let mut nights = std::mem::take(&mut history.nights);
            nights.push(point);
            *history = SeriesHistory {
                schedule: schedule.clone(),
                device: about.device.clone(),
                host: about.hostname.clone(),
                model: about.group().model,
                workload: about.workload.clone(),
                setting: setting(&about),
                nights,
            };
        }
        Ok(series.into_values().collect())
    }
}

/// What is known of a series from the nights before.
#[derive(Default)]
struct Before {
    segment: u32,
    environment: Option<Environment>,
    finished_at: Option<Timestamp>,
}

/// That somebody made what was then the new usual, since the night before.
fn accepted(
    row: &StoredNightSeries,
    about: &About,
    night: &StoredNight,
    before: &Before,
    alarms: &[StoredAlarm],
) -> Option<String> {
    let group = group_key(&about.group());
    let mut mine = alarms
        .iter()
        .filter(|alarm| alarm.subject == row.series || alarm.subject == group);
    mine.find_map(|alarm| {
        let (at, how) = alarm.resolved.as_ref()?;
        let is_between =
            Some(*at) > before.finished_at && night.started_at.is_some_and(|began| *at <= began);
        (before.finished_at.is_some() && is_between && how.starts_with("re-baselined"))
            .then(|| how.clone())
    })
}

fn setting(about: &About) -> String {
    let mut text = format!("{} {}", about.mode.word(), about.dtype.word());
    if let Some(threads) = about.threads {
        text.push_str(&format!(" {threads} threads"));
    }
    text
}

fn point(
    row: &StoredNightSeries,
    about: &About,
    night: &StoredNight,
    before: &mut Before,
    alarms: &[StoredAlarm],
) -> Result<NightPoint, NightlyError> {
    let observation: Observation = from_json("observation", &row.observation)?;
    let verdicts: Vec<Verdict> = from_json("verdicts", &row.verdicts)?;
    let (seconds, step, unjudged) = match &observation {
        Observation::Measured { first, .. } => {
            (first.level().map(f64::exp), night_step(first.step), None)
        }
        Observation::Invalid { why } => {
            let reason = match why {
                Invalidity::Throttled => "throttled",
                Invalidity::Contended => "contended",
                Invalidity::Incomplete => "incomplete",
            };
            let reason = reason.to_owned();
            (None, NightStep::Unknown, Some(Unjudged::Invalid { reason }))
        }
        Observation::Missing => {
            let reason = "nothing by the night's deadline".to_owned();
            (None, NightStep::Unknown, Some(Unjudged::Missing { reason }))
        }
    };
    let environment = match &observation {
        Observation::Measured { environment, .. } => Some(environment),
        Observation::Invalid { .. } | Observation::Missing => None,
    };
    let known = before.environment.as_ref().zip(environment);
    let mut changes: Vec<String> = known
        .map(|(before, now)| before.changes_to(now))
        .into_iter()
        .flatten()
        .map(|change| change.to_string())
        .collect();
    changes.extend(accepted(row, about, night, before, alarms));
    let segment = before.segment + u32::from(!changes.is_empty());
    let baseline = words::own_numbers(&verdicts).find_map(|numbers| numbers.baseline);
    let gate = words::own_numbers(&verdicts).find_map(|numbers| numbers.gate);
    let is_hit = |verdict: &&Verdict| {
        matches!(
            verdict.kind,
            Kind::Provisional | Kind::Confirmed | Kind::Improved
        )
    };
    let hit = verdicts
        .iter()
        .find(is_hit)
        .and_then(|verdict| verdict.numbers.shift);
    let group = group_key(&about.group());
    let concerns = |alarm: &&StoredAlarm| {
        (alarm.subject == row.series || alarm.subject == group)
            && alarm.night <= row.night
            && alarm
                .resolved
                .as_ref()
                .is_none_or(|(at, _)| night.finished_at.is_some_and(|finished| *at > finished))
    };
    let mine: Vec<&StoredAlarm> = alarms.iter().filter(concerns).collect();
    let is_known = |alarm: &&&StoredAlarm| {
        let known = alarm.acknowledged.as_ref();
        known.is_some_and(|known| {
            night
                .finished_at
                .is_some_and(|finished| known.at <= finished)
        })
    };
    let known = mine
        .iter()
        .find(is_known)
        .and_then(|alarm| alarm.acknowledged.as_ref());
    before.segment = segment;
    before.finished_at = night.finished_at;
    if let Some(environment) = environment {
        before.environment = Some(environment.clone());
    }
    Ok(NightPoint {
        number: row.night,
        date: night.date.clone(),
        seconds,
        unjudged,
        baseline: baseline.map(f64::exp),
        band: baseline
            .zip(gate)
            .map(|(level, gate)| [(level - gate).exp(), (level + gate).exp()]),
        hit: hit.map(|shift| {
            if shift > 0.0 {
                Hit::Slower
            } else {
                Hit::Faster
            }
        }),
        verdict: verdicts.first().map_or_else(String::new, |verdict| {
            words::kind(verdict.kind).replace('_', " ")
        }),
        is_alarm: !mine.is_empty(),
        step,
        acknowledgement: known.map(|known| Acknowledgement {
            by: known.by.clone(),
            reason: known.reason.clone(),
        }),
        segment,
        changes,
    })
}

const fn night_step(step: Step) -> NightStep {
    match step {
        Step::Period(period) => NightStep::Period(period),
        Step::None => NightStep::None,
        Step::Unknown => NightStep::Unknown,
    }
}
