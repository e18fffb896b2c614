//! What a plot is drawn from: an answer and the points behind it, be they a row of the step table or somebody's timings. Plots read this and
//! nothing else, so that both look alike.

use batchstep_core::steptable::{
    BestThroughput, DetailedRow, Edge, FittedPoint, OtherStep, PointRow, StepKind, Verdict,
};
use batchstep_inference::{Inference, Trace};

use crate::cells;

/// An answer with its points. The fields mean what those of [`DetailedRow`] mean.
#[derive(Debug, Clone)]
pub(crate) struct Study<'a> {
    /// What was measured and where: "linear on AMD EPYC".
    pub(crate) name: String,
    /// What else is said below the name, most important first.
    pub(crate) details: Vec<String>,
    pub(crate) verdict: Verdict,
    /// The answer in one line.
    pub(crate) headline: String,
    /// Why this verdict; empty where the text beside the plot says it.
    pub(crate) reason: &'a str,
    pub(crate) step: Option<f64>,
    pub(crate) offset: f64,
    pub(crate) kind: Option<StepKind>,
    pub(crate) confidence: Option<f64>,
    pub(crate) profile: Option<&'a [f64]>,
    pub(crate) jump_at: Option<u32>,
    pub(crate) jump_relative: Option<f64>,
    pub(crate) other_steps: &'a [OtherStep],
    pub(crate) recommended_batch_sizes: &'a [u32],
    pub(crate) best_throughput: Option<BestThroughput>,
    pub(crate) knee_batch_size: Option<u32>,
    pub(crate) out_of_memory_at: Option<u32>,
    pub(crate) points: &'a [PointRow],
    pub(crate) fitted: &'a [FittedPoint],
    pub(crate) edges: &'a [Edge],
}

impl<'a> Study<'a> {
    /// A row of the step table.
    pub(crate) fn of_row(detailed: &'a DetailedRow) -> Self {
        let row = &detailed.row;
        let mut details = vec![cells::setting(row)];
        details.extend(cells::parameters(row));
        if row.blocks > 0 {
            details.push(format!("{} blocks", row.blocks));
        }
        Self {
            name: format!("{} on {}", row.workload, cells::device(row)),
            details,
            verdict: row.verdict,
            headline: cells::headline(row),
            reason: &row.reason,
            step: row.step,
            offset: row.offset.unwrap_or(0.0),
            kind: row.kind,
            confidence: row.confidence,
            profile: row.profile.as_deref(),
            jump_at: row.jump_at,
            jump_relative: row.jump_relative,
            other_steps: &row.other_steps,
            recommended_batch_sizes: &row.recommended_batch_sizes,
            best_throughput: row.best_throughput,
            knee_batch_size: row.knee_batch_size,
            out_of_memory_at: row.out_of_memory_at,
            points: &detailed.points,
            fitted: &detailed.fitted,
            edges: &detailed.edges,
        }
    }

    /// Timings of any origin, called `name`, whose `points` are those of their trace.
    pub(crate) fn of_timings(name: &str, points: &'a [PointRow], inference: &'a Inference) -> Self {
        let verdict = table_verdict(inference.verdict);
        let timings: u64 = points.iter().map(|point| u64::from(point.blocks)).sum();
        Self {
            name: name.to_owned(),
            details: vec![format!(
                "{timings} {}",
                if timings == 1 { "timing" } else { "timings" }
            )],
            verdict,
            headline: cells::headline_of(
                verdict,
                inference.step,
                inference.jump_at.zip(inference.jump_relative),
                inference.smallest_detectable_jump,
            ),
            reason: &inference.reason,
            step: inference.step,
            offset: inference.offset.unwrap_or(0.0),
            kind: inference.kind,
            confidence: inference.confidence,
            profile: inference.profile.as_deref(),
            jump_at: inference.jump_at,
            jump_relative: inference.jump_relative,
            other_steps: &inference.other_steps,
            recommended_batch_sizes: &inference.recommended_batch_sizes,
            best_throughput: inference.best_throughput,
            knee_batch_size: inference.knee_batch_size,
            out_of_memory_at: None,
            points,
            fitted: &inference.fitted,
            edges: &inference.edges,
        }
    }

    /// What was measured, how, in one line.
    pub(crate) fn subject(&self) -> String {
        match self.details.first() {
            Some(setting) => format!("{}, {setting}", self.name),
            None => self.name.clone(),
        }
    }
}

/// The points of a trace as those of a row.
pub(crate) fn points(trace: &Trace) -> Vec<PointRow> {
    let point = |point| PointRow::of(point, None);
    trace.points().iter().map(point).collect()
}

const fn table_verdict(verdict: batchstep_inference::Verdict) -> Verdict {
    match verdict {
        batchstep_inference::Verdict::Step => Verdict::Step,
        batchstep_inference::Verdict::NoStep => Verdict::NoStep,
        batchstep_inference::Verdict::Irregular => Verdict::Irregular,
        batchstep_inference::Verdict::Insufficient => Verdict::Insufficient,
    }
}
