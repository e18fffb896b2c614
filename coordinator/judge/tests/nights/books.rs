//! What is remembered: small, bounded, and not harmed by nights that come in no order.

use batchstep_judge::{
    Book, Books, Invalidity, Kind, Night, Observation, Policy, Reason, Tonight, judge,
};

use crate::{
    LAB,
    simulator::{Happening, What, World, group, series},
    told_by,
};

/// JSON of a series' book after a year of quiet nights, bytes at most.
const QUIET_BYTES: usize = 6_000;

#[test]
fn a_book_does_not_grow() {
    let slow = Happening::new(200, 1, Some(2), What::Slower(0.12)).until(400);
    let slow_model = Happening::new(250, 2, None, What::Slower(0.06));
    let driver = Happening::new(100, 0, Some(1), What::Driver(0.0));
    let mut world = World::new(
        crate::simulator::Lab {
            models: 3,
            devices: 4,
            ..LAB
        },
        1,
    );
    let bound = 2 * Policy::default().remembered_nights();
    for _ in 0..365 {
        let _ = world.next(&[slow, slow_model, driver]);
        for book in world.books.series.values() {
            assert!(
                book.entries.len() <= bound,
                "{} entries",
                book.entries.len()
            );
        }
    }
    let bytes = |name: &str| serde_json::to_vec(&world.books.series[name]).unwrap().len();
    let (quiet, open) = (bytes(&series(0, 0)), bytes(&series(1, 2)));
    assert!(quiet <= QUIET_BYTES, "{quiet} bytes of a quiet series");
    assert!(
        open <= 2 * QUIET_BYTES,
        "{open} bytes of a series with an open alarm"
    );
    println!("{quiet} bytes of a quiet series, {open} of one with an open alarm");
}

#[test]
fn books_are_read_as_they_were_written() {
    let mut world = World::new(LAB, 1);
    let slow = Happening::new(30, 1, None, What::Slower(0.12));
    told_by(&mut world, &[slow], 35);
    let text = serde_json::to_string(&world.books).unwrap();
    assert_eq!(serde_json::from_str::<Books>(&text).unwrap(), world.books);
    assert_eq!(serde_json::from_str::<Book>("{}").unwrap(), Book::default());
}

#[test]
fn a_night_that_is_not_later_is_not_judged_and_not_remembered() {
    let mut world = World::new(LAB, 1);
    told_by(&mut world, &[], 30);
    let before = world.books.clone();
    for night in [1, 12, 30] {
        world.night = night - 1;
        let judgement = world.next(&[]);
        for verdicts in judgement.series.values() {
            let all: Vec<_> = verdicts
                .iter()
                .map(|verdict| (verdict.kind, verdict.reason))
                .collect();
            assert_eq!(all, [(Kind::Invalid, Reason::OutOfOrder)]);
        }
        assert_eq!(judgement.books, before);
    }
    world.night = 400;
    assert_eq!(told_by(&mut world, &[], 402), [], "a gap is no alarm");
}

#[test]
fn every_series_has_a_verdict_whatever_it_reports() {
    let observations = [
        Observation::Missing,
        Observation::Invalid {
            why: Invalidity::Contended,
        },
        Observation::Measured {
            environment: batchstep_judge::Environment::default(),
            first: batchstep_judge::Measurement {
                log_seconds: [(1, f64::NAN)].into(),
                sm_clock_mhz: Some(-1.0),
                step: batchstep_judge::Step::Period(f64::INFINITY),
            },
            again: None,
        },
    ];
    let tonight = |(index, observation): (usize, &Observation)| {
        let tonight = Tonight {
            group: group(0),
            device: format!("device {index}"),
            host: "host".to_owned(),
            observation: observation.clone(),
        };
        (index.to_string(), tonight)
    };
    let night = Night {
        number: 1,
        day: 0,
        series: observations.iter().enumerate().map(tonight).collect(),
    };
    let judgement = judge(&Policy::default(), &Books::default(), &night);
    let kinds: Vec<_> = judgement
        .series
        .values()
        .map(|verdicts| verdicts[0].reason)
        .collect();
    assert_eq!(
        kinds,
        [Reason::Deadline, Reason::Contended, Reason::Incomplete]
    );
}
