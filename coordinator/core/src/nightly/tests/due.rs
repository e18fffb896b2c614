//! Which night is due, after outages and with clocks that jump.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

use super::{schedule, time, timetable};
use crate::nightly::{Due, Missed, Schedule, due};

/// When the schedule of the tests was made.
const MADE: &str = "2026-01-01T00:00:00Z";

fn ask(last_planned: Option<&str>, now: &str) -> Due {
    due(&schedule(), last_planned.map(time), time(MADE), time(now))
}

fn missed(runs: u32, first: &str, last: &str) -> Missed {
    Missed {
        runs,
        or_more: false,
        first: time(first),
        last: time(last),
    }
}

#[test]
fn a_night_is_due_at_its_run_and_once() {
    let next = Some(time("2026-01-01T01:00:00Z"));
    assert_eq!(ask(None, "2026-01-01T00:59:59Z"), Due::Nothing { next });
    let run = Due::Run {
        planned: time("2026-01-01T01:00:00Z"),
        late: Duration::from_secs(3),
        missed: None,
    };
    assert_eq!(ask(None, "2026-01-01T01:00:03Z"), run);
    let next = Some(time("2026-01-02T01:00:00Z"));
    let last = Some("2026-01-01T01:00:00Z");
    assert_eq!(ask(last, "2026-01-01T01:00:03Z"), Due::Nothing { next });
}

#[test]
fn a_schedule_does_not_make_up_for_the_time_before_it_was_made() {
    let made = time("2026-01-01T01:00:01Z");
    let next = Some(time("2026-01-02T01:00:00Z"));
    let found = due(&schedule(), None, made, time("2026-01-01T02:00:00Z"));
    assert_eq!(found, Due::Nothing { next });
}

#[test]
fn a_disabled_schedule_asks_for_nothing() {
    let schedule = Schedule {
        enabled: false,
        ..schedule()
    };
    let found = due(&schedule, None, time(MADE), time("2026-02-01T02:00:00Z"));
    assert_eq!(found, Due::Nothing { next: None });
}

#[test]
fn after_an_outage_the_last_night_runs_late_and_the_others_are_missed() {
    let run = Due::Run {
        planned: time("2026-01-05T01:00:00Z"),
        late: Duration::from_hours(2),
        missed: Some(missed(3, "2026-01-02T01:00:00Z", "2026-01-04T01:00:00Z")),
    };
    let last = Some("2026-01-01T01:00:00Z");
    assert_eq!(ask(last, "2026-01-05T03:00:00Z"), run);
    // Not even one series could measure any more: the night ends at 07:00.
    let gone = Due::Missed {
        missed: missed(4, "2026-01-02T01:00:00Z", "2026-01-05T01:00:00Z"),
        next: Some(time("2026-01-06T01:00:00Z")),
    };
    assert_eq!(ask(last, "2026-01-05T06:59:30Z"), gone);
    let last = Some("2026-01-05T01:00:00Z");
    let next = Some(time("2026-01-06T01:00:00Z"));
    assert_eq!(ask(last, "2026-01-05T06:59:30Z"), Due::Nothing { next });
}

#[test]
fn a_clock_that_goes_back_runs_no_night_twice() {
    let last = Some("2026-01-05T01:00:00Z");
    // By a little: as if nothing had happened.
    let next = Some(time("2026-01-06T01:00:00Z"));
    assert_eq!(ask(last, "2026-01-05T00:59:00Z"), Due::Nothing { next });
    let behind = Due::ClockBehind {
        passed: time("2026-01-05T01:00:00Z"),
        by: Duration::from_hours(48),
    };
    assert_eq!(ask(last, "2026-01-03T01:00:00Z"), behind);
    // Before any night, too.
    let behind = Due::ClockBehind {
        passed: time(MADE),
        by: Duration::from_hours(24),
    };
    assert_eq!(ask(None, "2025-12-31T00:00:00Z"), behind);
}

#[test]
fn a_clock_that_jumps_ahead_costs_a_bounded_count() {
    let last = Some("2026-01-01T01:00:00Z");
    let Due::Run {
        planned,
        missed: Some(missed),
        ..
    } = ask(last, "2027-01-01T01:30:00Z")
    else {
        panic!("no run");
    };
    assert_eq!(planned, time("2027-01-01T01:00:00Z"));
    assert_eq!((missed.runs, missed.or_more), (364, false));
    let mut often = schedule();
    often.timetable = timetable("* * * * *", "UTC");
    often.deadline = Duration::from_mins(1);
    let found = due(&often, None, time(MADE), time("3026-01-01T00:00:30Z"));
    let Due::Missed { missed, .. } = found else {
        panic!("{found:?}");
    };
    assert_eq!((missed.runs, missed.or_more), (1000, true));
    assert_eq!(missed.last, time("3026-01-01T00:00:00Z"));
    assert_eq!(
        missed.sentence(&often.timetable),
        "more than 1000 nights did not happen: Thu 2026-01-01 00:01 +00:00 UTC to Sun 3026-01-01 00:00 +00:00 UTC"
    );
}

#[test]
fn missed_nights_are_told_on_the_clocks_of_the_place() {
    let timetable = schedule().timetable;
    let one = missed(1, "2026-07-01T00:00:00Z", "2026-07-01T00:00:00Z");
    assert_eq!(
        one.sentence(&timetable),
        "1 night did not happen: Wed 2026-07-01 02:00 +02:00 CEST"
    );
}

proptest! {
    /// However the clock jumps: no run has two nights, and every run that the clock has passed is either begun or missed.
    #[test]
    fn every_run_is_begun_or_missed_exactly_once(
        jumps in proptest::collection::vec((0..40_i64 * 24 * 60, proptest::bool::weighted(0.15)), 1..60),
        cron in proptest::sample::select(&["0 2 * * *", "30 2 * * sun", "0 */8 * * *", "15 2 29 * *"][..]),
    ) {
        let mut schedule = schedule();
        schedule.timetable = timetable(cron, "Europe/Berlin");
        let since = time(MADE);
        let (mut now, mut last, mut furthest) = (since, None, since);
        let (mut begun, mut passed_over) = (Vec::new(), 0_u64);
        for (minutes, back) in jumps {
            let by = SignedDuration::from_mins(minutes);
            now = if back { now - by } else { now + by };
            furthest = furthest.max(now);
            let mut asked = 0;
            loop {
                asked += 1;
                prop_assert!(asked < 4, "asks for ever");
                match due(&schedule, last, since, now) {
                    Due::Run { planned, missed, late } => {
                        prop_assert!(planned <= now && planned + SignedDuration::try_from(late).unwrap() == now);
                        passed_over += missed.map_or(0, |missed| u64::from(missed.runs));
                        prop_assert!(missed.is_none_or(|missed| !missed.or_more && missed.last < planned));
                        begun.push(planned);
                        last = Some(planned);
                    }
                    Due::Missed { missed, .. } => {
                        passed_over += u64::from(missed.runs);
                        last = Some(missed.last);
                    }
                    Due::Nothing { next } => {
                        prop_assert!(next.is_some_and(|next| next > now));
                        break;
                    }
                    Due::ClockBehind { passed, .. } => {
                        prop_assert!(passed > now);
                        break;
                    }
                }
            }
        }
        prop_assert!(begun.is_sorted_by(|earlier: &Timestamp, later| earlier < later), "{begun:?}");
        let all = schedule.timetable.upcoming(since, usize::MAX).take_while(|run| run.at <= furthest).count();
        prop_assert_eq!(begun.len() as u64 + passed_over, all as u64);
    }
}
