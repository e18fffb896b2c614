//! A whole night: every series alone, then what a change of environment did to those that share it, devices of a model together, each among its siblings, and who is
//! missing. Called once at the end of the night's sweeps, and again with what was measured again.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{
    Book, Observation, Policy,
    alone::{Alone, alone},
    crossing,
    missing::{self, Place},
    model::{self, ModelBook},
    outlier::{self, Sibling},
    verdict::{Kind, Verdict},
};

/// All that is remembered.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Books {
    /// By series; one that is no longer in a schedule stays until it is removed here.
    pub series: BTreeMap<String, Book>,
    /// By model and workload.
    #[serde(with = "crate::pairs")]
    pub models: BTreeMap<Group, ModelBook>,
}

/// A night as it was measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Night {
    /// Counts the nights of a schedule; later ones are greater, and some may be left out. A series whose book knows a night as late as this is not judged.
    pub number: u32,
    /// Its date where the schedule lives, in days since 1970-01-01: mutes end by days, whatever the schedule.
    pub day: i32,
    /// What each series of the schedule has, by series; one that did not report is [`Observation::Missing`].
    pub series: BTreeMap<String, Tonight>,
}

/// One series of a night.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tonight {
    /// What it is compared with beside its own past.
    pub group: Group,
    /// The device that it is a series of, by its id.
    pub device: String,
    /// The host that the device is in, by its id.
    pub host: String,
    /// What was measured.
    pub observation: Observation,
}

/// Devices of one model with one workload.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Group {
    /// Marketing name of the device.
    pub model: String,
    /// Workload, parameters, mode and dtype, in words.
    pub workload: String,
}

/// What is said of a night.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Judgement {
    /// By series, the gravest first; none is without one.
    pub series: BTreeMap<String, Vec<Verdict>>,
    /// Of models: [`Kind::ModelWide`], [`Kind::ChangedWithEnvironment`], and the end of the former.
    #[serde(with = "crate::pairs")]
    pub models: BTreeMap<Group, Vec<Verdict>>,
    /// Devices of which no series reported, and those that report again; where the host is such a one, it alone speaks.
    pub devices: BTreeMap<String, Verdict>,
    /// Hosts of which no series reported, and those that report again.
    pub hosts: BTreeMap<String, Verdict>,
    /// Series that should be measured again before the night's end: their verdicts may change with it.
    pub again: BTreeSet<String>,
    /// What is remembered after the night, if this is its end.
    pub books: Books,
}

/// Judges a night by what is remembered, with a policy that was [checked](Policy::check). Asked again with what was measured again, it answers again from the start, by
/// the books from before the night: only the last answer's books count.
#[must_use]
pub fn judge(policy: &Policy, books: &Books, night: &Night) -> Judgement {
    let mut judgement = Judgement {
        books: books.clone(),
        ..Judgement::default()
    };
    let mut judged: BTreeMap<&str, Alone> = night
        .series
        .iter()
        .map(|(series, tonight)| {
            let book = judgement.books.series.remove(series).unwrap_or_default();
            let alone = alone(
                policy,
                book,
                (night.number, night.day),
                &tonight.observation,
            );
            (series.as_str(), alone)
        })
        .collect();
    judge_groups(policy, night, &mut judged, &mut judgement);
    judge_siblings(policy, night, &mut judged);
    judge_places(books, night, &mut judged, &mut judgement);
    for (series, mut alone) in judged {
        tell(&mut alone);
        // Once a night is enough, also where the second measurement was none.
        let observed = night.series.get(series).map(|tonight| &tonight.observation);
        if alone.wants_again && matches!(observed, Some(Observation::Measured { again: None, .. }))
        {
            judgement.again.insert(series.to_owned());
        }
        alone.verdicts.sort_by_key(Verdict::gravity);
        judgement.series.insert(series.to_owned(), alone.verdicts);
        judgement.books.series.insert(series.to_owned(), alone.book);
    }
    judgement
}

/// S0 and S4 of the devices of each model with one workload.
fn judge_groups(
    policy: &Policy,
    night: &Night,
    judged: &mut BTreeMap<&str, Alone>,
    judgement: &mut Judgement,
) {
    let mut groups: BTreeMap<&Group, Vec<&mut Alone>> = BTreeMap::new();
    for (series, alone) in judged {
        if let Some(tonight) = night.series.get(*series) {
            groups.entry(&tonight.group).or_default().push(alone);
        }
    }
    for (group, mut devices) in groups {
        let book = judgement.books.models.entry(group.clone()).or_default();
        let mut verdicts: Vec<Verdict> = Vec::new();
        verdicts.extend(model::judge(
            policy,
            book,
            (night.number, night.day),
            &mut devices,
        ));
        let mut crossed = crossing::settle(policy, &mut devices);
        for verdict in &mut crossed {
            verdict.is_silenced = book.muted_until.is_some();
            verdict.is_new &= !verdict.is_silenced;
        }
        verdicts.extend(crossed);
        if *book == ModelBook::default() {
            judgement.books.models.remove(group);
        }
        if !verdicts.is_empty() {
            judgement.models.insert(group.clone(), verdicts);
        }
    }
}

/// Devices that are unlike their siblings.
fn judge_siblings(policy: &Policy, night: &Night, judged: &mut BTreeMap<&str, Alone>) {
    let mut groups: BTreeMap<(&Group, Option<&str>), Vec<Sibling<'_>>> = BTreeMap::new();
    for (series, alone) in judged {
        if let Some(Tonight {
            group,
            observation: Observation::Measured { environment, .. },
            ..
        }) = night.series.get(*series)
            && alone.measured.is_some()
        {
            let siblings = groups.entry((group, environment.driver())).or_default();
            siblings.push(Sibling { environment, alone });
        }
    }
    for siblings in groups.values_mut() {
        outlier::judge(policy, night.number, siblings);
    }
}

/// S5 of devices and hosts.
fn judge_places(
    books: &Books,
    night: &Night,
    judged: &mut BTreeMap<&str, Alone>,
    judgement: &mut Judgement,
) {
    let places = judged.iter_mut().filter_map(|(series, alone)| {
        let Tonight { device, host, .. } = night.series.get(*series)?;
        Some(Place {
            device,
            host,
            before: books.series.get(*series),
            alone,
        })
    });
    let mut places: Vec<Place<'_>> = places.collect();
    let gone = missing::judge(&mut places);
    judgement.devices = gone.devices;
    judgement.hosts = gone.hosts;
}

/// What of a series' alarms is new, now that all that could silence them was looked at.
fn tell(alone: &mut Alone) {
    let is_muted = alone.book.is_muted();
    let mut is_resolved = false;
    for verdict in &mut alone.verdicts {
        is_resolved |= verdict.kind == Kind::Resolved;
        if verdict.is_alarm {
            verdict.is_silenced |= is_muted;
            // A change of environment is told once: it does not go on.
            let is_event = verdict.kind == Kind::ChangedWithEnvironment;
            verdict.is_new =
                !verdict.is_silenced && (is_event || alone.book.told.insert(verdict.kind));
        }
        verdict.is_new &= !verdict.is_silenced;
    }
    if is_resolved && !alone.book.is_alarmed() {
        alone.book.muted_until = None;
    }
}
