//! What the judge says of a series' night, of a model's, of a device's or host's: its output. Nothing here decides anything.

use serde::{Deserialize, Serialize};

use crate::{Step, environment::Change};

/// One finding, with the numbers it was made of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// What is the case.
    pub kind: Kind,
    /// Why that was said.
    pub reason: Reason,
    /// Somebody should be told, unless it was told before or is silenced.
    pub is_alarm: bool,
    /// To be told tonight: not told since the last time it was not the case.
    pub is_new: bool,
    /// Muted, or another verdict says it for this one too.
    pub is_silenced: bool,
    /// What is behind a shift, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// What it was made of.
    pub numbers: Numbers,
    /// What is not what it was, beside the device; of an outlier: what is not as with its siblings.
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
    /// Nothing to compare with, or nothing that differs: the environment is new.
    Incomparable,
    /// Another time or step, in an environment that changed.
    ChangedWithEnvironment,
    /// Two measurements of the night agree on a step that is not the usual one.
    StepChanged,
    /// Two measurements of the night disagree about the step.
    Unstable,
    /// Beyond a gate on one night: the next nights decide.
    Provisional,
    /// Slower, on enough nights.
    Confirmed,
    /// Faster, on enough nights. Reported, no alarm.
    Improved,
    /// Slower in cycles on enough nights, and not in time: a higher clock hides it. Reported, no alarm.
    SlowerInCycles,
    /// What was told is over.
    Resolved,
    /// Slowly slower. Reported, no alarm.
    Drift,
    /// All devices of a model together.
    ModelWide,
    /// Unlike its siblings, on enough nights.
    Outlier,
    /// Not reported.
    Missing,
}

/// Why a verdict was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
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
    /// The baseline has become what was unusual.
    BaselineFollowed,
    /// The baseline is not known well enough.
    FewNights,
    /// Clocks were held down.
    Throttled,
    /// Somebody else computed on the device.
    Contended,
    /// Batch sizes or sweeps are missing, or are no times.
    Incomplete,
    /// The night is not later than the last one that was judged: a clock jumped back, or it was judged already. Nothing is remembered of it.
    OutOfOrder,
    /// Something beside the device is not what it was.
    EnvironmentChanged,
    /// That, and the shift began on the night before.
    HitBeforeChange,
    /// What is run, or how it is timed, is not what it was.
    DefinitionChanged,
    /// Another period, or one where there was none, or none where there was one.
    AnotherStep,
    /// The usual step again, on enough nights in a row.
    UsualStep,
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
    /// Like the siblings on enough nights in a row.
    LikeSiblings,
    /// Nothing by the night's deadline.
    Deadline,
    /// It reports again.
    Returned,
}

/// What is behind a shift.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// Slower in time and not in cycles: the device does its work in as many cycles as ever, and they take longer.
    ClockOrPower,
}

/// What a verdict was made of; what does not apply is absent. Shifts are of logarithms: 0.03 is 3 % slower.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Numbers {
    /// Logarithm of the night's time, seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub level: Option<f64>,
    /// Logarithm of the baseline's; of an outlier: of its siblings' median.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub baseline: Option<f64>,
    /// Standard deviation of nights; of an outlier: of its siblings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sigma: Option<f64>,
    /// Valid nights behind the baseline.
    pub nights: usize,
    /// Level above baseline.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shift: Option<f64>,
    /// The same of the night's second measurement.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shift_again: Option<f64>,
    /// The same of the cycles.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shift_of_cycles: Option<f64>,
    /// Shift in standard deviations.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sigmas: Option<f64>,
    /// Shifts above this are beyond the gates.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gate: Option<f64>,
    /// The series' smallest detectable shift: one that lasts is confirmed by its third night in 19 of 20 cases.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detectable: Option<f64>,
    /// Probability of a chance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probability: Option<f64>,
    /// The usual step, and the night's; with a changed environment: before and after.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steps: Option<[Step; 2]>,
    /// Night of the first hit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<u32>,
    /// Devices that were judged together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub devices: Option<usize>,
    /// Series for which a device's or host's verdict speaks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub series: Option<usize>,
}

impl Verdict {
    pub(crate) fn new(kind: Kind, reason: Reason) -> Self {
        Self {
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

    pub(crate) fn with(mut self, numbers: Numbers) -> Self {
        self.numbers = numbers;
        self
    }

    /// An alarm; whether it is new is known when all that could silence it has been looked at.
    pub(crate) const fn alarm(mut self) -> Self {
        self.is_alarm = true;
        self
    }

    pub(crate) const fn new_if(mut self, is_new: bool) -> Self {
        self.is_new = is_new;
        self
    }

    /// Sorts the gravest first: alarms before what is merely worth knowing, before what is as usual.
    #[must_use]
    pub fn gravity(&self) -> (bool, bool, Kind) {
        let is_quiet = matches!(self.kind, Kind::Normal | Kind::Learning);
        (!self.is_alarm || self.is_silenced, is_quiet, self.kind)
    }

    /// True for what a person is told tonight: an alarm that is new and that nothing silences.
    #[must_use]
    pub const fn is_told(&self) -> bool {
        self.is_alarm && self.is_new && !self.is_silenced
    }

    /// Slower in time and not in cycles.
    #[must_use]
    pub fn is_clock_or_power(&self) -> bool {
        self.cause == Some(Cause::ClockOrPower)
    }
}

impl Numbers {
    /// Clock or power, where time went beyond the gate and less than half of it is left in the cycles.
    pub(crate) fn cause(&self) -> Option<Cause> {
        let (shift, cycles, gate) = (self.shift?, self.shift_of_cycles?, self.gate?);
        (shift > gate && cycles < gate && 2.0 * cycles < shift).then_some(Cause::ClockOrPower)
    }
}
