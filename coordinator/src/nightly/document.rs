//! What is published of nights: the JSON of `batchstep nightly show`, `batchstep regressions` and their like. The shapes are a contract: fields are added, never
//! renamed or given another meaning without a new schema version.

use std::collections::BTreeMap;

use batchstep_judge::{Change, Kind, Step, Verdict};
use serde::{Deserialize, Serialize};

use super::about::About;

/// Version of all documents here.
pub const SCHEMA_VERSION: u32 = 1;

/// Nights without their series, newest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NightsDocument {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Newest first.
    pub nights: Vec<NightRow>,
}

/// One night with everything that was said of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NightDocument {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// The night.
    pub night: NightRow,
    /// By model, workload and device.
    pub series: Vec<SeriesRow>,
    /// What was said of models as a whole.
    pub models: Vec<ModelRow>,
    /// Alarms that are open now, or were raised in this night.
    pub alarms: Vec<AlarmRow>,
}

/// A night.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NightRow {
    /// Its schedule.
    pub schedule: String,
    /// Counts the nights of the schedule from 1.
    pub number: u32,
    /// The day it was planned for, where its schedule is.
    pub date: String,
    /// RFC 3339.
    pub planned_at: String,
    /// RFC 3339; `null`: it did not happen.
    pub started_at: Option<String>,
    /// RFC 3339; `null`: it is under way.
    pub finished_at: Option<String>,
    /// `measuring`, `again`, `done`, `missed` or `abandoned`.
    pub state: String,
    /// For people; may be empty.
    pub note: String,
    /// What was said of its series.
    pub summary: Summary,
}

/// What was said of a night's series.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Summary {
    /// How many series have which gravest verdict.
    pub verdicts: BTreeMap<Kind, u32>,
    /// Alarms that were raised.
    pub alarms: u32,
    /// Of these, by models as a whole.
    pub models: u32,
    /// Series that were measured again.
    pub again: u32,
}

impl Summary {
    /// How many series there are.
    #[must_use]
    pub fn series(&self) -> u32 {
        self.verdicts.values().sum()
    }

    /// How many of them were not measured, or not well enough to be judged.
    #[must_use]
    pub fn unjudged(&self) -> u32 {
        let kinds = [Kind::Missing, Kind::Invalid];
        kinds
            .iter()
            .filter_map(|kind| self.verdicts.get(kind))
            .sum()
    }
}

/// One series of a night.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SeriesRow {
    /// Its key.
    pub series: String,
    /// The same by parts.
    #[serde(flatten)]
    pub about: About,
    /// Geometric mean of the medians at the judged batch sizes, seconds per iteration; `null`: it was not measured.
    pub seconds: Option<f64>,
    /// The usual value of that.
    pub baseline_seconds: Option<f64>,
    /// Relative; 0.03 is 3 % slower.
    pub shift: Option<f64>,
    /// Smallest relative slowdown that would be a hit; `null`: it is not known yet.
    pub detectable_shift: Option<f64>,
    /// The night's step.
    pub step: Option<Step>,
    /// The gravest first.
    pub verdicts: Vec<Verdict>,
}

/// A model as a whole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelRow {
    /// Device model.
    pub device_model: String,
    /// Workload, mode, dtype and threads.
    pub workload: String,
    /// What was said.
    pub verdict: Verdict,
}

/// Alarms, and whether the newest nights are whole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AlarmsDocument {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Oldest first.
    pub alarms: Vec<AlarmRow>,
    /// The newest night of each schedule that was asked for.
    pub nights: Vec<NightRow>,
    /// Of all alarms that somebody labelled.
    pub labels: Labels,
}

/// How many alarms were right.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Labels {
    /// They were.
    pub right: u32,
    /// They were noise.
    pub wrong: u32,
    /// Nobody said.
    pub unlabelled: u32,
}

/// What people did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActionsDocument {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Newest first.
    pub actions: Vec<ActionRow>,
}

/// Something that a person did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActionRow {
    /// Grows; never used twice.
    pub seq: u64,
    /// RFC 3339.
    pub at: String,
    /// As they call themselves.
    pub user: String,
    /// Whom the coordinator knows them as: `local` or `operator`.
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

/// Where an alarm is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlarmState {
    /// Nobody has said that they know of it.
    Open,
    /// Somebody has, and it goes on.
    Acknowledged,
    /// It is over.
    Resolved,
}

/// An alarm.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AlarmRow {
    /// Its number.
    pub id: u64,
    /// Its schedule.
    pub schedule: String,
    /// What it is about: the key of a series, a model, a device, a host, or the night.
    pub subject: String,
    /// The verdict's word, or `night_missed`.
    pub kind: String,
    /// Where it is.
    pub state: AlarmState,
    /// The night in which it was raised, by number.
    pub night: u32,
    /// RFC 3339.
    pub opened_at: String,
    /// RFC 3339.
    pub resolved_at: Option<String>,
    /// How it ended.
    pub resolved_by: Option<String>,
    /// RFC 3339.
    pub acknowledged_at: Option<String>,
    /// Who knows of it.
    pub acknowledged_by: Option<String>,
    /// Why it may stay.
    pub acknowledged_reason: Option<String>,
    /// Whether it was right; `null`: nobody said.
    pub is_right: Option<bool>,
    /// What it says.
    #[serde(flatten)]
    pub detail: Detail,
}

/// What an alarm says.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Detail {
    /// In one sentence.
    pub sentence: String,
    /// Date of the night in which it was raised.
    pub date: String,
    /// The series that it is about, or one of them.
    pub about: Option<About>,
    /// The device model, where it is about one as a whole.
    pub device_model: Option<String>,
    /// Workload, mode, dtype and threads, where it is about a model.
    pub workload: Option<String>,
    /// The host, where it is about one as a whole.
    pub host: Option<String>,
    /// The device, where it is about one as a whole.
    pub device: Option<String>,
    /// Series behind it.
    pub series: u32,
    /// What was said, with its numbers.
    pub verdict: Option<Verdict>,
    /// What changed beside the device.
    pub changes: Vec<Change>,
    /// Date of the first hit.
    pub since: Option<String>,
    /// Shell command that measures the same again.
    pub reproduce: Option<String>,
}
