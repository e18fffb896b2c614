//! Lanes: one per device, with the agents that offer it, the attempts that are out on it, and the series that wait for it.
//! Sweeps of one priority share a device by time; what each had of it is counted from the coordinator's start on.
//!
//! Of the attempts that are out the first has the device. The second waits behind it at the same agent, which starts it the moment the first is over; it
//! can be called back until then.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use batchstep_proto::ids::{AgentId, AttemptId, SeriesId, SweepId};

use super::absent::Gone;

/// Attempts that are out on a device at most: one that runs and one that waits, so that the device waits for neither network nor planner.
const ATTEMPTS_OUT: usize = 2;

/// A series' place in the line: by sweep in order of submission, then by ordinal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Turn {
    pub sweep_sequence: u64,
    pub ordinal: u32,
    pub series: SeriesId,
    pub sweep: SweepId,
    pub priority: i32,
}

/// What a round is taken to need of a device before the first one of its sweep is over there.
pub(super) const USUAL_ROUND: Duration = Duration::from_secs(10);

/// What a sweep had of a device.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Share {
    /// Device time, and what the others had when it came.
    time: Duration,
    /// Of it, its own.
    own: Duration,
    rounds: u32,
}

/// A pause after attempts that measured nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BackOff {
    pub cause: PauseCause,
    /// Attempts in a row that measured nothing.
    pub attempts: u32,
    pub until: Duration,
    pub reason: String,
}

/// Why nothing starts for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PauseCause {
    /// Something went wrong, or the device was not to be had.
    Failure,
    /// Somebody computes on a device that must be idle.
    InUse,
}

impl BackOff {
    /// What it keeps from starting at `now`, for people; `None`: it is over.
    pub fn explain(&self, now: Duration) -> Option<String> {
        let left = self.until.checked_sub(now).filter(|left| !left.is_zero())?;
        let (seconds, attempts) = (left.as_secs_f64().ceil(), self.attempts);
        let reason = &self.reason;
        Some(match self.cause {
            PauseCause::InUse => {
                format!("waits for an idle device: {reason}; tries again in {seconds} s")
            }
            PauseCause::Failure if attempts == 1 => format!(
                "backing off after an attempt that measured nothing, tries again in {seconds} s: {reason}"
            ),
            PauseCause::Failure => format!(
                "backing off after {attempts} attempts in a row that measured nothing, tries again in {seconds} s: {reason}"
            ),
        })
    }
}

/// One device's line of work.
#[derive(Debug, Clone, Default)]
pub(super) struct Lane {
    /// Agents that offer the device, in the order in which they first did: an agent cannot take a device from another that is connected.
    pub claimants: Vec<AgentId>,
    /// Of the agent that offered it last, while none does.
    pub gone: Option<Gone>,
    /// The attempt that has the device, and the one that waits behind it.
    pub out: Vec<AttemptId>,
    /// Series that are not over.
    pub queue: BTreeSet<Turn>,
    pub back_off: Option<BackOff>,
    /// Of the series in the queue, those whose rounds were stopped here because the device was in use.
    pub pauses: BTreeMap<SeriesId, BackOff>,
    /// Of the sweeps in the queue.
    shares: BTreeMap<SweepId, Share>,
}

impl Lane {
    /// Notes that an agent offers the device.
    pub fn offered_by(&mut self, agent: AgentId) {
        if !self.claimants.contains(&agent) {
            self.claimants.push(agent);
        }
        self.gone = None;
    }

    /// True when nothing would be lost with it.
    pub fn is_unused(&self) -> bool {
        self.claimants.is_empty() && self.out.is_empty() && self.queue.is_empty()
    }

    /// Puts a series in the line. A sweep that is new there begins with the `least` that another had, so that it has no claim to the time before it came.
    pub fn join(&mut self, turn: Turn, least: Duration) {
        self.shares.entry(turn.sweep).or_insert(Share {
            time: least,
            ..Share::default()
        });
        self.queue.insert(turn);
    }

    /// Takes from a sweep its claim to time in which it could not run.
    pub fn catch_up(&mut self, sweep: SweepId, least: Duration) {
        if let Some(share) = self.shares.get_mut(&sweep) {
            share.time = share.time.max(least);
        }
    }

    /// Takes a series out of the line.
    pub fn leave(&mut self, turn: &Turn) {
        self.queue.remove(turn);
        self.pauses.remove(&turn.series);
        if self.queue.iter().all(|other| other.sweep != turn.sweep) {
            self.shares.remove(&turn.sweep);
        }
    }

    /// Notes device time of a sweep, and whether it ended a round.
    pub fn charge(&mut self, sweep: SweepId, time: Duration, ends: bool) {
        if let Some(share) = self.shares.get_mut(&sweep) {
            share.time = share.time.saturating_add(time);
            share.own = share.own.saturating_add(time);
            share.rounds = share.rounds.saturating_add(ends.into());
        }
    }

    /// What a sweep will have had of the device with `out` more rounds of its usual length, which is `unknown` before the first is over.
    pub fn share(&self, sweep: SweepId, out: u32, unknown: Duration) -> Duration {
        let share = self.shares.get(&sweep).copied().unwrap_or_default();
        let usual = match share.rounds {
            0 => unknown,
            rounds => share.own / rounds,
        };
        share.time.saturating_add(usual.saturating_mul(out))
    }

    /// True when another attempt may be given out.
    pub fn has_room(&self) -> bool {
        self.out.len() < ATTEMPTS_OUT
    }
}
