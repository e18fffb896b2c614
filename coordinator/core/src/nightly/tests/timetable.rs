//! Runs on the days when the clocks change.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp, ToSpan as _, civil::DateTime, tz::TimeZone};
use proptest::prelude::*;

use super::{time, timetable};
use crate::{calendar::Zone, nightly::Timetable};

/// The next `count` runs, as people read them.
fn upcoming(timetable: &Timetable, after: &str, count: usize) -> Vec<String> {
    let line = |run: crate::nightly::Upcoming| match run.note {
        Some(note) => format!("{} ({note})", run.local),
        None => run.local,
    };
    timetable.upcoming(time(after), count).map(line).collect()
}

#[test]
fn berlin_skips_an_hour_and_repeats_one() {
    let early = timetable("30 2 * * *", "Europe/Berlin");
    assert_eq!(
        upcoming(&early, "2026-03-27T12:00:00Z", 3),
        [
            "Sat 2026-03-28 02:30 +01:00 CET",
            "Sun 2026-03-29 03:00 +02:00 CEST (02:30 does not exist on this day: clocks go from 02:00 to 03:00)",
            "Mon 2026-03-30 02:30 +02:00 CEST",
        ]
    );
    assert_eq!(
        upcoming(&early, "2026-10-24T12:00:00Z", 2),
        [
            "Sun 2026-10-25 02:30 +02:00 CEST (02:30 comes twice on this day: this is the first)",
            "Mon 2026-10-26 02:30 +01:00 CET",
        ]
    );
}

#[test]
fn new_york_changes_at_two() {
    let at_two = timetable("0 2 * * *", "America/New_York");
    assert_eq!(
        upcoming(&at_two, "2026-03-08T00:00:00Z", 2),
        [
            "Sun 2026-03-08 03:00 -04:00 EDT (02:00 does not exist on this day: clocks go from 02:00 to 03:00)",
            "Mon 2026-03-09 02:00 -04:00 EDT",
        ]
    );
    // 02:00 itself comes once in autumn; the hour before it twice.
    assert_eq!(
        upcoming(&at_two, "2026-11-01T00:00:00Z", 1),
        ["Sun 2026-11-01 02:00 -05:00 EST"]
    );
    let at_one = timetable("0 1 * * *", "America/New_York");
    assert_eq!(
        upcoming(&at_one, "2026-11-01T00:00:00Z", 2),
        [
            "Sun 2026-11-01 01:00 -04:00 EDT (01:00 comes twice on this day: this is the first)",
            "Mon 2026-11-02 01:00 -05:00 EST",
        ]
    );
}

#[test]
fn lord_howe_moves_by_half_an_hour_and_has_no_letters() {
    let nightly = timetable("15 2 * * *", "Australia/Lord_Howe");
    assert_eq!(
        upcoming(&nightly, "2026-10-03T12:00:00Z", 2),
        [
            "Sun 2026-10-04 02:30 +11:00 (02:15 does not exist on this day: clocks go from 02:00 to 02:30)",
            "Mon 2026-10-05 02:15 +11:00",
        ]
    );
    let repeated = timetable("45 1 * * *", "Australia/Lord_Howe");
    assert_eq!(
        upcoming(&repeated, "2026-04-04T12:00:00Z", 2),
        [
            "Sun 2026-04-05 01:45 +11:00 (01:45 comes twice on this day: this is the first)",
            "Mon 2026-04-06 01:45 +10:30",
        ]
    );
}

#[test]
fn sydney_has_its_summer_in_winter() {
    let nightly = timetable("30 2 * * *", "Australia/Sydney");
    assert_eq!(
        upcoming(&nightly, "2026-04-04T12:00:00Z", 1),
        ["Sun 2026-04-05 02:30 +11:00 AEDT (02:30 comes twice on this day: this is the first)"]
    );
    assert_eq!(
        upcoming(&nightly, "2026-10-03T12:00:00Z", 1),
        [
            "Sun 2026-10-04 03:00 +11:00 AEDT (02:30 does not exist on this day: clocks go from 02:00 to 03:00)"
        ]
    );
}

#[test]
fn many_times_that_are_skipped_run_once() {
    let quarters = timetable("*/15 * * * *", "Europe/Berlin");
    let runs: Vec<String> = quarters
        .upcoming(time("2026-03-29T00:44:00Z"), 4)
        .map(|run| run.at.to_string())
        .collect();
    assert_eq!(
        runs,
        [
            "2026-03-29T00:45:00Z",
            "2026-03-29T01:00:00Z",
            "2026-03-29T01:15:00Z",
            "2026-03-29T01:30:00Z"
        ]
    );
}

#[test]
fn the_last_run_is_found_however_long_ago() {
    let last = |cron, until| timetable(cron, "UTC").last_until(time(until));
    let noon = "2026-11-26T12:00:00Z";
    assert_eq!(last("0 12 * * *", noon), Some(time(noon)));
    assert_eq!(last("* * * * *", "2026-11-26T12:00:30Z"), Some(time(noon)));
    assert_eq!(last("0 0 29 2 *", noon), Some(time("2024-02-29T00:00:00Z")));
    assert_eq!(
        last("0 0 29 2 *", "2104-02-28T00:00:00Z"),
        Some(time("2096-02-29T00:00:00Z"))
    );
}

#[test]
fn the_ends_of_the_calendar_are_no_trouble() {
    let nightly = timetable("0 2 * * *", "Pacific/Auckland");
    assert_eq!(nightly.next_after(Timestamp::MAX), None);
    assert!(nightly.next_after(Timestamp::MIN).is_some());
    assert!(nightly.last_until(Timestamp::MAX).is_some());
    assert_eq!(nightly.last_until(Timestamp::MIN), None);
    // A whole day was left out here.
    let apia = timetable("0 2 * * *", "Pacific/Apia");
    let runs: Vec<String> = apia
        .upcoming(time("2011-12-29T13:00:00Z"), 2)
        .map(|run| run.local)
        .collect();
    assert_eq!(
        runs,
        ["Sat 2011-12-31 00:00 +14:00", "Sat 2011-12-31 02:00 +14:00"]
    );
}

/// One field as a list of items, which is its text and what it allows.
#[derive(Debug, Clone)]
struct Numbers {
    text: String,
    allowed: BTreeSet<u8>,
}

fn numbers(first: u8, last: u8) -> impl Strategy<Value = Numbers> {
    let everything = Just(("*".to_owned(), (first..=last).collect::<Vec<u8>>()));
    let stepped = (1..=last).prop_map(move |step| {
        let allowed = (first..=last).step_by(step.into()).collect();
        (format!("*/{step}"), allowed)
    });
    let one = (first..=last).prop_map(|one| (one.to_string(), vec![one]));
    let range = (first..=last, first..=last, 1..=last).prop_map(|(a, b, step)| {
        let (a, b) = (a.min(b), a.max(b));
        let allowed = (a..=b).step_by(step.into()).collect();
        (format!("{a}-{b}/{step}"), allowed)
    });
    let item = prop_oneof![one, range];
    let list = proptest::collection::vec(item, 1..4).prop_map(|items| {
        let texts: Vec<String> = items.iter().map(|(text, _)| text.clone()).collect();
        let allowed = items.into_iter().flat_map(|(_, allowed)| allowed).collect();
        (texts.join(","), allowed)
    });
    let field = prop_oneof![4 => everything, 1 => stepped, 4 => list];
    field.prop_map(|(text, allowed): (String, Vec<u8>)| Numbers {
        text,
        allowed: allowed.into_iter().collect(),
    })
}

/// What is allowed, spelled out for one minute on the wall.
fn is_allowed([minute, hour, day, month, weekday]: &[Numbers; 5], wall: DateTime) -> bool {
    let has = |field: &Numbers, number: i8| field.allowed.contains(&number.unsigned_abs());
    let of_week = wall.date().weekday().to_sunday_zero_offset();
    let is_weekday = has(weekday, of_week) || of_week == 0 && has(weekday, 7);
    let is_day = has(day, wall.day());
    let given = |field: &Numbers| !field.text.starts_with('*');
    let day_is_right = if given(day) && given(weekday) {
        is_day || is_weekday
    } else {
        is_day && is_weekday
    };
    has(minute, wall.minute()) && has(hour, wall.hour()) && has(month, wall.month()) && day_is_right
}

/// Looks at the clock every minute: a run is whenever it shows, or has just skipped, an allowed time for the first time.
fn watch(fields: &[Numbers; 5], zone: &Zone, from: Timestamp, minutes: i64) -> Vec<Timestamp> {
    let mut shown = zone.wall(from);
    // The clocks may repeat what they showed before the watch began.
    for back in 0..180 {
        shown = shown.max(zone.wall(from - SignedDuration::from_mins(back)));
    }
    let mut runs = Vec::new();
    for minute in 1..=minutes {
        let at = from + SignedDuration::from_mins(minute);
        let wall = zone.wall(at);
        let mut runs_now = false;
        while shown < wall {
            shown = shown.checked_add(1.minute()).unwrap();
            runs_now |= is_allowed(fields, shown);
        }
        if runs_now {
            runs.push(at);
        }
    }
    runs
}

const ZONES: [&str; 9] = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "Australia/Sydney",
    "Asia/Kathmandu",
    "Antarctica/Troll",
    "America/Santiago",
    "Africa/Cairo",
];

proptest! {
    /// Every run that somebody who watches the clock would see, and no other.
    #[test]
    fn runs_are_those_of_a_watched_clock(
        fields in [numbers(0, 59), numbers(0, 23), numbers(1, 31), numbers(1, 12), numbers(0, 7)].prop_map(|fields| fields),
        zone in proptest::sample::select(&ZONES[..]),
        near in 0..8_usize,
        hours_before in 0..60_i64,
    ) {
        let change = TimeZone::get(zone).unwrap().following(time("2025-06-01T00:00:00Z")).nth(near).map(|change| change.timestamp());
        // Compiled time zones end with a change that is none, in the middle of a minute.
        let change = change.filter(|change| change.as_second() % 60 == 0);
        let zone: Zone = zone.parse().unwrap();
        let text = fields.each_ref().map(|field| field.text.as_str()).join(" ");
        let Ok(cron) = text.parse() else {
            // It never runs.
            return Ok(());
        };
        // Most watches are near a change of the clocks.
        let from = change.unwrap_or(time("2026-02-27T12:00:00Z")) - SignedDuration::from_hours(hours_before);
        let minutes = 4 * 24 * 60;
        let until = from + SignedDuration::from_mins(minutes);
        let timetable = Timetable { cron, zone };
        let mut runs = Vec::new();
        let mut last = from;
        while let Some(run) = timetable.next_after(last).filter(|run| *run <= until) {
            runs.push(run);
            last = run;
        }
        let watched = watch(&fields, &timetable.zone, from, minutes);
        prop_assert_eq!(&runs, &watched, "{}", text);
        if let Some(last) = watched.last() {
            prop_assert_eq!(timetable.last_until(until), Some(*last));
        }
    }
}
