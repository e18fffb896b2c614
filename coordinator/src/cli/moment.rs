//! A point in time as people type it: a time, a day, or how long ago. Knows no commands and no clock.

use std::{str::FromStr, time::Duration};

use jiff::{SignedDuration, Timestamp, civil::Date, tz::TimeZone};

/// A point in time; how long ago counts from the moment at which it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moment {
    /// The time itself.
    At(Timestamp),
    /// How long ago.
    Ago(Duration),
}

impl Moment {
    /// The time, seen from `now`.
    pub(super) fn before(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(at) => at,
            Self::Ago(ago) => SignedDuration::try_from(ago)
                .ok()
                .and_then(|ago| now.checked_sub(ago).ok())
                .unwrap_or(Timestamp::MIN),
        }
    }
}

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(at) = text.parse() {
            return Ok(Self::At(at));
        }
        let day = text.parse::<Date>();
        if let Some(at) = day
            .ok()
            .and_then(|day| TimeZone::UTC.to_timestamp(day.at(0, 0, 0, 0)).ok())
        {
            return Ok(Self::At(at));
        }
        humantime::parse_duration(text).map(Self::Ago).map_err(|_| {
            "write how long ago, such as 36h or 7d, a day such as 2026-11-24, or a time such as 2026-11-24T08:00:00Z"
                .to_owned()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_days_and_spans_are_understood() {
        let now: Timestamp = "2026-11-26T03:00:00Z".parse().unwrap();
        let before = |text: &str| text.parse::<Moment>().unwrap().before(now).to_string();
        assert_eq!(before("36h"), "2026-11-24T15:00:00Z");
        assert_eq!(before("2026-11-24"), "2026-11-24T00:00:00Z");
        assert_eq!(before("2026-11-24T08:00:00+01:00"), "2026-11-24T07:00:00Z");
        assert_eq!(before("400000years"), Timestamp::MIN.to_string());
        for bad in ["", "7", "soon", "2026-13-01", "-3d"] {
            assert!(bad.parse::<Moment>().unwrap_err().contains("36h"), "{bad}");
        }
    }
}
