//! Nights and alarms as the coordinator would have written them, for commands to show and to answer.

use batchstep_coordinator::{
    nightly::{
        About,
        document::{Detail, Summary},
    },
    store::{
        BookKind, NightState, NightlyRecord, NightlyStore as _, Store, StoredAlarm, StoredBook,
        StoredNight, StoredNightSeries, StoredSchedule,
    },
};
use batchstep_judge::{
    Book, Change, Environment, Kind, Measurement, Numbers, Observation, Property, Reason, Step,
    Verdict,
};
use batchstep_proto::{
    domain::{BatchSizes, DeviceKind, Dtype, Mode, SweepSpec},
    wire,
};
use jiff::Timestamp;
use prost::Message as _;
use serde_json::json;

use super::support;

/// The day of night `number`, which began at 01:00 UTC.
pub fn date(number: u32) -> String {
    format!("2026-11-{:02}", 10 + number)
}

pub fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// What is in a store, to be written at once.
pub struct Story {
    schedule: String,
    records: Vec<NightlyRecord>,
}

impl Story {
    /// A schedule that measures `linear` at 1 to 8 and begins no night by itself.
    pub fn of(schedule: &str) -> Self {
        let sweep = SweepSpec {
            batch_sizes: BatchSizes::Listed((1..=8).collect()),
            ..support::spec()
        };
        let definition = wire::Schedule {
            name: schedule.to_owned(),
            cron: "0 2 * * *".to_owned(),
            time_zone: "Europe/Berlin".to_owned(),
            sweep: Some(sweep.into()),
            deadline_ns: 6 * 3600 * 1_000_000_000,
            judged_batch_sizes: Vec::new(),
        };
        let row = StoredSchedule {
            name: schedule.to_owned(),
            cron: definition.cron.clone(),
            time_zone: definition.time_zone.clone(),
            definition: definition.encode_to_vec(),
            enabled: false,
            created_at: time("2026-11-01T00:00:00Z"),
            settled_until: time("2026-11-01T00:00:00Z"),
        };
        Self {
            schedule: schedule.to_owned(),
            records: vec![NightlyRecord::Schedule(row)],
        }
    }

    /// The same, beginning its nights by itself.
    pub fn enabled(mut self) -> Self {
        for record in &mut self.records {
            if let NightlyRecord::Schedule(schedule) = record {
                schedule.enabled = true;
            }
        }
        self
    }

    /// A night with these series, each with what was said of it.
    pub fn night(mut self, number: u32, state: NightState, series: &[(&str, Verdict)]) -> Self {
        let mut summary = Summary::default();
        for (_, verdict) in series {
            *summary.verdicts.entry(verdict.kind).or_default() += 1;
        }
        let happened = state != NightState::Missed;
        let planned_at = time(&format!("{}T01:00:00Z", date(number)));
        let finished_at = time(&format!("{}T02:30:00Z", date(number)));
        // Nothing of it is out yet. A coordinator that serves brings it forward, one that is only looked into does not.
        let life = json!({
            "schedule": self.schedule,
            "number": number,
            "planned": planned_at,
            "ends": time("2999-01-01T00:00:00Z"),
            "deadline": {"secs": 6 * 3600, "nanos": 0},
            "budget": {"secs": 60, "nanos": 0},
            "phase": {"phase": "measuring"},
            "parts": [],
            "judging_since": null,
            "left_out": [],
        });
        self.records.push(NightlyRecord::Night(StoredNight {
            schedule: self.schedule.clone(),
            number,
            date: date(number),
            planned_at,
            started_at: happened.then_some(planned_at),
            finished_at: state.is_over().then_some(finished_at),
            state,
            note: if happened {
                ""
            } else {
                "the coordinator was away"
            }
            .to_owned(),
            life: life.to_string(),
            summary: serde_json::to_string(&summary).unwrap(),
        }));
        for (device, verdict) in series {
            self.records.push(NightlyRecord::Series(StoredNightSeries {
                schedule: self.schedule.clone(),
                night: number,
                series: about(device).key(),
                about: serde_json::to_string(&about(device)).unwrap(),
                observation: serde_json::to_string(&observation(verdict)).unwrap(),
                verdicts: serde_json::to_string(&[verdict]).unwrap(),
            }));
        }
        self
    }

    /// An alarm about a device's series, raised in this night.
    pub fn alarm(self, id: u64, night: u32, device: &str, verdict: Verdict) -> Self {
        let about = about(device);
        let sentence = format!("{} on {}: odd", about.device_model, about.hostname);
        let detail = Detail {
            sentence,
            date: date(night),
            about: Some(about.clone()),
            series: 1,
            changes: verdict.changes.clone(),
            since: Some(date(night - 1)),
            verdict: Some(verdict.clone()),
            reproduce: Some(format!("batchstep sweep run --devices GPU-{device}")),
            ..Detail::default()
        };
        self.alarm_about(id, night, &about.key(), verdict.kind, detail)
    }

    /// An alarm about anything.
    pub fn alarm_about(
        mut self,
        id: u64,
        night: u32,
        subject: &str,
        kind: Kind,
        detail: Detail,
    ) -> Self {
        let kind = batchstep_coordinator::nightly::kind(kind);
        self.records.push(NightlyRecord::Alarm(StoredAlarm {
            id,
            schedule: self.schedule.clone(),
            subject: subject.to_owned(),
            kind,
            night,
            opened_at: time(&format!("{}T02:30:00Z", date(night))),
            detail: serde_json::to_string(&detail).unwrap(),
            resolved: None,
            acknowledged: None,
            is_right: None,
        }));
        self
    }

    /// What the judge remembers of a device's series.
    pub fn book(mut self, device: &str) -> Self {
        let book = json!({"about": about(device), "seen": 1, "book": Book::default()});
        self.records.push(NightlyRecord::Book(StoredBook {
            schedule: self.schedule.clone(),
            kind: BookKind::Series,
            key: about(device).key(),
            book: book.to_string(),
        }));
        self
    }

    /// Changes the alarms that were told so far.
    pub fn with_alarms(mut self, change: impl Fn(&mut StoredAlarm)) -> Self {
        for record in &mut self.records {
            if let NightlyRecord::Alarm(alarm) = record {
                change(alarm);
            }
        }
        self
    }

    pub async fn write(&self, store: &impl Store) {
        store.nightly().save_nightly(&self.records).await.unwrap();
    }
}

/// A GPU of a host with the name's first letter.
pub fn about(device: &str) -> About {
    About {
        device: format!("GPU-{device}"),
        hostname: format!("node-{}", &device[..1]),
        device_model: "Example <H1> & \"Co\"".to_owned(),
        device_kind: DeviceKind::Cuda,
        mig_profile: None,
        workload: "linear".to_owned(),
        workload_key: "linear".to_owned(),
        mode: Mode::Train,
        dtype: Dtype::F32,
        threads: None,
    }
}

fn observation(verdict: &Verdict) -> Observation {
    match verdict.kind {
        Kind::Missing => Observation::Missing,
        Kind::Invalid => Observation::Invalid {
            why: batchstep_judge::Invalidity::Throttled,
        },
        _ => Observation::Measured {
            environment: Environment::default(),
            first: Measurement {
                log_seconds: [(4, 0.002_f64.ln())].into(),
                sm_clock_mhz: None,
                step: Step::Period(4.0),
            },
            again: None,
        },
    }
}

fn verdict(kind: Kind, reason: Reason) -> Verdict {
    Verdict {
        kind,
        reason,
        is_alarm: false,
        is_new: false,
        is_silenced: false,
        cause: None,
        numbers: Numbers::default(),
        changes: Vec::new(),
    }
}

pub fn normal() -> Verdict {
    verdict(Kind::Normal, Reason::WithinGates)
}

pub fn learning() -> Verdict {
    verdict(Kind::Learning, Reason::FewNights)
}

pub fn provisional() -> Verdict {
    verdict(Kind::Provisional, Reason::Hit)
}

pub fn throttled() -> Verdict {
    verdict(Kind::Invalid, Reason::Throttled)
}

pub fn missing() -> Verdict {
    Verdict {
        is_alarm: true,
        ..verdict(Kind::Missing, Reason::Deadline)
    }
}

/// 10 % slower than 2 ms, since a driver changed.
pub fn confirmed() -> Verdict {
    Verdict {
        is_alarm: true,
        is_new: true,
        numbers: Numbers {
            level: Some(0.0022_f64.ln()),
            baseline: Some(0.002_f64.ln()),
            shift: Some(1.1_f64.ln()),
            detectable: Some(1.03_f64.ln()),
            ..Numbers::default()
        },
        changes: vec![Change {
            property: Property::Driver,
            before: Some("570.1".to_owned()),
            after: Some("580.2".to_owned()),
        }],
        ..verdict(Kind::Confirmed, Reason::Hits)
    }
}
