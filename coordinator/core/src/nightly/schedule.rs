//! A schedule: which sweep runs on which nights, and whether that can work at all.

use std::time::Duration;

use batchstep_proto::domain::{DailyWindow, SweepSpec};
use jiff::{SignedDuration, Timestamp};

use super::{ScheduleName, Timetable};
use crate::calendar::{UnknownWindowZone, open_between};

/// A sweep that runs again and again.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    /// What people call it.
    pub name: ScheduleName,
    /// When its nights begin.
    pub timetable: Timetable,
    /// How long after its run a night ends, whatever is done by then.
    pub deadline: Duration,
    /// What a night measures.
    pub sweep: SweepSpec,
    /// Nights begin by themselves.
    pub enabled: bool,
    /// When it was made.
    pub created_at: Timestamp,
}

/// Why a schedule cannot work; each says what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// Out of range.
    #[error(
        "field `deadline`: {} is not between {} and {}; a night that may take 6h ends at 08:00 when it begins at 02:00",
        text(*.0), text(Schedule::DEADLINES.0), text(Schedule::DEADLINES.1)
    )]
    Deadline(Duration),
    /// Not even one series has the time.
    #[error(
        "field `deadline`: a night of {} ends before one series has measured for its {}; give it a longer deadline, or the sweep a shorter budget",
        text(*.deadline), text(*.budget)
    )]
    NoRoom {
        /// Of the night.
        deadline: Duration,
        /// Of a series.
        budget: Duration,
    },
    /// A night would still go on at the next one's run.
    #[error(
        "field `deadline`: the night of {first} may take {}, and the next one begins at {second}; two nights never overlap: give it a deadline of at most {}, or let it run less often",
        text(*.deadline), text(*.between)
    )]
    Overlap {
        /// A run, on the clocks of the place.
        first: String,
        /// The run after it.
        second: String,
        /// What lies between them.
        between: Duration,
        /// Of a night.
        deadline: Duration,
    },
    /// The window's time zone is none.
    #[error(transparent)]
    Zone(#[from] UnknownWindowZone),
    /// The sweep could not measure in some night.
    #[error(
        "field `only_between`: {window} leaves {} of the night that begins {run} and may take {}, and a series measures for {}; let the schedule run when the window opens, or widen it",
        text(*.open), text(*.deadline), text(*.budget)
    )]
    Window {
        /// The window.
        window: DailyWindow,
        /// A run, on the clocks of the place.
        run: String,
        /// Of that night.
        open: Duration,
        /// Of the night.
        deadline: Duration,
        /// Of a series.
        budget: Duration,
    },
    /// Devices of a model share one series, and nights look at each device.
    #[error(
        "field `share_across_model`: nights hold each device against its own past, and devices that share a series have none; leave it out"
    )]
    Shared,
}

/// How far ahead runs are looked at: more than a year, so that every change of the clocks is among them.
const AHEAD: SignedDuration = SignedDuration::from_hours(400 * 24);

/// Runs that are looked at, at most: of a run every half hour all. A person waits for the answer.
const MOST_RUNS: usize = 20_000;

/// Nights that are compared in search of the two that lie closest: more than a year of daily ones.
const PAIRS_COMPARED: usize = 400;

impl Schedule {
    /// Least and longest time that a night may take.
    pub const DEADLINES: (Duration, Duration) =
        (Duration::from_mins(1), Duration::from_hours(7 * 24));

    /// What a night may take when nobody says otherwise: from the evening's end to the morning's begin.
    pub const DEADLINE: Duration = Duration::from_hours(6);

    /// When the night of a run ends.
    #[must_use]
    pub fn ends(&self, planned: Timestamp) -> Timestamp {
        planned
            .saturating_add(signed(self.deadline))
            .unwrap_or(Timestamp::MAX)
    }

    /// True when one series can measure before a night's end.
    #[must_use]
    pub fn has_room(&self, now: Timestamp, ends: Timestamp) -> bool {
        ends.duration_since(now) >= signed(self.sweep.budget)
    }

    /// Whether it can work: looks at the runs of the 400 days after `now`, at most 20,000 of them.
    ///
    /// # Errors
    /// With what to change.
    pub fn check(&self, now: Timestamp) -> Result<(), ScheduleError> {
        let (least, longest) = Self::DEADLINES;
        let (deadline, budget) = (self.deadline, self.sweep.budget);
        if !(least..=longest).contains(&deadline) {
            return Err(ScheduleError::Deadline(deadline));
        }
        if deadline < budget {
            return Err(ScheduleError::NoRoom { deadline, budget });
        }
        if self.sweep.scheduling.share_across_model {
            return Err(ScheduleError::Shared);
        }
        let timetable = &self.timetable;
        let horizon = now.saturating_add(AHEAD).unwrap_or(Timestamp::MAX);
        let mut next = timetable.next_after(now);
        for _ in 0..MOST_RUNS {
            let Some(run) = next.filter(|run| *run <= horizon) else {
                break;
            };
            self.check_window(run)?;
            next = timetable.next_after(run);
            if next.is_some_and(|next| next < self.ends(run)) {
                return Err(self.overlap(run));
            }
        }
        Ok(())
    }

    /// The refusal of nights that overlap from a run on: with the two that lie closest, so that the deadline it asks for is short enough for all.
    fn overlap(&self, from: Timestamp) -> ScheduleError {
        let timetable = &self.timetable;
        let runs = std::iter::successors(Some(from), |run| timetable.next_after(*run));
        let pairs = runs.clone().zip(runs.skip(1)).take(PAIRS_COMPARED);
        let between = |(first, second): &(Timestamp, Timestamp)| second.duration_since(*first);
        let closest = pairs.min_by_key(between).unwrap_or((from, from));
        ScheduleError::Overlap {
            first: timetable.local(closest.0),
            second: timetable.local(closest.1),
            between: between(&closest).unsigned_abs(),
            deadline: self.deadline,
        }
    }

    fn check_window(&self, planned: Timestamp) -> Result<(), ScheduleError> {
        let Some(window) = &self.sweep.scheduling.only_between else {
            return Ok(());
        };
        let open = open_between(window, planned, self.ends(planned))?;
        if open >= signed(self.sweep.budget) {
            return Ok(());
        }
        Err(ScheduleError::Window {
            window: window.clone(),
            run: self.timetable.local(planned),
            open: open.unsigned_abs(),
            deadline: self.deadline,
            budget: self.sweep.budget,
        })
    }
}

/// Lengths of time are checked where they are read; one that is none of these is longer than any night.
pub(super) fn signed(duration: Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
}

/// A length of time as people write it: `6h`, `24h`, `7d`.
fn text(duration: Duration) -> String {
    const DAY_SECONDS: u64 = 24 * 3600;
    let seconds = duration.as_secs();
    if seconds > DAY_SECONDS && seconds.is_multiple_of(DAY_SECONDS) && duration.subsec_nanos() == 0
    {
        return format!("{}d", seconds / DAY_SECONDS);
    }
    format!("{:#}", signed(duration))
}
