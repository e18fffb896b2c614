//! For arbitrary files: what is written is read, whatever the form, and no bytes at all make the reader panic.

use proptest::prelude::*;

use super::{
    Choices, Fault, Timings,
    choices::{Decimal, Separator},
    source::Source,
    unit::Unit,
};

fn parse(bytes: impl AsRef<[u8]>, choices: &Choices) -> Result<Timings, Fault> {
    Source::new(bytes.as_ref()).and_then(|source| super::parse(source, choices))
}

fn separators() -> impl Strategy<Value = Separator> {
    prop_oneof![
        Just(Separator::COMMA),
        Just(Separator::SEMICOLON),
        Just(Separator::TAB),
        Just(Separator::Blanks),
        Just(Separator::Byte(b'|')),
    ]
}

fn units() -> impl Strategy<Value = Unit> {
    prop_oneof![
        Just(Unit::Seconds),
        Just(Unit::Milliseconds),
        Just(Unit::Microseconds),
        Just(Unit::Nanoseconds),
        Just(Unit::SamplesPerSecond),
        Just(Unit::IterationsPerSecond),
    ]
}

fn choices() -> impl Strategy<Value = Choices> {
    let column = || {
        proptest::option::of(prop_oneof![
            Just("batch_size".to_owned()),
            Just("seconds".to_owned()),
            "[0-3]",
            "\\PC{0,4}"
        ])
    };
    let decimal = proptest::option::of(prop_oneof![Just(Decimal::Point), Just(Decimal::Comma)]);
    (
        proptest::option::of(separators()),
        decimal,
        (column(), column(), column()),
        proptest::option::of(units()),
        proptest::option::of("[a-c]{0,2}"),
    )
        .prop_map(|(separator, decimal, columns, unit, series)| Choices {
            separator,
            decimal,
            batch_size_column: columns.0,
            seconds_column: columns.1,
            round_column: columns.2,
            unit,
            series,
        })
}

/// What files are made of, in any order.
fn scraps() -> impl Strategy<Value = Vec<u8>> {
    let scrap = prop_oneof![
        "[0-9]{1,7}",
        "[0-9]{0,3}[.,][0-9]{0,4}",
        Just("batch_size".to_owned()),
        Just("seconds".to_owned()),
        Just("round".to_owned()),
        Just("series_id,role".to_owned()),
        Just("measure".to_owned()),
        Just("nan".to_owned()),
        Just("-inf".to_owned()),
        Just("1e999".to_owned()),
        "[,;\t |\n\r\"#']{1,3}",
        Just("\n".to_owned()),
        Just("\r\n".to_owned()),
        "\\PC",
    ];
    proptest::collection::vec(scrap, 0..60).prop_map(|scraps| scraps.concat().into_bytes())
}

/// What holds for whatever is read from whatever bytes.
fn check(bytes: &[u8], choices: &Choices) {
    match parse(bytes, choices) {
        Ok(timings) => {
            assert!(!timings.observations.is_empty());
            for observation in timings.observations {
                assert!(observation.batch_size >= 1);
                assert!(observation.seconds.is_finite() && observation.seconds > 0.0);
            }
        }
        Err(fault) => {
            let lines = 1 + bytes.iter().filter(|byte| b"\r\n".contains(byte)).count() as u64;
            assert!(
                fault.line.is_none_or(|line| (1..=lines).contains(&line)),
                "{fault:?}"
            );
            assert!(!fault.problem.to_string().is_empty());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), choices in choices()) {
        check(&bytes, &choices);
    }

    #[test]
    fn no_scraps_of_files_make_it_panic(bytes in scraps(), choices in choices()) {
        check(&bytes, &Choices::default());
        check(&bytes, &choices);
    }

    #[test]
    fn what_is_written_is_read_in_every_form(
        timings in proptest::collection::vec((1_u32..=1 << 20, 1e-7_f64..1e3), 1..40),
        separator in separators(),
        unit in units(),
        (comma, header, mark, returns, comments, told) in any::<(bool, bool, bool, bool, bool, bool)>(),
    ) {
        let comma = comma && separator != Separator::COMMA;
        let between = match separator {
            Separator::Byte(byte) => char::from(byte).to_string(),
            Separator::Blanks => "  ".to_owned(),
        };
        let end = if returns { "\r\n" } else { "\n" };
        let mut text = if mark { "\u{feff}" } else { "" }.to_owned();
        if comments {
            text.push_str("# measured, once; \"as it was");
            text.push_str(end);
        }
        if header {
            text.push_str(&format!("batch_size{between}{}{end}", unit.column_names()[0]));
        }
        for (batch_size, seconds) in &timings {
            let value = match unit {
                Unit::Seconds => *seconds,
                Unit::Milliseconds => seconds * 1e3,
                Unit::Microseconds => seconds * 1e6,
                Unit::Nanoseconds => seconds * 1e9,
                Unit::SamplesPerSecond => f64::from(*batch_size) / seconds,
                Unit::IterationsPerSecond => 1.0 / seconds,
            };
            let mut number = format!("{value:e}");
            if comma {
                number = number.replace('.', ",");
            }
            text.push_str(&format!("{batch_size}{between}{number}{end}"));
        }
        let choices = Choices {
            // A character that nobody expects has to be told.
            separator: (told || separator == Separator::Byte(b'|')).then_some(separator),
            unit: Some(unit),
            ..Choices::default()
        };
        let read = parse(&text, &choices).map_err(|fault| TestCaseError::fail(format!("{fault:?}\n{text}")))?;
        prop_assert_eq!(read.input.timings, timings.len());
        for (observation, (batch_size, seconds)) in read.observations.iter().zip(&timings) {
            prop_assert_eq!(observation.batch_size, *batch_size);
            let relative = (observation.seconds / seconds - 1.0).abs();
            prop_assert!(relative < 1e-12, "{} is not {seconds}\n{text}", observation.seconds);
            prop_assert!(unit != Unit::Seconds || observation.seconds == *seconds);
        }
        prop_assert_eq!(read.observations.len(), timings.len());
    }
}
