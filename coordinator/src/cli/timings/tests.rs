//! What files of all forms hold, and what is said of those that hold no timings. Arbitrary ones are in `properties`.

use std::io::{self, Cursor, Read};

use batchstep_core::sweep::REQUIRED_ROUNDS;
use batchstep_inference::Observation;

use super::{Choices, Fault, Plan, Timings, source::Source, unit::Unit};

fn parse(bytes: impl AsRef<[u8]>, choices: &Choices) -> Result<Timings, Fault> {
    Source::new(bytes.as_ref()).and_then(|source| super::parse(source, choices))
}

fn parsed(text: &str) -> Result<Vec<Observation>, String> {
    with(text, &Choices::default())
}

fn with(text: &str, choices: &Choices) -> Result<Vec<Observation>, String> {
    parse(text, choices)
        .map(|timings| timings.observations)
        .map_err(said)
}

fn said(fault: Fault) -> String {
    format!("{}: {}", fault.line.unwrap_or(0), fault.problem)
}

fn columns(batch_size: &str, seconds: &str) -> Choices {
    Choices {
        batch_size_column: Some(batch_size.to_owned()),
        seconds_column: Some(seconds.to_owned()),
        ..Choices::default()
    }
}

fn pairs(observations: &[Observation]) -> Vec<(u32, f64)> {
    observations
        .iter()
        .map(|observation| (observation.batch_size, observation.seconds))
        .collect()
}

#[test]
fn repeats_become_rounds_in_order_of_measurement() {
    let observations =
        parsed("\u{feff}seconds, batch_size,note\r\n0.5,2,a\r\n0.25,1,b\r\n0.6,2.0,c\r\n").unwrap();
    let found: Vec<_> = observations
        .iter()
        .map(|o| (o.batch_size, o.round))
        .collect();
    assert_eq!(found, [(2, 0), (1, 0), (2, 1)]);
}

#[test]
fn a_round_column_is_taken_as_it_is() {
    let observations = parsed("batch_size,seconds,round\n1,1,7\n1,1,7.0\n").unwrap();
    assert!(
        observations
            .iter()
            .all(|observation| observation.round == 7)
    );
}

#[test]
fn one_form_after_the_other_holds_the_same_timings() {
    let expected = [(16, 0.5), (17, 0.75)];
    for text in [
        "16,0.5\n17,0.75\n",
        "16 0.5\n17 0.75",
        "  16   0.5  # warm\r\n  17 \t 0.75\r\n",
        "16\t0.5\r17\t0.75\r",
        "batch_size;seconds\n16;0,5\n17;0,75\n",
        "16 0,5\n17 0,75\n",
        "seconds\tbatch_size\n0.5\t16\n0.75\t17\n",
        "# taken on a Monday\nbatch_size,seconds\n# first\n16,0.5\n\n17,0.75\n",
        "# batch_size seconds\n1.6e1 5.0e-01\n1.7e1 7.5e-01\n",
        "#seconds,batch_size\n0.5,16\n0.75,17\n",
        "\"batch_size\"  seconds\n\"16\" 0.5\n17 \"0.75\"\n",
        "Batch_Size , SECONDS,\n16,0.5,\n17,0.75\n",
    ] {
        assert_eq!(pairs(&parsed(text).unwrap()), expected, "{text}");
    }
    let piped = Choices {
        separator: Some("|".parse().unwrap()),
        ..columns("bs", "3")
    };
    let text = "bs|note|took\n16|a|0.5\n17|b|0.75\n";
    assert_eq!(pairs(&with(text, &piped).unwrap()), expected);
    let swapped = columns("2", "1");
    assert_eq!(
        pairs(&with("0.5 16\n0.75 17\n", &swapped).unwrap()),
        expected
    );
    let one_named = Choices {
        seconds_column: Some("1".to_owned()),
        ..Choices::default()
    };
    assert_eq!(
        pairs(&with("0.5 16\n0.75 17\n", &one_named).unwrap()),
        expected
    );
    let labelled = columns("2", "3");
    assert_eq!(
        pairs(&with("cnn,16,0.5\ncnn,17,0.75\n", &labelled).unwrap()),
        expected
    );
}

#[test]
fn a_separator_that_was_not_seen_is_named() {
    let semicolons = Choices {
        separator: Some("semicolon".parse().unwrap()),
        ..Choices::default()
    };
    for (text, choices, separator) in [
        ("batch_size|seconds\n16|0.5\n", Choices::default(), "|"),
        ("batch_size,seconds\n16,0.5\n", semicolons, "comma"),
    ] {
        let said = with(text, &choices).unwrap_err();
        assert!(said.contains(&format!("--separator {separator}")), "{said}");
    }
}

#[test]
fn units_become_seconds() {
    for (unit, values) in [
        (Unit::Seconds, ["0.5", "0.25"]),
        (Unit::Milliseconds, ["500", "250"]),
        (Unit::Microseconds, ["500000", "250000"]),
        (Unit::Nanoseconds, ["5e8", "2.5e8"]),
        (Unit::SamplesPerSecond, ["32", "68"]),
        (Unit::IterationsPerSecond, ["2", "4"]),
    ] {
        let [one, two] = values;
        for name in unit.column_names().iter().chain(&["seconds"]) {
            let choices = Choices {
                unit: Some(unit),
                ..Choices::default()
            };
            let text = format!("batch_size,{name}\n16,{one}\n17,{two}\n");
            let found = pairs(&with(&text, &choices).unwrap());
            assert_eq!(found, [(16, 0.5), (17, 0.25)], "{unit:?} {name}");
        }
    }
}

#[test]
fn a_name_that_says_another_unit_is_refused_and_never_followed() {
    let text = "bs,latency_ms\n16,500\n";
    let refused = with(text, &columns("bs", "latency_ms")).unwrap_err();
    assert!(refused.contains("add --unit ms, or --unit s"), "{refused}");
    let told = Choices {
        unit: Some(Unit::Milliseconds),
        ..columns("bs", "latency_ms")
    };
    assert_eq!(pairs(&with(text, &told).unwrap()), [(16, 0.5)]);
}

#[test]
fn missing_columns_are_suggested_as_they_would_be_typed() {
    let missing = parsed("batch size,time (ms),note\n1,2,3\n").unwrap_err();
    for part in [
        "1: the header has no column batch_size",
        "1 \"batch size\", 2 \"time (ms)\", 3 \"note\"",
        "--batch-size-column 'batch size' --seconds-column 'time (ms)' --unit ms",
    ] {
        assert!(missing.contains(part), "{missing}");
    }
    let unknown = parsed("a,seconds\n1,2\n").unwrap_err();
    assert!(unknown.ends_with("--batch-size-column NAME"), "{unknown}");
    let bare = parsed("1 2 3\n").unwrap_err();
    assert!(
        bare.contains("3 columns") && bare.contains("--seconds-column 2"),
        "{bare}"
    );
    let double = parsed("seconds,batch_size,seconds\n1,2,3\n").unwrap_err();
    assert!(double.contains("two columns seconds, 1, 3"), "{double}");
    let choices = columns("batch_size", "3");
    assert!(with("seconds,batch_size,seconds\n1,2,3\n", &choices).is_ok());
    let same = with("1 2\n", &columns("1", "1")).unwrap_err();
    assert!(same.contains("both read from column 1"), "{same}");
    let far = with("1 2\n", &columns("1", "3")).unwrap_err();
    assert!(
        far.contains("no column \"3\" for --seconds-column"),
        "{far}"
    );
}

#[test]
fn wrong_values_are_named_with_their_line_after_comments_and_empty_lines() {
    for (text, place) in [
        (
            "batch_size,seconds\n1,0.5\n\n# c\n\n2,x\n",
            "6: column seconds",
        ),
        ("\n\nbatch_size;seconds\r\n\r\n1;y\r\n", "5: column seconds"),
        ("16 0.5\r17 0.5\r18 z", "3: column 2"),
        (
            "batch_size,seconds,n\n1,1,\"a\nb\"\n2,z,c\n",
            "4: column seconds",
        ),
        ("batch_size,seconds\n1,0,5\n", "2: 3 columns where 2 are"),
        ("batch size seconds\n1 0.5\n", "2: 2 columns where 3 are"),
        (
            "batch_size seconds note\n1 0.5\n",
            "2: 2 columns where 3 are",
        ),
        ("batch_size,seconds,n\n1,1,\"a\n2,2,c\n3,3,d", "2: a quote"),
        ("batch_size;seconds\n1;1,500\n2;2,500\n", "2: 1,500 can be"),
        (
            "batch_size;seconds\n1;1,5\n2;2.5\n",
            "3: column seconds: 2.5 has a point",
        ),
        ("batch_size,seconds\n1,\n", "2: column seconds: is empty"),
        (
            "batch_size,seconds\n1,nan\n",
            "2: column seconds: nan is not a time",
        ),
        (
            "batch_size,seconds\n1,1e-400\n",
            "2: column seconds: 1e-400 is not above",
        ),
    ] {
        let choices = match text {
            text if text.starts_with("batch size") => columns("2", "3"),
            _ => Choices::default(),
        };
        let error = with(text, &choices).unwrap_err();
        assert!(error.starts_with(place), "{text}{error}");
    }
}

#[test]
fn other_kinds_of_files_are_recognised() {
    for (bytes, kind) in [
        (&b"\xff\xfeb\0a\0"[..], "UTF-16"),
        (b"\xfe\xff\0b\0a", "UTF-16"),
        (b"b\0a\0t\0", "zero bytes"),
        (b"\x1f\x8b\x08\x00", "gzip"),
        (b"PK\x03\x04", "spreadsheet"),
        (b"\xef\xbb\xbf", "is empty"),
        (b"batch_size,seconds\n1,\xff\n", "2: not UTF-8"),
    ] {
        let error = said(parse(bytes, &Choices::default()).unwrap_err());
        assert!(error.contains(kind), "{error}");
    }
}

#[test]
fn text_without_end_is_refused_in_bounded_memory() {
    let endless = |start: &'static str, byte: u8| {
        let text = Cursor::new(start).chain(io::repeat(byte));
        let timings =
            Source::new(text).and_then(|source| super::parse(source, &Choices::default()));
        said(timings.unwrap_err())
    };
    let start = "batch_size,seconds\n1,0.5\n";
    assert!(endless(start, b'1').starts_with("3: this record has more than 1024 KiB"));
    assert!(endless("", b'\n').contains("the first 64 KiB hold"));
    assert!(endless("batch_size,seconds\n1,\"", b'\n').starts_with("2: this record"));
    // Comments are part of no record, however long.
    let comment = format!("{start}#{}\n2,0.5\n", "x".repeat(3 << 20));
    assert_eq!(parsed(&comment).unwrap().len(), 2);
}

#[test]
fn our_own_blocks_tell_whether_their_iterations_were_fixed() {
    let export = |header: &str, iterations: [u32; 2]| {
        let [one, two] = iterations;
        let text = format!("{header}\n1,1.0,s,measure,{one}\n2,1.0,s,measure,{two}\n");
        parse(text, &Choices::default()).unwrap().export
    };
    let ours = "batch_size,seconds,series_id,role,iterations";
    assert_eq!(export(ours, [200, 200]), Some(Plan::FixedIterations));
    assert_eq!(export(ours, [200, 100]), Some(Plan::Calibrated));
    assert_eq!(export(ours, [1, 1]), Some(Plan::Calibrated));
    let other = "batch_size,seconds,name,role,iterations";
    assert_eq!(export(other, [2, 2]), None);
}

#[test]
fn columns_that_a_file_of_other_origin_shares_with_ours_are_ignored() {
    let text = "batch_size,seconds,role,corrected_seconds,flags,threads,threads\n\
        1,1.0,main,7,throttled,1,1\n2,2.0,,,,,\n";
    assert_eq!(pairs(&parsed(text).unwrap()), [(1, 1.0), (2, 2.0)]);
}

#[test]
fn our_own_throttled_and_drifting_blocks_count_as_in_the_table() {
    let mut text = "series_id,batch_size,role,round,seconds,flags\n".to_owned();
    for round in 0..REQUIRED_ROUNDS + 1 {
        let flags = if round == 0 { "drifting slow" } else { "slow" };
        text.push_str(&format!("s,1,measure,{round},1.{round},{flags}\n"));
    }
    text.push_str("s,2,measure,0,2.0,drifting\ns,3,measure,0,3.0,throttled power_capped\n");
    let observations = parsed(&text).unwrap();
    let of = |size| {
        observations
            .iter()
            .filter(move |observation| observation.batch_size == size)
    };
    // The drifting block gives way where enough others are, and rounds are counted without it.
    assert_eq!(of(1).next().map(|o| (o.round, o.seconds)), Some((0, 1.1)));
    assert_eq!(of(1).count(), REQUIRED_ROUNDS as usize);
    assert_eq!((of(2).count(), of(3).count()), (1, 0));
    let all = "series_id,batch_size,role,seconds,flags\ns,1,measure,1,throttled\n";
    let error = parsed(all).unwrap_err();
    assert!(error.contains("slowed itself down"), "{error}");
}

#[test]
fn our_own_blocks_are_filtered_and_chosen() {
    let text = "series_id,workload,batch_size,role,round,seconds,corrected_seconds,device_seconds\n\
        aa,cnn,1,measure,0,1.0,0.9,0.8\naa,cnn,1,reference,0,9.0,9.0,\nab,linear,1,measure,0,2.0,,\n";
    let error = parsed(text).unwrap_err();
    assert!(
        error.contains("holds 2 series") && error.contains("ab  linear (1 blocks)"),
        "{error}"
    );
    let series = |wanted: &str| Choices {
        series: Some(wanted.to_owned()),
        ..Choices::default()
    };
    assert_eq!(pairs(&with(text, &series("aa")).unwrap()), [(1, 0.9)]);
    assert_eq!(pairs(&with(text, &series("ab")).unwrap()), [(1, 2.0)]);
    assert!(
        with(text, &series("a"))
            .unwrap_err()
            .contains("several series")
    );
    assert!(with(text, &series("x")).unwrap_err().contains("no series"));
    // Another column of seconds, but no other unit.
    let device = Choices {
        seconds_column: Some("device_seconds".to_owned()),
        ..series("aa")
    };
    assert_eq!(pairs(&with(text, &device).unwrap()), [(1, 0.8)]);
    let unit = Choices {
        unit: Some(Unit::Milliseconds),
        ..series("aa")
    };
    assert!(with(text, &unit).unwrap_err().contains("leave out --unit"));
    let none = with("batch_size,seconds\n1,1\n", &series("a")).unwrap_err();
    assert!(none.contains("no series to choose from"), "{none}");
}
