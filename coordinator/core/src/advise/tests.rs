//! Advice from rows that simulated devices measured, with laws whose right answers are known.

use super::*;
use crate::{
    steptable::{DetailedRow, SeriesResult, Verdict, rows},
    sweep::{
        SeriesPlan,
        simulator::{Simulator, plan, spec},
    },
};

const MIB: u64 = 1 << 20;

/// 20 ms, 10 ms for every `step` samples begun, and 0.02 ms for every sample.
fn waves(step: f64) -> impl Fn(u32) -> f64 {
    move |size| 0.02 + 0.01 * (f64::from(size) / step - 1e-9).ceil() + 2e-5 * f64::from(size)
}

/// The row of a noiseless device; a batch needs 100 MiB and 10 MiB for every sample.
fn measured(
    sizes: &str,
    law: impl Fn(u32) -> f64,
    change: impl Fn(&mut SeriesPlan),
) -> DetailedRow {
    let mut plan = plan(spec(sizes, 900), "SIM-a");
    change(&mut plan);
    let mut device = Simulator::new(law);
    device.noise = 0.0;
    let (mut history, _) = device.run(&plan);
    for block in history
        .rounds
        .iter_mut()
        .flat_map(|record| &mut record.blocks)
    {
        block.peak_memory_bytes = Some(MIB * (100 + 10 * u64::from(block.batch_size)));
    }
    let result = SeriesResult {
        plan: &plan,
        history: &history,
        finished: true,
        cancelled: false,
        message: None,
    };
    rows(&[result], true).remove(0)
}

fn stepped(step: f64) -> DetailedRow {
    let row = measured("1-96", waves(step), |_| ());
    assert_eq!(row.row.verdict, Verdict::Step, "{}", row.row.reason);
    row
}

fn near(row: &DetailedRow, size: u32) -> Advice {
    let question = Question {
        near: Some(size),
        at_most_memory: None,
    };
    advise(row, question).unwrap()
}

fn close(found: Option<f64>, expected: f64) -> bool {
    found.is_some_and(|found| (found / expected - 1.0).abs() < 0.01)
}

#[test]
fn a_size_just_above_a_good_one_is_told_what_it_costs_and_what_is_better() {
    let (row, law) = (stepped(16.0), waves(16.0));
    let advice = near(&row, 34);
    let asked = advice.near.unwrap();
    assert_eq!((advice.basis, asked.is_good), (Basis::Step, Some(false)));
    let (below, above) = (asked.below.unwrap(), asked.above.unwrap());
    assert_eq!((below.facts.batch_size, above.facts.batch_size), (32, 48));
    assert!(close(below.time_ratio, law(34) / law(32)), "{below:?}");
    assert!((below.samples_ratio - 34.0 / 32.0).abs() < 1e-12);
    assert!(close(
        above.cost_per_sample_ratio,
        law(34) / law(48) * 48.0 / 34.0
    ));
    assert_eq!(advice.advised_batch_sizes, [32, 48]);
    assert!(close(asked.facts.seconds, law(34)));
    assert_eq!(asked.facts.seconds_source, Some(Source::Fitted));
}

#[test]
fn a_size_just_below_a_good_one_is_sent_up_only_and_a_good_one_stays() {
    let row = stepped(16.0);
    assert_eq!(near(&row, 47).advised_batch_sizes, [48]);
    let good = near(&row, 48);
    assert_eq!(good.advised_batch_sizes, [48]);
    let asked = good.near.unwrap();
    assert_eq!(asked.is_good, Some(true));
    assert!(close(
        asked.facts.next_sample_cost.map(|cost| cost + 1.0),
        waves(16.0)(49) / waves(16.0)(48)
    ));
    // Below the first good size there is only up.
    let small = near(&row, 3);
    assert_eq!(small.near.unwrap().below, None);
    assert_eq!(small.advised_batch_sizes, [16]);
}

#[test]
fn a_step_too_small_on_average_is_told_where_it_matters() {
    // 11 % at 8, and 0.9 % on average.
    let low = |size: u32| 1e-3 + 1e-4 * f64::from(size) + 1e-4 * f64::from(size.div_ceil(8));
    let row = measured("1-256", low, |_| ());
    let advice = advise(&row, Question::default()).unwrap();
    assert_eq!((advice.basis, advice.uneven_at), (Basis::NoStep, Some(8)));
    let even = measured("1-96", |size| 1e-3 + 1e-4 * f64::from(size), |_| ());
    let advice = advise(&even, Question::default()).unwrap();
    assert_eq!((advice.basis, advice.uneven_at), (Basis::NoStep, None));
}

#[test]
fn without_a_size_in_mind_the_good_ones_are_listed_and_some_beyond() {
    let advice = advise(&stepped(16.0), Question::default()).unwrap();
    let sizes: Vec<u32> = advice
        .batch_sizes
        .iter()
        .map(|facts| facts.batch_size)
        .collect();
    assert_eq!(sizes, [16, 32, 48, 64, 80, 96, 112, 128]);
    assert_eq!(
        (advice.measured_range, advice.reach),
        (Some([1, 96]), Some(192))
    );
    assert_eq!(advice.advised_batch_sizes, [80, 96]);
    let costs: Vec<f64> = advice
        .batch_sizes
        .iter()
        .map(|facts| facts.cost_per_sample_over_best.unwrap())
        .collect();
    assert!(costs.windows(2).all(|pair| pair[1] < pair[0]), "{costs:?}");
    assert!((costs[5] - 1.0).abs() < 1e-9);
}

#[test]
fn beyond_the_measured_range_whole_rounds_are_continued_as_far_as_was_measured() {
    for step in [16.0, 26.4, 7.0] {
        let (row, law) = (stepped(step), waves(step));
        for size in 97..=192 {
            let advice = near(&row, size);
            let facts = advice.near.unwrap().facts;
            assert_eq!(facts.seconds_source, Some(Source::Extrapolated));
            // A fractional step may be told a little wrong, and then the last edges lie a sample off.
            let beside = [size - 1, size, size + 1].map(&law);
            assert!(
                beside.iter().any(|&law| close(facts.seconds, law)),
                "{step} {size}: {:?}, not {}",
                facts.seconds,
                law(size)
            );
        }
        let beyond = near(&row, 193);
        let asked = beyond.near.unwrap();
        assert_eq!(
            (asked.facts.seconds, asked.facts.next_sample_cost),
            (None, None)
        );
        assert!(
            asked
                .unknown_because
                .unwrap()
                .contains("2 times the largest")
        );
    }
}

#[test]
fn memory_bounds_what_is_advised() {
    let row = stepped(16.0);
    let within = |mebibytes: u64, near: Option<u32>| {
        let question = Question {
            near,
            at_most_memory: Some(mebibytes * MIB),
        };
        advise(&row, question).unwrap()
    };
    let advice = within(600, None);
    let limit = advice.memory_limit.unwrap();
    assert_eq!(
        (limit.largest_batch_size, limit.source),
        (Some(50), Some(Source::Measured))
    );
    assert_eq!(advice.advised_batch_sizes, [48]);
    assert_eq!(within(600, Some(50)).advised_batch_sizes, [32, 48][1..]);
    // Nothing good fits: the largest that does.
    assert_eq!(within(150, None).advised_batch_sizes, [5]);
    assert_eq!(within(50, None).advised_batch_sizes, [0_u32; 0]);
    let beyond = within(1501, None).memory_limit.unwrap();
    assert_eq!(
        (beyond.largest_batch_size, beyond.source),
        (Some(140), Some(Source::Extrapolated))
    );

    let mut unknown = row.clone();
    for point in &mut unknown.points {
        point.peak_memory_bytes = None;
    }
    let question = Question {
        near: None,
        at_most_memory: Some(MIB),
    };
    assert_eq!(advise(&unknown, question), Err(NoMemory));
    assert!(
        advise(&unknown, Question::default()).unwrap().batch_sizes[0]
            .peak_memory_bytes
            .is_none()
    );
}

#[test]
fn what_did_not_fit_is_never_advised() {
    let mut row = stepped(16.0);
    row.row.out_of_memory_at = Some(100);
    let advice = near(&row, 100);
    assert_eq!(advice.near.as_ref().unwrap().facts.fits, Some(false));
    assert_eq!(advice.advised_batch_sizes, [96]);
}

#[test]
fn without_a_step_any_size_is_as_good_from_the_knee_on() {
    let row = measured("1-96", |size| 0.02 + 0.002 * f64::from(size), |_| ());
    assert_eq!(row.row.verdict, Verdict::NoStep, "{}", row.row.reason);
    let knee = row.row.knee_batch_size.unwrap();
    let advice = near(&row, 90);
    assert_eq!(advice.basis, Basis::NoStep);
    assert!(close(advice.seconds_per_further_sample, 0.002));
    assert_eq!(advice.advised_batch_sizes, [90]);
    let small = near(&row, 10);
    assert_eq!(small.advised_batch_sizes, [knee]);
    assert_eq!(small.near.unwrap().is_good, None);
    let beyond = near(&row, 150).near.unwrap().facts;
    assert!(close(beyond.seconds, 0.02 + 0.002 * 150.0));
}

#[test]
fn an_irregular_row_tells_what_was_measured_and_no_law() {
    let mut row = measured(
        "1-64",
        |size| 0.02 + if size > 40 { 0.03 } else { 0.0 } + 1e-4 * f64::from(size),
        |_| (),
    );
    row.row.verdict = Verdict::Irregular;
    let advice = near(&row, 42);
    assert_eq!(advice.basis, Basis::Irregular);
    let asked = advice.near.unwrap();
    assert_eq!(asked.facts.seconds_source, Some(Source::Measured));
    assert_eq!(asked.below.unwrap().facts.batch_size, 40);
    assert_eq!(asked.above.unwrap().facts.batch_size, 64);
    assert_eq!(advice.advised_batch_sizes, [40, 64]);
    let costs: Vec<f64> = advice
        .batch_sizes
        .iter()
        .map(|facts| facts.cost_per_sample_over_best.unwrap())
        .collect();
    assert!(costs.windows(2).all(|pair| pair[1] < pair[0]));
}

#[test]
fn rows_without_an_answer_get_no_advice_but_what_to_measure() {
    let row = stepped(16.0);
    for verdict in [
        Verdict::Insufficient,
        Verdict::Contended,
        Verdict::Throttled,
        Verdict::Disputed,
    ] {
        let mut row = row.clone();
        row.row.verdict = verdict;
        row.row.next_action = Some("give --budget 8m".to_owned());
        let advice = near(&row, 34);
        assert_eq!(advice.basis, Basis::Nothing);
        assert!(advice.advised_batch_sizes.is_empty() && advice.batch_sizes.is_empty());
        assert_eq!(advice.near, None);
        let flags = flags_for_row(&row.row, None).join(" ");
        assert_eq!(
            flags,
            "--workload linear --threads 1 --devices SIM-a --budget 8m"
        );
    }
    let window = flags_for_row(&row.row, Some((100, 150))).join(" ");
    assert!(window.ends_with("--batch-sizes 100-150"), "{window}");
}

#[test]
fn any_row_and_question_is_answered_without_panic() {
    let mut row = stepped(26.4);
    for size in [0, 1, 2, 95, 96, 97, 192, 193, u32::MAX] {
        let _ = near(&row, size);
    }
    row.fitted.clear();
    row.row.offset = Some(-3.0);
    let _ = near(&row, 5);
    row.points.truncate(1);
    let _ = near(&row, 5);
    row.row.step = Some(f64::NAN);
    let _ = near(&row, 5);
    row.points.clear();
    let advice = near(&row, 5);
    assert_eq!((advice.measured_range, advice.near), (None, None));
}

#[test]
fn an_ambiguous_question_is_answered_with_flags_that_do() {
    let narrow = |change: fn(&mut SeriesPlan)| measured("1-12", waves(4.0), change);
    let mut newer = narrow(|_| ());
    newer.row.software.libtorch = Some("2.12.0".to_owned());
    let rows = vec![
        narrow(|_| ()),
        newer,
        narrow(|plan| plan.device.model = "Law of the land".to_owned()),
        narrow(|plan| plan.threads = Some(2)),
        narrow(|plan| plan.workload = "linear:outputs=7".parse().unwrap()),
    ];
    let Err(Undecided::Ambiguous(candidates)) = choose(&rows, &Selection::default()) else {
        panic!("five rows are no one row");
    };
    assert_eq!(candidates.len(), rows.len());
    for candidate in &candidates {
        let mut selection = Selection::default();
        for (flag, value) in &candidate.flags {
            match *flag {
                "--device-model" => selection.device_model = Some(value.clone()),
                "--workload" => selection.workload = Some(value.parse().unwrap()),
                "--threads" => selection.threads = Some(value.parse().unwrap()),
                "--software" => selection.software.push(value.clone()),
                other => panic!("{other} tells nothing here"),
            }
        }
        let chosen = choose(&rows, &selection).unwrap();
        assert!(
            std::ptr::eq(&chosen.row, candidate.row),
            "{:?}",
            candidate.flags
        );
    }
    let unknown = Selection {
        device_model: Some("H200".to_owned()),
        ..Selection::default()
    };
    assert_eq!(choose(&rows, &unknown), Err(Undecided::Unknown));
}

#[test]
fn a_row_with_an_answer_goes_before_those_of_failed_runs_with_other_software() {
    let answered = stepped(16.0);
    let mut failed = answered.clone();
    failed.row.verdict = Verdict::Insufficient;
    failed.row.software = batchstep_proto::domain::Software::default();
    let rows = [failed.clone(), answered.clone()];
    let chosen = choose(&rows, &Selection::default()).unwrap();
    assert_eq!(chosen.row.verdict, Verdict::Step);
    assert!(choose(&[failed], &Selection::default()).is_ok());
}
