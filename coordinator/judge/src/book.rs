//! What is remembered of a series: its nights, and what has been said and is not over. Everything a later night is judged by; it is rebuilt by judging the stored
//! nights again, in order.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Environment, Measurement, Policy, Step};

/// One series' past.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Book {
    /// Its valid nights, oldest first.
    pub entries: Vec<Entry>,
    /// Of the nights that are compared with each other; greater than that of any entry where nothing can be compared yet.
    pub segment: u32,
    /// A shift that is confirmed and not over.
    pub alarm: Option<Alarm>,
    /// Night from which on its model has an alarm: nights since are no part of the baseline.
    pub frozen_since: Option<u32>,
    /// What else was said last night and goes on.
    pub standing: Standing,
    /// Night up to which nobody is told of anything.
    pub muted_until: Option<u32>,
}

/// What was said last night, so that it is new only once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Standing {
    /// Another step than usual.
    pub step: Option<Step>,
    /// A drift.
    pub drift: bool,
    /// Unlike its siblings.
    pub outlier: bool,
    /// Not reported.
    pub missing: bool,
}

/// One valid night.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Counts nights; later ones are greater.
    pub night: u32,
    /// Counts the environments, and the times that somebody began a new baseline.
    pub segment: u32,
    /// What the device and its software were.
    pub environment: Environment,
    /// Logarithm of the time, seconds.
    pub level: f64,
    /// Logarithm of the cycles.
    pub cycles: Option<f64>,
    /// By batch size; absent from nights that were compacted.
    pub log_seconds: BTreeMap<u32, f64>,
    /// The step.
    pub step: Step,
    /// Beyond the gates on both measurements of the night, and whither.
    pub hit: Option<Direction>,
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alarm {
    /// Whither.
    pub direction: Direction,
    /// Night of the first hit.
    pub since: u32,
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
    /// Valid nights that the next one is compared with, oldest first.
    pub(crate) fn current(&self) -> &[Entry] {
        let first = self
            .entries
            .partition_point(|entry| entry.segment < self.segment);
        &self.entries[first..]
    }

    /// The same as far as they may be part of a baseline: while a slowdown is open, those before it.
    pub(crate) fn settled(&self) -> &[Entry] {
        let alarm = self
            .alarm
            .filter(|alarm| alarm.direction == Direction::Slower);
        let frozen = [alarm.map(|alarm| alarm.since), self.frozen_since];
        let current = self.current();
        let end = match frozen.into_iter().flatten().min() {
            Some(since) => current.partition_point(|entry| entry.night < since),
            None => current.len(),
        };
        &current[..end]
    }

    /// Hits in one direction among the last valid nights, oldest first; tonight's is not among them.
    pub(crate) fn hits(&self, direction: Direction, nights: usize) -> impl Iterator<Item = u32> {
        let current = self.current();
        let last = &current[current.len().saturating_sub(nights)..];
        last.iter()
            .filter(move |entry| entry.hit == Some(direction))
            .map(|entry| entry.night)
    }

    /// Begins a new baseline: with the first hit of the alarm that is open, else with the next night. What was learned of the spread stays.
    pub fn rebaseline(&mut self) {
        let since = self.alarm.take().map_or(u32::MAX, |alarm| alarm.since);
        self.segment += 1;
        for entry in &mut self.entries {
            if entry.night >= since {
                entry.segment = self.segment;
                entry.hit = None;
            }
        }
        self.frozen_since = None;
        self.standing = Standing::default();
    }

    /// Silences the series for the policy's time from `night` on.
    pub fn mute(&mut self, policy: &Policy, night: u32) {
        self.muted_until = Some(night.saturating_add(policy.muted_nights));
    }

    pub(crate) fn is_muted(&self, night: u32) -> bool {
        self.muted_until.is_some_and(|until| night <= until)
    }
}

impl Entry {
    pub(crate) fn of(
        night: u32,
        segment: u32,
        environment: &Environment,
        measured: &Measurement,
        level: f64,
    ) -> Self {
        Self {
            night,
            segment,
            environment: environment.clone(),
            level,
            cycles: measured.cycles(),
            log_seconds: measured.log_seconds.clone(),
            step: measured.step,
            hit: None,
        }
    }
}
