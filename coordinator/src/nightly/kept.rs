//! Rows of the store and what they mean: schedules, lives of nights, and books, read and written.

use std::time::Duration;

use batchstep_core::{
    calendar::Zone,
    nightly::{Night, Schedule, Timetable},
};
use batchstep_judge::Book;
use batchstep_proto::{
    domain::{BatchSizes, InvalidField, SweepSpec},
    wire,
};
use jiff::Timestamp;
use prost::Message as _;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::about::About;
use crate::store::{StoreError, StoredNight, StoredSchedule};

/// A schedule with what only its nights need.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Kept {
    pub schedule: Schedule,
    /// The batch sizes whose times are judged; empty: chosen in the first valid night.
    pub judged: Vec<u32>,
    /// Runs up to here are settled.
    pub settled_until: Timestamp,
}

impl Kept {
    /// Of what is stored.
    ///
    /// # Errors
    /// When it was damaged.
    pub fn read(stored: &StoredSchedule) -> Result<Self, StoreError> {
        let corrupt = |problem: String| StoreError::Corrupt {
            what: "schedule",
            problem: format!("{}: {problem}", stored.name),
        };
        let wire = wire::Schedule::decode(stored.definition.as_slice())
            .map_err(|error| corrupt(error.to_string()))?;
        let (schedule, judged) = from_wire(wire, stored.enabled, stored.created_at)
            .map_err(|error| corrupt(error.to_string()))?;
        Ok(Self {
            schedule,
            judged,
            settled_until: stored.settled_until,
        })
    }

    /// As it is stored.
    pub fn row(&self) -> StoredSchedule {
        let Schedule {
            name,
            timetable,
            enabled,
            created_at,
            ..
        } = &self.schedule;
        StoredSchedule {
            name: name.to_string(),
            cron: timetable.cron.to_string(),
            time_zone: timetable.zone.to_string(),
            definition: self.to_wire().encode_to_vec(),
            enabled: *enabled,
            created_at: *created_at,
            settled_until: self.settled_until,
        }
    }

    /// As it is told.
    pub fn to_wire(&self) -> wire::Schedule {
        let schedule = &self.schedule;
        wire::Schedule {
            name: schedule.name.to_string(),
            cron: schedule.timetable.cron.to_string(),
            time_zone: schedule.timetable.zone.to_string(),
            sweep: Some(schedule.sweep.clone().into()),
            deadline_ns: u64::try_from(schedule.deadline.as_nanos()).unwrap_or(u64::MAX),
            judged_batch_sizes: self.judged.clone(),
        }
    }
}

/// Reads a schedule as it is asked for.
///
/// # Errors
/// Names the field that is wrong.
pub(super) fn from_wire(
    wire: wire::Schedule,
    enabled: bool,
    created_at: Timestamp,
) -> Result<(Schedule, Vec<u32>), InvalidField> {
    let wrong = |field: &'static str, problem: String| InvalidField::new(field, problem);
    let sweep = wire
        .sweep
        .ok_or_else(|| wrong("sweep", "is missing".to_owned()))?;
    let sweep = SweepSpec::try_from(sweep)?;
    let judged = BatchSizes::from_list(wire.judged_batch_sizes)
        .map_err(|error| wrong("judged_batch_sizes", error.to_string()))?
        .into_list();
    let measured = sweep.batch_sizes.clone().into_list();
    if measured.is_empty() {
        let problem = "are needed: nights are compared at the same ones, such as 1-128";
        return Err(wrong("sweep.batch_sizes", problem.to_owned()));
    }
    if let Some(size) = judged.iter().find(|size| !measured.contains(size)) {
        let problem = format!("{size} is not among the batch sizes that a night measures");
        return Err(wrong("judged_batch_sizes", problem));
    }
    if sweep.strategy != batchstep_proto::domain::Strategy::Dense {
        let problem = "must be dense: a night measures every batch size alike";
        return Err(wrong("sweep.strategy", problem.to_owned()));
    }
    let name = wire
        .name
        .parse()
        .map_err(|error: batchstep_core::nightly::NameError| wrong("name", error.to_string()))?;
    let cron = wire
        .cron
        .parse()
        .map_err(|error: batchstep_core::nightly::CronError| wrong("cron", error.to_string()))?;
    let zone: Zone =
        wire.time_zone
            .parse()
            .map_err(|error: batchstep_core::calendar::UnknownZone| {
                wrong("time_zone", error.to_string())
            })?;
    let schedule = Schedule {
        name,
        timetable: Timetable { cron, zone },
        deadline: Duration::from_nanos(wire.deadline_ns),
        sweep,
        enabled,
        created_at,
    };
    Ok((schedule, judged))
}

/// What is remembered of a series.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct SeriesBook {
    /// What it is.
    pub about: About,
    /// The last night in which it was measured, by number.
    pub seen: u32,
    /// What the judge remembers.
    pub book: Book,
}

/// Reads where a night is.
///
/// # Errors
/// When it was damaged.
pub(super) fn life(stored: &StoredNight) -> Result<Night, StoreError> {
    from_json("life of a night", &stored.life)
}

/// Reads JSON of the store.
///
/// # Errors
/// When it was damaged.
pub(super) fn from_json<T: DeserializeOwned>(
    what: &'static str,
    text: &str,
) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|error| StoreError::Corrupt {
        what,
        problem: error.to_string(),
    })
}

/// Writes JSON for the store. Numbers that JSON does not know are written as `null`, and everything else can be written.
pub(super) fn to_json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_else(|error| {
        tracing::error!(%error, "A value cannot be written as JSON.");
        "null".to_owned()
    })
}
