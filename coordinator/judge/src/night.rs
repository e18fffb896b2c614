//! A whole night: every series alone, then devices of a model together, then each among its siblings.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{
    Book, Observation, Policy, Step,
    alone::{Alone, alone},
    model::{ModelBook, together},
    outlier::{Unlike, unlike},
    verdict::{Kind, Reason, Verdict},
};

/// All that is remembered.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Books {
    /// By series.
    pub series: BTreeMap<String, Book>,
    /// By model and workload.
    pub models: BTreeMap<Group, ModelBook>,
}

/// A night as it was measured.
#[derive(Debug, Clone, PartialEq)]
pub struct Night {
    /// Counts nights; later ones are greater.
    pub number: u32,
    /// What each series of the schedule has, by series; one that did not report is [`Observation::Missing`].
    pub series: BTreeMap<String, Tonight>,
}

/// One series of a night.
#[derive(Debug, Clone, PartialEq)]
pub struct Tonight {
    /// What it is compared with beside its own past.
    pub group: Group,
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
#[derive(Debug, Clone, PartialEq)]
pub struct Judgement {
    /// By series, the gravest first; none is without one.
    pub series: BTreeMap<String, Vec<Verdict>>,
    /// Models with an alarm.
    pub models: BTreeMap<Group, Verdict>,
    /// Series that should be measured again before the night's end: their verdicts may change with it.
    pub again: BTreeSet<String>,
    /// What is remembered after the night, if this is its end.
    pub books: Books,
}

/// Judges a night by what is remembered. Asked again with what was measured again, it answers again from the start: only the last answer's books count.
#[must_use]
pub fn judge(policy: &Policy, books: &Books, night: &Night) -> Judgement {
    let mut judgement = Judgement {
        series: BTreeMap::new(),
        models: BTreeMap::new(),
        again: BTreeSet::new(),
        books: books.clone(),
    };
    let mut judged: BTreeMap<&str, Alone> = night
        .series
        .iter()
        .map(|(series, tonight)| {
            let book = books.series.get(series).cloned().unwrap_or_default();
            let alone = alone(policy, book, night.number, &tonight.observation);
            (series.as_str(), alone)
        })
        .collect();
    judge_models(policy, night, &mut judged, &mut judgement);
    judge_siblings(policy, night, &mut judged);
    for (series, mut alone) in judged {
        if alone.wants_again {
            judgement.again.insert(series.to_owned());
        }
        if alone.book.is_muted(night.number) {
            alone.silence(|_| true);
        }
        alone.verdicts.sort_by_key(Verdict::gravity);
        judgement.series.insert(series.to_owned(), alone.verdicts);
        judgement.books.series.insert(series.to_owned(), alone.book);
    }
    judgement
}

/// S4. A model's alarm speaks for its devices, and keeps their baselines as they were before it.
fn judge_models(
    policy: &Policy,
    night: &Night,
    judged: &mut BTreeMap<&str, Alone>,
    judgement: &mut Judgement,
) {
    let mut devices: BTreeMap<&Group, Vec<(f64, f64)>> = BTreeMap::new();
    for (series, tonight) in &night.series {
        let shifts = devices.entry(&tonight.group).or_default();
        shifts.extend(judged.get(series.as_str()).and_then(|alone| alone.shift));
    }
    for (group, shifts) in devices {
        let Some((is_hit, numbers)) = together(policy, &shifts) else {
            continue;
        };
        let book = judgement.books.models.entry(group.clone()).or_default();
        let open = book.enter(policy, night.number, is_hit);
        let since = book.alarm;
        for (series, tonight) in &night.series {
            let Some(alone) = judged
                .get_mut(series.as_str())
                .filter(|_| tonight.group == *group)
            else {
                continue;
            };
            alone.book.frozen_since = since;
            if since.is_some() {
                alone.silence(|kind| matches!(kind, Kind::Confirmed | Kind::Provisional));
            }
        }
        if let Some(is_new) = open {
            let mut verdict = Verdict::new(Kind::ModelWide, Reason::ModelMedian)
                .with(numbers)
                .alarm(is_new);
            verdict.numbers.since = since;
            judgement.models.insert(group.clone(), verdict);
        }
    }
}

/// Devices that are unlike their siblings, twice a night. What they have changed themselves is said already.
fn judge_siblings(policy: &Policy, night: &Night, judged: &mut BTreeMap<&str, Alone>) {
    let mut groups: BTreeMap<(&Group, Option<&str>), Vec<&str>> = BTreeMap::new();
    for (series, tonight) in &night.series {
        let alone = judged.get(series.as_str());
        if let Observation::Measured { environment, .. } = &tonight.observation
            && alone.is_some_and(|alone| alone.measured.is_some())
        {
            let driver = environment.driver();
            groups
                .entry((&tonight.group, driver))
                .or_default()
                .push(series);
        }
    }
    for siblings in groups.values() {
        let measured = |series: &&str| judged.get(*series)?.measured.clone();
        let all: Vec<_> = siblings.iter().filter_map(measured).collect();
        let levels: Vec<f64> = all.iter().map(|it| it.level).collect();
        let steps: Vec<Step> = all.iter().map(|it| it.step).collect();
        for series in siblings {
            let Some(alone) = judged.get_mut(*series) else {
                continue;
            };
            let Some(own) = alone.measured.clone() else {
                continue;
            };
            let look = |level, step| unlike(policy, &levels, &steps, level, step);
            let found = look(own.level, own.step);
            let again = own.again.map(|(level, step)| look(level, step));
            let was = std::mem::take(&mut alone.book.standing.outlier);
            let Some(found) = found else { continue };
            match again {
                // It was so last night: that is as good as a second look.
                None if was => {}
                None => {
                    alone.wants_again = true;
                    continue;
                }
                Some(again) if again.as_ref().map(is_slower) == Some(is_slower(&found)) => {}
                Some(_) => continue,
            }
            alone.book.standing.outlier = true;
            let says_it_itself = alone.has_changed();
            let (reason, numbers) = match found {
                Unlike::Slower(numbers) => (Reason::Siblings, numbers),
                Unlike::Step(numbers) => (Reason::SiblingsStep, numbers),
            };
            let mut verdict = Verdict::new(Kind::Outlier, reason)
                .with(numbers)
                .alarm(!was);
            verdict.is_silenced = says_it_itself;
            alone.verdicts.push(verdict);
        }
    }
}

const fn is_slower(unlike: &Unlike) -> bool {
    matches!(unlike, Unlike::Slower(_))
}
