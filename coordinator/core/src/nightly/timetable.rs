//! When a cron expression comes true in a time zone.

use jiff::{SignedDuration, Timestamp, ToSpan as _, ZonedDateTime, civil::DateTime};

use super::Cron;
use crate::calendar::{Jump, Zone};

/// A cron expression on the clocks of a place. A time that the clocks skip counts at the moment they jump, one that they repeat counts the first time; what falls
/// on one moment runs once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timetable {
    /// The times on the wall.
    pub cron: Cron,
    /// The wall.
    pub zone: Zone,
}

/// A run to come, as people read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upcoming {
    /// When.
    pub at: Timestamp,
    /// The same on the clocks of the place, such as `Sun 2026-03-29 03:00 +02:00 CEST`.
    pub local: String,
    /// What the clocks do to it, where they do.
    pub note: Option<String>,
}

/// A run, with the time on the wall that it stands for.
struct Run {
    at: Timestamp,
    wall: DateTime,
    jump: Option<Jump>,
}

impl Timetable {
    /// The first run after a moment. `None`: not before the calendar ends.
    #[must_use]
    pub fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        Some(self.run_after(after)?.at)
    }

    /// The last run at or before a moment.
    #[must_use]
    pub fn last_until(&self, until: Timestamp) -> Option<Timestamp> {
        // The further back a run lies, the fewer there are: a minute's are found within the hour, a leap day's within years.
        let mut back = SignedDuration::from_hours(1);
        loop {
            let next = |after| self.next_after(after).filter(|run| *run <= until);
            if let Some(mut found) = next(until.checked_sub(back).ok()?) {
                while let Some(later) = next(found) {
                    found = later;
                }
                return Some(found);
            }
            back = back.checked_mul(2)?;
        }
    }

    /// The next runs after a moment, at most `count`.
    pub fn upcoming(&self, after: Timestamp, count: usize) -> impl Iterator<Item = Upcoming> {
        let mut last = after;
        std::iter::from_fn(move || {
            let run = self.run_after(last)?;
            last = run.at;
            Some(Upcoming {
                at: run.at,
                local: self.local(run.at),
                note: run.jump.map(|jump| note(run.wall, jump)),
            })
        })
        .take(count)
    }

    /// A moment on the clocks of the place.
    #[must_use]
    pub fn local(&self, at: Timestamp) -> String {
        let zoned = self.zone.zoned(at);
        let text = zoned.strftime("%a %Y-%m-%d %H:%M %:z").to_string();
        abbreviation(&zoned).map_or(text.clone(), |zone| format!("{text} {zone}"))
    }

    fn run_after(&self, after: Timestamp) -> Option<Run> {
        // Whatever the clocks showed before, they showed at or before `after`: a time on the wall never has a later moment than the times behind it.
        let mut wall = self.zone.wall(after);
        loop {
            wall = self.cron.at_or_after(wall)?;
            if let Some(moment) = self.zone.moment(wall)
                && moment.at > after
            {
                return Some(Run {
                    at: moment.at,
                    wall,
                    jump: moment.jump,
                });
            }
            wall = wall.checked_add(1.minute()).ok()?;
        }
    }
}

/// Letters for the zone, where there are some: many zones have none, and repeat the offset.
fn abbreviation(zoned: &ZonedDateTime) -> Option<String> {
    let info = zoned.time_zone().to_offset_info(zoned.timestamp());
    let letters = info.abbreviation();
    let is_name = letters.bytes().all(|byte| byte.is_ascii_alphabetic());
    is_name.then(|| letters.to_owned())
}

fn note(wall: DateTime, jump: Jump) -> String {
    let time = |wall: DateTime| wall.strftime("%H:%M").to_string();
    match jump {
        Jump::Skipped { from, to } => format!(
            "{} does not exist on this day: clocks go from {} to {}",
            time(wall),
            time(from),
            time(to)
        ),
        Jump::Repeated => format!("{} comes twice on this day: this is the first", time(wall)),
    }
}
