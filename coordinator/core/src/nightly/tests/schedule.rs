//! Schedules that cannot work are refused before they ring for a week.

use std::time::Duration;

use batchstep_proto::domain::{DailyWindow, Times};

use super::{schedule, time, timetable};
use crate::nightly::Schedule;

const NOW: &str = "2026-01-01T00:00:00Z";

fn error(schedule: &Schedule) -> String {
    schedule.check(time(NOW)).unwrap_err().to_string()
}

fn between(times: &str, zone: &str) -> Option<DailyWindow> {
    let times: Times = times.parse().unwrap();
    Some(DailyWindow {
        from: times.from,
        to: times.to,
        time_zone: zone.to_owned(),
    })
}

#[test]
fn one_that_can_work_is_accepted() {
    let mut schedule = schedule();
    assert_eq!(schedule.check(time(NOW)), Ok(()));
    schedule.sweep.scheduling.only_between = between("02:00-05:00", "Europe/Berlin");
    assert_eq!(schedule.check(time(NOW)), Ok(()));
    // A leap day is further away than anybody looks.
    schedule.timetable = timetable("0 2 29 2 *", "UTC");
    assert_eq!(schedule.check(time(NOW)), Ok(()));
    // A night that ends when the next begins.
    schedule.sweep.scheduling.only_between = None;
    schedule.timetable = timetable("0 */6 * * *", "UTC");
    assert_eq!(schedule.check(time(NOW)), Ok(()));
}

#[test]
fn nights_never_overlap_not_even_on_the_shortest_day() {
    let mut schedule = schedule();
    schedule.deadline = Duration::from_hours(24);
    assert_eq!(
        error(&schedule),
        "field `deadline`: the night of Sun 2026-03-29 03:00 +02:00 CEST may take 24h, and the next one begins at Mon 2026-03-30 02:00 +02:00 CEST; two nights never overlap: give it a deadline of at most 23h, or let it run less often"
    );
    // The shortest night says how long one may be, not the first that is too long.
    schedule.timetable = timetable("0 2,6 * * *", "UTC");
    let message = schedule.check(time("2026-01-01T03:00:00Z")).unwrap_err();
    assert!(
        message.to_string().contains("a deadline of at most 4h, or"),
        "{message}"
    );
    schedule.timetable = timetable("* * * * *", "UTC");
    schedule.deadline = Schedule::DEADLINE;
    let often = error(&schedule);
    assert!(often.contains("a deadline of at most 1m, or"), "{often}");
}

#[test]
fn one_that_runs_every_minute_is_for_short_nights() {
    let mut schedule = schedule();
    schedule.timetable = timetable("* * * * *", "Europe/Berlin");
    schedule.deadline = Duration::from_mins(1);
    assert_eq!(schedule.check(time(NOW)), Ok(()));
}

#[test]
fn a_night_has_time_for_a_series() {
    let mut schedule = schedule();
    schedule.sweep.budget = Duration::from_hours(7);
    let too_long = error(&schedule);
    assert!(
        too_long.contains("a night of 6h ends before one series has measured for its 7h"),
        "{too_long}"
    );
    for deadline in [0, 59, 8 * 24 * 3600, u64::MAX] {
        schedule.deadline = Duration::from_secs(deadline);
        let out_of_range = error(&schedule);
        assert!(
            out_of_range.contains("is not between 1m and 7d"),
            "{out_of_range}"
        );
    }
}

#[test]
fn a_window_that_leaves_no_time_is_refused_with_the_night() {
    let mut schedule = schedule();
    schedule.sweep.scheduling.only_between = between("12:00-13:00", "Europe/Berlin");
    assert_eq!(
        error(&schedule),
        "field `only_between`: 12:00-13:00 Europe/Berlin leaves 0s of the night that begins Thu 2026-01-01 02:00 +01:00 CET and may take 6h, and a series measures for 1m; let the schedule run when the window opens, or widen it"
    );
    // In summer only: the window is in another zone, which knows none.
    schedule.sweep.scheduling.only_between = between("00:00-01:00", "UTC");
    schedule.deadline = Duration::from_hours(1);
    schedule.timetable = timetable("0 2 * * *", "Europe/Berlin");
    let in_winter = error(&schedule);
    assert!(
        in_winter.contains("Thu 2026-01-01 02:00 +01:00 CET"),
        "{in_winter}"
    );
    schedule.sweep.scheduling.only_between = between("00:00-01:00", "Mars/Base");
    let nowhere = error(&schedule);
    assert!(
        nowhere.contains("`only_between.time_zone`: there is no time zone \"Mars/Base\""),
        "{nowhere}"
    );
}

#[test]
fn devices_do_not_share_a_series() {
    let mut schedule = schedule();
    schedule.sweep.scheduling.share_across_model = true;
    assert!(error(&schedule).contains("field `share_across_model`"));
}
