//! From a trace to an answer.

use crate::answer::{BestThroughput, Inference, Verdict};
use crate::options::Options;
use crate::trace::Trace;

/// Infers the parallelism step of `trace`. Deterministic for given options; never panics.
pub fn infer(trace: &Trace, options: &Options) -> Inference {
    let _ = options;
    let best = trace
        .points()
        .iter()
        .map(|point| BestThroughput {
            batch_size: point.batch_size,
            samples_per_second: f64::from(point.batch_size) / point.median,
        })
        .max_by(|a, b| a.samples_per_second.total_cmp(&b.samples_per_second));
    Inference {
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
        reason: "no law has been fitted".to_owned(),
        next_action: Some("measure more batch sizes".to_owned()),
        recommended_batch_sizes: Vec::new(),
        knee_batch_size: None,
        best_throughput: best,
        fitted: Vec::new(),
    }
}
