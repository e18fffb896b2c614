//! Whatever the nights and the policy: the judge answers, the same each time, of each series, once.

use std::collections::{BTreeMap, BTreeSet};

use batchstep_judge::{
    Books, Environment, Group, Invalidity, Kind, Measurement, Night, Observation, Policy, Property,
    Step, Tonight, judge,
    replay::{Part, alarms},
};
use proptest::prelude::*;

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Period(16.0)),
        1 => Just(Step::Period(24.0)),
        1 => Just(Step::None),
        1 => Just(Step::Unknown),
        1 => any::<f64>().prop_map(Step::Period),
    ]
}

/// Mostly times that could be; a few that could not.
fn time() -> impl Strategy<Value = f64> {
    prop_oneof![
        20 => (-0.01..0.01).prop_map(|noise: f64| -5.0 + noise),
        4 => -5.2..-4.8,
        1 => any::<f64>(),
    ]
}

fn measurement() -> impl Strategy<Value = Measurement> {
    let sizes = prop::collection::btree_map(1_u32..5, time(), 0..4);
    let clock = prop_oneof![3 => Just(Some(1500.0)), 1 => prop::option::of(any::<f64>())];
    (sizes, clock, step()).prop_map(|(log_seconds, sm_clock_mhz, step)| Measurement {
        log_seconds,
        sm_clock_mhz,
        step,
    })
}

fn environment() -> impl Strategy<Value = Environment> {
    let one = |property, values: &'static [&'static str]| {
        let value = prop::option::weighted(0.9, prop::sample::select(values));
        value.prop_map(move |value| value.map(|value| (property, value.to_owned())))
    };
    let driver = one(
        Property::Driver,
        &["1", "1", "1", "1", "1", "1", "1", "1", "1", "2"],
    );
    let workload = one(
        Property::Workload,
        &["a", "a", "a", "a", "a", "a", "a", "a", "a", "a", "a", "b"],
    );
    (driver, workload).prop_map(|(driver, workload)| {
        Environment([driver, workload].into_iter().flatten().collect())
    })
}

fn observation() -> impl Strategy<Value = Observation> {
    let measured = (
        environment(),
        measurement(),
        prop::option::of(measurement()),
    );
    prop_oneof![
        12 => measured.prop_map(|(environment, first, again)| Observation::Measured { environment, first, again }),
        1 => Just(Observation::Missing),
        1 => Just(Observation::Invalid { why: Invalidity::Throttled }),
    ]
}

fn night(series: usize) -> impl Strategy<Value = (u32, BTreeMap<String, Tonight>)> {
    let all = prop::collection::vec(prop::option::weighted(0.95, observation()), series);
    let step = prop_oneof![1 => Just(0_u32), 15 => Just(1), 1 => 2_u32..50];
    (step, all).prop_map(|(step, all)| {
        let series = all
            .into_iter()
            .enumerate()
            .filter_map(|(index, observation)| {
                let tonight = Tonight {
                    group: Group {
                        model: format!("model {}", index / 4),
                        workload: "w".to_owned(),
                    },
                    device: format!("device {index}"),
                    host: format!("host {}", index / 2),
                    observation: observation?,
                };
                Some((index.to_string(), tonight))
            });
        (step, series.collect())
    })
}

fn policy() -> impl Strategy<Value = Policy> {
    let quick = (3_usize..9, 1_usize..4, 0_usize..3, 1_usize..4, 1_usize..6);
    let quick = quick.prop_map(|(learning, hits, more, resolving, days)| Policy {
        learning_nights: learning,
        baseline_nights: learning + more,
        confirming_hits: hits,
        confirming_nights: hits + more,
        resolving_nights: resolving,
        drift_recent: 3,
        drift_before: 5,
        step_nights: learning,
        muted_days: days as u32,
        model_devices: 2,
        outlier_devices: 3,
        ..Policy::default()
    });
    prop_oneof![Just(Policy::default()), quick]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn the_judge_answers_whatever_it_is_shown(
        policy in policy(),
        nights in prop::collection::vec(night(8), 1..50),
        acts in prop::collection::vec((0_usize..60, 0_usize..8, any::<bool>()), 0..4),
    ) {
        prop_assert_eq!(policy.check(), Ok(()));
        let bound = 2 * policy.remembered_nights();
        let mut books = Books::default();
        let mut number = 0;
        let mut open: BTreeSet<(Part, Kind)> = BTreeSet::new();
        let is_left_alone = acts.is_empty();
        for (index, (step, series)) in nights.into_iter().enumerate() {
            number += step;
            let night = Night { number, day: index as i32, series };
            let judgement = judge(&policy, &books, &night);
            prop_assert_eq!(&judgement, &judge(&policy, &books, &night));
            prop_assert!(judgement.series.keys().eq(night.series.keys()));
            for (name, verdicts) in &judgement.series {
                prop_assert!(!verdicts.is_empty(), "{name} has none");
                for verdict in verdicts {
                    prop_assert!(verdict.is_alarm || !verdict.is_told());
                    prop_assert!(!(verdict.is_new && verdict.is_silenced), "{verdict:?}");
                }
            }
            for (name, verdicts) in &judgement.series {
                // What was told is said each night that was judged, until it is over.
                let says = |kind: &Kind| verdicts.iter().any(|verdict| verdict.kind == *kind && verdict.is_alarm);
                let is_judged = !verdicts.iter().any(|verdict| verdict.kind == Kind::Invalid || verdict.kind == Kind::Missing);
                for kind in judgement.books.series[name].told.iter().filter(|_| is_judged) {
                    prop_assert!(says(kind), "{name} {kind:?} {verdicts:?}");
                }
            }
            for book in judgement.books.series.values() {
                prop_assert!(book.entries.len() <= bound);
                prop_assert!(book.entries.is_sorted_by(|one, other| one.night < other.night));
                prop_assert!(book.entries.is_sorted_by_key(|entry| entry.segment));
                prop_assert!(book.entries.iter().all(|entry| entry.level.is_finite()));
            }
            let text = serde_json::to_string(&judgement).unwrap();
            prop_assert_eq!(&serde_json::from_str::<batchstep_judge::Judgement>(&text).unwrap(), &judgement);
            if is_left_alone {
                // What is told is not told again before it was over.
                for (name, verdicts) in &judgement.series {
                    let book = &judgement.books.series[name];
                    let part = Part::Series(name.clone());
                    open.retain(|(of, kind)| *of != part || book.told.contains(kind) || *kind == Kind::ChangedWithEnvironment);
                    for verdict in verdicts.iter().filter(|verdict| verdict.kind == Kind::Resolved) {
                        prop_assert!(!verdict.is_alarm);
                    }
                }
                for (of, verdict) in alarms(&judgement) {
                    if matches!(of, Part::Series(_)) && verdict.kind != Kind::ChangedWithEnvironment {
                        let is_first = open.insert((of.clone(), verdict.kind));
                        let may_be_another = verdict.kind == Kind::StepChanged;
                        prop_assert!(is_first || may_be_another, "{of:?} {verdict:?}");
                    }
                }
            }
            books = judgement.books;
            for (at, series, is_mute) in &acts {
                if let Some(book) = books.series.get_mut(&series.to_string()).filter(|_| *at == index) {
                    if *is_mute { book.mute(&policy, index as i32) } else { book.rebaseline() }
                }
            }
        }
    }
}
