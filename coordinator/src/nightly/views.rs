//! Answers to questions about nights, as published documents.

use batchstep_judge::{Numbers, Observation, Verdict};
use batchstep_proto::{causes::chain, wire};
use jiff::Timestamp;

use super::{
    about::About,
    document::{
        ActionRow, ActionsDocument, AlarmRow, AlarmState, AlarmsDocument, Detail, Labels, ModelRow,
        NightDocument, NightRow, NightsDocument, SCHEMA_VERSION, SeriesRow,
    },
    keeper::Nightly,
    kept::{Kept, from_json},
    people::NightlyError,
    words,
};
use crate::store::{
    AlarmsWanted, NightState, NightlyStore as _, NightsWanted, Store, StoredAction, StoredAlarm,
    StoredNight, StoredNightSeries,
};

/// Nights of one answer, unless another number is asked for.
const NIGHTS: u32 = 30;
/// Nights of one answer at most.
const MOST_NIGHTS: u32 = 4000;
/// Actions of one answer, unless another number is asked for.
const ACTIONS: u32 = 100;

/// Which night is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WhichNight {
    /// The newest one.
    Newest,
    /// By number.
    Number(u32),
    /// By its local date.
    Date(String),
}

impl<S: Store> Nightly<S> {
    /// Schedules with their next runs; only one where it is named.
    ///
    /// # Errors
    /// When there is none of that name.
    pub async fn schedules(
        &self,
        name: Option<&str>,
        upcoming: usize,
    ) -> Result<Vec<wire::ScheduleView>, NightlyError> {
        let now = self.settings.clock.now();
        let mut views = Vec::new();
        for stored in self.store.nightly().schedules().await? {
            if name.is_some_and(|name| name != stored.name) {
                continue;
            }
            let kept = match Kept::read(&stored) {
                Ok(kept) => kept,
                Err(error) if name.is_none() => {
                    tracing::error!(
                        schedule = stored.name,
                        error = chain(&error),
                        "A schedule cannot be read, and is not listed."
                    );
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            let newest = NightsWanted {
                schedule: Some(stored.name.clone()),
                limit: 1,
                ..NightsWanted::default()
            };
            let newest = self.store.nightly().nights(&newest).await?.pop();
            let schedule = &kept.schedule;
            let runs = schedule
                .timetable
                .upcoming(now.max(kept.settled_until), upcoming);
            views.push(wire::ScheduleView {
                schedule: Some(kept.to_wire()),
                enabled: schedule.enabled,
                created_at: schedule.created_at.to_string(),
                upcoming: runs
                    .map(|run| wire::UpcomingRun {
                        at: run.at.to_string(),
                        local: run.local,
                        note: run.note.unwrap_or_default(),
                    })
                    .collect(),
                nights: self.store.nightly().last_night(&stored.name).await?,
                last_night: newest.as_ref().map(|night| night.number),
                last_state: newest.map_or_else(String::new, |night| state(night.state).to_owned()),
            });
        }
        match name {
            Some(name) if views.is_empty() => Err(NightlyError::NotFound(format!(
                "there is no schedule {name:?}; `batchstep schedule list` lists them"
            ))),
            _ => Ok(views),
        }
    }

    /// Nights, newest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn nights(
        &self,
        schedule: Option<String>,
        limit: u32,
    ) -> Result<NightsDocument, NightlyError> {
        let wanted = NightsWanted {
            schedule,
            limit: if limit == 0 {
                NIGHTS
            } else {
                limit.min(MOST_NIGHTS)
            },
            ..NightsWanted::default()
        };
        let nights = self.store.nightly().nights(&wanted).await?;
        Ok(NightsDocument {
            schema_version: SCHEMA_VERSION,
            nights: nights.iter().map(night_row).collect::<Result<_, _>>()?,
        })
    }

    /// One night with everything that was said of it.
    ///
    /// # Errors
    /// When there is no such night, or more than one schedule could be meant.
    pub async fn night(
        &self,
        schedule: Option<String>,
        which: WhichNight,
    ) -> Result<NightDocument, NightlyError> {
        let schedule = match schedule {
            Some(schedule) => schedule,
            None => self.only_schedule().await?,
        };
        let mut wanted = NightsWanted {
            schedule: Some(schedule.clone()),
            limit: 1,
            ..NightsWanted::default()
        };
        let what = match which {
            WhichNight::Newest => "no night yet".to_owned(),
            WhichNight::Number(number) => {
                wanted.number = Some(number);
                format!("no night {number}")
            }
            WhichNight::Date(date) => {
                let what = format!("no night of {date}");
                wanted.date = Some(date);
                what
            }
        };
        let night = self.store.nightly().nights(&wanted).await?.pop();
        // Nights outlast their schedule; a name that has neither is mistyped.
        if night.is_none() && self.store.nightly().last_night(&schedule).await? == 0 {
            self.must_find(&schedule).await?;
        }
        let night = night.ok_or_else(|| {
            NightlyError::NotFound(format!(
                "schedule {schedule} has {what}; `batchstep nightly list --schedule {schedule}` lists its nights"
            ))
        })?;
        let rows = self.store.nightly();
        let rows = rows
            .night_series(&schedule, night.number, night.number)
            .await?;
        let mut series: Vec<SeriesRow> = rows.iter().map(series_row).collect::<Result<_, _>>()?;
        series.sort_by(|a, b| {
            let key = |row: &SeriesRow| {
                let about = &row.about;
                (
                    about.device_model.clone(),
                    about.setting(&about.workload),
                    about.device.clone(),
                )
            };
            key(a).cmp(&key(b))
        });
        let open = AlarmsWanted {
            schedule: Some(schedule),
            since: night.finished_at,
            ids: None,
        };
        let mut alarms = self.alarm_rows(&open).await?;
        let is_shown = |alarm: &AlarmRow| {
            alarm.night == night.number
                || alarm.state != AlarmState::Resolved && alarm.night <= night.number
        };
        alarms.retain(is_shown);
        let of_models = |alarm: &&AlarmRow| alarm.night == night.number;
        let models = alarms
            .iter()
            .filter(of_models)
            .filter_map(model_row)
            .collect();
        Ok(NightDocument {
            schema_version: SCHEMA_VERSION,
            night: night_row(&night)?,
            series,
            models,
            alarms,
        })
    }

    /// Alarms that are open, or were since a time.
    ///
    /// # Errors
    /// When there is no such schedule.
    pub async fn alarms(
        &self,
        schedule: Option<String>,
        since: Option<Timestamp>,
    ) -> Result<AlarmsDocument, NightlyError> {
        if let Some(name) = &schedule {
            self.must_find(name).await?;
        }
        let wanted = AlarmsWanted {
            schedule: schedule.clone(),
            since,
            ids: None,
        };
        let alarms = self.alarm_rows(&wanted).await?;
        let mut nights = Vec::new();
        for stored in self.store.nightly().schedules().await? {
            if schedule.as_ref().is_some_and(|name| *name != stored.name) {
                continue;
            }
            let newest = NightsWanted {
                schedule: Some(stored.name),
                limit: 2,
                ..NightsWanted::default()
            };
            let newest = self.store.nightly().nights(&newest).await?;
            let over = newest.iter().find(|night| night.state.is_over());
            nights.extend(over.map(night_row).transpose()?);
        }
        let all = AlarmsWanted {
            schedule,
            since: Some(Timestamp::MIN),
            ids: None,
        };
        let mut labels = Labels::default();
        for alarm in self.store.nightly().alarms(&all).await? {
            match alarm.is_right {
                Some(true) => labels.right += 1,
                Some(false) => labels.wrong += 1,
                None => labels.unlabelled += 1,
            }
        }
        Ok(AlarmsDocument {
            schema_version: SCHEMA_VERSION,
            alarms,
            nights,
            labels,
        })
    }

    /// What people did, newest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn actions(&self, limit: u32) -> Result<ActionsDocument, NightlyError> {
        let limit = if limit == 0 { ACTIONS } else { limit };
        let actions = self.store.nightly().actions(limit).await?;
        Ok(ActionsDocument {
            schema_version: SCHEMA_VERSION,
            actions: actions.into_iter().map(action_row).collect(),
        })
    }

    async fn alarm_rows(&self, wanted: &AlarmsWanted) -> Result<Vec<AlarmRow>, NightlyError> {
        let alarms = self.store.nightly().alarms(wanted).await?;
        alarms.iter().map(alarm_row).collect()
    }

    /// The schedule that is meant where none is named.
    pub(super) async fn only_schedule(&self) -> Result<String, NightlyError> {
        let mut names: Vec<String> = self
            .store
            .nightly()
            .schedules()
            .await?
            .into_iter()
            .map(|stored| stored.name)
            .collect();
        match names.as_slice() {
            [] => Err(NightlyError::NotFound(
                "there is no schedule; `batchstep schedule add` adds one".to_owned(),
            )),
            [_] => Ok(names.remove(0)),
            _ => Err(NightlyError::Question(format!(
                "say which schedule with --schedule: {}",
                names.join(", ")
            ))),
        }
    }
}

/// A night that is done and lacks series, in the metrics.
pub(super) const INCOMPLETE: &str = "incomplete";

/// The words of all states, as in the metrics.
pub const NIGHT_STATES: [&str; 6] = [
    "measuring",
    "again",
    "done",
    INCOMPLETE,
    "missed",
    "abandoned",
];

/// The word of a state.
pub(super) const fn state(state: NightState) -> &'static str {
    match state {
        NightState::Measuring => "measuring",
        NightState::Again => "again",
        NightState::Done => "done",
        NightState::Missed => "missed",
        NightState::Abandoned => "abandoned",
    }
}

fn night_row(night: &StoredNight) -> Result<NightRow, NightlyError> {
    Ok(NightRow {
        schedule: night.schedule.clone(),
        number: night.number,
        date: night.date.clone(),
        planned_at: night.planned_at.to_string(),
        started_at: night.started_at.map(|at| at.to_string()),
        finished_at: night.finished_at.map(|at| at.to_string()),
        state: state(night.state).to_owned(),
        note: night.note.clone(),
        summary: from_json("summary of a night", &night.summary)?,
    })
}

fn series_row(row: &StoredNightSeries) -> Result<SeriesRow, NightlyError> {
    let about: About = from_json("series of a night", &row.about)?;
    let observation: Observation = from_json("observation", &row.observation)?;
    let verdicts: Vec<Verdict> = from_json("verdicts", &row.verdicts)?;
    let (seconds, step) = match &observation {
        Observation::Measured { first, .. } => (first.level().map(f64::exp), Some(first.step)),
        Observation::Invalid { .. } | Observation::Missing => (None, None),
    };
    let number = |get: fn(&Numbers) -> Option<f64>| words::own_numbers(&verdicts).find_map(get);
    Ok(SeriesRow {
        series: row.series.clone(),
        seconds,
        baseline_seconds: number(|numbers| numbers.baseline).map(f64::exp),
        shift: number(|numbers| numbers.shift).map(f64::exp_m1),
        detectable_shift: number(|numbers| numbers.detectable).map(f64::exp_m1),
        step,
        about,
        verdicts,
    })
}

fn alarm_row(alarm: &StoredAlarm) -> Result<AlarmRow, NightlyError> {
    let detail: Detail = from_json("alarm", &alarm.detail)?;
    let acknowledged = alarm.acknowledged.as_ref();
    Ok(AlarmRow {
        id: alarm.id,
        schedule: alarm.schedule.clone(),
        subject: alarm.subject.clone(),
        kind: alarm.kind.clone(),
        state: match (&alarm.resolved, acknowledged) {
            (Some(_), _) => AlarmState::Resolved,
            (None, Some(_)) => AlarmState::Acknowledged,
            (None, None) => AlarmState::Open,
        },
        night: alarm.night,
        opened_at: alarm.opened_at.to_string(),
        resolved_at: alarm.resolved.as_ref().map(|(at, _)| at.to_string()),
        resolved_by: alarm.resolved.as_ref().map(|(_, by)| by.clone()),
        acknowledged_at: acknowledged.map(|it| it.at.to_string()),
        acknowledged_by: acknowledged.map(|it| it.by.clone()),
        acknowledged_reason: acknowledged.map(|it| it.reason.clone()),
        is_right: alarm.is_right,
        detail,
    })
}

fn action_row(stored: StoredAction) -> ActionRow {
    let StoredAction { seq, action } = stored;
    ActionRow {
        seq,
        at: action.at.to_string(),
        user: action.user,
        caller: action.caller,
        action: action.action,
        schedule: action.schedule,
        alarm: action.alarm,
        reason: action.reason,
    }
}

fn model_row(alarm: &AlarmRow) -> Option<ModelRow> {
    let detail = &alarm.detail;
    Some(ModelRow {
        device_model: detail.device_model.clone()?,
        workload: detail.workload.clone()?,
        verdict: detail.verdict.clone()?,
    })
}
