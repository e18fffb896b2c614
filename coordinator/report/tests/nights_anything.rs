//! Whatever is on record, the pictures of nights are well-formed, lie within their borders, and no text covers another.

// Helpers of tests may fail loudly as well.
#![allow(clippy::unwrap_used)]

mod common;

use batchstep_report::{
    Acknowledgement, Hit, NightPoint, NightStep, SeriesHistory, Unjudged, devices_picture,
    history_picture, nights_html,
};
use common::nights::date_of;
use common::svg::{check, check_texts};
use proptest::collection::vec;
use proptest::option::{of, weighted};
use proptest::prelude::*;

/// Names as people give them, and some that nobody should.
fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z]{1,9} [0-9]{1,2}",
        "[A-Za-z0-9<>&\"' =,.-]{0,150}",
        "\\PC{0,40}",
    ]
}

fn seconds() -> impl Strategy<Value = f64> {
    prop_oneof![
        8 => 0.0195..0.0205,
        2 => 0.02..0.03,
        1 => 1e-6..10.0,
        1 => any::<f64>(),
    ]
}

fn date(number: u32) -> impl Strategy<Value = String> {
    prop_oneof![
        60 => Just(date_of(number)),
        1 => (1_u32..2000).prop_map(date_of),
        1 => name(),
    ]
}

fn unjudged() -> impl Strategy<Value = Unjudged> {
    (any::<bool>(), name()).prop_map(|(is_missing, reason)| {
        if is_missing {
            Unjudged::Missing { reason }
        } else {
            Unjudged::Invalid { reason }
        }
    })
}

fn step() -> impl Strategy<Value = NightStep> {
    prop_oneof![
        8 => Just(NightStep::Period(16.0)),
        1 => any::<f64>().prop_map(NightStep::Period),
        1 => (1_u32..200).prop_map(|step| NightStep::Period(f64::from(step) / 3.0)),
        1 => Just(NightStep::None),
        1 => Just(NightStep::Unknown),
    ]
}

fn night(number: u32) -> impl Strategy<Value = NightPoint> {
    let judged = (
        weighted(0.95, seconds()),
        weighted(0.1, unjudged()),
        weighted(0.8, (seconds(), 0.0..0.1)),
        weighted(0.1, any::<bool>()),
        name(),
        weighted(0.1, Just(())),
    );
    let said = (
        weighted(0.03, (name(), name())),
        weighted(0.05, vec(name(), 1..3)),
    );
    (date(number), judged, step(), said).prop_map(
        move |(date, (seconds, unjudged, base, hit, verdict, alarm), step, (word, changes))| {
            NightPoint {
                number,
                date,
                seconds,
                unjudged,
                baseline: base.map(|(baseline, _)| baseline),
                band: base.map(|(level, gate)| [level * (1.0 - gate), level * (1.0 + gate)]),
                hit: hit.map(|is_slower| if is_slower { Hit::Slower } else { Hit::Faster }),
                verdict,
                is_alarm: alarm.is_some(),
                step,
                acknowledgement: word.map(|(by, reason)| Acknowledgement { by, reason }),
                segment: 0,
                changes: changes.unwrap_or_default(),
            }
        },
    )
}

fn series() -> impl Strategy<Value = SeriesHistory> {
    let nights = (1_u32..500, vec(1_u32..4, 0..70)).prop_flat_map(|(first, distances)| {
        let numbers = distances.into_iter().scan(first, |number, distance| {
            *number += distance;
            Some(*number)
        });
        numbers.map(night).collect::<Vec<_>>()
    });
    (of(name()), name(), name(), name(), name(), nights).prop_map(
        |(schedule, device, host, model, workload, nights)| SeriesHistory {
            schedule: schedule.unwrap_or_default(),
            device,
            host,
            model,
            workload,
            setting: "train f32".to_owned(),
            nights,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(48) })]

    #[test]
    fn any_history_is_a_legible_picture(series in series()) {
        let svg = history_picture(&series, None);
        check("series", &svg);
        check_texts("series", &svg);
    }

    #[test]
    fn any_devices_are_legible_beside_each_other(all in vec(series(), 1..5)) {
        let all: Vec<SeriesHistory> = all
            .iter()
            .map(|series| SeriesHistory {
                schedule: String::new(),
                model: all[0].model.clone(),
                workload: all[0].workload.clone(),
                ..series.clone()
            })
            .collect();
        let svg = devices_picture(&all, None);
        check("devices", &svg);
        check_texts("devices", &svg);
        prop_assert!(nights_html(&all, None).ends_with("</html>"));
    }
}
