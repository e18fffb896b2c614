//! The beginning of nights, and those that did not begin: what the calendar says is due becomes a row, and what was missed an alarm.

use std::time::Duration;

use batchstep_core::nightly::{Due, Missed, Night, due};
use jiff::Timestamp;

use super::{
    alarms::{self, Wanted, Wants},
    document::{Detail, Summary},
    keeper::Nightly,
    kept::{Kept, to_json},
    letters,
    people::NightlyError,
};
use crate::store::{
    AlarmsWanted, NightState, NightlyRecord, NightlyStore as _, Store, StoredNight,
};

/// A clock that shows what is over by so much makes nights fail, which somebody should know.
const LONG_BEHIND: Duration = Duration::from_hours(6);

impl<S: Store> Nightly<S> {
    pub(super) async fn begin_if_due(&self, kept: Kept) -> Result<(), NightlyError> {
        let now = self.settings.clock.now();
        let schedule = &kept.schedule;
        let due = due(schedule, Some(kept.settled_until), schedule.created_at, now);
        let is_behind = matches!(due, Due::ClockBehind { .. });
        let name = schedule.name.to_string();
        let was_behind = {
            let mut behind = self.behind.lock().await;
            if is_behind {
                !behind.insert(name)
            } else {
                behind.remove(&name)
            }
        };
        match due {
            Due::Nothing { .. } => Ok(()),
            Due::ClockBehind { passed, by } => {
                if was_behind {
                    return Ok(());
                }
                tracing::warn!(schedule = %schedule.name, %passed, ?by, "The clock went back, or was ahead; no night begins before it is there again, or `batchstep schedule enable` begins anew.");
                if by < LONG_BEHIND {
                    return Ok(());
                }
                let note = format!(
                    "no night begins before {passed}, which the clock has shown before; `batchstep schedule enable {}` begins anew from now on",
                    schedule.name
                );
                let last = self
                    .store
                    .nightly()
                    .last_night(schedule.name.as_str())
                    .await?;
                let records = self.no_night(&row(&kept, last, now, note), now).await?;
                self.write(&records).await
            }
            Due::Run {
                planned, missed, ..
            } => {
                let missed = missed.map(|missed| missed.sentence(&schedule.timetable));
                let note = missed.clone().unwrap_or_default();
                self.begin(kept, planned, now, note, missed).await?;
                Ok(())
            }
            Due::Missed { missed, .. } => self.miss(kept, missed, now).await,
        }
    }

    /// Begins a night; answers with its number. What others did not happen before it is `told`.
    ///
    /// # Errors
    /// When it cannot be recorded.
    pub(super) async fn begin(
        &self,
        mut kept: Kept,
        planned: Timestamp,
        now: Timestamp,
        note: String,
        told: Option<String>,
    ) -> Result<u32, NightlyError> {
        let number = self.next_number(kept.schedule.name.as_str()).await?;
        let life = Night::begin(&kept.schedule, number.into(), planned);
        kept.settled_until = kept.settled_until.max(planned);
        let row = StoredNight {
            started_at: Some(now),
            life: to_json(&life),
            ..row(&kept, number, planned, note)
        };
        tracing::info!(schedule = %kept.schedule.name, night = number, note = row.note, "A night begins.");
        let mut records = vec![
            NightlyRecord::Schedule(kept.row()),
            NightlyRecord::Night(row.clone()),
        ];
        records.extend(
            told.map(|sentence| {
                let detail = Detail {
                    sentence: format!("schedule {}: {sentence}", row.schedule),
                    date: row.date.clone(),
                    ..Detail::default()
                };
                let (subject, kind) = (alarms::THE_NIGHT, alarms::NIGHT_MISSED);
                let message = letters::of_detail(&detail, &row, kind, subject);
                self.teller.records(&[message])
            })
            .into_iter()
            .flatten(),
        );
        self.write(&records).await?;
        self.advance(&kept, row, life).await?;
        Ok(number)
    }

    /// Puts a night that did not happen on record, with its alarm.
    async fn miss(
        &self,
        mut kept: Kept,
        missed: Missed,
        now: Timestamp,
    ) -> Result<(), NightlyError> {
        let name = kept.schedule.name.to_string();
        let number = self.next_number(&name).await?;
        let note = missed.sentence(&kept.schedule.timetable);
        tracing::warn!(schedule = name, night = number, note, "Nights were missed.");
        kept.settled_until = kept.settled_until.max(missed.last);
        let life = Night::begin(&kept.schedule, number.into(), missed.last);
        let row = StoredNight {
            finished_at: Some(now),
            state: NightState::Missed,
            life: to_json(&life),
            ..row(&kept, number, missed.last, note)
        };
        let mut records = self.no_night(&row, now).await?;
        records.push(NightlyRecord::Schedule(kept.row()));
        records.push(NightlyRecord::Night(row));
        self.write(&records).await?;
        Ok(())
    }

    /// The alarm about a night that said nothing.
    pub(super) async fn no_night(
        &self,
        night: &StoredNight,
        now: Timestamp,
    ) -> Result<Vec<NightlyRecord>, NightlyError> {
        let open = AlarmsWanted {
            schedule: Some(night.schedule.clone()),
            ..AlarmsWanted::default()
        };
        let open = self.store.nightly().alarms(&open).await?;
        let mut wants = Wants::default();
        wants.alarms.push(Wanted {
            topic: (
                alarms::THE_NIGHT.to_owned(),
                alarms::NIGHT_MISSED.to_owned(),
            ),
            detail: Detail {
                sentence: format!("schedule {}: {}", night.schedule, night.note),
                date: night.date.clone(),
                ..Detail::default()
            },
        });
        let others = open
            .iter()
            .map(|alarm| (alarm.subject.clone(), alarm.kind.clone()));
        wants.silent.extend(others);
        self.turn(&open, &wants, night, now).await
    }

    async fn next_number(&self, schedule: &str) -> Result<u32, NightlyError> {
        let last = self.store.nightly().last_night(schedule).await?;
        Ok(last.saturating_add(1))
    }
}

/// A night that begins, or did not.
fn row(kept: &Kept, number: u32, planned: Timestamp, note: String) -> StoredNight {
    let date = kept.schedule.timetable.zone.wall(planned).date();
    StoredNight {
        schedule: kept.schedule.name.to_string(),
        number,
        date: date.to_string(),
        planned_at: planned,
        started_at: None,
        finished_at: None,
        state: NightState::Measuring,
        note,
        life: "null".to_owned(),
        summary: to_json(&Summary::default()),
    }
}
