//! Gates: the daily windows of sweeps on the fleet's clock. A sweep whose window is closed is given nothing, and what of it runs when the window closes stops and
//! keeps its blocks.
//!
//! The time of day is handed in by the caller from time to time and runs on with the fleet's own clock in between, so that a jump of the host's clock moves
//! windows and nothing else.

use std::time::Duration;

use batchstep_proto::ids::SweepId;
use jiff::{SignedDuration, Timestamp};

use super::{State, SweepState, timers::Timer};
use crate::calendar::look;

/// The window of a sweep, as last looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Gate {
    pub open: bool,
    /// When that changes, on the fleet's clock.
    pub until: Duration,
}

/// The time of day when it was last told.
#[derive(Debug, Clone, Copy)]
pub(super) struct WallClock {
    pub told: Timestamp,
    /// The fleet's time then.
    pub at: Duration,
}

impl WallClock {
    fn now(self, now: Duration) -> Timestamp {
        SignedDuration::try_from(now.saturating_sub(self.at))
            .ok()
            .and_then(|since| self.told.checked_add(since).ok())
            .unwrap_or(Timestamp::MAX)
    }
}

impl State {
    /// True when some sweep has a window: the caller then tells the time of day every minute or so.
    #[must_use]
    pub fn needs_time_of_day(&self) -> bool {
        self.sweeps
            .values()
            .any(|sweep| sweep.spec.scheduling.only_between.is_some())
    }

    pub(super) fn time_of_day(&mut self, told: Timestamp) {
        self.wall = Some(WallClock { told, at: self.now });
        let windowed: Vec<SweepId> = self
            .sweeps
            .iter()
            .filter(|(_, sweep)| sweep.spec.scheduling.only_between.is_some())
            .map(|(id, _)| *id)
            .collect();
        for sweep in windowed {
            self.look_at_gate(sweep);
        }
    }

    /// Looks whether a sweep's window is open, and acts on what changed.
    pub(super) fn look_at_gate(&mut self, id: SweepId) {
        let (Some(clock), Some(sweep)) = (self.wall, self.sweeps.get_mut(&id)) else {
            return;
        };
        let Some(window) = &sweep.spec.scheduling.only_between else {
            return;
        };
        let now = clock.now(self.now);
        // Its time zone was known when the sweep was submitted; one that was taken out of the database since has no hours.
        let gate = look(window, now).map_or(
            Gate {
                open: false,
                until: Duration::MAX,
            },
            |look| Gate {
                open: look.open,
                until: self.now.saturating_add(
                    Duration::try_from(look.changes_at.duration_since(now)).unwrap_or_default(),
                ),
            },
        );
        let was_open = sweep.gate.as_ref().map(|gate| gate.open);
        let (open, until) = (gate.open, gate.until);
        sweep.gate = Some(gate);
        if sweep.state != SweepState::Active {
            return;
        }
        if until < Duration::MAX {
            self.set_timer(until, Timer::Sweep(id));
        }
        match (was_open, open) {
            (Some(true), true) | (Some(false), false) => {}
            (_, true) => self.look_at_devices_of(id),
            (_, false) => self.close_gate(id),
        }
    }

    /// Lets a sweep begin on its devices, with no claim to the time before.
    fn look_at_devices_of(&mut self, id: SweepId) {
        let devices: Vec<String> = self
            .sweeps
            .get(&id)
            .into_iter()
            .flat_map(|sweep| &sweep.series)
            .filter_map(|series| self.series.get(series))
            .flat_map(|series| series.plan.devices())
            .map(ToOwned::to_owned)
            .collect();
        let priority = self
            .sweeps
            .get(&id)
            .map_or(0, |sweep| sweep.spec.scheduling.priority);
        for device in devices {
            let lane = self.lanes.get(&device);
            let least = lane.map_or(Duration::ZERO, |lane| self.least_share(lane, id, priority));
            self.lane(&device).catch_up(id, least);
            self.dirty.insert(device);
        }
    }

    fn close_gate(&mut self, id: SweepId) {
        let out: Vec<_> = self
            .sweeps
            .get(&id)
            .into_iter()
            .flat_map(|sweep| &sweep.series)
            .filter_map(|series| self.series.get(series))
            .flat_map(|series| {
                series
                    .open
                    .keys()
                    .filter_map(|index| self.out(series, *index))
            })
            .collect();
        for attempt in out {
            self.stop(attempt, false, "the window of its sweep has closed");
        }
    }

    /// Why nothing of a sweep may start now; `None`: it may.
    pub(super) fn closed_gate(&self, id: SweepId) -> Option<String> {
        let sweep = self.sweeps.get(&id)?;
        let window = sweep.spec.scheduling.only_between.as_ref()?;
        match &sweep.gate {
            None => Some(format!(
                "it runs between {window} only, and the time of day is not known yet"
            )),
            Some(gate) if gate.open && self.now < gate.until => None,
            Some(gate) => {
                let minutes = gate.until.saturating_sub(self.now).as_secs().div_ceil(60);
                Some(format!(
                    "it runs between {window} only; that opens in {} h {:02} min",
                    minutes / 60,
                    minutes % 60
                ))
            }
        }
    }
}
