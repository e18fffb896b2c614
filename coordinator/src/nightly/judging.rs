//! A night as a whole: what its sweeps measured is put together, judged, and written with everything that follows from it.

use std::collections::{BTreeMap, BTreeSet};

use batchstep_core::nightly::{End, Night as Life, Part, PartState, Target, What};
use batchstep_judge::{Books, Group, Judgement, ModelBook, Night, Policy, Tonight, Verdict, judge};
use batchstep_proto::{
    causes::chain,
    domain::{DeviceKind, DeviceSelector},
};
use jiff::{Timestamp, Unit, civil::Date};

use super::{
    about::{About, group_key},
    alarms::{self, Place, Wanted, Wants},
    device_settings,
    document::{Detail, Summary},
    keeper::{Nightly, join},
    kept::{Kept, SeriesBook, from_json, to_json},
    letters,
    observe::{Seen, observation},
    people::NightlyError,
    reproduce::reproduce,
};
use crate::store::{
    AlarmsWanted, BookKind, NightState, NightlyRecord, NightlyStore as _, NightsWanted, Store,
    StoredAlarm, StoredBook, StoredHistory, StoredNight, StoredNightSeries,
};

/// Nights without a word after which a series is no longer waited for: a card that was sold is missed for two months, not for ever.
const WAITED_FOR: u32 = 60;

/// Nights whose dates are looked up: an alarm's first hit is not older.
const DATED: u32 = 400;

/// A night, judged.
pub(super) struct Judged {
    /// What the judge wants to see again.
    pub again: BTreeSet<Target>,
    judgement: Judgement,
    about: BTreeMap<String, About>,
    /// What was measured or not, as the judge was told.
    tonight: BTreeMap<String, Tonight>,
    /// Series that were measured again.
    measured_again: usize,
    /// By which batch sizes groups are judged that had none before.
    sizes: BTreeMap<Group, Vec<u32>>,
    /// Series that nobody waits for any more.
    forgotten: Vec<String>,
    /// When a series was last measured.
    seen: BTreeMap<String, u32>,
}

/// What the store remembers of a schedule.
#[derive(Default)]
struct Remembered {
    series: BTreeMap<String, SeriesBook>,
    models: BTreeMap<String, ModelBook>,
    sizes: BTreeMap<String, Vec<u32>>,
}

/// What a night's sweeps say of each series.
type Sight = BTreeMap<String, (About, Seen)>;

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
        if !remarks(life).is_empty() {
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

/// Puts a night together and judges it. Pure.
fn together(
    kept: &Kept,
    row: &StoredNight,
    remembered: Remembered,
    first: &Sight,
    again: &Sight,
    policy: &Policy,
) -> Judged {
    let number = row.number;
    let mut about: BTreeMap<String, About> = BTreeMap::new();
    let mut seen: BTreeMap<String, u32> = BTreeMap::new();
    let mut forgotten = Vec::new();
    let mut books = Books::default();
    for (series, known) in remembered.series {
        if number.saturating_sub(known.seen) > WAITED_FOR && !first.contains_key(&series) {
            forgotten.push(series);
            continue;
        }
        seen.insert(series.clone(), known.seen);
        about.insert(series.clone(), known.about);
        books.series.insert(series, known.book);
    }
    // As they are tonight.
    about.extend(
        first
            .iter()
            .map(|(series, (of, _))| (series.clone(), of.clone())),
    );
    // A device is where it was seen last, with all of its series.
    let places: BTreeMap<String, String> = first
        .values()
        .map(|(of, _)| (of.device.clone(), of.hostname.clone()))
        .collect();
    for of in about.values_mut() {
        if let Some(hostname) = places.get(&of.device) {
            of.hostname.clone_from(hostname);
        }
    }
    for of in never_seen(kept, &about) {
        about.insert(of.key(), of);
    }
    let sizes = sizes(kept, &remembered.sizes, first);
    let mut tonight = BTreeMap::new();
    let mut measured_again = 0;
    for (series, of) in &about {
        let group = of.group();
        let chosen = sizes.get(&group_key(&group)).map_or(&[][..], Vec::as_slice);
        let of_first = first.get(series).map(|(_, seen)| seen);
        let of_again = again.get(series).map(|(_, seen)| seen);
        let observation = observation(of_first, of_again, chosen);
        measured_again += usize::from(of_again.is_some());
        if let Some(book) = remembered.models.get(&group_key(&group)) {
            books.models.insert(group.clone(), book.clone());
        }
        if of_first.is_some() {
            seen.insert(series.clone(), number);
        }
        tonight.insert(
            series.clone(),
            Tonight {
                group,
                device: of.device.clone(),
                host: of.hostname.clone(),
                observation,
            },
        );
    }
    let night = Night {
        number,
        day: day_of(&row.date),
        series: tonight,
    };
    let judgement = judge(policy, &books, &night);
    let again = judgement.again.iter().filter_map(|series| {
        let of = about.get(series)?;
        Some(Target {
            device: of.device.clone(),
            workload: of.workload_key.clone(),
        })
    });
    let groups = about.values().map(About::group);
    let new_sizes = groups.filter_map(|group| {
        let key = group_key(&group);
        let is_new = !remembered.sizes.contains_key(&key);
        Some((group, sizes.get(&key).filter(|_| is_new)?.clone()))
    });
    Judged {
        again: again.collect(),
        sizes: new_sizes.collect(),
        judgement,
        about,
        tonight: night.series,
        measured_again,
        forgotten,
        seen,
    }
}

/// Series of devices that the schedule lists and of which nothing was ever heard.
fn never_seen(kept: &Kept, known: &BTreeMap<String, About>) -> Vec<About> {
    let sweep = &kept.schedule.sweep;
    let DeviceSelector::Listed(devices) = &sweep.devices else {
        return Vec::new();
    };
    let is_known = |device: &&String| known.values().any(|of| of.device == **device);
    let mut unseen = Vec::new();
    for device in devices.iter().filter(|device| !is_known(device)) {
        let kind = match device.get(..4) {
            Some("CPU-") => DeviceKind::Cpu,
            Some("SIM-") => DeviceKind::Simulated,
            _ => DeviceKind::Cuda,
        };
        unseen.extend(sweep.workloads.iter().map(|workload| About {
            device: device.clone(),
            hostname: format!("unknown host of {device}"),
            device_model: "a device that was never seen".to_owned(),
            device_kind: kind,
            mig_profile: None,
            workload: workload.labelled().to_string(),
            workload_key: workload.to_string(),
            mode: sweep.mode,
            dtype: sweep.dtype,
            threads: None,
        }));
    }
    unseen
}

/// By which batch sizes each group is judged: the schedule's, or those that were chosen once. A group that has none yet chooses now, by one of its series with a
/// step if there is one: all of its devices are judged by the same.
fn sizes(
    kept: &Kept,
    remembered: &BTreeMap<String, Vec<u32>>,
    first: &Sight,
) -> BTreeMap<String, Vec<u32>> {
    let mut sizes = remembered.clone();
    let mut by_certainty: Vec<&(About, Seen)> = first.values().collect();
    by_certainty.sort_by_key(|(_, seen)| !seen.has_step());
    for (of, seen) in by_certainty {
        let key = group_key(&of.group());
        if !kept.judged.is_empty() {
            sizes.insert(key, kept.judged.clone());
        } else if !sizes.contains_key(&key)
            && let Some(chosen) = seen.judged_batch_sizes()
        {
            sizes.insert(key, chosen);
        }
    }
    sizes
}

/// A night's date in days since the beginning of 1970.
pub(super) fn day_of(date: &str) -> i32 {
    let days = letters::date(date).since((Unit::Day, Date::constant(1970, 1, 1)));
    days.map_or(0, |days| days.get_days())
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

impl Judged {
    fn summary(&self, raised: usize) -> Summary {
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let mut summary = Summary {
            alarms: count(raised),
            models: count(self.judgement.models.len()),
            again: count(self.measured_again),
            ..Summary::default()
        };
        for verdicts in self.judgement.series.values() {
            if let Some(gravest) = verdicts.first() {
                *summary.verdicts.entry(gravest.kind).or_default() += 1;
            }
        }
        summary
    }

    /// Everything but the night itself and its alarms.
    fn rows(self, row: &StoredNight) -> Vec<NightlyRecord> {
        let schedule = || row.schedule.clone();
        let mut records = Vec::new();
        let mut judgement = self.judgement;
        for (series, tonight) in &self.tonight {
            let verdicts: &[Verdict] = judgement.series.get(series).map_or(&[], Vec::as_slice);
            let Some(about) = self.about.get(series) else {
                continue;
            };
            records.push(NightlyRecord::Series(StoredNightSeries {
                schedule: schedule(),
                night: row.number,
                series: series.clone(),
                about: to_json(about),
                observation: to_json(&tonight.observation),
                verdicts: to_json(&verdicts),
            }));
        }
        let mut keep = |kind, key: String, book: String| {
            records.push(NightlyRecord::Book(StoredBook {
                schedule: schedule(),
                kind,
                key,
                book,
            }));
        };
        for (group, sizes) in &self.sizes {
            keep(BookKind::Sizes, group_key(group), to_json(sizes));
        }
        for (group, book) in &judgement.books.models {
            keep(BookKind::Model, group_key(group), to_json(book));
        }
        for (series, about) in self.about {
            // What was never measured is known by the schedule alone.
            let Some(seen) = self.seen.get(&series).copied() else {
                continue;
            };
            let book = judgement.books.series.remove(&series).unwrap_or_default();
            let known = SeriesBook { about, seen, book };
            keep(BookKind::Series, series, to_json(&known));
        }
        records.extend(
            self.forgotten
                .into_iter()
                .map(|key| NightlyRecord::BookRemoved {
                    schedule: schedule(),
                    kind: BookKind::Series,
                    key,
                }),
        );
        records
    }
}
