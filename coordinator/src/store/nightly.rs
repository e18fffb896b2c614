//! What a store keeps of scheduled sweeps: schedules, nights, series of nights, what the judge remembers, alarms, actions of people, and messages.
//!
//! What the nightly task alone understands (definitions, lives of nights, observations, verdicts, books, messages) is JSON text here: a store decides nothing, and
//! the schema of `coordinator/migrations` says what is in it.

use std::future::Future;

use jiff::Timestamp;

use super::StoreError;

/// The part of a [`Store`](super::Store) about nights. One process at a time uses a store, so rows are written whole.
pub trait NightlyStore: Send + Sync + 'static {
    /// Writes all of it or nothing.
    fn save_nightly(
        &self,
        records: &[NightlyRecord],
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// All schedules, by name.
    fn schedules(&self) -> impl Future<Output = Result<Vec<StoredSchedule>, StoreError>> + Send;

    /// Nights, newest first.
    fn nights(
        &self,
        wanted: &NightsWanted,
    ) -> impl Future<Output = Result<Vec<StoredNight>, StoreError>> + Send;

    /// The largest number that a night of the schedule has; 0: there is none.
    fn last_night(&self, schedule: &str) -> impl Future<Output = Result<u32, StoreError>> + Send;

    /// The series of a schedule's nights from number `first` to `last`, by night and series.
    fn night_series(
        &self,
        schedule: &str,
        first: u32,
        last: u32,
    ) -> impl Future<Output = Result<Vec<StoredNightSeries>, StoreError>> + Send;

    /// What the judge remembers of a schedule.
    fn books(
        &self,
        schedule: &str,
    ) -> impl Future<Output = Result<Vec<StoredBook>, StoreError>> + Send;

    /// Alarms, oldest first.
    fn alarms(
        &self,
        wanted: &AlarmsWanted,
    ) -> impl Future<Output = Result<Vec<StoredAlarm>, StoreError>> + Send;

    /// The largest number that an alarm ever had; 0: there was none.
    fn last_alarm(&self) -> impl Future<Output = Result<u64, StoreError>> + Send;

    /// The newest `limit` actions, newest first.
    fn actions(
        &self,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<StoredAction>, StoreError>> + Send;

    /// Messages that are on their way, and all others that were queued since a time; by channel and key.
    fn messages(
        &self,
        since: Timestamp,
    ) -> impl Future<Output = Result<Vec<StoredMessage>, StoreError>> + Send;
}

/// Something to write.
#[derive(Debug, Clone, PartialEq)]
pub enum NightlyRecord {
    /// In place of its earlier row.
    Schedule(StoredSchedule),
    /// With what the judge remembers of it; its nights stay.
    ScheduleRemoved(String),
    /// In place of its earlier row.
    Night(StoredNight),
    /// In place of its earlier row.
    Series(StoredNightSeries),
    /// In place of its earlier row.
    Book(StoredBook),
    /// What is remembered no longer.
    BookRemoved {
        /// Of which schedule.
        schedule: String,
        /// Of what.
        kind: BookKind,
        /// Of which.
        key: String,
    },
    /// In place of its earlier row.
    Alarm(StoredAlarm),
    /// One more.
    Action(NewAction),
    /// In place of its earlier row.
    Message(StoredMessage),
    /// What became of all messages of a digest.
    Delivery {
        /// By which channel.
        channel: String,
        /// Which digest.
        digest: String,
        /// What became of it.
        progress: MessageProgress,
    },
}

/// A schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredSchedule {
    /// Its name.
    pub name: String,
    /// For readers of the database.
    pub cron: String,
    /// The same.
    pub time_zone: String,
    /// Protobuf `batchstep.v1.Schedule`.
    pub definition: Vec<u8>,
    /// Whether its nights begin by themselves.
    pub enabled: bool,
    /// When it was added.
    pub created_at: Timestamp,
    /// Runs up to here are over, under way, or were missed and said so.
    pub settled_until: Timestamp,
}

/// Where a night is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NightState {
    /// Its sweep is out.
    Measuring,
    /// What the judge wants measured again is out.
    Again,
    /// Judged.
    Done,
    /// It did not happen.
    Missed,
    /// It began and was given up.
    Abandoned,
}

impl NightState {
    /// True when nothing more comes.
    #[must_use]
    pub const fn is_over(self) -> bool {
        !matches!(self, Self::Measuring | Self::Again)
    }
}

/// A night.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredNight {
    /// Of which schedule.
    pub schedule: String,
    /// Counts the nights of a schedule from 1.
    pub number: u32,
    /// The day it was planned for, where its schedule is: 2026-11-26.
    pub date: String,
    /// When it was to begin.
    pub planned_at: Timestamp,
    /// `None`: it did not happen.
    pub started_at: Option<Timestamp>,
    /// `None`: it is under way.
    pub finished_at: Option<Timestamp>,
    /// Where it is.
    pub state: NightState,
    /// For people; may be empty.
    pub note: String,
    /// JSON.
    pub life: String,
    /// JSON.
    pub summary: String,
}

/// Which nights are asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NightsWanted {
    /// Of this schedule only.
    pub schedule: Option<String>,
    /// Of this number only.
    pub number: Option<u32>,
    /// Planned for this day only.
    pub date: Option<String>,
    /// Those under way only.
    pub under_way: bool,
    /// At most so many.
    pub limit: u32,
}

impl NightsWanted {
    /// Whether the night is asked for.
    #[must_use]
    pub fn admits(&self, night: &StoredNight) -> bool {
        self.schedule
            .as_ref()
            .is_none_or(|name| *name == night.schedule)
            && self.number.is_none_or(|number| number == night.number)
            && self.date.as_ref().is_none_or(|date| *date == night.date)
            && (!self.under_way || !night.state.is_over())
    }
}

/// A series in a night.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredNightSeries {
    /// Of which schedule.
    pub schedule: String,
    /// In which night.
    pub night: u32,
    /// Its key.
    pub series: String,
    /// JSON.
    pub about: String,
    /// JSON.
    pub observation: String,
    /// JSON.
    pub verdicts: String,
}

/// What a book is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum BookKind {
    /// A series.
    Series,
    /// A model with a workload.
    Model,
    /// By which batch sizes the series of a model with a workload are judged.
    Sizes,
}

/// What the judge remembers of one thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredBook {
    /// In which schedule.
    pub schedule: String,
    /// Of what.
    pub kind: BookKind,
    /// Of which.
    pub key: String,
    /// JSON.
    pub book: String,
}

/// An alarm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredAlarm {
    /// Its number, for people.
    pub id: u64,
    /// Of which schedule.
    pub schedule: String,
    /// What it is about: the key of a series, a model and workload, or a night.
    pub subject: String,
    /// The verdict's word.
    pub kind: String,
    /// The night in which it was raised.
    pub night: u32,
    /// When.
    pub opened_at: Timestamp,
    /// JSON.
    pub detail: String,
    /// When and how it ended; `None`: it is open.
    pub resolved: Option<(Timestamp, String)>,
    /// Who knows of it.
    pub acknowledged: Option<Acknowledgement>,
    /// Whether it was right; `None`: nobody said.
    pub is_right: Option<bool>,
}

/// Who knows of an alarm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acknowledgement {
    /// When.
    pub at: Timestamp,
    /// Who.
    pub by: String,
    /// Why.
    pub reason: String,
}

/// Which alarms are asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AlarmsWanted {
    /// Of this schedule only.
    pub schedule: Option<String>,
    /// Those that were open then or later; `None`: those that are open.
    pub since: Option<Timestamp>,
    /// These only.
    pub ids: Option<Vec<u64>>,
}

impl AlarmsWanted {
    /// Whether the alarm is asked for.
    #[must_use]
    pub fn admits(&self, alarm: &StoredAlarm) -> bool {
        let is_listed = |ids: &Vec<u64>| ids.contains(&alarm.id);
        if let Some(ids) = &self.ids {
            return is_listed(ids);
        }
        let is_of = |schedule: &String| *schedule == alarm.schedule;
        self.schedule.as_ref().is_none_or(is_of)
            && match (&alarm.resolved, self.since) {
                (None, _) => true,
                (Some((at, _)), Some(since)) => *at >= since,
                (Some(_), None) => false,
            }
    }
}

/// Something that a person did, to be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewAction {
    /// When.
    pub at: Timestamp,
    /// As they call themselves.
    pub user: String,
    /// Whom the coordinator knows them as.
    pub caller: String,
    /// What.
    pub action: String,
    /// Of which schedule.
    pub schedule: String,
    /// About which alarm.
    pub alarm: Option<u64>,
    /// Why; may be empty.
    pub reason: String,
}

/// Something that a person did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredAction {
    /// Grows; never used twice.
    pub seq: u64,
    /// What.
    pub action: NewAction,
}

/// Where a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageState {
    /// On its way.
    Queued,
    /// The other side has it.
    Sent,
    /// It is not tried any more.
    GivenUp,
}

/// A message for a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredMessage {
    /// Where it goes.
    pub channel: String,
    /// What it is about.
    pub dedup_key: String,
    /// Which messages it travels with.
    pub digest: String,
    /// JSON.
    pub message: String,
    /// When it was made.
    pub queued_at: Timestamp,
    /// What became of it.
    pub progress: MessageProgress,
}

/// What became of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageProgress {
    /// Where it is.
    pub state: MessageState,
    /// Deliveries that failed.
    pub tries: u32,
    /// Of no meaning once it is not queued.
    pub next_try_at: Timestamp,
    /// Of the last try that failed.
    pub last_error: Option<String>,
}
