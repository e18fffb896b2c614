//! What is still worth measuring once every batch size has its required blocks: imprecise points, candidate edges, a wider window.
//!
//! Called by the planner between rounds; the only part of it that asks the inference.

use std::collections::BTreeSet;

use batchstep_inference::{Inference, Options, Trace, Verdict, infer};
use batchstep_proto::domain::Strategy;

use super::{
    Conclusion, ConclusionReason, SeriesPlan,
    correct::Corrected,
    cost::Costs,
    history::Past,
    range,
    rules::{HIGH_CONFIDENCE, required_rounds},
    standing::Standing,
};

/// The batch sizes worth another block, or the conclusion that there are none.
pub(super) fn refined(
    plan: &SeriesPlan,
    past: &Past<'_>,
    corrected: &Corrected<'_>,
    standing: &Standing,
    costs: &Costs,
    window: &[u32],
    reference: u32,
) -> Result<Vec<u32>, Conclusion> {
    let precise = |message: String| Conclusion {
        reason: ConclusionReason::PrecisionReached,
        message,
    };
    let Ok(trace) = Trace::new(corrected.observations()) else {
        return Ok(window.to_vec());
    };
    let imprecise: BTreeSet<u32> = trace
        .points()
        .iter()
        .filter(|point| point.relative_standard_error > plan.spec.precision)
        .map(|point| point.batch_size)
        .filter(|size| window.binary_search(size).is_ok())
        .collect();
    let percent = plan.spec.precision * 100.0;
    if plan.spec.strategy == Strategy::Dense {
        return if imprecise.is_empty() {
            Err(precise(format!(
                "every batch size is precise to {percent} %"
            )))
        } else {
            Ok(window.to_vec())
        };
    }
    let inference = infer(&trace, &Options::default());
    if let Some(edges) = settled_edges(&inference, window) {
        let open: Vec<u32> = edges.intersection(&imprecise).copied().collect();
        return if open.is_empty() {
            Err(precise(format!(
                "the step is settled and its edges are precise to {percent} %"
            )))
        } else {
            Ok(open)
        };
    }
    let wider = range::widened(plan, standing, window);
    if !wider.is_empty() {
        let price = costs.round(&wider, reference) * f64::from(required_rounds(&plan.spec));
        if price <= past.remaining(plan).as_secs_f64() {
            return Ok(wider);
        }
    }
    if imprecise.is_empty() {
        return Err(precise(format!(
            "every batch size is precise to {percent} %"
        )));
    }
    Ok(imprecise.into_iter().collect())
}

/// The batch sizes on both sides of every edge of a step that is certain.
fn settled_edges(inference: &Inference, window: &[u32]) -> Option<BTreeSet<u32>> {
    let step = inference.step.filter(|&step| step >= 1.0)?;
    if inference.verdict != Verdict::Step || inference.confidence? < HIGH_CONFIDENCE {
        return None;
    }
    let offset = inference.offset.unwrap_or(0.0);
    let high = f64::from(*window.last()?);
    Some(
        (0..)
            .map(|k| (f64::from(k) * step + offset + 1e-9).floor())
            .take_while(|&edge| edge <= high)
            .filter(|&edge| edge >= 1.0)
            .flat_map(|edge| [edge as u32, edge as u32 + 1])
            .filter(|size| window.binary_search(size).is_ok())
            .collect(),
    )
}
