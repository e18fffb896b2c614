//! What a series was night after night, as its plots and pages need it. Filled by the coordinator from the nights on record and handed over as JSON;
//! plain data, which says what the judge said and decides nothing.

use serde::{Deserialize, Serialize};

/// Version of the JSON. Within a version fields are added, never renamed or removed.
pub const HISTORY_SCHEMA_VERSION: u32 = 1;

/// The JSON document: series and their nights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Histories {
    /// [`HISTORY_SCHEMA_VERSION`].
    pub schema_version: u32,
    /// The series, in any order.
    pub series: Vec<SeriesHistory>,
}

impl From<Vec<SeriesHistory>> for Histories {
    fn from(series: Vec<SeriesHistory>) -> Self {
        Self {
            schema_version: HISTORY_SCHEMA_VERSION,
            series,
        }
    }
}

/// One device with one workload over the nights of one schedule.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SeriesHistory {
    /// Name of the schedule. Series of several schedules are never drawn beside each other.
    pub schedule: String,
    /// The device as people know it: index, name or UUID.
    pub device: String,
    /// Name of its host.
    pub host: String,
    /// Marketing name of its model.
    pub model: String,
    /// The workload with those parameters that tell it from others.
    pub workload: String,
    /// Mode, dtype and what else is the same for all nights: "train f32"; may be empty.
    pub setting: String,
    /// The nights, by number. Numbers that are left out are gaps.
    pub nights: Vec<NightPoint>,
}

/// What one night gave a series.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NightPoint {
    /// The schedule's count of its nights.
    pub number: u32,
    /// Civil date of the night in the schedule's time zone: "2026-11-26".
    pub date: String,
    /// Seconds per iteration: geometric mean over the schedule's batch sizes of the medians. `None` where nothing was measured.
    pub seconds: Option<f64>,
    /// Why the night was not judged; its `seconds`, if there are some, are then told and not drawn.
    pub unjudged: Option<Unjudged>,
    /// The baseline that the night was judged against, seconds.
    pub baseline: Option<f64>,
    /// Seconds below and above which the night would have been a hit.
    pub band: Option<[f64; 2]>,
    /// On which side of the band the night lies, if the judge counts it as a hit.
    pub hit: Option<Hit>,
    /// The judge's words for the night: "normal", "confirmed", "changed with environment".
    pub verdict: String,
    /// An alarm was raised this night or is still open.
    pub is_alarm: bool,
    /// What was found of the step.
    pub step: NightStep,
    /// Somebody's word about an alarm, on the first night that it holds for. Equal ones of consecutive nights are drawn once.
    pub acknowledgement: Option<Acknowledgement>,
    /// Which segment the night belongs to. Of a night without a measurement: that of the night before.
    pub segment: u32,
    /// On the first night of a segment: what is not what it was, "driver 570.86 → 580.65".
    pub changes: Vec<String>,
}

/// Why a night was not judged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Unjudged {
    /// Nothing by the night's deadline.
    Missing {
        /// Why, as far as it is known: "the host did not report".
        reason: String,
    },
    /// Measured, but throttled, contended or incomplete.
    Invalid {
        /// Which of these: "throttled".
        reason: String,
    },
}

/// On which side of the band a night lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hit {
    /// Above: more seconds.
    Slower,
    /// Below: fewer.
    Faster,
}

/// What was found of the step in a night.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NightStep {
    /// A period, samples.
    Period(f64),
    /// There is none.
    None,
    /// The measurement does not tell, or there was none.
    #[default]
    Unknown,
}

/// Somebody's word about an alarm.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledgement {
    /// Who.
    pub by: String,
    /// Why, in their words.
    pub reason: String,
}

impl SeriesHistory {
    /// What was measured where: "linear on GPU 3".
    #[must_use]
    pub fn name(&self) -> String {
        format!("{} on {}", self.workload, self.device)
    }

    /// Whether any night has an open alarm.
    #[must_use]
    pub fn has_alarm(&self) -> bool {
        self.nights.iter().any(|night| night.is_alarm)
    }

    /// Whether anything beside the device changed.
    #[must_use]
    pub fn has_change(&self) -> bool {
        self.segment_starts().next().is_some()
    }

    /// The nights on which a segment begins, without the series' first, whose segment has nothing before it.
    pub(crate) fn segment_starts(&self) -> impl Iterator<Item = &NightPoint> {
        self.nights
            .windows(2)
            .filter(|pair| pair[0].segment != pair[1].segment || !pair[1].changes.is_empty())
            .map(|pair| &pair[1])
    }

    /// The nights on which somebody's word about an alarm begins.
    pub(crate) fn acknowledgements(&self) -> impl Iterator<Item = (&NightPoint, &Acknowledgement)> {
        let before = std::iter::once(None).chain(self.nights.iter().map(Some));
        self.nights
            .iter()
            .zip(before)
            .filter_map(|(night, before)| {
                let word = night.acknowledgement.as_ref()?;
                let is_new =
                    before.is_none_or(|before| before.acknowledgement.as_ref() != Some(word));
                is_new.then_some((night, word))
            })
    }
}

impl NightPoint {
    /// "2026-11-26, night 30".
    #[must_use]
    pub fn when(&self) -> String {
        if self.date.is_empty() {
            format!("night {}", self.number)
        } else {
            format!("{}, night {}", self.date, self.number)
        }
    }

    /// The time that was judged, seconds: `None` where there was none, or none that can be drawn.
    pub(crate) fn judged_seconds(&self) -> Option<f64> {
        usable(self.seconds).filter(|_| self.unjudged.is_none())
    }

    /// Whether there is a time that can be drawn.
    pub(crate) fn has_time(&self) -> bool {
        usable(self.seconds).is_some()
    }

    /// Why the night was not judged.
    pub(crate) fn why_unjudged(&self) -> Option<&Unjudged> {
        self.unjudged.as_ref()
    }

    /// The baseline, where it can be drawn.
    pub(crate) fn usable_baseline(&self) -> Option<f64> {
        usable(self.baseline)
    }

    /// The band, where it can be drawn.
    pub(crate) fn usable_band(&self) -> Option<[f64; 2]> {
        self.band.filter(|[low, high]| {
            PLAUSIBLE.contains(low) && PLAUSIBLE.contains(high) && low <= high
        })
    }

    /// How far the night lies above its baseline, as a share.
    pub(crate) fn shift(&self) -> Option<f64> {
        Some(self.judged_seconds()? / self.usable_baseline()? - 1.0)
    }
}

/// Seconds per iteration that can have been measured: from a cycle of a clock to days.
const PLAUSIBLE: std::ops::RangeInclusive<f64> = 1e-9..=1e6;

fn usable(seconds: Option<f64>) -> Option<f64> {
    seconds.filter(|seconds| PLAUSIBLE.contains(seconds))
}
