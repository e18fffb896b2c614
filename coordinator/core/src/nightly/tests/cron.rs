//! What is an expression and what is none.

use crate::nightly::Cron;

/// The next `count` times on the wall.
fn times(cron: &str, from: &str, count: usize) -> Vec<String> {
    let cron: Cron = cron.parse().unwrap();
    let mut wall = from.parse().unwrap();
    let mut times = Vec::new();
    for _ in 0..count {
        wall = cron.at_or_after(wall).unwrap();
        times.push(wall.strftime("%a %Y-%m-%d %H:%M").to_string());
        wall = wall.checked_add(jiff::Span::new().minutes(1)).unwrap();
    }
    times
}

#[test]
fn fields_are_numbers_names_ranges_steps_and_lists() {
    assert_eq!(
        times("10-30/10,5 1,20-22/2 * * *", "2026-06-01T00:00", 9),
        [
            "Mon 2026-06-01 01:05",
            "Mon 2026-06-01 01:10",
            "Mon 2026-06-01 01:20",
            "Mon 2026-06-01 01:30",
            "Mon 2026-06-01 20:05",
            "Mon 2026-06-01 20:10",
            "Mon 2026-06-01 20:20",
            "Mon 2026-06-01 20:30",
            "Mon 2026-06-01 22:05",
        ]
    );
    assert_eq!(
        times("0 2 * JAN,mar-Apr Sat-sun", "2026-01-31T00:00", 3),
        [
            "Sat 2026-01-31 02:00",
            "Sun 2026-03-01 02:00",
            "Sat 2026-03-07 02:00"
        ]
    );
    for sunday in ["0", "7", "sun", "7,0"] {
        let cron = format!("0 0 * * {sunday}");
        assert_eq!(
            times(&cron, "2026-11-26T12:00", 1),
            ["Sun 2026-11-29 00:00"]
        );
    }
    assert_eq!(
        times("0 0 * * 5-7", "2026-11-26T00:00", 4),
        [
            "Fri 2026-11-27 00:00",
            "Sat 2026-11-28 00:00",
            "Sun 2026-11-29 00:00",
            "Fri 2026-12-04 00:00"
        ]
    );
}

#[test]
fn a_day_of_the_month_or_a_weekday_is_enough_where_both_are_given() {
    assert_eq!(
        times("0 2 13 * fri", "2026-11-01T00:00", 4),
        [
            "Fri 2026-11-06 02:00",
            "Fri 2026-11-13 02:00",
            "Fri 2026-11-20 02:00",
            "Fri 2026-11-27 02:00"
        ]
    );
    // A step over everything gives no day: both must agree.
    assert_eq!(
        times("0 2 13 * */5", "2026-11-01T00:00", 2),
        ["Fri 2026-11-13 02:00", "Sun 2026-12-13 02:00"]
    );
}

#[test]
fn months_end_and_leap_days_come() {
    assert_eq!(
        times("0 2 31 * *", "2026-01-31T03:00", 3),
        [
            "Tue 2026-03-31 02:00",
            "Sun 2026-05-31 02:00",
            "Fri 2026-07-31 02:00"
        ]
    );
    assert_eq!(
        times("0 0 29 2 *", "2026-01-01T00:00", 2),
        ["Tue 2028-02-29 00:00", "Sun 2032-02-29 00:00"]
    );
    // 2100 has none.
    assert_eq!(
        times("0 0 29 2 *", "2096-03-01T00:00", 1),
        ["Fri 2104-02-29 00:00"]
    );
    // On a weekend, across 2100.
    assert_eq!(
        times("0 0 29 2 */6", "2080-03-01T00:00", 2),
        ["Sun 2088-02-29 00:00", "Sat 2116-02-29 00:00"]
    );
}

#[test]
fn the_calendar_ends() {
    let daily: Cron = "@daily".parse().unwrap();
    assert_eq!(daily.at_or_after("9999-12-31T00:01".parse().unwrap()), None);
}

#[test]
fn shorthands_stand_for_expressions() {
    for (shorthand, fields) in [
        ("@hourly", "0 * * * *"),
        ("@daily", "0 0 * * *"),
        ("@Midnight", "0 0 * * *"),
        ("@weekly", "0 0 * * 0"),
        ("@monthly", "0 0 1 * *"),
        ("@yearly", "0 0 1 1 *"),
        ("@annually", "0 0 1 1 *"),
    ] {
        let from = "2026-11-26T12:34";
        assert_eq!(times(shorthand, from, 5), times(fields, from, 5));
    }
}

#[test]
fn an_expression_is_written_as_it_was_read() {
    for text in ["0 2 * * mon-fri", "@daily", "*/15  2 * * *"] {
        let cron: Cron = format!(" {text} ").parse().unwrap();
        assert_eq!(cron.to_string(), text);
        let json = serde_json::to_string(&cron).unwrap();
        assert_eq!(json, format!("{text:?}"));
        assert_eq!(serde_json::from_str::<Cron>(&json).unwrap(), cron);
    }
    assert!(serde_json::from_str::<Cron>("\"0 25 * * *\"").is_err());
}

#[test]
fn what_is_none_is_told_with_its_field_and_an_example() {
    let long = format!("{}0 2 * * *", "0,".repeat(200));
    for (text, problem) in [
        ("", "0 fields instead of 5"),
        ("0 2 * *", "4 fields instead of 5"),
        ("0 0 2 * * *", "6 fields instead of 5"),
        ("60 2 * * *", "field minute: 60 is not between 0 and 59"),
        ("0 25 * * *", "field hour: 25 is not between 0 and 23"),
        (
            "0 2 0 * *",
            "field day of the month: 0 is not between 1 and 31",
        ),
        ("0 2 * 13 *", "field month: 13 is not between 1 and 12"),
        ("0 2 * * 8", "field weekday: 8 is not between 0 and 7"),
        ("0 2 * * 1000", "field weekday: 1000 is not between 0 and 7"),
        ("0 2 * * 99999999", "field weekday: \"99999999\" is not one"),
        ("0 2 * * funday", "field weekday: \"funday\" is not one"),
        ("0 2 * mon *", "field month: \"mon\" is not one"),
        ("0 -2 * * *", "field hour: \"\" is not one"),
        ("0 +2 * * *", "field hour: \"+2\" is not one"),
        ("0 2,,3 * * *", "field hour: \"\" is not one"),
        ("0 5-2 * * *", "field hour: \"5-2\" ends before it begins"),
        (
            "*/0 2 * * *",
            "field minute: \"0\" is not a step between 1 and 59",
        ),
        ("*/ 2 * * *", "field minute: \"\" is not a step"),
        (
            "5/10 2 * * *",
            "field minute: \"5/10\" steps from where to where? write 5-59/10",
        ),
        ("0 2 L * *", "field day of the month: \"L\" is not one"),
        ("0 2 30 2 *", "no year has a day 30 in month 2"),
        (
            "0 2 31 4,6,9,nov */2",
            "no year has a day 31 in month 4,6,9,nov",
        ),
        ("@reboot", "the shorthands are @hourly"),
        ("0 2 * * ②", "field weekday: \"②\" is not one"),
        (&long, "longer than 256 bytes"),
    ] {
        let error = text.parse::<Cron>().unwrap_err().to_string();
        assert!(error.contains(problem), "{text}: {error}");
        assert!(error.contains("such as \"0 2 * * *\""), "{text}: {error}");
    }
    // Any weekday will do beside a date that never comes.
    assert!("0 2 30 2 mon".parse::<Cron>().is_ok());
}
