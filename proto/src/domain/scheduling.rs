//! When and beside whom a sweep runs: priorities, daily windows, idle devices, shared rounds. What a person asks; the fleet decides.

use std::{fmt, ops::RangeInclusive, str::FromStr};

use super::{InvalidField, convert::name};
use crate::wire;

/// How a sweep stands to others and to the time of day; by default like every other sweep, at any time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scheduling {
    /// Of the sweeps that wait for a device those with the highest run first; within [`Scheduling::PRIORITIES`].
    pub priority: i32,
    /// Rounds run only within it.
    pub only_between: Option<DailyWindow>,
    /// Rounds start only on GPUs that nobody else uses, and stop when somebody does.
    pub idle_only: bool,
    /// One series for all devices of a model, which share its rounds.
    pub share_across_model: bool,
}

impl Scheduling {
    /// Priorities that can be given.
    pub const PRIORITIES: RangeInclusive<i32> = -100..=100;
}

/// Every day from one time of day to another, past midnight where `to` is not after `from`. Whether its time zone exists is for whoever has a database of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DailyWindow {
    /// When it opens.
    pub from: TimeOfDay,
    /// When it closes; never the same as `from`.
    pub to: TimeOfDay,
    /// Name in the IANA database, such as `Europe/Berlin`.
    pub time_zone: String,
}

/// A time of day, to the minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimeOfDay(u16);

/// Minutes of a day.
const MINUTES: u16 = 24 * 60;

impl TimeOfDay {
    /// From minutes after midnight; `None`: the day is over by then.
    #[must_use]
    pub const fn from_minutes(minutes: u16) -> Option<Self> {
        if minutes < MINUTES {
            Some(Self(minutes))
        } else {
            None
        }
    }

    /// 0 to 23.
    #[must_use]
    pub const fn hour(self) -> u8 {
        (self.0 / 60) as u8
    }

    /// 0 to 59.
    #[must_use]
    pub const fn minute(self) -> u8 {
        (self.0 % 60) as u8
    }
}

impl fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.hour(), self.minute())
    }
}

/// A text that is no time of day, or no two of them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TimesError {
    /// Not of the form.
    #[error("{0:?} is not a time of day; write it as 20:00")]
    NotATime(String),
    /// Not of the form.
    #[error("{0:?} is not a window; write it as 20:00-06:00")]
    NotAWindow(String),
    /// Both times are the same.
    #[error("a window from {0} to {0} is empty; leave it out for the whole day")]
    Empty(TimeOfDay),
}

impl FromStr for TimeOfDay {
    type Err = TimesError;

    fn from_str(text: &str) -> Result<Self, TimesError> {
        let parsed = || {
            let (hour, minute) = text.split_once(':')?;
            let number = |digits: &str, limit: u16| {
                let is_number = matches!(digits.len(), 1 | 2)
                    && digits.bytes().all(|digit| digit.is_ascii_digit());
                let value: u16 = digits.parse().ok().filter(|_| is_number)?;
                (value < limit).then_some(value)
            };
            Self::from_minutes(number(hour, 24)? * 60 + number(minute, 60)?)
        };
        parsed().ok_or_else(|| TimesError::NotATime(text.to_owned()))
    }
}

/// The two times of a window, as people write them: `20:00-06:00`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// When it opens.
    pub from: TimeOfDay,
    /// When it closes.
    pub to: TimeOfDay,
}

impl FromStr for Times {
    type Err = TimesError;

    fn from_str(text: &str) -> Result<Self, TimesError> {
        let (from, to) = text
            .split_once('-')
            .ok_or_else(|| TimesError::NotAWindow(text.to_owned()))?;
        let (from, to): (TimeOfDay, TimeOfDay) = (from.trim().parse()?, to.trim().parse()?);
        if from == to {
            return Err(TimesError::Empty(from));
        }
        Ok(Self { from, to })
    }
}

impl fmt::Display for DailyWindow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{} {}", self.from, self.to, self.time_zone)
    }
}

impl TryFrom<wire::DailyWindow> for DailyWindow {
    type Error = InvalidField;

    fn try_from(window: wire::DailyWindow) -> Result<Self, InvalidField> {
        let time = |field, minutes: u32| {
            let time = u16::try_from(minutes)
                .ok()
                .and_then(TimeOfDay::from_minutes);
            let problem = || format!("{minutes} is not a minute of the day, 0 to {}", MINUTES - 1);
            time.ok_or_else(|| InvalidField::new(field, problem()))
        };
        let from = time("only_between.from_minute", window.from_minute)?;
        let to = time("only_between.to_minute", window.to_minute)?;
        if from == to {
            let problem = TimesError::Empty(from).to_string();
            return Err(InvalidField::new("only_between.to_minute", problem));
        }
        Ok(Self {
            from,
            to,
            time_zone: name("only_between.time_zone", window.time_zone)?,
        })
    }
}

impl From<DailyWindow> for wire::DailyWindow {
    fn from(window: DailyWindow) -> Self {
        Self {
            from_minute: window.from.0.into(),
            to_minute: window.to.0.into(),
            time_zone: window.time_zone,
        }
    }
}

impl TryFrom<wire::Scheduling> for Scheduling {
    type Error = InvalidField;

    fn try_from(scheduling: wire::Scheduling) -> Result<Self, InvalidField> {
        let priority = scheduling.priority;
        if !Self::PRIORITIES.contains(&priority) {
            let (least, most) = (Self::PRIORITIES.start(), Self::PRIORITIES.end());
            let problem = format!("{priority} is not between {least} and {most}");
            return Err(InvalidField::new("spec.scheduling.priority", problem));
        }
        Ok(Self {
            priority,
            only_between: scheduling
                .only_between
                .map(DailyWindow::try_from)
                .transpose()?,
            idle_only: scheduling.idle_only,
            share_across_model: scheduling.share_across_model,
        })
    }
}

impl From<Scheduling> for wire::Scheduling {
    fn from(scheduling: Scheduling) -> Self {
        Self {
            priority: scheduling.priority,
            only_between: scheduling.only_between.map(Into::into),
            idle_only: scheduling.idle_only,
            share_across_model: scheduling.share_across_model,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_read_as_people_write_them() {
        let times: Times = "20:00-6:05".parse().unwrap();
        assert_eq!((times.from.hour(), times.from.minute()), (20, 0));
        assert_eq!(times.to.to_string(), "06:05");
        for (text, problem) in [
            ("20:00", "not a window"),
            ("20:00-24:00", "not a time of day"),
            ("20-6", "not a time of day"),
            ("20:00-06:60", "not a time of day"),
            ("+2:00-06:00", "not a time of day"),
            ("20:000-06:00", "not a time of day"),
            ("-", "not a time of day"),
            ("08:00-8:00", "is empty"),
        ] {
            let error = text.parse::<Times>().unwrap_err().to_string();
            assert!(error.contains(problem), "{text}: {error}");
        }
    }

    #[test]
    fn the_wire_is_checked() {
        let window = |from_minute, to_minute, zone: &str| wire::DailyWindow {
            from_minute,
            to_minute,
            time_zone: zone.to_owned(),
        };
        let fine = window(1200, 360, "Europe/Berlin");
        let read = DailyWindow::try_from(fine.clone()).unwrap();
        assert_eq!(read.to_string(), "20:00-06:00 Europe/Berlin");
        assert_eq!(wire::DailyWindow::from(read), fine);
        for bad in [
            window(1440, 0, "UTC"),
            window(0, 70_000, "UTC"),
            window(7, 7, "UTC"),
            window(1, 2, ""),
        ] {
            assert!(DailyWindow::try_from(bad).is_err());
        }
        let priority = |priority| wire::Scheduling {
            priority,
            ..Default::default()
        };
        assert!(Scheduling::try_from(priority(100)).is_ok());
        let error = Scheduling::try_from(priority(101)).unwrap_err();
        assert!(
            error.to_string().contains("between -100 and 100"),
            "{error}"
        );
    }
}
