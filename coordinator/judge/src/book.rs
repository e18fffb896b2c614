//! What is remembered of a series: its newest valid nights, and what is the case and not over. Everything a later night is judged by; the same nights judged in
//! order give the same book. Stored by the coordinator after each night, so it is small and does not grow.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{
    Environment, Measurement, Policy, Step,
    boundary::Boundary,
    verdict::{Kind, Reason, Verdict},
};

/// The newest nights whose times are remembered by batch size: what the first night of a new environment is paired with.
const PAIRED_NIGHTS: usize = 8;

/// One series' past.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Book {
    /// Its valid nights, oldest first; at most twice [`Policy::remembered_nights`].
    pub entries: Vec<Entry>,
    /// Of the nights that are compared with each other; greater than that of any entry where nothing can be compared yet.
    pub segment: u32,
    /// What the device and its software were, as far as they were ever known.
    pub environment: Option<Environment>,
    /// The last night that was judged, valid or not.
    pub newest: Option<u32>,
    /// A shift that is confirmed and not over.
    pub alarm: Option<Alarm>,
    /// Night from which on its model has an alarm: nights since are no part of the baseline.
    pub frozen_since: Option<u32>,
    /// The last change of environment, while what it did is being looked at.
    pub boundary: Option<Boundary>,
    /// The best median that a week of nights has had: what creep is measured from.
    pub best: Option<f64>,
    /// Segment whose beginning was told as a change of environment that made it slower, or was accepted by a person: being unlike its siblings in it is no news.
    pub explained: Option<u32>,
    /// What else is the case and goes on.
    pub standing: Standing,
    /// Alarms that have been told and are not over.
    pub told: BTreeSet<Kind>,
    /// Last day on which nobody is told of anything; counted as [`crate::Night::day`].
    pub muted_until: Option<i32>,
}

/// What is the case and goes on, beside the time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Standing {
    /// Another step than usual, and since which night.
    pub step: Option<(Step, u32)>,
    /// Unlike its siblings, since which night.
    pub outlier: Option<u32>,
    /// That is no news: it was accepted, or told with what made it so.
    pub is_outlier_known: bool,
    /// Slower or drifting, without an alarm.
    pub drift: bool,
    /// Slower in cycles only.
    pub cycles: bool,
    /// Not reported.
    pub missing: bool,
}

/// One valid night. Logarithms are kept to a millionth: that is a millionth of the time, and shorter to write.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Counts nights; later ones are greater.
    pub night: u32,
    /// Counts the environments, and the times that somebody began a new baseline.
    pub segment: u32,
    /// Logarithm of the time, seconds.
    pub level: f64,
    /// Logarithm of the cycles.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cycles: Option<f64>,
    /// By batch size, of the newest nights only.
    #[serde(
        default,
        with = "crate::pairs",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub log_seconds: BTreeMap<u32, f64>,
    /// The step; unknown where two measurements of the night disagree.
    pub step: Step,
    /// Beyond the gates, and whither.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hit: Option<Hit>,
    /// Beyond them in cycles.
    #[serde(default, skip_serializing_if = "is_false")]
    pub is_hit_in_cycles: bool,
    /// Unlike its siblings.
    #[serde(default, skip_serializing_if = "is_false")]
    pub is_unlike: bool,
}

/// A night beyond the gates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hit {
    /// Whither.
    pub direction: Direction,
    /// The night's second measurement was beyond them too; false where there was none.
    pub is_repeated: bool,
}

/// Whither a time goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// More time.
    Slower,
    /// Less time.
    Faster,
}

/// A confirmed shift.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Alarm {
    /// Whither.
    pub direction: Direction,
    /// Night of the first hit.
    pub since: u32,
    /// Level of the baseline then, logarithm of seconds.
    pub before: f64,
    /// It is over when nights are again at most this far from there.
    pub near: f64,
    /// It is no news: it was told with its model's, which an environment has ended since.
    #[serde(default, skip_serializing_if = "is_false")]
    pub is_known: bool,
}

impl Direction {
    pub(crate) fn of(shift: f64) -> Self {
        if shift > 0.0 {
            Self::Slower
        } else {
            Self::Faster
        }
    }
}

impl Book {
    /// The slowdown that is open.
    pub(crate) fn slowdown(&self) -> Option<Alarm> {
        self.alarm
            .filter(|alarm| alarm.direction == Direction::Slower)
    }

    /// Night from which on nights are no part of the baseline.
    pub(crate) fn frozen_from(&self) -> Option<u32> {
        let slowdown = self.slowdown().map(|alarm| alarm.since);
        [slowdown, self.frozen_since].into_iter().flatten().min()
    }

    /// Valid nights of this segment, oldest first.
    pub(crate) fn current(&self) -> &[Entry] {
        let first = self
            .entries
            .partition_point(|entry| entry.segment < self.segment);
        &self.entries[first..]
    }

    /// The same as far as they may be part of a baseline.
    pub(crate) fn settled(&self) -> &[Entry] {
        let current = self.current();
        let end = self.frozen_from().map_or(current.len(), |since| {
            current.partition_point(|entry| entry.night < since)
        });
        &current[..end]
    }

    /// The last valid nights of this segment, oldest first.
    pub(crate) fn last(&self, nights: usize) -> &[Entry] {
        last(self.current(), nights)
    }

    /// Begins a new baseline with the first hit of what is open, else with the next night; a person has accepted it. What was learned of the spread stays, and a
    /// device that is unlike its siblings is not told again for that.
    pub fn rebaseline(&mut self) {
        let step = self.standing.step.map(|(_, since)| since);
        let since = [self.frozen_from(), step].into_iter().flatten().min();
        let first = self.entries.len() - self.current().len();
        self.segment = self.segment.saturating_add(1);
        for entry in &mut self.entries[first..] {
            if since.is_some_and(|since| entry.night >= since) {
                entry.segment = self.segment;
                entry.hit = None;
                entry.is_hit_in_cycles = false;
            }
        }
        self.alarm = None;
        self.frozen_since = None;
        self.boundary = None;
        self.best = None;
        self.explained = Some(self.segment);
        self.standing.step = None;
        self.standing.drift = false;
        self.standing.cycles = false;
        self.standing.is_outlier_known = self.standing.outlier.is_some();
        self.told.retain(|kind| *kind == Kind::Missing);
    }

    /// Silences the series from `day` on, for the policy's days. What is still the case after that is told once more; a mute ends early when the last open
    /// alarm is resolved, so that it does not swallow the next one.
    pub fn mute(&mut self, policy: &Policy, day: i32) {
        self.muted_until = Some(day.saturating_add_unsigned(policy.muted_days));
    }

    pub(crate) fn is_muted(&self) -> bool {
        self.muted_until.is_some()
    }

    /// Ends a mute that has run out.
    pub(crate) fn unmute(&mut self, day: i32) {
        if self.muted_until.is_some_and(|until| day > until) {
            self.muted_until = None;
            self.told.clear();
        }
    }

    /// True while anything is open that alarms.
    pub(crate) const fn is_alarmed(&self) -> bool {
        let Standing {
            step,
            outlier,
            missing,
            ..
        } = self.standing;
        self.alarm.is_some() || step.is_some() || outlier.is_some() || missing
    }

    /// The end of an alarm of this kind, which is told where the alarm was.
    pub(crate) fn resolve(&mut self, kind: Kind, reason: Reason) -> Verdict {
        let was_told = self.told.remove(&kind);
        let mut verdict = Verdict::new(Kind::Resolved, reason).new_if(was_told);
        verdict.is_silenced = !was_told;
        verdict
    }

    /// Leaves out the nights from `since` on except the last `kept`: an alarm's nights are part of no baseline, also when it is over.
    pub(crate) fn leave_out(&mut self, since: u32, kept: usize) {
        let end = self.entries.len().saturating_sub(kept);
        let mut position = 0;
        self.entries.retain(|entry| {
            position += 1;
            position > end || entry.night < since
        });
    }

    /// Forgets what no later night looks at: at most the policy's nights are left before the beginning of an open alarm, and as many since.
    pub(crate) fn prune(&mut self, policy: &Policy) {
        let keep = policy.remembered_nights();
        let since = self.frozen_from().unwrap_or(u32::MAX);
        let frozen = self.entries.partition_point(|entry| entry.night < since);
        let mut open = self.entries.split_off(frozen);
        for nights in [&mut self.entries, &mut open] {
            nights.drain(..nights.len().saturating_sub(keep));
            let compacted = nights.len().saturating_sub(PAIRED_NIGHTS);
            for entry in &mut nights[..compacted] {
                entry.log_seconds = BTreeMap::new();
            }
        }
        self.entries.append(&mut open);
    }
}

impl Entry {
    pub(crate) fn of(night: u32, segment: u32, measured: &Measurement, level: f64) -> Self {
        let log_seconds = measured.log_seconds.iter();
        Self {
            night,
            segment,
            level: to_millionth(level),
            cycles: measured.cycles().map(to_millionth),
            log_seconds: log_seconds
                .map(|(size, time)| (*size, to_millionth(*time)))
                .collect(),
            step: measured.step.plausible(),
            hit: None,
            is_hit_in_cycles: false,
            is_unlike: false,
        }
    }
}

/// The last entries of a list.
pub(crate) fn last(entries: &[Entry], nights: usize) -> &[Entry] {
    &entries[entries.len().saturating_sub(nights)..]
}

fn to_millionth(logarithm: f64) -> f64 {
    (logarithm * 1e6).round() / 1e6
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde asks for a reference"
)]
const fn is_false(value: &bool) -> bool {
    !*value
}
