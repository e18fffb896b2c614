//! Time zones by name, and what a time on the wall means in one on the days when the clocks change.

use std::{fmt, str::FromStr};

use jiff::{
    SignedDuration, Timestamp, ZonedDateTime,
    civil::DateTime,
    tz::{AmbiguousOffset, TimeZone},
};

/// A time zone of the IANA database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone(TimeZone);

/// A text that names no time zone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no time zone {0:?}; write a name such as Europe/Berlin, or UTC")]
pub struct UnknownZone(pub String);

/// What a time on the wall means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// The moment itself.
    pub at: Timestamp,
    /// Set when the clocks do not show this time exactly once.
    pub jump: Option<Jump>,
}

/// A change of the clocks that a time on the wall falls into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Jump {
    /// They skip the time: its moment is the one of the change.
    Skipped {
        /// What they would have shown.
        from: DateTime,
        /// What they show instead.
        to: DateTime,
    },
    /// They show it twice: its moment is the first.
    Repeated,
}

impl Zone {
    /// What the clocks show.
    #[must_use]
    pub fn wall(&self, at: Timestamp) -> DateTime {
        self.0.to_datetime(at)
    }

    /// A moment with its time on the wall.
    #[must_use]
    pub fn zoned(&self, at: Timestamp) -> ZonedDateTime {
        at.to_zoned_datetime(self.0.clone())
    }

    /// What a time on the wall means. Of two times the later one never has the earlier moment. `None`: outside the years of the calendar.
    #[must_use]
    pub fn moment(&self, wall: DateTime) -> Option<Moment> {
        let (at, jump) = match self.0.to_ambiguous_timestamp(wall).offset() {
            AmbiguousOffset::Unambiguous { offset } => (offset.to_timestamp(wall).ok()?, None),
            AmbiguousOffset::Fold { before, .. } => {
                (before.to_timestamp(wall).ok()?, Some(Jump::Repeated))
            }
            AmbiguousOffset::Gap { before, after } => {
                // By the old clocks the time comes at the change or after it.
                let by_old = before.to_timestamp(wall).ok()?;
                let behind = by_old.checked_add(SignedDuration::from_nanos(1)).ok()?;
                let at = self.0.preceding(behind).next()?.timestamp();
                let jump = Jump::Skipped {
                    from: before.to_datetime(at),
                    to: after.to_datetime(at),
                };
                (at, Some(jump))
            }
        };
        Some(Moment { at, jump })
    }

    pub(super) const fn as_time_zone(&self) -> &TimeZone {
        &self.0
    }
}

impl FromStr for Zone {
    type Err = UnknownZone;

    fn from_str(text: &str) -> Result<Self, UnknownZone> {
        let unknown = || UnknownZone(text.chars().take(64).collect());
        let zone = TimeZone::get(text).map_err(|_| unknown())?;
        // Etc/Unknown is in the database and is none.
        if zone.is_unknown() || zone.iana_name().is_none() {
            return Err(unknown());
        }
        Ok(Self(zone))
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.iana_name().unwrap_or("UTC"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(zone: &str, wall: &str) -> (String, Option<Jump>) {
        let zone: Zone = zone.parse().unwrap();
        let moment = zone.moment(wall.parse().unwrap()).unwrap();
        (moment.at.to_string(), moment.jump)
    }

    #[test]
    fn a_time_that_is_skipped_is_the_moment_of_the_change() {
        for wall in ["2026-03-29T02:00", "2026-03-29T02:30", "2026-03-29T02:59"] {
            let (at, jump) = moment("Europe/Berlin", wall);
            assert_eq!(at, "2026-03-29T01:00:00Z", "{wall}");
            let expected = Jump::Skipped {
                from: "2026-03-29T02:00".parse().unwrap(),
                to: "2026-03-29T03:00".parse().unwrap(),
            };
            assert_eq!(jump, Some(expected), "{wall}");
        }
        let after = moment("Europe/Berlin", "2026-03-29T03:00");
        assert_eq!(after, ("2026-03-29T01:00:00Z".to_owned(), None));
    }

    #[test]
    fn a_time_that_comes_twice_is_the_first_one() {
        let (at, jump) = moment("America/New_York", "2026-11-01T01:30");
        assert_eq!(at, "2026-11-01T05:30:00Z");
        assert_eq!(jump, Some(Jump::Repeated));
        let (after, jump) = moment("America/New_York", "2026-11-01T02:00");
        assert_eq!(after, "2026-11-01T07:00:00Z");
        assert_eq!(jump, None);
    }

    #[test]
    fn half_an_hour_is_a_jump_too() {
        let (at, jump) = moment("Australia/Lord_Howe", "2026-10-04T02:10");
        assert_eq!(at, "2026-10-03T15:30:00Z");
        let Some(Jump::Skipped { to, .. }) = jump else {
            panic!("{jump:?}");
        };
        assert_eq!(to.to_string(), "2026-10-04T02:30:00");
        let (at, jump) = moment("Australia/Lord_Howe", "2026-04-05T01:45");
        assert_eq!(at, "2026-04-04T14:45:00Z");
        assert_eq!(jump, Some(Jump::Repeated));
    }

    #[test]
    fn zones_are_checked_and_keep_their_name() {
        let zone: Zone = "europe/berlin".parse().unwrap();
        assert_eq!(zone.to_string(), "Europe/Berlin");
        assert_eq!("UTC".parse::<Zone>().unwrap().to_string(), "UTC");
        for text in [
            "",
            "Mars/Base",
            "CEST",
            "Etc/Unknown",
            "+02:00",
            "Europe/Berlin ",
        ] {
            let error = text.parse::<Zone>().unwrap_err().to_string();
            assert!(error.contains("Europe/Berlin"), "{text}: {error}");
        }
    }
}
