//! Series of both strategies on the same simulated device, and what came of them.

use std::time::Duration;

use batchstep_core::{
    steptable::{self, SeriesResult, Verdict},
    sweep::{History, Next, RoundRecord, SeriesPlan, next, spent},
};
use batchstep_laws::{Draw, Law, Truth};
use batchstep_proto::{
    domain::{
        BatchSizes, Device as DeviceFacts, DeviceKind, DeviceSelector, Dtype, Mode, Strategy,
        SweepSpec, VisitOrder, VisitRole,
    },
    ids::{SeriesId, SweepId},
};
use batchstep_simulated::{Behaviour, Event, Machine};

/// What came of one series.
#[derive(Debug, Clone)]
pub struct Outcome {
    pub verdict: Verdict,
    pub step: Option<f64>,
    pub offset: Option<f64>,
    pub confidence: Option<f64>,
    pub reason: String,
    pub measuring: Duration,
    pub spent: Duration,
    pub message: String,
    pub history: History,
}

impl Outcome {
    /// The same verdict, and the same period within 1 %.
    pub fn agrees_with(&self, other: &Self) -> bool {
        self.verdict == other.verdict
            && match (self.step, other.step) {
                (Some(one), Some(other)) => (one / other - 1.0).abs() <= 0.01,
                (None, None) => true,
                _ => false,
            }
    }

    pub fn visited(&self) -> std::collections::BTreeMap<u32, u32> {
        let mut counts = std::collections::BTreeMap::new();
        for block in self.history.rounds.iter().flat_map(|record| &record.blocks) {
            if block.role == VisitRole::Measure {
                *counts.entry(block.batch_size).or_default() += 1;
            }
        }
        counts
    }

    pub fn right(&self, truth: Truth) -> bool {
        match (truth, self.verdict) {
            (Truth::Step { period, .. }, Verdict::Step) => self
                .step
                .is_some_and(|step| (step / period - 1.0).abs() <= 0.01),
            (Truth::StepOrInsufficient { period }, Verdict::Step) => self
                .step
                .is_some_and(|step| (step / period - 1.0).abs() <= 0.01),
            (
                Truth::StepOrInsufficient { .. } | Truth::Insufficient,
                Verdict::Insufficient | Verdict::Contended,
            )
            | (Truth::NoStep, Verdict::NoStep | Verdict::Irregular) => true,
            _ => false,
        }
    }
}

/// A series over the batch sizes of `draw`.
pub fn plan(draw: &Draw, strategy: Strategy, precision: f64, seed: u64) -> SeriesPlan {
    let sweep: SweepId = "0190d3a0-0000-7000-8000-000000000001".parse().unwrap();
    let spec = SweepSpec {
        workloads: vec!["linear".parse().unwrap()],
        batch_sizes: BatchSizes::Listed(draw.sizes.clone()),
        mode: Mode::Train,
        dtype: Dtype::F32,
        threads: Some(1),
        strategy,
        budget: Duration::from_secs(100_000),
        precision,
        iterations: None,
        seed,
        devices: DeviceSelector::All,
        preset: None,
        visit_order: VisitOrder::Random,
    };
    let workload = spec.workloads[0].clone();
    SeriesPlan {
        id: SeriesId::of(sweep, "SIM-a", &workload.to_string()),
        sweep,
        threads: spec.threads,
        workload,
        spec,
        device: DeviceFacts {
            id: "SIM-a".to_owned(),
            kind: DeviceKind::Simulated,
            model: "Law".to_owned(),
            compute_units: Some(4),
            memory_bytes: None,
            mig_profile: None,
            compute_capability: None,
            driver: None,
            pci_device_id: None,
            ineligible: Vec::new(),
        },
        hostname: "here".to_owned(),
    }
}

/// Runs a round at once.
fn execute(device: &mut Machine<Law>, round: batchstep_proto::domain::Round) -> RoundRecord {
    let steps = device.run(&round);
    let mut record = RoundRecord::new(round);
    for step in steps {
        match step.event {
            Event::Block(block) => record.blocks.push(block),
            Event::Failure(failure) => record.failures.push(failure),
            Event::Progress { .. } => {}
            Event::Ended(ending) => {
                record.outcomes.push((ending.outcome, ending.message));
                record.measuring = ending.measuring;
                record.warm_up = ending.warm_up;
                record.elapsed = ending.elapsed;
            }
        }
    }
    record
}

/// Runs a series to its end.
pub fn run(draw: &Draw, strategy: Strategy, precision: f64, seed: u64) -> Outcome {
    let plan = plan(draw, strategy, precision, seed);
    let mut scatter = draw.scatter;
    if scatter.drift_seconds == 0.0 {
        scatter.drift_seconds = 30.0;
    }
    let behaviour = Behaviour {
        scatter,
        ..Behaviour::default()
    };
    let mut device = Machine::new(draw.law.clone(), behaviour, seed);
    let mut history = History::default();
    let message = loop {
        assert!(history.rounds.len() < 2000, "the series does not end");
        match next(&plan, &history) {
            Next::Round(round) => history.rounds.push(execute(&mut device, round)),
            Next::Done(conclusion) => break conclusion.message,
            Next::Failed(message) => break message,
        }
    };
    let result = SeriesResult {
        plan: &plan,
        history: &history,
        finished: true,
        cancelled: false,
        message: Some(&message),
    };
    let row = steptable::rows(&[result], false).remove(0).row;
    Outcome {
        verdict: row.verdict,
        step: row.step,
        offset: row.offset,
        confidence: row.confidence,
        reason: row.reason,
        measuring: history.rounds.iter().map(|record| record.measuring).sum(),
        spent: spent(&history),
        message,
        history,
    }
}
