//! What people are told of an alarm: from its row to a message. Pure.

use batchstep_judge::{Change, Step};
use batchstep_tell::{
    Message, PublicUrl,
    message::{Change as ToldChange, Kind, Night, Reason, Severity, Shift, Steps, Subject, Times},
    render::command_line,
};
use jiff::civil::Date;

use super::{about::About, alarms::NIGHT_MISSED, document::Detail, kept::from_json, words};
use crate::store::{StoreError, StoredAlarm, StoredNight};

/// A message about an alarm that was raised, or is over; `public_url` is where people find this coordinator's pages, if anywhere.
///
/// # Errors
/// When the alarm was damaged.
pub(super) fn of_alarm(
    alarm: &StoredAlarm,
    night: &StoredNight,
    public_url: Option<&PublicUrl>,
) -> Result<Message, StoreError> {
    let detail: Detail = from_json("alarm", &alarm.detail)?;
    let key = key(alarm);
    let mut message = of_detail(&detail, night, &alarm.kind, &alarm.subject);
    message.dedup_key.clone_from(&key);
    let id = alarm.id.to_string();
    if let Some((_, how)) = &alarm.resolved {
        message.kind = Kind::Resolved;
        message.severity = Severity::Info;
        message.dedup_key = format!("{key}/resolved");
        message.resolves = Some(key);
        message.reason = Reason {
            code: "resolved".to_owned(),
            sentence: how.clone(),
        };
    } else {
        let words = [
            "batchstep",
            "regressions",
            "ack",
            &id,
            "--reason",
            "why it may stay",
        ];
        message.acknowledge = Some(command_line(&words));
    }
    let link = |url: &PublicUrl| url.link("nights and plots", &["nights.html"]);
    message.links.extend(public_url.map(link));
    Ok(message)
}

/// A message about something that is worth knowing and no alarm.
pub(super) fn of_detail(
    detail: &Detail,
    night: &StoredNight,
    kind: &str,
    subject: &str,
) -> Message {
    let verdict = detail.verdict.as_ref();
    let numbers = verdict.map(|verdict| &verdict.numbers);
    let kind = kind_of(kind, detail);
    Message {
        kind,
        severity: match verdict {
            Some(verdict) if !verdict.is_alarm => Severity::Info,
            _ => severity(kind),
        },
        dedup_key: format!("{}/{}/{subject}/{kind}", night.schedule, night.number),
        resolves: None,
        schedule: night.schedule.clone(),
        night: Night {
            number: night.number.into(),
            date: date(&night.date),
        },
        subject: subject_of(detail),
        time: numbers.and_then(|numbers| {
            Some(Times {
                before_seconds: numbers.baseline?.exp(),
                after_seconds: numbers.level?.exp(),
            })
        }),
        shift: numbers.and_then(|numbers| {
            let shift = numbers.shift?;
            Some(Shift::from_logs(shift, None, numbers.sigmas))
        }),
        step: numbers.and_then(|numbers| {
            let [before, after] = numbers.steps?;
            Some(Steps {
                before: samples(before),
                after: samples(after),
            })
        }),
        since: detail.since.as_ref().and_then(|since| {
            let number = numbers.and_then(|numbers| numbers.since)?;
            Some(Night {
                number: number.into(),
                date: since.parse().ok()?,
            })
        }),
        reason: Reason {
            code: verdict.map_or_else(
                || kind.word().to_owned(),
                |verdict| words::reason(verdict.reason),
            ),
            sentence: detail.sentence.clone(),
        },
        changes: detail.changes.iter().map(told).collect(),
        smallest_detectable_shift: numbers
            .and_then(|numbers| numbers.detectable)
            .map(f64::exp_m1),
        links: Vec::new(),
        reproduce: detail.reproduce.clone(),
        acknowledge: None,
    }
}

/// A message by which somebody tries whether messages arrive.
pub(super) fn test(night: Night, user: &str, key: String) -> Message {
    let reason = Reason {
        code: "test".to_owned(),
        sentence: format!("{user} tries whether messages arrive"),
    };
    Message::bare((Kind::Test, Severity::Info), key, "none", night, reason)
}

/// The same for the same alarm, for ever.
fn key(alarm: &StoredAlarm) -> String {
    format!("{}/alarm/{}", alarm.schedule, alarm.id)
}

/// The kind of a message about an alarm or a verdict of this word.
pub(super) fn kind_of(kind: &str, detail: &Detail) -> Kind {
    match kind {
        "model_wide" => Kind::ModelWide,
        "changed_with_environment" => Kind::ChangedWithEnvironment,
        "step_changed" => Kind::StepChanged,
        "outlier" => Kind::Outlier,
        "missing" if detail.host.is_some() => Kind::MissingHost,
        "missing" if detail.device.is_some() => Kind::MissingDevice,
        "missing" => Kind::MissingSeries,
        "drift" | "slower_in_cycles" => Kind::Drift,
        "improved" => Kind::Improvement,
        NIGHT_MISSED => Kind::NightMissed,
        "night_incomplete" => Kind::NightIncomplete,
        _ => Kind::Regression,
    }
}

const fn severity(kind: Kind) -> Severity {
    match kind {
        Kind::ModelWide | Kind::NightMissed | Kind::MissingHost => Severity::Critical,
        Kind::Regression
        | Kind::ChangedWithEnvironment
        | Kind::StepChanged
        | Kind::Outlier
        | Kind::MissingDevice
        | Kind::MissingSeries
        | Kind::NightIncomplete => Severity::Warning,
        Kind::Drift | Kind::Improvement | Kind::Resolved | Kind::Test => Severity::Info,
    }
}

fn subject_of(detail: &Detail) -> Subject {
    if let Some(model) = &detail.device_model {
        return Subject {
            model: Some(model.clone()),
            workload: detail.workload.as_deref().map(words::setting),
            devices: Some(detail.series),
            ..Subject::default()
        };
    }
    if let Some(host) = &detail.host {
        return Subject {
            host: Some(host.clone()),
            ..Subject::default()
        };
    }
    let of = |about: &About| Subject {
        device: Some(about.device.clone()),
        model: Some(about.device_model.clone()),
        host: Some(about.hostname.clone()),
        workload: Some(words::setting(&about.setting(&about.workload))),
        devices: None,
    };
    detail.about.as_ref().map(of).unwrap_or_default()
}

fn samples(step: Step) -> Option<u32> {
    match step {
        // A period is a few thousand at most.
        Step::Period(period) if period.is_finite() && period >= 0.0 => Some(period.round() as u32),
        _ => None,
    }
}

fn told(change: &Change) -> ToldChange {
    ToldChange {
        property: change.property.to_string(),
        before: change.before.clone(),
        after: change.after.clone(),
    }
}

/// A night's date was written by this program.
pub(super) fn date(text: &str) -> Date {
    text.parse().unwrap_or(Date::ZERO)
}
