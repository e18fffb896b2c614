//! Nights: when a schedule's sweep runs, and how one night goes from its sweep to its end.
//!
//! Pure calendar and a sans-IO state machine. The coordinator's nightly task asks [`due`] which night to begin, keeps each [`Night`] in the store and carries out
//! what [`Night::todo`] says; the command line shows [`Timetable::upcoming`]. Nothing here reads a clock, a store or the judge: all of them are handed in.

mod cron;
mod due;
mod name;
mod night;
mod part;
mod schedule;
#[cfg(test)]
mod tests;
mod timetable;

pub use cron::{Cron, CronError};
pub use due::{Due, Missed, due};
pub use name::{NameError, ScheduleName};
pub use night::{Input, Night, Phase, Step};
pub use part::{End, Part, PartState, Refused, Target, What};
pub use schedule::{Schedule, ScheduleError};
pub use timetable::{Timetable, Upcoming};
