//! A night as a whole: what its sweeps measured is put together, judged, and written with everything that follows from it.

use std::collections::{BTreeMap, BTreeSet};

use batchstep_core::nightly::{End, Night as Life, Part, PartState, What};
use batchstep_proto::causes::chain;
use jiff::Timestamp;

use super::{
    about::About,
    alarms::{self, Place, Wanted, Wants},
    assembling::{Judged, Remembered, Sight, together},
    device_settings,
    document::Detail,
    keeper::{Nightly, join},
    kept::{Kept, from_json, to_json},
    letters,
    observe::Seen,
    people::NightlyError,
    reproduce::reproduce,
};
use crate::store::{
    AlarmsWanted, BookKind, NightState, NightlyRecord, NightlyStore as _, NightsWanted, Store,
    StoredAlarm, StoredHistory, StoredNight,
};

/// Nights whose dates are looked up: an alarm's first hit is not older.
const DATED: u32 = 400;

impl<S: Store> Nightly<S> {
    /// Judges what the parts of a night have measured so far.
    pub(super) async fn judge(
        &self,
        kept: &Kept,
        row: &StoredNight,
        life: &Life,
        last: bool,
    ) -> Result<Judged, NightlyError> {
        let remembered = self.remembered(&row.schedule).await?;
        let settings = device_settings::all(&self.inventories.fleet(), Timestamp::now());
        let mut histories = [Vec::new(), Vec::new()];
        for part in life.parts() {
            let is_again = matches!(part.what, What::Again { .. });
            if let Some(sweep) = part.sweep() {
                histories[usize::from(is_again)].extend(self.store.histories(Some(sweep)).await?);
            }
        }
        let sights = tokio::task::spawn_blocking(move || {
            histories.map(|histories| -> Sight {
                let sight = |stored: &StoredHistory| {
                    let about = About::of(&stored.plan);
                    let settings = settings.get(&about.device).cloned().unwrap_or_default();
                    (about.key(), (about, Seen::of(stored, &settings)))
                };
                histories.iter().map(sight).collect()
            })
        });
        let [first, again] = sights.await.map_err(|_| NightlyError::Inferring)?;
        let judged = together(kept, row, remembered, &first, &again, &self.settings.policy);
        if !last && !judged.again.is_empty() {
            tracing::info!(
                schedule = row.schedule,
                night = row.number,
                series = judged.again.len(),
                "Series should be measured again the same night."
            );
        }
        Ok(judged)
    }

    /// The devices that a schedule has measured and still waits for.
    pub(super) async fn remembered_devices(
        &self,
        schedule: &str,
    ) -> Result<BTreeSet<String>, NightlyError> {
        let remembered = self.remembered(schedule).await?;
        let books = remembered.series.into_values();
        Ok(books.map(|known| known.about.device).collect())
    }

    async fn remembered(&self, schedule: &str) -> Result<Remembered, NightlyError> {
        let mut remembered = Remembered::default();
        for stored in self.store.nightly().books(schedule).await? {
            let key = stored.key.clone();
            let read = match stored.kind {
                BookKind::Series => from_json("book of a series", &stored.book)
                    .map(|book| drop(remembered.series.insert(key, book))),
                BookKind::Model => from_json("book of a model", &stored.book)
                    .map(|book| drop(remembered.models.insert(key, book))),
                BookKind::Sizes => from_json("judged batch sizes", &stored.book)
                    .map(|sizes| drop(remembered.sizes.insert(key, sizes))),
            };
            if let Err(error) = read {
                tracing::error!(
                    schedule,
                    key = stored.key,
                    error = chain(&error),
                    "What is remembered cannot be read, and begins anew."
                );
            }
        }
        Ok(remembered)
    }

    /// Writes a night that was judged for the last time, and all that follows.
    pub(super) async fn finish(
        &self,
        kept: &Kept,
        row: &mut StoredNight,
        life: &Life,
        judged: Judged,
    ) -> Result<(), NightlyError> {
        let now = self.settings.clock.now();
        let open = AlarmsWanted {
            schedule: Some(row.schedule.clone()),
            ..AlarmsWanted::default()
        };
        let open = self.store.nightly().alarms(&open).await?;
        let mut wants = alarms::wanted(&judged.judgement, &judged.about, &row.date);
        let dates = self.dates(&row.schedule).await?;
        for wanted in wants.alarms.iter_mut().chain(&mut wants.news) {
            let detail = &mut wanted.detail;
            let since = detail
                .verdict
                .as_ref()
                .and_then(|verdict| verdict.numbers.since);
            detail.since = since.and_then(|night| dates.get(&night).cloned());
            let subject = &wanted.topic.0;
            let series = judged.about.values().filter(|about| about.is_of(subject));
            let series: Vec<&About> = series.collect();
            detail.reproduce = reproduce(&series, &kept.schedule.sweep);
        }
        row.note = join(&row.note, &remarks(life));
        // A host that is missing explains a deadline, and is told already.
        let is_explained = wants
            .alarms
            .iter()
            .any(|wanted| wanted.topic.1 == "missing");
        if !remarks(life).is_empty() && !is_explained {
            wants.news.push(Wanted {
                topic: (alarms::THE_NIGHT.to_owned(), "night_incomplete".to_owned()),
                detail: Detail {
                    sentence: format!("schedule {}: {}", row.schedule, row.note),
                    date: row.date.clone(),
                    ..Detail::default()
                },
            });
        }
        let mut records = self.turn(&open, &wants, row, now).await?;
        let raised = |record: &&NightlyRecord| matches!(record, NightlyRecord::Alarm(alarm) if alarm.resolved.is_none());
        let summary = judged.summary(records.iter().filter(raised).count());
        row.life = to_json(life);
        row.summary = to_json(&summary);
        row.state = NightState::Done;
        row.finished_at = Some(now);
        tracing::info!(
            schedule = row.schedule,
            night = row.number,
            series = summary.series(),
            unjudged = summary.unjudged(),
            alarms = summary.alarms,
            "A night is judged."
        );
        // What is referred to comes first.
        records.insert(0, NightlyRecord::Night(row.clone()));
        records.extend(judged.rows(row));
        self.write(&records).await?;
        self.wake.notify_one();
        Ok(())
    }

    /// The dates of a schedule's newest nights, by number.
    async fn dates(&self, schedule: &str) -> Result<BTreeMap<u32, String>, NightlyError> {
        let newest = NightsWanted {
            schedule: Some(schedule.to_owned()),
            limit: DATED,
            ..NightsWanted::default()
        };
        let nights = self.store.nightly().nights(&newest).await?;
        let dates = nights.into_iter().map(|night| (night.number, night.date));
        Ok(dates.collect())
    }

    /// What becomes of alarms, and who is told.
    pub(super) async fn turn(
        &self,
        open: &[StoredAlarm],
        wants: &Wants,
        night: &StoredNight,
        now: Timestamp,
    ) -> Result<Vec<NightlyRecord>, NightlyError> {
        let place = Place {
            schedule: &night.schedule,
            night: night.number,
            at: now,
            last_alarm: self.store.nightly().last_alarm().await?,
        };
        let turns = alarms::turns(open, wants, place).map_err(NightlyError::Json)?;
        for alarm in &turns.opened {
            tracing::warn!(
                schedule = alarm.schedule,
                alarm = alarm.id,
                subject = alarm.subject,
                kind = alarm.kind,
                "An alarm is raised."
            );
        }
        for alarm in &turns.resolved {
            tracing::info!(
                schedule = alarm.schedule,
                alarm = alarm.id,
                subject = alarm.subject,
                kind = alarm.kind,
                "An alarm is over."
            );
        }
        let retold: Vec<u64> = turns.retold.iter().map(|alarm| alarm.id).collect();
        let all = turns.opened.into_iter().chain(turns.resolved);
        let all: Vec<StoredAlarm> = all.chain(turns.retold).collect();
        let url = self.settings.public_url.as_ref();
        let mut messages = Vec::new();
        for alarm in &all {
            let mut message = letters::of_alarm(alarm, night, url)?;
            if retold.contains(&alarm.id) {
                message
                    .dedup_key
                    .push_str(&format!("/again/{}", night.number));
            }
            messages.push(message);
        }
        let news = wants.news.iter().map(|wanted| {
            let (subject, kind) = &wanted.topic;
            letters::of_detail(&wanted.detail, night, kind, subject)
        });
        messages.extend(news);
        let mut records: Vec<NightlyRecord> = all.into_iter().map(NightlyRecord::Alarm).collect();
        records.extend(self.teller.records(&messages));
        Ok(records)
    }
}

/// What people should know of how a night went.
fn remarks(life: &Life) -> String {
    let mut text = String::new();
    let was_cut = |part: &Part| matches!(part.state, PartState::Over { end: End::Cut, .. });
    if life.parts().iter().any(was_cut) {
        text = "its deadline came before all was measured".to_owned();
    }
    for (number, part) in life.parts().iter().enumerate() {
        if let PartState::Over {
            end: End::Refused { reason },
            ..
        } = &part.state
        {
            let what = if number == 0 {
                "its sweep was refused"
            } else {
                "series could not be measured again"
            };
            text = join(&text, &format!("{what}: {reason}"));
        }
    }
    let left_out = life.left_out().len();
    if left_out > 0 {
        let remark =
            format!("{left_out} series should have been measured again, and there was no time");
        text = join(&text, &remark);
    }
    text
}
