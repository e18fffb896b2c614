//! What the sweeps of a simulation found, and whether faults changed it: simulated devices take the same time for the same batch, so they must not.

use std::collections::BTreeMap;

use batchstep_coordinator::store::{Memory, Store as _};
use batchstep_core::{
    fleet::SeriesState,
    steptable::{self, SeriesResult, Verdict},
};
use batchstep_proto::ids::SweepId;
use futures_util::FutureExt as _;

use crate::chronicle::Chronicle;

/// Relative difference of two times that are the same.
const ROUNDING: f64 = 1e-6;

/// Which answer: place of the sweep's request, device model, workload.
pub type Key = (usize, String, String);

/// What was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    verdict: Verdict,
    step: Option<f64>,
    /// Seconds by batch size.
    points: BTreeMap<u32, f64>,
}

/// The answers of all series that are done.
pub fn answers(store: &Memory, sweeps: &BTreeMap<usize, SweepId>) -> BTreeMap<Key, Answer> {
    let mut answers = BTreeMap::new();
    for (place, sweep) in sweeps {
        // The store in memory never waits.
        let histories = store.histories(Some(*sweep)).now_or_never();
        let histories = histories.and_then(Result::ok).unwrap_or_default();
        let results: Vec<SeriesResult<'_>> = histories
            .iter()
            .filter(|history| history.state == SeriesState::Done)
            .map(|history| SeriesResult {
                plan: &history.plan,
                history: &history.history,
                finished: true,
                cancelled: false,
                message: None,
            })
            .collect();
        for detailed in steptable::rows(&results, true) {
            let row = detailed.row;
            let answer = Answer {
                verdict: row.verdict,
                step: row.step,
                points: detailed
                    .points
                    .iter()
                    .map(|point| (point.batch_size, point.seconds))
                    .collect(),
            };
            answers.insert((*place, row.device_model, row.workload), answer);
        }
    }
    answers
}

/// Compares the answers of a disturbed world with those of an undisturbed one.
pub fn compare(
    undisturbed: &BTreeMap<Key, Answer>,
    disturbed: &BTreeMap<Key, Answer>,
    chronicle: &Chronicle,
) {
    for (key, answer) in disturbed {
        let Some(expected) = undisturbed.get(key) else {
            continue;
        };
        chronicle.count("answers compared");
        let (sweep, model, workload) = key;
        let name = format!("the answer of sweep {sweep} on {model} for {workload}");
        if answer.verdict != expected.verdict || !same(answer.step, expected.step) {
            chronicle.violation(format_args!(
                "{name} is {:?} {:?}, and {:?} {:?} without faults",
                answer.verdict, answer.step, expected.verdict, expected.step
            ));
        }
        for (batch_size, seconds) in &answer.points {
            if let Some(other) = expected.points.get(batch_size)
                && !same(Some(*seconds), Some(*other))
            {
                chronicle.violation(format_args!(
                    "{name} has {seconds} s at batch size {batch_size}, and {other} s without faults"
                ));
            }
        }
    }
}

fn same(a: Option<f64>, b: Option<f64>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => (a - b).abs() <= ROUNDING * a.abs().max(b.abs()),
        (a, b) => a.is_none() && b.is_none(),
    }
}
