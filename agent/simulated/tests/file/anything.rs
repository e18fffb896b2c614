//! Whatever the file says, reading it and running what it describes ends in an answer.

use proptest::prelude::*;

use super::{EXAMPLE, parse, round};

/// Values that a field may be given, most of them wrong for it.
fn value() -> impl Strategy<Value = String> {
    let number = prop_oneof![
        any::<i64>().prop_map(|number| number.to_string()),
        (-2.0..2.0).prop_map(|number: f64| format!("{number:?}")),
        any::<f64>().prop_map(|number| {
            if number.is_finite() {
                format!("{number:e}")
            } else {
                "nan".to_owned()
            }
        }),
        Just("inf".to_owned()),
        Just("0".to_owned()),
        (1_u32..200).prop_map(|number| number.to_string()),
    ];
    prop_oneof![
        8 => number,
        1 => Just("\"instant\"".to_owned()),
        1 => Just("[1, 2, 300]".to_owned()),
        1 => Just("true".to_owned()),
        1 => Just("{}".to_owned()),
    ]
}

/// The example with some of its numbers and words replaced.
fn mutated() -> impl Strategy<Value = String> {
    let places: Vec<(usize, usize)> = EXAMPLE
        .match_indices("= ")
        .map(|(at, _)| {
            let from = at + 2;
            let length = EXAMPLE[from..]
                .find([',', '\n', ' ', '}', ']'])
                .unwrap_or(0);
            (from, from + length)
        })
        .collect();
    let one = (prop::sample::select(places), value());
    prop::collection::vec(one, 1..4).prop_map(|mut changes| {
        changes.sort_by_key(|((from, _), _)| std::cmp::Reverse(*from));
        changes.dedup_by_key(|((from, _), _)| *from);
        let mut text = EXAMPLE.to_owned();
        for ((from, to), value) in changes {
            text.replace_range(from..to, &value);
        }
        text
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_text_is_read_or_refused(text in "\\PC*") {
        let _ = parse(&text);
    }

    #[test]
    fn any_values_are_refused_with_a_place_or_give_devices_that_run(text in mutated()) {
        match parse(&text) {
            Err(said) => prop_assert!(said.starts_with("lab/devices.toml: "), "{said}"),
            Ok(simulation) => {
                for device in &simulation.devices {
                    let mut machine = device.machine();
                    for workload in ["cnn", "linear"] {
                        let steps = machine.run(&round(workload, &[1, 24, 17, 1 << 20, 40]));
                        prop_assert!(steps.len() <= 20);
                    }
                }
            }
        }
    }
}
