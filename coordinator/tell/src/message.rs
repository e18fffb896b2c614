//! What there is to tell: one message for one thing that happened. Made by whoever judges and stores, rendered and delivered by the rest of this crate.
//!
//! Plain data without behaviour of its own but its words: nothing here knows how a message travels, and nothing decides whether it should.

use std::fmt;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

/// Version of the JSON of [`Message`] and of the digest around it. Within one, fields are added, never renamed or removed.
pub const SCHEMA_VERSION: u32 = 1;

/// One thing that somebody should know. What does not apply is absent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// What happened.
    pub kind: Kind,
    /// How soon somebody should look.
    pub severity: Severity,
    /// The same text for the same alarm, for ever: nothing is told twice under one key.
    pub dedup_key: String,
    /// Key of the alarm that this message ends.
    #[serde(default)]
    pub resolves: Option<String>,
    /// Schedule that the night belongs to.
    pub schedule: String,
    /// The night in which it was found.
    pub night: Night,
    /// What it is about.
    #[serde(default)]
    pub subject: Subject,
    /// Time of an iteration, before and now.
    #[serde(default)]
    pub time: Option<Times>,
    /// Change of that time.
    #[serde(default)]
    pub shift: Option<Shift>,
    /// Step size, before and now.
    #[serde(default)]
    pub step: Option<Steps>,
    /// The first night of which it is true.
    #[serde(default)]
    pub since: Option<Night>,
    /// Why it was said.
    pub reason: Reason,
    /// What is not what it was, beside the device.
    #[serde(default)]
    pub changes: Vec<Change>,
    /// The smallest slowdown that would have been noticed here: 0.031 is 3.1 %.
    #[serde(default)]
    pub smallest_detectable_shift: Option<f64>,
    /// Where there is more to see.
    #[serde(default)]
    pub links: Vec<Link>,
    /// Shell command that measures the same again.
    #[serde(default)]
    pub reproduce: Option<String>,
    /// Shell command that says: seen.
    #[serde(default)]
    pub acknowledge: Option<String>,
}

impl Message {
    /// Without numbers that are none: JSON has no infinity, and what was stored must be readable.
    #[must_use]
    pub fn finite(mut self) -> Self {
        let is_finite = |number: &f64| number.is_finite();
        self.time = self
            .time
            .filter(|it| it.before_seconds.is_finite() && it.after_seconds.is_finite());
        self.shift = self.shift.filter(|shift| shift.relative.is_finite());
        if let Some(shift) = &mut self.shift {
            shift.interval = shift.interval.filter(|ends| ends.iter().all(is_finite));
            shift.z = shift.z.filter(is_finite);
        }
        self.smallest_detectable_shift = self.smallest_detectable_shift.filter(is_finite);
        self
    }
}

impl Message {
    /// One that says no more than this.
    #[must_use]
    pub fn bare(
        (kind, severity): (Kind, Severity),
        dedup_key: String,
        schedule: &str,
        night: Night,
        reason: Reason,
    ) -> Self {
        Self {
            kind,
            severity,
            dedup_key,
            resolves: None,
            schedule: schedule.to_owned(),
            night,
            subject: Subject::default(),
            time: None,
            shift: None,
            step: None,
            since: None,
            reason,
            changes: Vec::new(),
            smallest_detectable_shift: None,
            links: Vec::new(),
            reproduce: None,
            acknowledge: None,
        }
    }
}

/// What happened. In the order of [`Kind::ALL`] messages of one severity are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// All devices of a model are slower; stands for their own alarms.
    ModelWide,
    /// A series is slower, on enough nights.
    Regression,
    /// Slower, or another step, from the night on in which the environment changed.
    ChangedWithEnvironment,
    /// Another step size.
    StepChanged,
    /// A device unlike its siblings.
    Outlier,
    /// A host did not report.
    MissingHost,
    /// A device did not report.
    MissingDevice,
    /// A series was not reported.
    MissingSeries,
    /// A night did not happen.
    NightMissed,
    /// A night has ended with something left undone.
    NightIncomplete,
    /// Slowly slower.
    Drift,
    /// Faster, on enough nights.
    Improvement,
    /// An alarm is over.
    Resolved,
    /// Somebody tries whether messages arrive.
    Test,
}

impl Kind {
    /// All of them, gravest first.
    pub const ALL: [Self; 14] = [
        Self::ModelWide,
        Self::Regression,
        Self::ChangedWithEnvironment,
        Self::StepChanged,
        Self::Outlier,
        Self::MissingHost,
        Self::MissingDevice,
        Self::MissingSeries,
        Self::NightMissed,
        Self::NightIncomplete,
        Self::Drift,
        Self::Improvement,
        Self::Resolved,
        Self::Test,
    ];

    /// As it is written in JSON and in labels of metrics.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::ModelWide => "model_wide",
            Self::Regression => "regression",
            Self::ChangedWithEnvironment => "changed_with_environment",
            Self::StepChanged => "step_changed",
            Self::Outlier => "outlier",
            Self::MissingHost => "missing_host",
            Self::MissingDevice => "missing_device",
            Self::MissingSeries => "missing_series",
            Self::NightMissed => "night_missed",
            Self::NightIncomplete => "night_incomplete",
            Self::Drift => "drift",
            Self::Improvement => "improvement",
            Self::Resolved => "resolved",
            Self::Test => "test",
        }
    }

    /// For people: what one message of this kind says.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::ModelWide => "Whole model slower",
            Self::Regression => "Regression",
            Self::ChangedWithEnvironment => "Changed with the environment",
            Self::StepChanged => "Step size changed",
            Self::Outlier => "Unlike its siblings",
            Self::MissingHost => "Host missing",
            Self::MissingDevice => "Device missing",
            Self::MissingSeries => "Series missing",
            Self::NightMissed => "Night missed",
            Self::NightIncomplete => "Night incomplete",
            Self::Drift => "Slow drift",
            Self::Improvement => "Improvement",
            Self::Resolved => "Resolved",
            Self::Test => "Test message",
        }
    }

    /// For people: the kind as it is counted, `2 regressions`.
    #[must_use]
    pub fn counted(self, count: usize) -> String {
        let (one, many) = match self {
            Self::ModelWide => ("model slower", "models slower"),
            Self::Regression => ("regression", "regressions"),
            Self::ChangedWithEnvironment => (
                "changed with the environment",
                "changed with the environment",
            ),
            Self::StepChanged => ("step size changed", "step sizes changed"),
            Self::Outlier => ("outlier", "outliers"),
            Self::MissingHost => ("missing host", "missing hosts"),
            Self::MissingDevice => ("missing device", "missing devices"),
            Self::MissingSeries => ("missing series", "missing series"),
            Self::NightMissed => ("missed night", "missed nights"),
            Self::NightIncomplete => ("incomplete night", "incomplete nights"),
            Self::Drift => ("slow drift", "slow drifts"),
            Self::Improvement => ("improvement", "improvements"),
            Self::Resolved => ("resolved", "resolved"),
            Self::Test => ("test message", "test messages"),
        };
        format!("{count} {}", if count == 1 { one } else { many })
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// How soon somebody should look; gravest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Today.
    Critical,
    /// This week.
    Warning,
    /// Whenever there is time.
    Info,
}

/// A night of a schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Night {
    /// Counted by the schedule.
    pub number: u64,
    /// On which it began, in the schedule's time zone.
    pub date: Date,
}

impl fmt::Display for Night {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (night {})", self.date, self.number)
    }
}

/// What a message is about; a message about a host has no device, one about a night nothing at all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Subject {
    /// UUID, as the inventory has it.
    pub device: Option<String>,
    /// Its marketing name.
    pub model: Option<String>,
    /// Host name.
    pub host: Option<String>,
    /// Workload with parameters, mode and dtype: `linear in=512, infer, f32`.
    pub workload: Option<String>,
    /// How many devices it is about, where that is not one.
    pub devices: Option<u32>,
}

/// Time of one iteration, seconds: the geometric mean over the schedule's batch sizes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Times {
    /// Of the baseline.
    pub before_seconds: f64,
    /// Of the night.
    pub after_seconds: f64,
}

/// Relative change of a time: 0.08 is 8 % slower.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Shift {
    /// Change over before.
    pub relative: f64,
    /// Its 95 % interval.
    #[serde(default)]
    pub interval: Option<[f64; 2]>,
    /// The change in standard deviations of nights.
    #[serde(default)]
    pub z: Option<f64>,
}

impl Shift {
    /// From differences of natural logarithms, as the judge has them.
    #[must_use]
    pub fn from_logs(shift: f64, interval: Option<[f64; 2]>, z: Option<f64>) -> Self {
        Self {
            relative: shift.exp_m1(),
            interval: interval.map(|ends| ends.map(f64::exp_m1)),
            z,
        }
    }
}

/// Step sizes in samples; `None`: there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Steps {
    /// The usual one.
    pub before: Option<u32>,
    /// The night's.
    pub after: Option<u32>,
}

/// Why something was said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// For programs, stable: `hits`.
    pub code: String,
    /// For people.
    pub sentence: String,
}

/// One property of the environment that is not what it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Which: `driver`.
    pub property: String,
    /// What it was; `None`: not known.
    pub before: Option<String>,
    /// What it is.
    pub after: Option<String>,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [before, after] =
            [&self.before, &self.after].map(|it| it.as_deref().unwrap_or("unknown"));
        write!(f, "{} {before} -> {after}", self.property)
    }
}

/// Where there is more to see.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// What is there.
    pub title: String,
    /// Address.
    pub url: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_are_those_of_the_json() {
        for kind in Kind::ALL {
            let json = serde_json::to_value(kind).unwrap();
            assert_eq!(json, kind.word());
        }
        let mut sorted = Kind::ALL;
        sorted.sort_unstable();
        assert_eq!(sorted, Kind::ALL);
    }

    #[test]
    fn what_is_no_number_is_left_out_and_what_is_left_can_be_read_again() {
        let mut message = crate::render::examples::regression();
        let whole = message.clone().finite();
        assert_eq!(whole, message);
        message.time = Some(Times {
            before_seconds: 0.0,
            after_seconds: f64::NAN,
        });
        message.smallest_detectable_shift = Some(f64::INFINITY);
        message.shift = Some(Shift {
            relative: 0.1,
            interval: Some([f64::NEG_INFINITY, 0.2]),
            z: Some(f64::INFINITY),
        });
        let finite = message.finite();
        assert_eq!(finite.time, None);
        assert_eq!(
            finite.shift,
            Some(Shift {
                relative: 0.1,
                interval: None,
                z: None
            })
        );
        let json = serde_json::to_string(&finite).unwrap();
        assert_eq!(serde_json::from_str::<Message>(&json).unwrap(), finite);
    }

    #[test]
    fn a_shift_of_logarithms_is_a_relative_one() {
        let shift = Shift::from_logs(1.08_f64.ln(), Some([1.07_f64.ln(), 1.09_f64.ln()]), None);
        assert!((shift.relative - 0.08).abs() < 1e-12, "{shift:?}");
        let [low, high] = shift.interval.unwrap();
        assert!((low - 0.07).abs() < 1e-12 && (high - 0.09).abs() < 1e-12);
    }
}
