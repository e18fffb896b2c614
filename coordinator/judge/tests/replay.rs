//! A history judged again: as it was, and as if a device had become slower.

use batchstep_judge::{
    Environment, Group, Kind, Measurement, Observation, Policy, Property, Step, Tonight,
    replay::{Injection, Line, Part, nights, replay},
};

/// Forty quiet nights of four devices: each with its own small, regular noise, and no second measurement.
fn history() -> Vec<Line> {
    let mut lines = Vec::new();
    for night in 1..=40_u32 {
        for device in 0..4_u32 {
            let noise = f64::from((night * 7 + device * 3) % 11) / 1000.0 - 0.005;
            let log_seconds = [32_u32, 64].map(|size| (size, f64::from(size).ln() - 9.0 + noise));
            let first = Measurement {
                log_seconds: log_seconds.into(),
                sm_clock_mhz: None,
                step: Step::None,
            };
            let environment = Environment([(Property::Driver, "580".to_owned())].into());
            let tonight = Tonight {
                group: Group {
                    model: "model".to_owned(),
                    workload: "linear".to_owned(),
                },
                device: format!("GPU-{device}"),
                host: "host".to_owned(),
                observation: Observation::Measured {
                    environment,
                    first,
                    again: None,
                },
            };
            lines.push(Line {
                night,
                day: 100 + night.cast_signed(),
                series: format!("linear on {device}"),
                tonight,
            });
        }
    }
    lines
}

#[test]
fn a_quiet_history_is_quiet_and_a_shift_put_into_it_is_found_on_its_second_night() {
    let nights = nights(history());
    let policy = Policy::default();
    assert_eq!(replay(&policy, &nights, &[]), []);
    let into = Part::Device("GPU-2".to_owned());
    let injection = Injection {
        into,
        from: 30,
        shift: 0.08,
    };
    let told = replay(&policy, &nights, &[injection]);
    assert_eq!(told.len(), 1);
    assert_eq!((told[0].night, told[0].verdict.kind), (31, Kind::Confirmed));
    assert_eq!(told[0].of, Part::Series("linear on 2".to_owned()));
    let all = Injection {
        into: Part::Host("host".to_owned()),
        from: 30,
        shift: 0.08,
    };
    let told = replay(&policy, &nights, &[all]);
    assert_eq!(told.len(), 1);
    assert_eq!((told[0].night, told[0].verdict.kind), (31, Kind::ModelWide));
}

#[test]
fn lines_may_come_in_any_order_and_as_json() {
    let mut lines = history();
    let in_order = nights(lines.clone());
    lines.reverse();
    let text: Vec<String> = lines
        .iter()
        .map(|line| serde_json::to_string(line).unwrap())
        .collect();
    assert!(text[0].contains(r#""series":"linear on 3""#), "{}", text[0]);
    let read = text
        .iter()
        .map(|text| serde_json::from_str::<Line>(text).unwrap());
    assert_eq!(nights(read), in_order);
}
