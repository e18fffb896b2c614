//! What an inference says: the verdict, the step and its profile, and the advice that follows.
//!
//! The field names and meanings are the JSON contract of `batchstep analyze` and `batchstep table`; absent values are
//! `None` (JSON `null`), never 0. Nothing here computes.

use serde::{Deserialize, Serialize};

/// What the timings say about a parallelism step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// A period was found and confirmed.
    Step,
    /// The time grows without a step worth caring about; the power of that statement is
    /// [`Inference::smallest_detectable_jump`].
    NoStep,
    /// The time jumps, but not periodically: algorithm switches, or several mechanisms at once.
    Irregular,
    /// The measurement cannot tell; [`Inference::next_action`] says what would.
    Insufficient,
}

/// How time behaves at the multiples of the step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepKind {
    /// Time jumps after a multiple and does not fall at the next: another wave has begun.
    Staircase,
    /// Left-over samples take a slower path: time falls back at each multiple.
    Remainder,
}

/// A further period found beside the step.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct OtherStep {
    /// Period in samples.
    pub step: f64,
    /// Extra time of the sample after its first multiple, as a share of the time at that multiple.
    pub jump_relative: f64,
}

/// The batch size that moves most samples per second among those measured.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct BestThroughput {
    /// Samples per iteration.
    pub batch_size: u32,
    /// Samples per second at that batch size.
    pub samples_per_second: f64,
}

/// One point of the fitted law.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct FittedPoint {
    /// Samples per iteration.
    pub batch_size: u32,
    /// Seconds per iteration according to the law that explains the trace best.
    pub seconds: f64,
}

/// An edge that the step predicts inside the measured range, right of the launch-bound floor.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Edge {
    /// The good batch size before the jump, in samples: one sample more begins a new round.
    pub batch_size: u32,
    /// Whether the timings around it show the jump.
    pub sight: EdgeSight,
}

/// What the timings around a predicted edge show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EdgeSight {
    /// The jump, within 0.4 to 2.5 times its fitted size.
    Confirmed,
    /// No such jump, though it would have shown.
    Missed,
    /// Nothing either way: too few batch sizes around it, or noise as large as the jump.
    Unclear,
}

/// The answer for one trace.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Inference {
    /// What the timings say.
    pub verdict: Verdict,
    /// The parallelism step: the period, in samples, of the comb or profile with the largest effect. Real-valued:
    /// waves are processors times occupancy over tiles per sample. Present for [`Verdict::Step`] only.
    pub step: Option<f64>,
    /// Periods, in samples, that predict the very same good batch sizes in the measured range, or that the resampled
    /// rounds chose, whichever is wider.
    pub step_interval: Option<[f64; 2]>,
    /// Samples by which the good batch sizes `floor(k * step + offset)` are shifted; 0 on most kernels.
    pub offset: Option<f64>,
    /// Whether time jumps after a multiple, or falls back at it.
    pub kind: Option<StepKind>,
    /// Extra time of the r-th left-over sample over what the multiples promise, as a share, for r = 0 .. step - 1.
    /// The first entry is 0. Given for whole steps up to 64.
    pub profile: Option<Vec<f64>>,
    /// How sure the step is, 0 to 1: the smaller of the share of resamples that choose the same period within 2 % and
    /// the agreement of odd with even rounds. High from 0.95; below 0.8 the verdict is [`Verdict::Insufficient`].
    /// For that verdict it may be given without a step.
    pub confidence: Option<f64>,
    /// The first confirmed good batch size, in samples.
    pub jump_at: Option<u32>,
    /// Extra time of one sample more than [`jump_at`](Self::jump_at), as a share, from the fit.
    pub jump_relative: Option<f64>,
    /// Further periods, shorter or longer, largest jump first.
    pub other_steps: Vec<OtherStep>,
    /// The smallest jump, as a share of the iteration time, that would have been found.
    pub smallest_detectable_jump: Option<f64>,
    /// Why this verdict, in words.
    pub reason: String,
    /// What to do about it; present for every verdict other than [`Verdict::Step`].
    pub next_action: Option<String>,
    /// Good batch sizes from the end of the launch-bound floor to the largest measured, at most 32. Empty without a step.
    pub recommended_batch_sizes: Vec<u32>,
    /// The smallest measured batch size within 5 % of the best throughput.
    pub knee_batch_size: Option<u32>,
    /// The best throughput measured.
    pub best_throughput: Option<BestThroughput>,
    /// The edges that the step predicts, ascending, and whether they show; for plots and explanations, not part of the JSON.
    /// Empty without a step.
    #[serde(skip)]
    pub edges: Vec<Edge>,
    /// The law that explains the trace best, at every whole batch size of the measured range, for plots; not part of
    /// the JSON.
    #[serde(skip)]
    pub fitted: Vec<FittedPoint>,
}

impl Inference {
    /// How many of the predicted edges were seen so.
    #[must_use]
    pub fn count_edges(&self, sight: EdgeSight) -> usize {
        let edges = self.edges.iter();
        edges.filter(|edge| edge.sight == sight).count()
    }

    /// An answer that knows nothing but why.
    #[must_use]
    pub const fn insufficient(reason: String) -> Self {
        Self {
            verdict: Verdict::Insufficient,
            step: None,
            step_interval: None,
            offset: None,
            kind: None,
            profile: None,
            confidence: None,
            jump_at: None,
            jump_relative: None,
            other_steps: Vec::new(),
            smallest_detectable_jump: None,
            reason,
            next_action: None,
            recommended_batch_sizes: Vec::new(),
            knee_batch_size: None,
            best_throughput: None,
            edges: Vec::new(),
            fitted: Vec::new(),
        }
    }
}
