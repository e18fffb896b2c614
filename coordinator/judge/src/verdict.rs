//! What the judge says of a series' night.

use serde::{Deserialize, Serialize};

use crate::{Step, environment::Change};

/// One finding, with the numbers it was made of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// What is the case.
    pub kind: Kind,
    /// Why that was said.
    pub reason: Reason,
    /// Somebody should be told, unless it was said before or is silenced.
    pub is_alarm: bool,
    /// Said for the first time since the last time it was not the case.
    pub is_new: bool,
    /// The devices' model has an alarm that says it for all of them.
    pub is_silenced: bool,
    /// What it was made of.
    pub numbers: Numbers,
    /// What is not what it was, beside the device.
    pub changes: Vec<Change>,
}

/// What is the case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// As usual.
    Normal,
    /// Too few nights to say more.
    Learning,
    /// Measured, and not to be judged.
    Invalid,
    /// Nothing to compare with: the environment is new.
    Incomparable,
    /// Another time or step, in an environment that changed the same night.
    ChangedWithEnvironment,
    /// Two measurements of the night agree on a step that is not the usual one.
    StepChanged,
    /// Two measurements of the night disagree about the step.
    Unstable,
    /// One hit: the next nights decide.
    Provisional,
    /// Slower, on enough nights.
    Confirmed,
    /// Faster, on enough nights.
    Improved,
    /// An alarm is over.
    Resolved,
    /// Slowly slower.
    Drift,
    /// All devices of a model together.
    ModelWide,
    /// Unlike its siblings.
    Outlier,
    /// Not reported.
    Missing,
}

/// Why a verdict was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Within the gates.
    WithinGates,
    /// Beyond them, but the same night's second measurement was not.
    NotRepeated,
    /// Beyond them, and there was no second measurement in time.
    NotMeasuredAgain,
    /// Beyond them twice in a night.
    Hit,
    /// On enough nights.
    Hits,
    /// Near the baseline on enough nights in a row.
    NearBaseline,
    /// The baseline is not known well enough.
    FewNights,
    /// Clocks were held down.
    Throttled,
    /// Somebody else computed on the device.
    Contended,
    /// Batch sizes or sweeps are missing.
    Incomplete,
    /// Something beside the device is not what it was.
    EnvironmentChanged,
    /// What is run, or how it is timed, is not what it was.
    DefinitionChanged,
    /// Another period, or one where there was none, or none where there was one.
    AnotherStep,
    /// Two steps in one night.
    TwoSteps,
    /// The last nights rank above those before.
    Ranks,
    /// The last nights are above the best there ever was.
    Creep,
    /// The median of the model's devices.
    ModelMedian,
    /// Further from the siblings' median than they are from each other.
    Siblings,
    /// Another step than the siblings'.
    SiblingsStep,
    /// Nothing by the night's deadline.
    Deadline,
    /// It reports again.
    Returned,
}

/// What a verdict was made of; what does not apply is absent. Shifts are of logarithms: 0.03 is 3 % slower.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Numbers {
    /// Logarithm of the night's time, seconds.
    pub level: Option<f64>,
    /// Logarithm of the baseline's.
    pub baseline: Option<f64>,
    /// Standard deviation of nights.
    pub sigma: Option<f64>,
    /// Valid nights behind the baseline.
    pub nights: usize,
    /// Level above baseline.
    pub shift: Option<f64>,
    /// The same of the night's second measurement.
    pub shift_again: Option<f64>,
    /// The same of the cycles.
    pub shift_of_cycles: Option<f64>,
    /// Shift in standard deviations.
    pub sigmas: Option<f64>,
    /// The smallest shift that would have been a hit.
    pub detectable: Option<f64>,
    /// Probability of a chance.
    pub probability: Option<f64>,
    /// The usual step, and the night's.
    pub steps: Option<[Step; 2]>,
    /// Night of the first hit.
    pub since: Option<u32>,
    /// Devices that are judged together.
    pub devices: Option<usize>,
}

impl Verdict {
    pub(crate) fn new(kind: Kind, reason: Reason) -> Self {
        Self {
            kind,
            reason,
            is_alarm: false,
            is_new: false,
            is_silenced: false,
            numbers: Numbers::default(),
            changes: Vec::new(),
        }
    }

    pub(crate) fn with(mut self, numbers: Numbers) -> Self {
        self.numbers = numbers;
        self
    }

    /// Sorts the gravest first: alarms before what is merely worth knowing, before what is as usual.
    #[must_use]
    pub fn gravity(&self) -> (bool, bool, Kind) {
        let is_quiet = matches!(self.kind, Kind::Normal | Kind::Learning);
        (!self.is_alarm || self.is_silenced, is_quiet, self.kind)
    }

    /// An alarm, new unless it was said before.
    pub(crate) fn alarm(mut self, is_new: bool) -> Self {
        self.is_alarm = true;
        self.is_new = is_new;
        self
    }

    /// Slower in time and not in cycles: the device is as quick as ever, and its clock is not.
    #[must_use]
    pub fn is_clock_or_power(&self) -> bool {
        let Numbers {
            shift,
            shift_of_cycles,
            detectable,
            ..
        } = self.numbers;
        let beyond = |shift: Option<f64>| Some(shift? > detectable?);
        beyond(shift) == Some(true) && beyond(shift_of_cycles) == Some(false)
    }
}
