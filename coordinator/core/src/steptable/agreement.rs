//! Whether the devices of one row say the same: which answers agree, which contradict each other, and whose the row's answer is.
//!
//! Called by `combine`. Devices without an answer (contended, throttled, insufficient) take no part; no number is combined here.

use std::{cmp::Reverse, collections::BTreeSet};

use super::{assess::Assessment, verdict::Verdict, voice::Voice};

/// Relative difference up to which two steps are the same.
const SAME_STEP: f64 = 0.02;
/// Periods that must lie in a device's range before its silence contradicts a sibling's step.
const PERIODS_TO_CONTRADICT: f64 = 3.0;

/// Devices that agree with each other: the same verdict and, of a step, the same period within 2 %.
pub(super) type Camp<'v, 'a> = Vec<&'v Voice<'a>>;

/// What the devices of a row say together.
#[derive(Debug)]
pub(super) struct Agreement<'v, 'a> {
    /// Every device with an answer belongs to one; the one whose answer is the row's comes first. Within a camp ordered by device id.
    pub camps: Vec<Camp<'v, 'a>>,
    /// True when two answers cannot both be true of one model.
    pub disputed: bool,
}

impl<'v, 'a> Agreement<'v, 'a> {
    /// Compares the answers among `voices`, which are ordered by device id.
    pub(super) fn among(voices: &'v [Voice<'a>]) -> Self {
        let answers: Vec<&Voice<'a>> = voices.iter().filter(|voice| voice.answers()).collect();
        let disputed = answers.iter().enumerate().any(|(index, one)| {
            answers[..index]
                .iter()
                .any(|other| contradict(one.assessment, other.assessment))
        });
        let mut camps = camps(answers);
        camps.sort_by_cached_key(|camp| Reverse(rank(camp, disputed)));
        Self { camps, disputed }
    }

    /// The devices whose answer is the row's; none where no device has one.
    pub(super) fn agreeing(&self) -> &[&'v Voice<'a>] {
        self.camps.first().map_or(&[], Vec::as_slice)
    }
}

/// What makes a camp's answer the row's. A step that nobody contradicts stands beside devices that could not see it; apart from that, and in a
/// dispute, the largest camp comes first, then the one with more blocks.
fn rank(camp: &[&Voice<'_>], disputed: bool) -> (u8, usize, u32, Option<Reverse<String>>) {
    let telling = match camp.first().map(|voice| voice.assessment.verdict) {
        _ if disputed => 0,
        Some(Verdict::Step) => 2,
        Some(Verdict::Irregular) => 1,
        _ => 0,
    };
    let blocks = camp
        .iter()
        .map(|voice| voice.assessment.blocks)
        .fold(0, u32::saturating_add);
    let first = camp.first().map(|voice| Reverse(voice.device().to_owned()));
    (telling, independent(camp), blocks, first)
}

/// How many of some voices confirm each other: one that shares a device with a weightier one of them does not add to it.
pub(super) fn independent(voices: &[&Voice<'_>]) -> usize {
    let mut voices = voices.to_vec();
    voices.sort_by_key(|voice| Reverse(voice.weight()));
    let mut heard: BTreeSet<&str> = BTreeSet::new();
    let mut count = 0;
    for voice in voices {
        if voice.devices().all(|device| !heard.contains(device)) {
            heard.extend(voice.devices());
            count += 1;
        }
    }
    count
}

fn camps<'v, 'a>(answers: Vec<&'v Voice<'a>>) -> Vec<Camp<'v, 'a>> {
    let mut camps: Vec<Camp<'v, 'a>> = Vec::new();
    // By verdict and step, so that the smallest step of a camp is its measure and the order of devices does not matter.
    let mut sorted = answers;
    sorted.sort_by(|one, other| {
        let key = |voice: &Voice<'_>| voice.assessment.inference.step.unwrap_or(0.0);
        one.assessment
            .verdict
            .cmp(&other.assessment.verdict)
            .then(key(one).total_cmp(&key(other)))
            .then_with(|| one.device().cmp(other.device()))
    });
    for voice in sorted {
        match camps.last_mut() {
            Some(camp) if agree(camp[0].assessment, voice.assessment) => camp.push(voice),
            _ => camps.push(vec![voice]),
        }
    }
    for camp in &mut camps {
        camp.sort_by(|one, other| one.device().cmp(other.device()));
    }
    camps
}

fn agree(one: &Assessment, other: &Assessment) -> bool {
    one.verdict == other.verdict
        && match (one.inference.step, other.inference.step) {
            (Some(one), Some(other)) => same_step(one, other),
            (None, None) => true,
            _ => false,
        }
}

fn same_step(one: f64, other: f64) -> bool {
    (one - other).abs() <= SAME_STEP * one.max(other)
}

/// Two answers that cannot both be true of one model, as far as each device could have seen what the other saw.
fn contradict(one: &Assessment, other: &Assessment) -> bool {
    match (one.verdict, other.verdict) {
        (Verdict::Step, _) | (_, Verdict::Step) => denies(one, other) || denies(other, one),
        // Between two devices without a step: one that looked as far as the other saw jumps, and found the time smooth.
        (Verdict::NoStep, Verdict::Irregular) => one.largest >= other.largest,
        (Verdict::Irregular, Verdict::NoStep) => other.largest >= one.largest,
        _ => false,
    }
}

/// True when `one` should have seen the step of `other`, and did not.
fn denies(one: &Assessment, other: &Assessment) -> bool {
    let Some(step) = other.inference.step else {
        return false;
    };
    let knows = one
        .inference
        .step
        .into_iter()
        .chain(one.inference.other_steps.iter().map(|other| other.step))
        .any(|known| same_step(known, step));
    let in_reach = f64::from(one.largest) >= PERIODS_TO_CONTRADICT * step;
    // A smooth trace has a stated power; a step too small for it may well be there.
    let has_power = one.verdict != Verdict::NoStep
        || match (
            one.inference.smallest_detectable_jump,
            other.inference.jump_relative,
        ) {
            (Some(detectable), Some(jump)) => detectable <= jump,
            _ => true,
        };
    !knows && in_reach && has_power
}
