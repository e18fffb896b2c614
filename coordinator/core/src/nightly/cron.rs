//! Cron expressions: five fields that say at which minutes something runs. A matter of the clock on the wall alone; [`Timetable`](super::Timetable) adds the time
//! zone.

mod field;

use std::{fmt, str::FromStr};

use jiff::civil::{Date, DateTime};
use serde::{Deserialize, Serialize};

use field::{FIELDS, Field, Set};

/// Minute, hour, day of the month, month and weekday, as crontab(5) has them: numbers, names of months and weekdays, ranges, steps and lists, or a shorthand such
/// as `@daily`. Where both the day of the month and the weekday are given, either is enough; a field that begins with `*` does not count as given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cron {
    text: String,
    minutes: Set,
    hours: Set,
    days: Set,
    months: Set,
    weekdays: Set,
    /// The day of the month or the weekday is enough.
    either_day: bool,
}

/// A text that is no cron expression, or one that never comes true.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "cron {text:?}: {problem}; write minute, hour, day of the month, month and weekday, such as \"0 2 * * *\" for every day at 02:00 or \"30 22 * * mon-fri\""
)]
pub struct CronError {
    /// What was read, cut to a readable length.
    pub text: String,
    /// What is wrong with it, with the field's name.
    pub problem: String,
}

/// Longest expression, bytes: every minute of an hour fits, one by one.
const LONGEST: usize = 256;

/// Days of the months in a leap year.
const LONGEST_MONTHS: [u8; 12] = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

impl Cron {
    /// The first minute at or after a time on the wall; seconds do not count. `None`: not before the calendar ends.
    #[must_use]
    pub fn at_or_after(&self, wall: DateTime) -> Option<DateTime> {
        let mut date = wall.date();
        let mut earliest = (number(wall.hour()), number(wall.minute()));
        loop {
            if self.is_day(date)
                && let Some((hour, minute)) = self.time_from(earliest)
            {
                let signed = |number: u8| i8::try_from(number).ok();
                return Some(date.at(signed(hour)?, signed(minute)?, 0, 0));
            }
            earliest = (0, 0);
            date = if self.months.has(number(date.month())) {
                date.tomorrow().ok()?
            } else {
                date.last_of_month().tomorrow().ok()?
            };
        }
    }

    fn is_day(&self, date: Date) -> bool {
        let day = self.days.has(number(date.day()));
        let weekday = self
            .weekdays
            .has(number(date.weekday().to_sunday_zero_offset()));
        self.months.has(number(date.month()))
            && if self.either_day {
                day || weekday
            } else {
                day && weekday
            }
    }

    /// The first hour and minute of a day at or after these.
    fn time_from(&self, (hour, minute): (u8, u8)) -> Option<(u8, u8)> {
        let this_hour = self.hours.has(hour).then(|| self.minutes.from(minute));
        if let Some(minute) = this_hour.flatten() {
            return Some((hour, minute));
        }
        Some((self.hours.from(hour + 1)?, self.minutes.from(0)?))
    }

    /// True when some year has a day for it. A date that exists falls on each weekday in some year, and a month has all weekdays.
    fn ever_comes(&self) -> bool {
        let has_day = |(month, days): (u8, u8)| {
            self.months.has(month) && self.days.from(1).is_some_and(|first| first <= days)
        };
        self.either_day || (1..).zip(LONGEST_MONTHS).any(has_day)
    }
}

/// Of parts of dates and times, which are never negative.
fn number(part: i8) -> u8 {
    part.unsigned_abs()
}

/// What a shorthand stands for.
fn spelled_out(shorthand: &str) -> Option<&'static str> {
    Some(match shorthand.to_ascii_lowercase().as_str() {
        "@hourly" => "0 * * * *",
        "@daily" | "@midnight" => "0 0 * * *",
        "@weekly" => "0 0 * * 0",
        "@monthly" => "0 0 1 * *",
        "@yearly" | "@annually" => "0 0 1 1 *",
        _ => return None,
    })
}

impl FromStr for Cron {
    type Err = CronError;

    fn from_str(text: &str) -> Result<Self, CronError> {
        let text = text.trim();
        let error = |problem: String| CronError {
            text: text.chars().take(LONGEST).collect(),
            problem,
        };
        if text.len() > LONGEST {
            return Err(error(format!("it is longer than {LONGEST} bytes")));
        }
        let fields = if text.starts_with('@') {
            spelled_out(text).ok_or_else(|| {
                error(
                    "the shorthands are @hourly, @daily, @weekly, @monthly and @yearly".to_owned(),
                )
            })?
        } else {
            text
        };
        let fields: Vec<&str> = fields.split_ascii_whitespace().collect();
        let [minute, hour, day, month, weekday] = fields[..] else {
            let many = fields.len();
            return Err(error(format!("it has {many} fields instead of 5")));
        };
        let read = |field: &Field, text: &str| field.parse(text).map_err(error);
        let [minutes, hours, days, months, weekdays] = &FIELDS;
        let is_given = |text: &str| !text.starts_with('*');
        let cron = Self {
            text: text.to_owned(),
            minutes: read(minutes, minute)?,
            hours: read(hours, hour)?,
            days: read(days, day)?,
            months: read(months, month)?,
            weekdays: read(weekdays, weekday)?,
            either_day: is_given(day) && is_given(weekday),
        };
        if !cron.ever_comes() {
            let problem = format!("no year has a day {day} in month {month}, so it never runs");
            return Err(error(problem));
        }
        Ok(cron)
    }
}

impl TryFrom<String> for Cron {
    type Error = CronError;

    fn try_from(text: String) -> Result<Self, CronError> {
        text.parse()
    }
}

impl From<Cron> for String {
    fn from(cron: Cron) -> Self {
        cron.text
    }
}

impl fmt::Display for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
