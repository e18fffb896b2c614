//! A history judged again, as it was or as if something had happened in it: when would it have been found? Uses the judge and nothing of its inside.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Books, Group, Judgement, Night, Observation, Policy, Tonight, Verdict, judge};

/// One series' night, as a line of JSON holds it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// See [`Night::number`].
    pub night: u32,
    /// See [`Night::day`].
    pub day: i32,
    /// The series.
    pub series: String,
    /// Its night.
    #[serde(flatten)]
    pub tonight: Tonight,
}

/// A slowdown that did not happen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Injection {
    /// Where.
    pub into: Part,
    /// From this night on.
    pub from: u32,
    /// So much slower: 0.08 is 8 %.
    pub shift: f64,
}

/// What of the fleet.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// One series.
    Series(String),
    /// A model with one workload.
    Group(Group),
    /// A device.
    Device(String),
    /// A host.
    Host(String),
}

/// What somebody would have been told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Told {
    /// On which night.
    pub night: u32,
    /// Of what.
    pub of: Part,
    /// The alarm.
    pub verdict: Verdict,
}

/// Lines, in any order, as nights in their order; of several lines for one series and night the last counts.
#[must_use]
pub fn nights(lines: impl IntoIterator<Item = Line>) -> Vec<Night> {
    let mut nights: BTreeMap<u32, Night> = BTreeMap::new();
    for Line {
        night: number,
        day,
        series,
        tonight,
    } in lines
    {
        let night = nights.entry(number).or_insert_with(|| Night {
            number,
            day,
            series: BTreeMap::new(),
        });
        night.series.insert(series, tonight);
    }
    nights.into_values().collect()
}

/// Judges all nights in order, with these things put into them; answers with the alarms that are told. A second measurement that is missing from the history where
/// something was put in is taken to be as the first: the history was not asked for it.
#[must_use]
pub fn replay(policy: &Policy, nights: &[Night], injections: &[Injection]) -> Vec<Told> {
    let mut books = Books::default();
    let mut told = Vec::new();
    for night in nights {
        let mut night = night.clone();
        let number = night.number;
        let is_on = |injection: &&Injection| injection.from <= number;
        let mut touched = Vec::new();
        for (series, tonight) in &mut night.series {
            let on = injections.iter().filter(is_on);
            let into = on.filter(|injection| injection.into.holds(series, tonight));
            let shifts: Vec<f64> = into.map(|injection| injection.shift.ln_1p()).collect();
            if !shifts.is_empty() {
                slow_down(&mut tonight.observation, shifts.iter().sum());
                touched.push(series.clone());
            }
        }
        let mut judgement = judge(policy, &books, &night);
        if judgement
            .again
            .iter()
            .any(|series| touched.contains(series))
        {
            for series in touched {
                if let Some(tonight) = night
                    .series
                    .get_mut(&series)
                    .filter(|_| judgement.again.contains(&series))
                {
                    repeat(&mut tonight.observation);
                }
            }
            judgement = judge(policy, &books, &night);
        }
        told.extend(alarms(&judgement).map(|(of, verdict)| Told {
            night: number,
            of,
            verdict: verdict.clone(),
        }));
        books = judgement.books;
    }
    told
}

/// What is told of a night: alarms that are new and not silenced.
pub fn alarms(judgement: &Judgement) -> impl Iterator<Item = (Part, &Verdict)> {
    let series = judgement.series.iter();
    let series = series.flat_map(|(name, all)| {
        all.iter()
            .map(|verdict| (Part::Series(name.clone()), verdict))
    });
    let models = judgement.models.iter();
    let models = models.flat_map(|(group, all)| {
        all.iter()
            .map(|verdict| (Part::Group(group.clone()), verdict))
    });
    let devices = judgement
        .devices
        .iter()
        .map(|(name, verdict)| (Part::Device(name.clone()), verdict));
    let hosts = judgement
        .hosts
        .iter()
        .map(|(name, verdict)| (Part::Host(name.clone()), verdict));
    hosts
        .chain(devices)
        .chain(models)
        .chain(series)
        .filter(|(_, verdict)| verdict.is_told())
}

impl Part {
    fn holds(&self, series: &str, tonight: &Tonight) -> bool {
        match self {
            Self::Series(name) => name == series,
            Self::Group(group) => *group == tonight.group,
            Self::Device(device) => *device == tonight.device,
            Self::Host(host) => *host == tonight.host,
        }
    }
}

fn slow_down(observation: &mut Observation, shift: f64) {
    if let Observation::Measured { first, again, .. } = observation {
        for measured in std::iter::once(first).chain(again) {
            for time in measured.log_seconds.values_mut() {
                *time += shift;
            }
        }
    }
}

fn repeat(observation: &mut Observation) {
    if let Observation::Measured { first, again, .. } = observation {
        again.get_or_insert_with(|| first.clone());
    }
}
