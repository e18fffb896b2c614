//! What people ask of nights: schedules are added, switched and removed, nights are begun, alarms are answered. Everything is on record with who and why.

use std::collections::BTreeSet;

use batchstep_core::nightly::ScheduleError;
use batchstep_judge::{Book, ModelBook, Policy};
use batchstep_proto::{domain::InvalidField, wire};
use batchstep_tell::message::Night;
use jiff::{Timestamp, tz::TimeZone};

use super::{
    assembling::day_of,
    keeper::Nightly,
    kept::{self, Kept, SeriesBook, from_json, to_json},
    letters,
};
use crate::{
    engine::EngineError,
    store::{
        Acknowledgement, AlarmsWanted, BookKind, NewAction, NightlyRecord, NightlyStore as _,
        NightsWanted, Store, StoreError, StoredAlarm, StoredBook,
    },
};

/// Why nights are not kept, or something is not done to them.
#[derive(Debug, thiserror::Error)]
pub enum NightlyError {
    /// The store cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The fleet cannot be asked.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A schedule breaks a rule.
    #[error(transparent)]
    Field(#[from] InvalidField),
    /// A schedule could never work.
    #[error(transparent)]
    Schedule(#[from] ScheduleError),
    /// There is no such thing.
    #[error("{0}")]
    NotFound(String),
    /// There is one already.
    #[error("{0}")]
    Exists(String),
    /// Not as things are.
    #[error("{0}")]
    Conflict(String),
    /// A question that cannot be understood.
    #[error("{0}")]
    Question(String),
    /// The inference failed.
    #[error("what a night measured could not be inferred; the coordinator's log says more")]
    Inferring,
    /// A number cannot be written.
    #[error("an answer cannot be written as JSON")]
    Json(#[source] serde_json::Error),
}

/// Who asks.
#[derive(Debug, Clone)]
pub struct Person {
    /// As they call themselves.
    pub user: String,
    /// Whom the coordinator knows them as.
    pub caller: String,
}

/// What a person says of an alarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// They know of it.
    Acknowledge,
    /// They do not want to hear of its series for a while.
    Mute,
    /// What is now is the new usual.
    Rebaseline,
    /// It was right, or noise.
    Label(bool),
}

impl Answer {
    const fn word(self) -> &'static str {
        match self {
            Self::Acknowledge => "acknowledge",
            Self::Mute => "mute",
            Self::Rebaseline => "rebaseline",
            Self::Label(true) => "label true",
            Self::Label(false) => "label false",
        }
    }
}

impl<S: Store> Nightly<S> {
    /// Adds a schedule.
    ///
    /// # Errors
    /// When it could never work, or there is one of its name.
    pub async fn add(&self, wire: wire::Schedule, person: Person) -> Result<(), NightlyError> {
        let _changing = self.changing.lock().await;
        let now = self.settings.clock.now();
        let (schedule, judged) = kept::from_wire(wire, true, now)?;
        schedule.check(now)?;
        let name = schedule.name.to_string();
        if self.find(&name).await?.is_some() {
            return Err(NightlyError::Exists(format!(
                "there is a schedule {name} already; remove it first, or choose another name"
            )));
        }
        let kept = Kept {
            schedule,
            judged,
            settled_until: now,
        };
        let action = action(&person, now, "add schedule", &name, "");
        let records = [NightlyRecord::Schedule(kept.row()), action];
        self.write(&records).await?;
        tracing::info!(schedule = name, user = person.user, "A schedule was added.");
        Ok(())
    }

    /// Lets a schedule's nights begin by themselves, or not. Runs of the time between are not caught up.
    ///
    /// # Errors
    /// When there is none of that name.
    pub async fn enable(
        &self,
        name: &str,
        enabled: bool,
        person: Person,
    ) -> Result<(), NightlyError> {
        let _changing = self.changing.lock().await;
        let now = self.settings.clock.now();
        let mut kept = self.must_find(name).await?;
        if enabled {
            // Also where the clock was ahead before: nights begin anew.
            kept.settled_until = now;
            kept.schedule.created_at = kept.schedule.created_at.min(now);
        }
        kept.schedule.enabled = enabled;
        let word = if enabled {
            "enable schedule"
        } else {
            "disable schedule"
        };
        let records = [
            NightlyRecord::Schedule(kept.row()),
            action(&person, now, word, name, ""),
        ];
        self.write(&records).await?;
        Ok(())
    }

    /// Removes a schedule; its nights stay on record, its alarms are over.
    ///
    /// # Errors
    /// When there is none of that name, or one of its nights is under way.
    pub async fn remove(&self, name: &str, person: Person) -> Result<(), NightlyError> {
        let _changing = self.changing.lock().await;
        let now = self.settings.clock.now();
        // What cannot be read can be removed all the same.
        let schedules = self.store.nightly().schedules().await?;
        if !schedules.iter().any(|stored| stored.name == name) {
            return Err(unknown(name));
        }
        self.must_be_idle(name).await?;
        let open = AlarmsWanted {
            schedule: Some(name.to_owned()),
            ..AlarmsWanted::default()
        };
        let mut records = vec![
            NightlyRecord::ScheduleRemoved(name.to_owned()),
            action(&person, now, "remove schedule", name, ""),
        ];
        for alarm in self.store.nightly().alarms(&open).await? {
            let how = format!("the schedule was removed by {}", person.user);
            let alarm = StoredAlarm {
                resolved: Some((now, how)),
                ..alarm
            };
            records.extend(self.told_over(&alarm).await?);
            records.push(NightlyRecord::Alarm(alarm));
        }
        self.write(&records).await?;
        Ok(())
    }

    /// Begins a night now; answers with its number.
    ///
    /// # Errors
    /// When there is no such schedule, or one of its nights is under way.
    pub async fn run_now(&self, name: &str, person: Person) -> Result<u32, NightlyError> {
        let _changing = self.changing.lock().await;
        let now = self.settings.clock.now();
        let kept = self.must_find(name).await?;
        self.must_be_idle(name).await?;
        let note = format!("begun by {}", person.user);
        let action = action(&person, now, "run schedule", name, "");
        self.write(&[action]).await?;
        self.begin(kept, now, now, note, None).await
    }

    /// Answers alarms, all or none of them; a sentence for each.
    ///
    /// # Errors
    /// When one of them does not exist, or cannot be answered so.
    pub async fn answer(
        &self,
        ids: &[u64],
        answer: Answer,
        reason: &str,
        person: Person,
    ) -> Result<Vec<String>, NightlyError> {
        let _changing = self.changing.lock().await;
        if ids.is_empty() {
            return Err(NightlyError::Question(
                "name at least one alarm; `batchstep regressions` lists them".to_owned(),
            ));
        }
        let now = self.settings.clock.now();
        let wanted = AlarmsWanted {
            ids: Some(ids.to_vec()),
            ..AlarmsWanted::default()
        };
        let alarms = self.store.nightly().alarms(&wanted).await?;
        let found: BTreeSet<u64> = alarms.iter().map(|alarm| alarm.id).collect();
        if let Some(id) = ids.iter().find(|id| !found.contains(id)) {
            return Err(NightlyError::NotFound(format!(
                "there is no alarm {id}; `batchstep regressions --since 30d` lists those of the last 30 days"
            )));
        }
        let mut records = Vec::new();
        let mut told = Vec::new();
        for mut alarm in alarms {
            let is_label = matches!(answer, Answer::Label(_));
            if let Some((_, how)) = alarm.resolved.as_ref().filter(|_| !is_label) {
                return Err(NightlyError::Conflict(format!(
                    "alarm {} is over: {how}; it can be labelled, and nothing else",
                    alarm.id
                )));
            }
            records.push(NightlyRecord::Action(NewAction {
                at: now,
                user: person.user.clone(),
                caller: person.caller.clone(),
                action: answer.word().to_owned(),
                schedule: alarm.schedule.clone(),
                alarm: Some(alarm.id),
                reason: reason.to_owned(),
            }));
            let acknowledged = || {
                Some(Acknowledgement {
                    at: now,
                    by: person.user.clone(),
                    reason: reason.to_owned(),
                })
            };
            let is_over_once_known = alarm.kind == "changed_with_environment";
            told.push(match answer {
                Answer::Acknowledge => {
                    alarm.acknowledged = acknowledged();
                    if is_over_once_known {
                        alarm.resolved = Some((now, format!("acknowledged by {}", person.user)));
                    }
                    format!("alarm {} is acknowledged", alarm.id)
                }
                Answer::Mute => {
                    alarm.acknowledged = acknowledged();
                    let series = self.touch(&alarm, &mut records, Touch::Mute).await?;
                    let days = self.settings.policy.muted_days;
                    format!("alarm {}: silent for {days} days ({series})", alarm.id)
                }
                Answer::Rebaseline if alarm.kind == "missing" => {
                    return Err(NightlyError::Conflict(format!(
                        "alarm {}: what is missing has no new usual; acknowledge or mute it",
                        alarm.id
                    )));
                }
                Answer::Rebaseline => {
                    alarm.acknowledged = acknowledged();
                    alarm.resolved = Some((now, format!("re-baselined by {}", person.user)));
                    let series = self.touch(&alarm, &mut records, Touch::Rebaseline).await?;
                    format!("alarm {}: a new baseline begins ({series})", alarm.id)
                }
                Answer::Label(is_right) => {
                    alarm.is_right = Some(is_right);
                    let word = if is_right { "right" } else { "noise" };
                    format!("alarm {} is labelled: {word}", alarm.id)
                }
            });
            if alarm.resolved.is_some() && !is_label {
                records.extend(self.told_over(&alarm).await?);
            }
            records.push(NightlyRecord::Alarm(alarm));
        }
        self.write(&records).await?;
        Ok(told)
    }

    /// Sends a message through every channel, or one, to see whether it arrives; answers with their names.
    ///
    /// # Errors
    /// When there is no such channel, or none at all.
    pub async fn test_messages(
        &self,
        channel: Option<&str>,
        person: &Person,
    ) -> Result<Vec<String>, NightlyError> {
        let known = self.teller.channels();
        let known: Vec<String> = known.iter().map(ToString::to_string).collect();
        if known.is_empty() {
            return Err(NightlyError::Conflict(
                "nobody is told anything: the coordinator was given no channel; see the flags of `batchstep serve --help` under \"Messages\"".to_owned(),
            ));
        }
        if let Some(channel) = channel.filter(|name| !known.iter().any(|known| known == name)) {
            return Err(NightlyError::NotFound(format!(
                "there is no channel {channel:?}; there are {}",
                known.join(", ")
            )));
        }
        let _changing = self.changing.lock().await;
        let now = Timestamp::now();
        let night = Night {
            number: 0,
            date: now.to_zoned_datetime(TimeZone::UTC).date(),
        };
        let message = letters::test(night, &person.user, format!("test/{now}"));
        let mut records = self.teller.records(&[message]);
        records.retain(|record| match record {
            NightlyRecord::Message(row) => channel.is_none_or(|name| name == row.channel),
            _ => true,
        });
        records.push(action(person, now, "test messages", "", ""));
        self.write(&records).await?;
        Ok(channel.map_or(known, |channel| vec![channel.to_owned()]))
    }

    /// Tells that a person ended an alarm: who was told of it has it open.
    async fn told_over(&self, alarm: &StoredAlarm) -> Result<Vec<NightlyRecord>, NightlyError> {
        let wanted = NightsWanted {
            schedule: Some(alarm.schedule.clone()),
            number: Some(alarm.night),
            limit: 1,
            ..NightsWanted::default()
        };
        let Some(night) = self.store.nightly().nights(&wanted).await?.pop() else {
            return Ok(Vec::new());
        };
        let message = letters::of_alarm(alarm, &night, self.settings.public_url.as_ref())?;
        Ok(self.teller.records(&[message]))
    }

    /// Changes what is remembered of an alarm's series; answers with how many there are, in words.
    async fn touch(
        &self,
        alarm: &StoredAlarm,
        records: &mut Vec<NightlyRecord>,
        touch: Touch,
    ) -> Result<String, NightlyError> {
        let kept = self.find(&alarm.schedule).await?;
        let now = self.settings.clock.now();
        let utc = || now.to_zoned_datetime(TimeZone::UTC).date();
        let today = kept.map_or_else(utc, |kept| kept.schedule.timetable.zone.wall(now).date());
        let today = day_of(&today.to_string());
        let policy = &self.settings.policy;
        let mut touched = 0_u32;
        for stored in self.store.nightly().books(&alarm.schedule).await? {
            let mut keep = |book: String| {
                records.push(NightlyRecord::Book(StoredBook {
                    book,
                    ..stored.clone()
                }));
            };
            match stored.kind {
                BookKind::Series => {
                    let mut known: SeriesBook = from_json("book of a series", &stored.book)?;
                    if !known.about.is_of(&alarm.subject) {
                        continue;
                    }
                    touched += 1;
                    touch.series(policy, &mut known.book, today);
                    keep(to_json(&known));
                }
                BookKind::Model if stored.key == alarm.subject => {
                    let mut book: ModelBook = from_json("book of a model", &stored.book)?;
                    touch.model(policy, &mut book, today);
                    keep(to_json(&book));
                }
                BookKind::Model | BookKind::Sizes => {}
            }
        }
        if touched == 0 {
            return Err(NightlyError::Conflict(format!(
                "alarm {} is about no series that is remembered; acknowledge it instead",
                alarm.id
            )));
        }
        Ok(format!("{touched} series"))
    }

    /// A schedule, if there is one of that name.
    pub(super) async fn find(&self, name: &str) -> Result<Option<Kept>, NightlyError> {
        let schedules = self.store.nightly().schedules().await?;
        let stored = schedules.into_iter().find(|stored| stored.name == name);
        Ok(stored.as_ref().map(Kept::read).transpose()?)
    }

    pub(super) async fn must_find(&self, name: &str) -> Result<Kept, NightlyError> {
        self.find(name).await?.ok_or_else(|| unknown(name))
    }

    async fn must_be_idle(&self, name: &str) -> Result<(), NightlyError> {
        let wanted = NightsWanted {
            schedule: Some(name.to_owned()),
            under_way: true,
            limit: 1,
            ..NightsWanted::default()
        };
        match self.store.nightly().nights(&wanted).await?.pop() {
            None => Ok(()),
            Some(night) => Err(NightlyError::Conflict(format!(
                "night {} of schedule {name} is under way, since {}; wait for its end",
                night.number,
                night.started_at.unwrap_or(night.planned_at)
            ))),
        }
    }
}

fn unknown(name: &str) -> NightlyError {
    NightlyError::NotFound(format!(
        "there is no schedule {name:?}; `batchstep schedule list` lists them"
    ))
}

/// What happens to what is remembered.
#[derive(Debug, Clone, Copy)]
enum Touch {
    Mute,
    Rebaseline,
}

impl Touch {
    fn series(self, policy: &Policy, book: &mut Book, today: i32) {
        match self {
            Self::Mute => book.mute(policy, today),
            Self::Rebaseline => book.rebaseline(),
        }
    }

    fn model(self, policy: &Policy, book: &mut ModelBook, today: i32) {
        match self {
            Self::Mute => book.mute(policy, today),
            Self::Rebaseline => book.rebaseline(),
        }
    }
}

fn action(
    person: &Person,
    at: Timestamp,
    action: &str,
    schedule: &str,
    reason: &str,
) -> NightlyRecord {
    NightlyRecord::Action(NewAction {
        at,
        user: person.user.clone(),
        caller: person.caller.clone(),
        action: action.to_owned(),
        schedule: schedule.to_owned(),
        alarm: None,
        reason: reason.to_owned(),
    })
}
