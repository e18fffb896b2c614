//! Nights of the store in the process.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::Memory;
use crate::store::{
    AlarmsWanted, BookKind, MessageState, NightlyRecord, NightlyStore, NightsWanted, StoreError,
    StoredAction, StoredAlarm, StoredBook, StoredMessage, StoredNight, StoredNightSeries,
    StoredSchedule,
};

/// What is kept.
#[derive(Debug, Clone, Default)]
pub(super) struct Tables {
    schedules: BTreeMap<String, StoredSchedule>,
    nights: BTreeMap<(String, u32), StoredNight>,
    series: BTreeMap<(String, u32, String), StoredNightSeries>,
    books: BTreeMap<(String, BookKind, String), StoredBook>,
    alarms: BTreeMap<u64, StoredAlarm>,
    actions: Vec<StoredAction>,
    messages: BTreeMap<(String, String), StoredMessage>,
}

impl Tables {
    fn apply(&mut self, record: &NightlyRecord) {
        match record.clone() {
            NightlyRecord::Schedule(row) => {
                self.schedules.insert(row.name.clone(), row);
            }
            NightlyRecord::ScheduleRemoved(name) => {
                self.schedules.remove(&name);
                self.books.retain(|(schedule, ..), _| *schedule != name);
            }
            NightlyRecord::Night(row) => {
                self.nights.insert((row.schedule.clone(), row.number), row);
            }
            NightlyRecord::Series(row) => {
                let key = (row.schedule.clone(), row.night, row.series.clone());
                self.series.insert(key, row);
            }
            NightlyRecord::Book(row) => {
                let key = (row.schedule.clone(), row.kind, row.key.clone());
                self.books.insert(key, row);
            }
            NightlyRecord::BookRemoved {
                schedule,
                kind,
                key,
            } => {
                self.books.remove(&(schedule, kind, key));
            }
            NightlyRecord::Alarm(row) => {
                self.alarms.insert(row.id, row);
            }
            NightlyRecord::Action(action) => {
                let seq = self.actions.last().map_or(0, |last| last.seq) + 1;
                self.actions.push(StoredAction { seq, action });
            }
            NightlyRecord::Message(row) => {
                let key = (row.channel.clone(), row.dedup_key.clone());
                self.messages.insert(key, row);
            }
            NightlyRecord::Delivery {
                channel,
                digest,
                progress,
            } => {
                for row in self.messages.values_mut() {
                    if row.channel == channel && row.digest == digest {
                        row.progress = progress.clone();
                    }
                }
            }
        }
    }
}

impl NightlyStore for Memory {
    async fn save_nightly(&self, records: &[NightlyRecord]) -> Result<(), StoreError> {
        let mut tables = self.tables();
        for record in records {
            tables.nightly.apply(record);
        }
        Ok(())
    }

    async fn schedules(&self) -> Result<Vec<StoredSchedule>, StoreError> {
        Ok(self.tables().nightly.schedules.values().cloned().collect())
    }

    async fn nights(&self, wanted: &NightsWanted) -> Result<Vec<StoredNight>, StoreError> {
        let tables = self.tables();
        let mut nights: Vec<StoredNight> = tables
            .nightly
            .nights
            .values()
            .filter(|night| wanted.admits(night))
            .cloned()
            .collect();
        match wanted.schedule {
            // Whatever the clock showed.
            Some(_) => nights.sort_by_key(|night| night.number),
            None => nights.sort_by_key(|night| (night.planned_at, night.number)),
        }
        nights.reverse();
        nights.truncate(wanted.limit as usize);
        Ok(nights)
    }

    async fn last_night(&self, schedule: &str) -> Result<u32, StoreError> {
        let tables = self.tables();
        let of = tables.nightly.nights.keys();
        let numbers = of.filter_map(|(name, number)| (name == schedule).then_some(*number));
        Ok(numbers.max().unwrap_or(0))
    }

    async fn night_series(
        &self,
        schedule: &str,
        first: u32,
        last: u32,
    ) -> Result<Vec<StoredNightSeries>, StoreError> {
        let tables = self.tables();
        let rows = tables.nightly.series.values();
        Ok(rows
            .filter(|row| row.schedule == schedule && (first..=last).contains(&row.night))
            .cloned()
            .collect())
    }

    async fn books(&self, schedule: &str) -> Result<Vec<StoredBook>, StoreError> {
        let tables = self.tables();
        let rows = tables.nightly.books.values();
        Ok(rows
            .filter(|row| row.schedule == schedule)
            .cloned()
            .collect())
    }

    async fn alarms(&self, wanted: &AlarmsWanted) -> Result<Vec<StoredAlarm>, StoreError> {
        let tables = self.tables();
        let rows = tables.nightly.alarms.values();
        Ok(rows.filter(|alarm| wanted.admits(alarm)).cloned().collect())
    }

    async fn last_alarm(&self) -> Result<u64, StoreError> {
        let tables = self.tables();
        Ok(tables
            .nightly
            .alarms
            .keys()
            .next_back()
            .copied()
            .unwrap_or(0))
    }

    async fn actions(&self, limit: u32) -> Result<Vec<StoredAction>, StoreError> {
        let tables = self.tables();
        let newest = tables.nightly.actions.iter().rev();
        Ok(newest.take(limit as usize).cloned().collect())
    }

    async fn messages(&self, since: Timestamp) -> Result<Vec<StoredMessage>, StoreError> {
        let tables = self.tables();
        let rows = tables.nightly.messages.values();
        Ok(rows
            .filter(|row| row.progress.state == MessageState::Queued || row.queued_at >= since)
            .cloned()
            .collect())
    }
}
