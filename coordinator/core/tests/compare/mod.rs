//! A series of either strategy on the same simulated device, and what came of it: shared by the test `strategies` and the example `adaptive`.
//!
//! Whatever differs between two series here is their strategy, and the scatter of their blocks where their seeds differ.
#![allow(dead_code, reason = "each user takes its part")]

#[path = "../device/mod.rs"]
mod device;

use std::{collections::BTreeMap, time::Duration};

use batchstep_core::{
    steptable::{self, SeriesResult, Verdict},
    sweep::{History, Next, SeriesPlan, next, spent},
};
use batchstep_laws::{Draw, Truth};
use batchstep_proto::domain::{BatchSizes, Strategy, VisitRole};
use batchstep_simulated::{Behaviour, Machine};
use device::{executed, plan};

/// Relative difference up to which two periods are the same.
const SAME_PERIOD: f64 = 0.01;
/// Enough for every series to end by its own rules.
const AMPLE_BUDGET: Duration = Duration::from_secs(100_000);
/// Seconds of the wave of a law that drifts once in a while.
const DRIFT_SECONDS: f64 = 30.0;
/// No series takes so many rounds.
const MOST_ROUNDS: usize = 2000;

/// The default of `--precision`.
pub const USUAL_PRECISION: f64 = 0.003;
/// A precision that five blocks always have.
pub const FIVE_BLOCKS: f64 = 10.0;

/// What came of one series.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// As the step table says.
    pub verdict: Verdict,
    /// Samples.
    pub step: Option<f64>,
    /// As the step table says.
    pub reason: String,
    /// Why the series ended.
    pub message: String,
    /// In timed blocks, the probe's and the reference's among them.
    pub measuring: Duration,
    /// All device time, warm-up included.
    pub spent: Duration,
    /// Measuring blocks by batch size.
    pub blocks: BTreeMap<u32, u32>,
}

impl Outcome {
    /// The same verdict, and the same period within 1 %.
    pub fn agrees_with(&self, other: &Self) -> bool {
        self.verdict == other.verdict
            && match (self.step, other.step) {
                (Some(one), Some(other)) => same_period(one, other),
                (None, None) => true,
                _ => false,
            }
    }

    /// Whether it is what the law deserves.
    pub fn is_right(&self, truth: Truth) -> bool {
        match truth {
            Truth::Step { period, .. } => self.has_step(period),
            Truth::StepOrInsufficient { period } => {
                self.has_step(period)
                    || matches!(self.verdict, Verdict::Insufficient | Verdict::Contended)
            }
            Truth::NoStep => matches!(self.verdict, Verdict::NoStep | Verdict::Irregular),
            Truth::Insufficient => self.verdict == Verdict::Insufficient,
        }
    }

    fn has_step(&self, period: f64) -> bool {
        self.verdict == Verdict::Step && self.step.is_some_and(|step| same_period(step, period))
    }
}

fn same_period(one: f64, other: f64) -> bool {
    (one / other - 1.0).abs() <= SAME_PERIOD
}

/// Measures the batch sizes of `draw` on a device with its law, to the end.
pub fn run(draw: &Draw, strategy: Strategy, precision: f64, seed: u64) -> Outcome {
    let sizes = BatchSizes::Listed(draw.sizes.clone());
    let plan = plan(sizes, strategy, precision, AMPLE_BUDGET, seed);
    let mut scatter = draw.scatter;
    if scatter.drift_seconds == 0.0 {
        scatter.drift_seconds = DRIFT_SECONDS;
    }
    let behaviour = Behaviour {
        scatter,
        ..Behaviour::default()
    };
    let mut device = Machine::new(draw.law.clone(), behaviour, seed);
    let mut history = History::default();
    let message = loop {
        assert!(history.rounds.len() < MOST_ROUNDS, "it does not end");
        match next(&plan, &history) {
            Next::Round(round) => history.rounds.push(executed(&mut device, round)),
            Next::Done(conclusion) => break conclusion.message,
            Next::Failed(message) => break message,
        }
    };
    outcome(&plan, &history, message)
}

fn outcome(plan: &SeriesPlan, history: &History, message: String) -> Outcome {
    let result = SeriesResult {
        plan,
        history,
        finished: true,
        cancelled: false,
        message: Some(&message),
    };
    let row = steptable::rows(&[result], false).remove(0).row;
    let mut blocks = BTreeMap::new();
    for block in history.rounds.iter().flat_map(|record| &record.blocks) {
        if block.role == VisitRole::Measure {
            *blocks.entry(block.batch_size).or_default() += 1;
        }
    }
    Outcome {
        verdict: row.verdict,
        step: row.step,
        reason: row.reason,
        measuring: history.rounds.iter().map(|record| record.measuring).sum(),
        spent: spent(history),
        blocks,
        message,
    }
}
