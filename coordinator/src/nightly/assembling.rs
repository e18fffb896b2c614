//! A night put together: what its sweeps say of each series, with what is remembered of it and of those that are missing. Pure.

use std::collections::{BTreeMap, BTreeSet};

use batchstep_core::nightly::Target;
use batchstep_judge::{Books, Group, Judgement, ModelBook, Night, Policy, Tonight, Verdict, judge};
use batchstep_proto::domain::{DeviceKind, DeviceSelector};
use jiff::{Unit, civil::Date};

use super::{
    about::{About, group_key},
    document::Summary,
    kept::{Kept, SeriesBook, to_json},
    letters,
    observe::{Seen, observation},
};
use crate::store::{BookKind, NightlyRecord, StoredBook, StoredNight, StoredNightSeries};

/// Nights without a word after which a series is no longer waited for: a card that was sold is missed for two months, not for ever.
const WAITED_FOR: u32 = 60;

/// A night, judged.
pub(super) struct Judged {
    /// What the judge wants to see again.
    pub again: BTreeSet<Target>,
    pub judgement: Judgement,
    pub about: BTreeMap<String, About>,
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
pub(super) struct Remembered {
    pub series: BTreeMap<String, SeriesBook>,
    pub models: BTreeMap<String, ModelBook>,
    pub sizes: BTreeMap<String, Vec<u32>>,
}

/// What a night's sweeps say of each series.
pub(super) type Sight = BTreeMap<String, (About, Seen)>;

/// Puts a night together and judges it. Pure.
pub(super) fn together(
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

impl Judged {
    pub(super) fn summary(&self, raised: usize) -> Summary {
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
    pub(super) fn rows(self, row: &StoredNight) -> Vec<NightlyRecord> {
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
