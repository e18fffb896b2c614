//! Which night is due: once after an outage, never twice, and what was missed is said.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::{Schedule, Timetable};

/// What a schedule asks for at a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Due {
    /// Nothing.
    Nothing {
        /// The next run; `None` while the schedule is disabled.
        next: Option<Timestamp>,
    },
    /// The clock shows a moment that is over: it went back, or was ahead before. No run is due until it has caught up, lest one runs twice.
    ClockBehind {
        /// What it has shown before: the run of the last night, or when the schedule was made.
        passed: Timestamp,
        /// By how much it lies ahead.
        by: Duration,
    },
    /// A night should begin.
    Run {
        /// The run.
        planned: Timestamp,
        /// How long ago that was.
        late: Duration,
        /// Runs before it that had no night and will have none.
        missed: Option<Missed>,
    },
    /// Runs had no night, and it is too late for the last of them too. On record as missed up to [`Missed::last`], they are not told again.
    Missed {
        /// Which.
        missed: Missed,
        /// The next run.
        next: Option<Timestamp>,
    },
}

/// Runs without a night.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Missed {
    /// How many.
    pub runs: u32,
    /// There are more than `runs`, which were not counted.
    pub or_more: bool,
    /// The earliest.
    pub first: Timestamp,
    /// The latest.
    pub last: Timestamp,
}

/// Missed runs that are counted: nearly three years of nights. A clock that jumps ahead costs no more than this.
const MOST_COUNTED: u32 = 1000;

/// A clock that is corrected by less than this did not go back.
const CLOCK_CORRECTION: SignedDuration = SignedDuration::from_mins(5);

/// What a schedule asks for now. The caller asks only while none of the schedule's nights is open, and then begins or records the answer before it asks again;
/// `last_planned` is the run of the last night that began or was recorded as missed, `since` the moment when the schedule was made or enabled.
#[must_use]
pub fn due(
    schedule: &Schedule,
    last_planned: Option<Timestamp>,
    since: Timestamp,
    now: Timestamp,
) -> Due {
    if !schedule.enabled {
        return Due::Nothing { next: None };
    }
    let timetable = &schedule.timetable;
    let after = last_planned.map_or(since, |last| last.max(since));
    let behind = after.duration_since(now);
    if behind > CLOCK_CORRECTION {
        return Due::ClockBehind {
            passed: after,
            by: behind.unsigned_abs(),
        };
    }
    let next = timetable.next_after(now.max(after));
    let Some(runs) = Missed::between(timetable, after, now) else {
        return Due::Nothing { next };
    };
    if schedule.has_room(now, schedule.ends(runs.last)) {
        let before = runs.last - SignedDuration::from_nanos(1);
        return Due::Run {
            planned: runs.last,
            late: now.duration_since(runs.last).unsigned_abs(),
            missed: Missed::between(timetable, after, before),
        };
    }
    Due::Missed { missed: runs, next }
}

impl Missed {
    /// The runs after one moment, up to another.
    fn between(timetable: &Timetable, after: Timestamp, until: Timestamp) -> Option<Self> {
        let next = |after| timetable.next_after(after).filter(|run| *run <= until);
        let first = next(after)?;
        let mut missed = Self {
            runs: 1,
            or_more: false,
            first,
            last: first,
        };
        while let Some(run) = next(missed.last) {
            if missed.runs == MOST_COUNTED {
                missed.or_more = true;
                missed.last = timetable.last_until(until).unwrap_or(run);
                break;
            }
            missed.runs += 1;
            missed.last = run;
        }
        Some(missed)
    }

    /// A sentence for people, on the clocks of the place.
    #[must_use]
    pub fn sentence(&self, timetable: &Timetable) -> String {
        let (first, last) = (timetable.local(self.first), timetable.local(self.last));
        match (self.runs, self.or_more) {
            (1, _) => format!("1 night did not happen: {first}"),
            (runs, false) => format!("{runs} nights did not happen: {first} to {last}"),
            (runs, true) => format!("more than {runs} nights did not happen: {first} to {last}"),
        }
    }
}
