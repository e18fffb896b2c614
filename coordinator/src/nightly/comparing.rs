//! Two runs, nights, devices or drivers beside each other: which measurements are meant, how they are paired, and what the comparison says of each pair.

use std::{collections::BTreeMap, fmt, str::FromStr};

use batchstep_core::sweep::correct;
use batchstep_judge::{
    Verdict,
    compare::{Blocks, Comparison, Options, compare},
};
use batchstep_proto::ids::SweepId;
use serde::{Deserialize, Serialize};

use super::{
    about::About,
    document::SCHEMA_VERSION,
    keeper::Nightly,
    kept::{self, from_json},
    people::NightlyError,
    views::WhichNight,
    words,
};
use crate::store::{NightlyStore as _, NightsWanted, Store, StoredHistory, StoredSweep};

/// Sweeps that are looked at, newest first, for the one in which a device or a driver measured last.
const LOOKED_AT: usize = 50;

/// One side of a comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Side {
    /// All that a sweep measured.
    Sweep(SweepId),
    /// All that a night measured.
    Night {
        /// Of which schedule.
        schedule: String,
        /// Which one.
        which: WhichNight,
    },
    /// What a device measured in its last sweep.
    Device(String),
    /// What was measured with a driver in the last sweep that had it.
    Driver(String),
}

/// A text that names no side.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} names nothing to compare; write sweep:ID, night:SCHEDULE@2026-11-26, night:SCHEDULE@17, device:ID or driver:VERSION"
)]
pub struct SideError(pub String);

impl FromStr for Side {
    type Err = SideError;

    fn from_str(text: &str) -> Result<Self, SideError> {
        let wrong = || SideError(text.chars().take(200).collect());
        let (kind, name) = text.split_once(':').ok_or_else(wrong)?;
        if name.is_empty() {
            return Err(wrong());
        }
        match kind {
            "sweep" => name.parse().map(Self::Sweep).map_err(|_| wrong()),
            "device" => Ok(Self::Device(name.to_owned())),
            "driver" => Ok(Self::Driver(name.to_owned())),
            "night" => {
                let (schedule, night) = name.split_once('@').ok_or_else(wrong)?;
                let which = match night.parse::<u32>() {
                    Ok(number) => WhichNight::Number(number),
                    Err(_) => {
                        let date: jiff::civil::Date = night.parse().map_err(|_| wrong())?;
                        WhichNight::Date(date.to_string())
                    }
                };
                Ok(Self::Night {
                    schedule: schedule.to_owned(),
                    which,
                })
            }
            _ => Err(wrong()),
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sweep(sweep) => write!(f, "sweep:{sweep}"),
            Self::Device(device) => write!(f, "device:{device}"),
            Self::Driver(driver) => write!(f, "driver:{driver}"),
            Self::Night { schedule, which } => match which {
                WhichNight::Newest => write!(f, "night:{schedule}"),
                WhichNight::Number(number) => write!(f, "night:{schedule}@{number}"),
                WhichNight::Date(date) => write!(f, "night:{schedule}@{date}"),
            },
        }
    }
}

/// What a comparison says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CompareDocument {
    /// Of the documents about nights.
    pub schema_version: u32,
    /// The one side.
    pub a: String,
    /// The other.
    pub b: String,
    /// What both sides have, by workload and device.
    pub rows: Vec<CompareRow>,
    /// What only one side has, or cannot be compared, in words.
    pub left_out: Vec<String>,
}

/// One pair.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CompareRow {
    /// Workload, mode, dtype and threads.
    pub workload: String,
    /// Whose times the one side's are.
    pub a: Measured,
    /// Whose times the other side's are.
    pub b: Measured,
    /// `same`, `faster`, `slower` or `ambiguous`: how `b` is beside `a`; shifts are of natural logarithms.
    #[serde(flatten)]
    pub comparison: Comparison,
}

/// Whose times a side's are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measured {
    /// Their ids, ascending.
    pub devices: Vec<String>,
    /// Marketing names, ascending.
    pub device_models: Vec<String>,
    /// Blocks.
    pub blocks: u32,
}

/// One series of a side.
struct One {
    about: About,
    blocks: Blocks,
    /// Standard deviation of nights, where they are known.
    night_sigma: Option<f64>,
}

impl<S: Store> Nightly<S> {
    /// Compares two sides; `device` and `workload` are parts of what is compared, case does not matter.
    ///
    /// # Errors
    /// When a side does not exist.
    pub async fn compare(
        &self,
        a: &Side,
        b: &Side,
        device: Option<&str>,
        workload: Option<&str>,
    ) -> Result<CompareDocument, NightlyError> {
        let admits = |about: &About| {
            let has = |text: &str, part: Option<&str>| {
                part.is_none_or(|part| text.to_lowercase().contains(&part.to_lowercase()))
            };
            let names = format!("{} {} {}", about.device, about.device_model, about.hostname);
            has(&names, device) && has(&about.workload, workload)
        };
        let mut sides = [self.side(a).await?, self.side(b).await?];
        for side in &mut sides {
            side.retain(|one| admits(&one.about));
        }
        let is_over_time = matches!(a, Side::Night { .. }) && matches!(b, Side::Night { .. });
        let paired = tokio::task::spawn_blocking(move || pair(sides, is_over_time));
        let (rows, left_out) = paired.await.map_err(|_| NightlyError::Inferring)?;
        Ok(CompareDocument {
            schema_version: SCHEMA_VERSION,
            a: a.to_string(),
            b: b.to_string(),
            rows,
            left_out,
        })
    }

    async fn side(&self, side: &Side) -> Result<Vec<One>, NightlyError> {
        match side {
            Side::Sweep(sweep) => {
                if self.store.sweep(*sweep).await?.is_none() {
                    return Err(NightlyError::NotFound(format!("there is no sweep {sweep}")));
                }
                Ok(all(&self.store.histories(Some(*sweep)).await?))
            }
            Side::Night { schedule, which } => self.night_side(schedule, which).await,
            Side::Device(device) => {
                self.newest(
                    side,
                    |sweep| {
                        let mut devices = sweep.series.iter().flat_map(|it| it.plan.devices());
                        devices.any(|known| known == device)
                    },
                    |about, _| about.device == *device,
                )
                .await
            }
            Side::Driver(driver) => {
                let has = |found: Option<&String>| found == Some(driver);
                self.newest(
                    side,
                    |sweep| {
                        sweep
                            .series
                            .iter()
                            .any(|it| has(it.plan.device.driver.as_ref()))
                    },
                    |_, stored| has(stored.plan.device.driver.as_ref()),
                )
                .await
            }
        }
    }

    async fn night_side(
        &self,
        schedule: &str,
        which: &WhichNight,
    ) -> Result<Vec<One>, NightlyError> {
        let mut wanted = NightsWanted {
            schedule: Some(schedule.to_owned()),
            limit: 1,
            ..NightsWanted::default()
        };
        match which {
            WhichNight::Newest => {}
            WhichNight::Number(number) => wanted.number = Some(*number),
            WhichNight::Date(date) => wanted.date = Some(date.clone()),
        }
        let night = self.store.nightly().nights(&wanted).await?.pop();
        // Nights outlast their schedule; a name that has neither is mistyped.
        if night.is_none() && self.store.nightly().last_night(schedule).await? == 0 {
            self.must_find(schedule).await?;
        }
        let night = night.ok_or_else(|| {
            NightlyError::NotFound(format!(
                "schedule {schedule} has no such night; `batchstep nightly list --schedule {schedule}` lists them"
            ))
        })?;
        let life = kept::life(&night)?;
        let mut found = Vec::new();
        // What was measured again is in the later ones.
        for sweep in life.parts().iter().filter_map(|part| part.sweep()) {
            found.extend(all(&self.store.histories(Some(sweep)).await?));
        }
        let rows = self.store.nightly();
        let rows = rows
            .night_series(schedule, night.number, night.number)
            .await?;
        for row in rows {
            let verdicts: Vec<Verdict> = from_json("verdicts", &row.verdicts)?;
            let sigma = words::own_numbers(&verdicts).find_map(|numbers| numbers.sigma);
            for one in found.iter_mut().filter(|one| one.about.key() == row.series) {
                one.night_sigma = sigma;
            }
        }
        Ok(found)
    }

    /// The series of which `is_it` is true, of the newest sweep that has one with blocks; only those that `may_have` it are read.
    async fn newest(
        &self,
        side: &Side,
        may_have: impl Fn(&StoredSweep) -> bool,
        is_it: impl Fn(&About, &StoredHistory) -> bool,
    ) -> Result<Vec<One>, NightlyError> {
        let mut found: BTreeMap<String, One> = BTreeMap::new();
        let sweeps = self.store.sweeps().await?;
        for sweep in sweeps.into_iter().filter(may_have).take(LOOKED_AT) {
            for stored in self.store.histories(Some(sweep.id)).await? {
                let about = About::of(&stored.plan);
                let key = about.key();
                if is_it(&about, &stored)
                    && !found.contains_key(&key)
                    && let Some(one) = one(&stored)
                {
                    found.insert(key, one);
                }
            }
            // What else it measured is older.
            if !found.is_empty() {
                break;
            }
        }
        if found.is_empty() {
            return Err(NightlyError::NotFound(format!(
                "nothing is on record of {side}; blocks that were compacted cannot be compared any more"
            )));
        }
        Ok(found.into_values().collect())
    }
}

fn all(histories: &[StoredHistory]) -> Vec<One> {
    histories.iter().filter_map(one).collect()
}

/// The times of a series, without drift and without blocks that say nothing; `None`: there are none.
fn one(stored: &StoredHistory) -> Option<One> {
    let mut blocks = Blocks::new();
    for observation in correct(&stored.plan, &stored.history).observations() {
        blocks
            .entry(observation.batch_size)
            .or_default()
            .push(observation.seconds);
    }
    (!blocks.is_empty()).then(|| One {
        about: About::of(&stored.plan),
        blocks,
        night_sigma: None,
    })
}

/// Pairs what has the same setting: each device with itself where it is on both sides, else all devices of the one with all of the other.
fn pair([a, b]: [Vec<One>; 2], is_over_time: bool) -> (Vec<CompareRow>, Vec<String>) {
    let by_setting = |side: Vec<One>| {
        let mut settings: BTreeMap<String, BTreeMap<String, One>> = BTreeMap::new();
        for one in side {
            let setting = one.about.setting(&one.about.workload);
            let devices = settings.entry(setting).or_default();
            match devices.get_mut(&one.about.device) {
                // Measured more than once.
                Some(known) => merge(&mut known.blocks, one.blocks),
                None => {
                    devices.insert(one.about.device.clone(), one);
                }
            }
        }
        settings
    };
    let (a, mut b) = (by_setting(a), by_setting(b));
    let (mut rows, mut left_out) = (Vec::new(), Vec::new());
    for (setting, of_a) in a {
        let Some(of_b) = b.remove(&setting) else {
            left_out.push(format!("{setting}: only the first side has it"));
            continue;
        };
        let common: Vec<&String> = of_a
            .keys()
            .filter(|device| of_b.contains_key(*device))
            .collect();
        let pairs: Vec<[Vec<&One>; 2]> = if common.is_empty() {
            vec![[of_a.values().collect(), of_b.values().collect()]]
        } else {
            for device in of_a
                .keys()
                .chain(of_b.keys())
                .filter(|device| !common.contains(device))
            {
                left_out.push(format!("{setting} on {device}: only one side has it"));
            }
            common
                .iter()
                .map(|device| [vec![&of_a[*device]], vec![&of_b[*device]]])
                .collect()
        };
        for [one, other] in pairs {
            match compared(&one, &other, is_over_time) {
                Ok(comparison) => rows.push(CompareRow {
                    workload: setting.clone(),
                    a: measured(&one),
                    b: measured(&other),
                    comparison,
                }),
                Err(why) => left_out.push(format!("{setting}: {why}")),
            }
        }
    }
    let rest = b
        .into_keys()
        .map(|setting| format!("{setting}: only the second side has it"));
    left_out.extend(rest);
    (rows, left_out)
}

fn compared(
    one: &[&One],
    other: &[&One],
    is_over_time: bool,
) -> Result<Comparison, batchstep_judge::compare::CompareError> {
    let pooled = |side: &[&One]| {
        let mut blocks = Blocks::new();
        for one in side {
            merge(&mut blocks, one.blocks.clone());
        }
        blocks
    };
    let sigma = one.iter().chain(other).filter_map(|one| one.night_sigma);
    let sigma = sigma.fold(0.0, f64::max);
    let options = Options {
        night_sigma: if is_over_time { sigma } else { 0.0 },
        ..Options::default()
    };
    compare(&pooled(one), &pooled(other), &options)
}

fn merge(into: &mut Blocks, blocks: Blocks) {
    for (size, seconds) in blocks {
        into.entry(size).or_default().extend(seconds);
    }
}

fn measured(side: &[&One]) -> Measured {
    let sorted = |part: fn(&About) -> &String| {
        let mut names: Vec<String> = side.iter().map(|one| part(&one.about).clone()).collect();
        names.sort();
        names.dedup();
        names
    };
    let blocks: usize = side
        .iter()
        .flat_map(|one| one.blocks.values())
        .map(Vec::len)
        .sum();
    Measured {
        devices: sorted(|about| &about.device),
        device_models: sorted(|about| &about.device_model),
        blocks: u32::try_from(blocks).unwrap_or(u32::MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sides_are_named_and_what_names_none_is_refused() {
        for text in [
            "sweep:0190d3a0-0000-7000-8000-00000000000a",
            "night:gpus@17",
            "night:gpus@2026-11-26",
            "device:GPU-1",
            "driver:570.86.10",
        ] {
            assert_eq!(text.parse::<Side>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "gpus",
            "sweep:last",
            "night:gpus",
            "night:gpus@monday",
            "device:",
            "card:1",
        ] {
            let said = text.parse::<Side>().unwrap_err().to_string();
            assert!(said.contains("night:SCHEDULE@2026-11-26"), "{said}");
        }
    }
}
