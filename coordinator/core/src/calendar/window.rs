//! Daily windows in a time zone: whether one is open at a moment, and when that changes. Pure calendar: the moment is handed in, daylight saving comes from
//! the time zone database.

use batchstep_proto::domain::{DailyWindow, TimeOfDay};
use jiff::{
    SignedDuration, Timestamp, ToSpan as _,
    civil::{Date, Time},
};

use super::{UnknownZone, Zone};

/// A window at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// It is open.
    pub open: bool,
    /// When it closes, or opens next.
    pub changes_at: Timestamp,
}

/// The time zone of a window is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("field `only_between.time_zone`: {0}")]
pub struct UnknownWindowZone(UnknownZone);

/// How the window is at `at`. A time of day that a change of the clock leaves out or repeats counts as the later one, or as the first.
///
/// # Errors
/// When its time zone is not known.
pub fn look(window: &DailyWindow, at: Timestamp) -> Result<Look, UnknownWindowZone> {
    let zone: Zone = window.time_zone.parse().map_err(UnknownWindowZone)?;
    let zone = zone.as_time_zone();
    let today = zone.to_datetime(at).date();
    let moment = |date: Date, time: TimeOfDay| {
        let time = Time::constant(hour(time), minute(time), 0, 0);
        let zoned = date.to_datetime(time).to_zoned_datetime(zone.clone());
        zoned.map(|zoned| zoned.timestamp()).ok()
    };
    // The one that began yesterday may be open, and the next one begins tomorrow at the latest.
    let mut next = None;
    for days in -1..=2 {
        let Ok(date) = today.checked_add(days.days()) else {
            continue;
        };
        let last = if window.from < window.to {
            Ok(date)
        } else {
            date.tomorrow()
        };
        let (Some(opens), Some(closes)) = (
            moment(date, window.from),
            last.ok().and_then(|date| moment(date, window.to)),
        ) else {
            continue;
        };
        if opens <= at && at < closes {
            return Ok(Look {
                open: true,
                changes_at: closes,
            });
        }
        if at < opens && opens < closes {
            next = next.or(Some(opens));
        }
    }
    Ok(Look {
        open: false,
        // Only where the calendar ends there is none.
        changes_at: next.unwrap_or(Timestamp::MAX),
    })
}

/// How long the window is open from one moment to another.
///
/// # Errors
/// When its time zone is not known.
pub fn open_between(
    window: &DailyWindow,
    from: Timestamp,
    to: Timestamp,
) -> Result<SignedDuration, UnknownWindowZone> {
    let mut open = SignedDuration::ZERO;
    let mut at = from;
    while at < to {
        let look = look(window, at)?;
        let until = look.changes_at.min(to);
        if look.open {
            open += until.duration_since(at);
        }
        at = until;
    }
    Ok(open)
}

fn hour(time: TimeOfDay) -> i8 {
    i8::try_from(time.hour()).unwrap_or(0)
}

fn minute(time: TimeOfDay) -> i8 {
    i8::try_from(time.minute()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(times: &str, zone: &str) -> DailyWindow {
        let times: batchstep_proto::domain::Times = times.parse().unwrap();
        DailyWindow {
            from: times.from,
            to: times.to,
            time_zone: zone.to_owned(),
        }
    }

    fn at(times: &str, zone: &str, moment: &str) -> (bool, String) {
        let look = look(&window(times, zone), moment.parse().unwrap()).unwrap();
        (look.open, look.changes_at.to_string())
    }

    #[test]
    fn a_night_reaches_into_the_next_day() {
        let night = |moment| at("20:00-06:00", "Europe/Berlin", moment);
        // Winter: an hour ahead of UTC.
        assert_eq!(
            night("2026-01-10T18:59:59Z"),
            (false, "2026-01-10T19:00:00Z".to_owned())
        );
        assert_eq!(
            night("2026-01-10T19:00:00Z"),
            (true, "2026-01-11T05:00:00Z".to_owned())
        );
        assert_eq!(
            night("2026-01-11T04:59:59Z"),
            (true, "2026-01-11T05:00:00Z".to_owned())
        );
        assert_eq!(
            night("2026-01-11T05:00:00Z"),
            (false, "2026-01-11T19:00:00Z".to_owned())
        );
    }

    #[test]
    fn a_day_ends_before_midnight() {
        let day = |moment| at("09:30-17:00", "America/New_York", moment);
        assert_eq!(
            day("2026-07-01T13:30:00Z"),
            (true, "2026-07-01T21:00:00Z".to_owned())
        );
        assert_eq!(
            day("2026-07-01T21:00:00Z"),
            (false, "2026-07-02T13:30:00Z".to_owned())
        );
    }

    #[test]
    fn daylight_saving_moves_the_window_with_the_clocks_of_the_place() {
        // Berlin, 2026-03-29: 02:00 becomes 03:00. The night has an hour less.
        assert_eq!(
            at("20:00-06:00", "Europe/Berlin", "2026-03-29T03:59:00Z"),
            (true, "2026-03-29T04:00:00Z".to_owned())
        );
        // A time that does not exist that day is the one after it.
        assert_eq!(
            at("02:30-06:00", "Europe/Berlin", "2026-03-29T00:00:00Z"),
            (false, "2026-03-29T01:30:00Z".to_owned())
        );
        // Autumn, 2026-10-25: 03:00 becomes 02:00, and 02:30 comes twice; the first one counts.
        assert_eq!(
            at("02:30-06:00", "Europe/Berlin", "2026-10-25T00:00:00Z"),
            (false, "2026-10-25T00:30:00Z".to_owned())
        );
    }

    #[test]
    fn a_zone_that_is_none_is_named() {
        let error = look(&window("20:00-06:00", "Mars/Base"), Timestamp::UNIX_EPOCH).unwrap_err();
        assert!(error.to_string().contains("\"Mars/Base\""), "{error}");
        assert!(look(&window("20:00-06:00", "UTC"), Timestamp::MAX).is_ok());
        assert!(look(&window("20:00-06:00", "UTC"), Timestamp::MIN).is_ok());
    }
}
