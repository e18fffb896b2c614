//! From verdicts to alarms: which ones a night asks for, which of those are new, and which are over. Pure.
//!
//! An alarm is raised once and stays open as long as its verdict is given; a person may acknowledge it meanwhile. What is said of a host or a device as a whole is
//! one alarm, and not one for each of its series.

use std::collections::{BTreeMap, BTreeSet};

use batchstep_judge::{Judgement, Kind, Reason, Verdict};
use jiff::Timestamp;

use super::{
    about::{About, group_key},
    document::Detail,
    words,
};
use crate::store::StoredAlarm;

/// The word of an alarm about a night that did not happen.
pub const NIGHT_MISSED: &str = "night_missed";
/// Its subject.
pub const THE_NIGHT: &str = "night";

/// Whether somebody should know of a verdict that is no alarm: a drift, an improvement, what a new environment made faster.
fn is_news(verdict: &&Verdict) -> bool {
    verdict.is_new && !verdict.is_alarm && !verdict.is_silenced && verdict.kind != Kind::Resolved
}

/// Kinds of alarms that are about something that happened, and may happen again while the first one is open.
const EVENTS: [&str; 2] = ["changed_with_environment", "step_changed"];

/// What an alarm is about, and what kind it is of: there is one open alarm of each at most.
pub type Topic = (String, String);

/// An alarm that a night asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct Wanted {
    /// About what.
    pub topic: Topic,
    /// What it says.
    pub detail: Detail,
}

/// What a night asks for.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Wants {
    /// Alarms that should be open.
    pub alarms: Vec<Wanted>,
    /// What is worth knowing the first time, and no alarm.
    pub news: Vec<Wanted>,
    /// What is still so, but is said by another alarm or by nobody: such alarms are neither raised nor over.
    pub silent: BTreeSet<Topic>,
    /// Subjects of which the night says nothing: their alarms stay as they are.
    pub unseen: BTreeSet<String>,
    /// Why the alarms of a subject ended, where the judge says so.
    pub ended: BTreeMap<String, Reason>,
    /// Subjects whose past counts no longer: their environment changed.
    pub redefined: BTreeSet<String>,
    /// All subjects that the night knows; empty where it knows nothing of subjects at all.
    pub known: BTreeSet<String>,
}

impl Wants {
    fn forgotten(&self, subject: &str) -> bool {
        !self.known.is_empty() && !self.known.contains(subject)
    }
}

/// What a judgement asks for; `about` says what its series are.
#[must_use]
pub fn wanted(judgement: &Judgement, about: &BTreeMap<String, About>, date: &str) -> Wants {
    let mut wants = Wants::default();
    for (series, verdicts) in &judgement.series {
        let Some(of) = about.get(series) else {
            continue;
        };
        let is_seen = !verdicts
            .iter()
            .any(|verdict| matches!(verdict.kind, Kind::Missing | Kind::Invalid));
        if !is_seen {
            wants.unseen.insert(series.clone());
        }
        let sentence = |verdict: &Verdict| {
            format!(
                "{} on {}: {}: {}",
                of.device_model,
                of.hostname,
                words::setting(&of.setting(&of.workload)),
                words::sentence(verdict)
            )
        };
        let wanted = |verdict: &Verdict| Wanted {
            topic: (series.clone(), words::kind(verdict.kind)),
            detail: Detail {
                sentence: sentence(verdict),
                about: Some(of.clone()),
                series: 1,
                ..detail(verdict, date)
            },
        };
        for verdict in verdicts {
            match verdict.kind {
                Kind::Resolved => drop(wants.ended.insert(series.clone(), verdict.reason)),
                Kind::Incomparable | Kind::ChangedWithEnvironment => {
                    wants.redefined.insert(series.clone());
                }
                _ => {}
            }
        }
        wants.known.extend([
            series.clone(),
            group_key(&of.group()),
            format!("host {}", of.hostname),
            format!("device {}", of.device),
        ]);
        wants
            .news
            .extend(verdicts.iter().filter(is_news).map(wanted));
        for verdict in verdicts.iter().filter(|verdict| verdict.is_alarm) {
            let topic = (series.clone(), words::kind(verdict.kind));
            if verdict.is_silenced {
                wants.silent.insert(topic);
            } else {
                wants.alarms.push(wanted(verdict));
            }
        }
    }
    places(judgement, about, date, &mut wants);
    let seen = |series: &&String| !wants.unseen.contains(*series);
    let groups = |series: &String| about.get(series).map(|of| group_key(&of.group()));
    let all: BTreeSet<String> = about.keys().filter_map(groups).collect();
    let seen: BTreeSet<String> = about.keys().filter(seen).filter_map(groups).collect();
    wants.unseen.extend(all.difference(&seen).cloned());
    let of_models = |(group, verdicts)| std::iter::repeat(group).zip(verdicts);
    for (group, verdict) in judgement.models.iter().flat_map(of_models) {
        match verdict.kind {
            Kind::Resolved => drop(wants.ended.insert(group_key(group), verdict.reason)),
            Kind::ChangedWithEnvironment => drop(wants.redefined.insert(group_key(group))),
            _ => {}
        }
        let topic = (group_key(group), words::kind(verdict.kind));
        let sentence = format!(
            "{}: {}: {}",
            group.model,
            words::setting(&group.workload),
            words::sentence(verdict)
        );
        let devices = verdict.numbers.devices.unwrap_or_default();
        let wanted = Wanted {
            topic,
            detail: Detail {
                sentence,
                device_model: Some(group.model.clone()),
                workload: Some(group.workload.clone()),
                series: u32::try_from(devices).unwrap_or(u32::MAX),
                ..detail(verdict, date)
            },
        };
        if is_news(&verdict) {
            wants.news.push(wanted);
        } else if verdict.is_alarm && verdict.is_silenced {
            wants.silent.insert(wanted.topic);
        } else if verdict.is_alarm {
            wants.alarms.push(wanted);
        }
    }
    wants
}

fn detail(verdict: &Verdict, date: &str) -> Detail {
    Detail {
        date: date.to_owned(),
        verdict: Some(verdict.clone()),
        changes: verdict.changes.clone(),
        ..Detail::default()
    }
}

/// Hosts and devices of which nothing was reported.
fn places(judgement: &Judgement, about: &BTreeMap<String, About>, date: &str, wants: &mut Wants) {
    let hosts = judgement
        .hosts
        .iter()
        .map(|(host, verdict)| (host, verdict, true));
    let devices = judgement
        .devices
        .iter()
        .map(|(device, verdict)| (device, verdict, false));
    for (place, verdict, is_host) in hosts.chain(devices) {
        let subject = if is_host {
            format!("host {place}")
        } else {
            format!("device {place}")
        };
        let topic = (subject.clone(), words::kind(verdict.kind));
        if verdict.kind == Kind::Resolved {
            wants.ended.insert(subject.clone(), verdict.reason);
        }
        if verdict.is_alarm && is_host {
            // What is said of the host is said of all that is in it.
            for (series, of) in about.iter().filter(|(_, of)| of.hostname == *place) {
                wants.silent.insert((series.clone(), topic.1.clone()));
                wants
                    .silent
                    .insert((format!("device {}", of.device), topic.1.clone()));
            }
        }
        if !verdict.is_alarm {
            continue;
        }
        if verdict.is_silenced {
            wants.silent.insert(topic);
            continue;
        }
        let of = about.values().find(|about| about.is_of(&subject));
        let what = match of {
            Some(of) if !is_host => format!("{} {place} on {}", of.device_model, of.hostname),
            _ => subject,
        };
        let series = verdict.numbers.series.unwrap_or_default();
        wants.alarms.push(Wanted {
            topic,
            detail: Detail {
                sentence: format!("{what}: {}", words::sentence(verdict)),
                about: of.cloned(),
                host: is_host.then(|| place.clone()),
                device: (!is_host).then(|| place.clone()),
                series: u32::try_from(series).unwrap_or(u32::MAX),
                ..detail(verdict, date)
            },
        });
    }
}

/// What becomes of alarms.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Turns {
    /// Raised now.
    pub opened: Vec<StoredAlarm>,
    /// Over now.
    pub resolved: Vec<StoredAlarm>,
    /// Still so after somebody did not want to hear of it for a while.
    pub retold: Vec<StoredAlarm>,
}

/// Where the turns happen.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The schedule.
    pub schedule: &'a str,
    /// The night's number.
    pub night: u32,
    /// Now.
    pub at: Timestamp,
    /// The largest number that an alarm ever had.
    pub last_alarm: u64,
}

/// Compares what is open with what a night asks for.
///
/// # Errors
/// When what an alarm says cannot be written as JSON.
pub fn turns(
    open: &[StoredAlarm],
    wants: &Wants,
    place: Place<'_>,
) -> Result<Turns, serde_json::Error> {
    let topic = |alarm: &StoredAlarm| (alarm.subject.clone(), alarm.kind.clone());
    let mut turns = Turns::default();
    let mut id = place.last_alarm;
    for wanted in &wants.alarms {
        if let Some(alarm) = open.iter().find(|alarm| topic(alarm) == wanted.topic) {
            let verdict = wanted.detail.verdict.as_ref();
            let is_new = verdict.is_some_and(|verdict| verdict.is_new);
            if is_new && EVENTS.contains(&alarm.kind.as_str()) {
                // It happened once more: another change, another step.
                turns.resolved.push(StoredAlarm {
                    resolved: Some((place.at, "another one followed".to_owned())),
                    ..alarm.clone()
                });
            } else {
                if is_new && alarm.acknowledged.is_some() {
                    turns.retold.push(StoredAlarm {
                        acknowledged: None,
                        detail: serde_json::to_string(&wanted.detail)?,
                        ..alarm.clone()
                    });
                }
                continue;
            }
        }
        id += 1;
        let (subject, kind) = wanted.topic.clone();
        turns.opened.push(StoredAlarm {
            id,
            schedule: place.schedule.to_owned(),
            subject,
            kind,
            night: place.night,
            opened_at: place.at,
            detail: serde_json::to_string(&wanted.detail)?,
            resolved: None,
            acknowledged: None,
            is_right: None,
        });
    }
    let wanted: BTreeSet<&Topic> = wants.alarms.iter().map(|wanted| &wanted.topic).collect();
    for alarm in open {
        let topic = topic(alarm);
        let goes_on = wanted.contains(&topic) || wants.silent.contains(&topic);
        if !goes_on && !stays(alarm, wants) {
            let how = match (alarm.kind.as_str(), wants.ended.get(&alarm.subject)) {
                (NIGHT_MISSED, _) => "a night happened again",
                (_, Some(reason)) => ending(*reason),
                _ if wants.forgotten(&alarm.subject) => "it is not waited for any more",
                _ if wants.redefined.contains(&alarm.subject) => "the environment changed",
                ("missing", None) => "it reports again",
                _ => "as before again",
            };
            turns.resolved.push(StoredAlarm {
                resolved: Some((place.at, how.to_owned())),
                ..alarm.clone()
            });
        }
    }
    Ok(turns)
}

/// How an alarm ended, in words.
const fn ending(reason: Reason) -> &'static str {
    match reason {
        Reason::BaselineFollowed => "what was unusual has become the usual",
        Reason::UsualStep => "the usual step again",
        Reason::LikeSiblings => "like its siblings again",
        Reason::Returned => "it reports again",
        Reason::EnvironmentChanged | Reason::DefinitionChanged => "the environment changed",
        _ => "as before again",
    }
}

/// Whether an alarm that the night does not ask for is open all the same.
fn stays(alarm: &StoredAlarm, wants: &Wants) -> bool {
    match alarm.kind.as_str() {
        // It happened, and is over when a person says so.
        "changed_with_environment" => true,
        // The subject is there, or is part of what is missing as a whole.
        "missing" => false,
        _ => wants.unseen.contains(&alarm.subject),
    }
}

#[cfg(test)]
mod tests;
