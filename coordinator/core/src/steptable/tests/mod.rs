//! Rows from series that simulated devices measured; `devices` has what several devices of a model make of one row, `shared` what those do that
//! shared a series.

mod devices;
mod shared;

use std::time::Duration;

use batchstep_proto::domain::{DeviceKind, Strategy, VisitRole};
use proptest::prelude::*;

use super::{Answer, DetailedRow, Edge, EdgeSight, SeriesResult, Verdict, rows, rows_of};
use crate::sweep::{
    History, Next, SeriesPlan, left_out,
    simulator::{Simulator, plan, spec, staircase},
};

/// A finished series and why it ended.
struct Measured {
    plan: SeriesPlan,
    history: History,
    message: String,
}

impl Measured {
    fn with(plan: SeriesPlan, device: &Simulator<'_>) -> Self {
        let (history, end) = device.run(&plan);
        Self::of(plan, history, end)
    }

    fn of(plan: SeriesPlan, history: History, end: Next) -> Self {
        let message = match end {
            Next::Done(conclusion) => conclusion.message,
            Next::Failed(message) => message,
            Next::Round(_) => unreachable!("the simulator runs to the end"),
        };
        Self {
            plan,
            history,
            message,
        }
    }

    /// A device of that name with a staircase of that step.
    fn staircase(device: &str, step: u32) -> Self {
        Self::with(
            plan(spec("1-64", 120), device),
            &Simulator::new(staircase(step)),
        )
    }

    fn result(&self) -> SeriesResult<'_> {
        SeriesResult {
            plan: &self.plan,
            history: &self.history,
            finished: true,
            cancelled: false,
            message: Some(&self.message),
        }
    }
}

fn table(series: &[&Measured]) -> Vec<DetailedRow> {
    let results: Vec<SeriesResult<'_>> = series.iter().map(|one| one.result()).collect();
    let rows = rows(&results, true);
    assert_eq!(json(&kept(&results)), json(&rows));
    rows
}

/// The same rows from answers that were written down and read back, without any block.
fn kept(results: &[SeriesResult<'_>]) -> Vec<DetailedRow> {
    let answers: Vec<Answer> = results
        .iter()
        .map(|result| json(&Answer::of(result)))
        .map(|text| serde_json::from_str(&text).unwrap())
        .collect();
    rows_of(results.iter().map(|result| result.plan).zip(&answers), true)
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap()
}

#[test]
fn a_staircase_becomes_a_row_with_its_step() {
    let rows = table(&[&Measured::staircase("SIM-a", 8)]);
    let [
        DetailedRow {
            row,
            points,
            fitted,
            edges,
        },
    ] = rows.as_slice()
    else {
        panic!("{rows:?}")
    };
    assert_eq!(
        (row.verdict, row.step),
        (Verdict::Step, Some(8.0)),
        "{}",
        row.reason
    );
    assert_eq!(row.device_kind, DeviceKind::Simulated);
    assert_eq!((row.batch_sizes_measured, points.len()), (64, 64));
    assert!(points.iter().all(|point| point.blocks >= 5));
    assert!(!fitted.is_empty());
    let seen = |edge: &&Edge| edge.sight == EdgeSight::Confirmed;
    assert!(edges.iter().filter(seen).count() >= 6, "{edges:?}");
    assert!(row.blocks > 64 * 5 && row.measuring_seconds > 0.0);
    assert_eq!(row.parameters["inputs"], 512);
    assert_eq!((row.devices.len(), row.agreeing_devices), (1, 1));
    assert_eq!(row.next_action, None);
    let brief = super::rows(&[Measured::staircase("SIM-a", 8).result()], false);
    assert!(brief[0].points.is_empty() && brief[0].fitted.is_empty());
}

#[test]
fn batch_sizes_that_crashed_the_worker_are_named() {
    let mut device = Simulator::new(staircase(8));
    device.crashes_at = [13, 16].into();
    let crashing = Measured::with(plan(spec("1-64", 300), "SIM-a"), &device);
    let rows = table(&[&crashing, &Measured::staircase("SIM-b", 8)]);
    let row = &rows[0].row;
    assert_eq!(row.quarantined_batch_sizes, [13, 16]);
    let why = "batch sizes 13, 16 were left out: the worker crashed at each again";
    assert_eq!(row.device_answers[0].reason.matches(why).count(), 1);
    assert!(!row.device_answers[1].reason.contains("left out"));
}

#[test]
fn too_few_rounds_are_insufficient_and_the_next_action_names_a_budget() {
    let plan = plan(spec("1-64", 20), "SIM-a");
    let rows = table(&[&Measured::with(plan, &Simulator::new(staircase(8)))]);
    let row = &rows[0].row;
    assert_eq!(row.verdict, Verdict::Insufficient);
    assert_eq!(row.step, None);
    assert!(
        row.reason
            .starts_with("0 of 64 batch sizes have the 5 measuring rounds needed"),
        "{}",
        row.reason
    );
    assert_eq!(row.next_action.as_deref(), Some("give --budget 2m"));
}

#[test]
fn a_cancelled_series_says_so_and_asks_for_no_budget() {
    let short = Measured::with(
        plan(spec("1-64", 20), "SIM-a"),
        &Simulator::new(staircase(8)),
    );
    let untouched = History::default();
    for history in [&short.history, &untouched] {
        let result = SeriesResult {
            history,
            cancelled: true,
            message: Some("cancelled: the card is needed"),
            ..short.result()
        };
        let row = rows(&[result], false).remove(0).row;
        assert_eq!(row.verdict, Verdict::Insufficient);
        assert!(
            row.reason.starts_with("cancelled: the card is needed"),
            "{}",
            row.reason
        );
        let action = row.next_action.unwrap();
        assert!(
            action.contains("again") && !action.contains("--budget"),
            "{action}"
        );
    }
}

#[test]
fn no_step_seen_through_much_noise_says_how_to_see_more() {
    let row = |noise: f64| {
        let mut device = Simulator::new(|size| 1e-3 + 1e-4 * f64::from(size));
        device.noise = noise;
        let measured = Measured::with(plan(spec("1-64", 120), "SIM-a"), &device);
        table(&[&measured]).remove(0).row
    };
    let hints = |row: &super::Row| {
        row.next_action
            .as_ref()
            .unwrap()
            .contains("to see jumps below")
    };
    let (quiet, noisy) = (row(0.0), row(0.08));
    assert_eq!((quiet.verdict, hints(&quiet)), (Verdict::NoStep, false));
    assert_eq!(noisy.verdict, Verdict::NoStep, "{}", noisy.reason);
    assert!(
        noisy.smallest_detectable_jump.unwrap() > 0.05 && hints(&noisy),
        "{noisy:?}"
    );
}

#[test]
fn a_series_without_blocks_says_why() {
    let mut device = Simulator::new(staircase(8));
    device.errors_at = (1..100).collect();
    let rows = table(&[&Measured::with(plan(spec("1-8", 20), "SIM-a"), &device)]);
    let row = &rows[0].row;
    assert_eq!(row.verdict, Verdict::Insufficient);
    assert!(
        row.reason.contains("the workload fails at batch size"),
        "{}",
        row.reason
    );
    assert!(row.next_action.as_ref().unwrap().contains("doctor"));

    let untouched = plan(spec("1-8", 20), "SIM-a");
    let history = History::default();
    let waiting = SeriesResult {
        plan: &untouched,
        history: &history,
        finished: false,
        cancelled: false,
        message: None,
    };
    let rows = super::rows(&[waiting], false);
    assert_eq!(rows[0].row.verdict, Verdict::Insufficient);
    assert!(
        rows[0]
            .row
            .next_action
            .as_ref()
            .unwrap()
            .contains("not over")
    );
}

#[test]
fn out_of_memory_is_told() {
    let mut device = Simulator::new(staircase(8));
    device.out_of_memory_at = 50;
    let rows = table(&[&Measured::with(plan(spec("1-64", 120), "SIM-a"), &device)]);
    assert_eq!(rows[0].row.out_of_memory_at, Some(50));
    assert_eq!(rows[0].row.batch_sizes_measured, 49);
}

#[test]
fn what_the_budget_left_out_is_told_with_the_budget_that_would_do() {
    // 50 ms per sample: fourteen seconds pay for a few batch sizes, a hundred for a part of a list.
    for (sizes, budget) in [("auto", 14), ("1-16", 100)] {
        let measured = Measured::with(
            plan(spec(sizes, budget), "SIM-a"),
            &Simulator::new(|size| 0.05 * f64::from(size)),
        );
        let rows = table(&[&measured]);
        let row = &rows[0].row;
        assert!(
            row.reason.contains("take too long for the budget"),
            "{}",
            row.reason
        );
        let action = row.next_action.as_deref().unwrap();
        assert!(
            row.verdict != Verdict::Insufficient || action.contains("--budget"),
            "{action}"
        );
    }
}

/// Half a minute pays for two rounds of a hundred batch sizes; the few that are in a third one by chance are no reason to name the first as a limit.
#[test]
fn a_list_of_which_nothing_fits_into_the_budget_is_told_as_such() {
    let measured = Measured::with(
        plan(spec("16-1600:16", 30), "SIM-a"),
        &Simulator::new(|size| 3e-3 * (1.0 + f64::from(size) / 1600.0)),
    );
    let row = &table(&[&measured])[0].row;
    assert_eq!(
        row.reason,
        "2 of 100 batch sizes have the 5 measuring rounds needed; the batch sizes asked for do not fit into the budget, not even the smallest, 16: a \
         larger --budget is needed, or fewer or smaller batch sizes"
    );
    assert_eq!(row.next_action.as_deref(), Some("give --budget 2m"));
}

/// The last pass over a list is cut in random order: what it did not come to may be the smallest, and most have their blocks.
#[test]
fn single_batch_sizes_without_their_blocks_are_not_the_whole_list() {
    let plan = plan(spec("16-160:16", 3600), "SIM-a");
    let (mut history, _) = Simulator::new(staircase(64)).run(&plan);
    for record in &mut history.rounds {
        let (visits, blocks) = (&mut record.round.visits, &mut record.blocks);
        visits.retain(|visit| visit.batch_size != 16 || visit.role != VisitRole::Measure);
        blocks.retain(|block| block.batch_size != 16 || block.role != VisitRole::Measure);
    }
    let reason = |cancelled: bool| {
        let result = SeriesResult {
            plan: &plan,
            history: &history,
            finished: true,
            cancelled,
            message: None,
        };
        super::rows(&[result], false).remove(0).row.reason
    };
    // It was ended with most of its budget left.
    assert!(!reason(true).contains("budget"), "{}", reason(true));
    assert_eq!(
        left_out(&plan, &history).unwrap().to_string(),
        "the budget was spent before every batch size had its blocks, 16 being the smallest without"
    );
}

#[test]
fn a_budget_too_small_for_one_iteration_is_answered_with_one_that_does() {
    let plan = plan(spec("auto", 1), "SIM-a");
    let (history, _) = Simulator::new(|size| 0.05 * f64::from(size)).run(&plan);
    let message = "one iteration at batch size 1 is too long for the budget";
    let result = SeriesResult {
        plan: &plan,
        history: &history,
        finished: true,
        cancelled: false,
        message: Some(message),
    };
    let row = super::rows(&[result], false).remove(0).row;
    assert_eq!(
        (row.verdict, row.reason.as_str()),
        (Verdict::Insufficient, message)
    );
    assert!(row.next_action.unwrap().starts_with("give --budget"));
}

#[test]
fn disturbed_measurements_are_shown_as_such_and_without_a_step() {
    let mut shared = Simulator::new(staircase(8));
    shared.foreign_cores = Some(4.0);
    let mut hot = Simulator::new(staircase(8));
    // HW thermal slowdown.
    hot.throttle_reasons = Some(0x40);
    let mut budget = spec("1-64", 60);
    budget.threads = Some(2);
    for (device, verdict) in [(&shared, Verdict::Contended), (&hot, Verdict::Throttled)] {
        let rows = table(&[&Measured::with(plan(budget.clone(), "SIM-a"), device)]);
        let row = &rows[0].row;
        assert_eq!(row.verdict, verdict, "{}", row.reason);
        assert_eq!((row.step, row.recommended_batch_sizes.len()), (None, 0));
        assert!(row.next_action.is_some());
    }
}

#[test]
fn one_device_counts_once_with_its_most_telling_series() {
    let (long, short) = (
        Measured::staircase("SIM-a", 8),
        Measured::with(
            plan(spec("1-64", 20), "SIM-a"),
            &Simulator::new(staircase(8)),
        ),
    );
    for order in [[&long, &short], [&short, &long]] {
        let rows = table(&order);
        assert_eq!(rows.len(), 1);
        assert_eq!(rows[0].row.verdict, Verdict::Step);
        assert_eq!(rows[0].row.devices, ["SIM-a"]);
    }
}

#[test]
fn a_wider_window_the_budget_did_not_finish_does_not_spoil_the_narrow_one() {
    let mut measured = Measured::staircase("SIM-a", 8);
    // Above 40 only two blocks each are left.
    let mut seen = std::collections::BTreeMap::new();
    for record in &mut measured.history.rounds {
        record.blocks.retain(|block| {
            let count: &mut u32 = seen.entry(block.batch_size).or_default();
            *count += u32::from(block.role == VisitRole::Measure);
            block.role != VisitRole::Measure || block.batch_size <= 40 || *count <= 2
        });
    }
    let rows = table(&[&measured]);
    assert_eq!(rows[0].row.verdict, Verdict::Step, "{}", rows[0].row.reason);
    assert_eq!(rows[0].points.len(), 40);
}

#[test]
fn an_adaptive_series_answers_like_a_dense_one_for_less() {
    let run = |strategy: Strategy| {
        let mut spec = spec("auto", 600);
        spec.strategy = strategy;
        spec.precision = 0.001;
        let mut device = Simulator::new(staircase(8));
        device.noise = 0.01;
        Measured::with(plan(spec, "SIM-a"), &device)
    };
    let (adaptive, dense) = (run(Strategy::Adaptive), run(Strategy::Dense));
    let time = |measured: &Measured| crate::sweep::spent(&measured.history);
    assert!(
        time(&adaptive) < time(&dense),
        "{:?} {:?}",
        time(&adaptive),
        time(&dense)
    );
    for measured in [&adaptive, &dense] {
        assert_eq!(table(&[measured])[0].row.step, Some(8.0));
    }
    assert!(time(&dense) <= Duration::from_secs(620));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Anything that differs in the key makes another row, whatever the order of the series; nothing is mixed or lost.
    #[test]
    fn keys_separate_rows_in_any_order(changes in proptest::collection::vec(0..14_u8, 1..6), rotation in 0..6_usize) {
        let base = plan(spec("1-8", 2), "SIM-a");
        let (history, _) = Simulator::new(staircase(4)).run(&base);
        let made: Vec<(SeriesPlan, History)> = changes
            .iter()
            .map(|change| {
                let (mut plan, mut history) = (base.clone(), history.clone());
                match change {
                    0 => {}
                    1 => plan.device.kind = DeviceKind::Cpu,
                    2 => plan.device.model = "Other".to_owned(),
                    3 => plan.threads = Some(2),
                    4 => plan.workload = "linear:outputs=7".parse().unwrap(),
                    5 => plan.device.mig_profile = Some("1g.18gb".to_owned()),
                    6 => plan.spec.mode = batchstep_proto::domain::Mode::Infer,
                    7 => plan.spec.dtype = batchstep_proto::domain::Dtype::Bf16,
                    8 => plan.device.compute_units = Some(5),
                    part => {
                        for facts in history.rounds.iter_mut().filter_map(|record| record.facts.as_mut()) {
                            let software = &mut facts.software;
                            let version = match part {
                                9 => &mut software.driver,
                                10 => &mut software.libtorch,
                                11 => &mut software.cuda,
                                12 => &mut software.cudnn,
                                _ => &mut software.batchstep,
                            };
                            *version = Some("of another day".to_owned());
                        }
                    }
                }
                (plan, history)
            })
            .collect();
        let mut results: Vec<SeriesResult<'_>> = made
            .iter()
            .map(|(plan, history)| SeriesResult { plan, history, finished: true, cancelled: false, message: None })
            .collect();
        let rows = super::rows(&results, false);
        let different: std::collections::BTreeSet<u8> = changes.iter().copied().collect();
        prop_assert_eq!(rows.len(), different.len());
        let length = results.len();
        results.rotate_left(rotation % length);
        prop_assert_eq!(rows, super::rows(&results, false));
    }
}
