//! The batch sizes that can confirm or refute an answer, whatever it is.
//!
//! For a step: both sides of edges near and far, and the insides of rounds, which shorter periods would cut. Without one: what the design holds, and
//! both sides of every change of level. Called by the adaptive strategy; asks nothing.

use std::collections::BTreeSet;

use batchstep_inference::{Inference, StepKind, Verdict};

/// Neighbouring batch sizes around the first edge.
const RUN: usize = 10;
/// Edges next to the beginning whose two sides are witnesses, and later ones as shares of the way to the last.
/// With so few edges in range, each needs more witnesses.
const FEW_EDGES: usize = 4;
const NEAR_EDGES: usize = 4;
const FAR_EDGES: [f64; 7] = [1.0, 0.6, 0.8, 0.7, 0.9, 0.5, 0.4];
/// Places inside rounds, as shares of the period, one for each round in turn.
const INSIDES: [f64; 6] = [0.5, 1.0 / 3.0, 2.0 / 3.0, 0.25, 0.75, 0.4];
/// A relative change of level between neighbours that is worth a look of its own.
const JUMP: f64 = 0.015;
/// Batch sizes on each side of a change of level.
const SIDES: u32 = 3;

/// Witnesses of the step in `answer`, more of them with each `depth`; only batch sizes of `window`, which is ascending.
pub(super) fn of_step(answer: &Inference, window: &[u32], depth: usize) -> BTreeSet<u32> {
    let mut chosen = BTreeSet::new();
    let (Some(step), Some(&first), Some(&last)) = (answer.step, window.first(), window.last())
    else {
        return chosen;
    };
    let offset = answer.offset.unwrap_or(0.0);
    let start = answer
        .edges
        .first()
        .map_or(first, |edge| edge.batch_size)
        .max(first);
    // Positions of the last batch size before each edge.
    let mut edges: Vec<usize> = (0..)
        .map(|k| f64::from(k).mul_add(step, offset) + 1e-9 * step)
        .map(f64::floor)
        .skip_while(|&edge| edge < f64::from(start))
        .take_while(|&edge| edge < f64::from(last))
        .map(|edge| window.partition_point(|&size| f64::from(size) <= edge))
        .filter_map(|above| above.checked_sub(1))
        .collect();
    edges.dedup();
    let Some(&run) = edges.first() else {
        return chosen;
    };
    let shifted = offset != 0.0 || (depth > 0 && answer.kind == Some(StepKind::Remainder));
    let covering = if shifted { (3.0 * step).ceil() as usize + 4 } else { 0 };
    let length = (RUN << depth.min(8)).min(RUN + 6 * depth).max(covering).min(window.len());
    let from = run.saturating_sub(length / 2 - 1).min(window.len().saturating_sub(length));
    chosen.extend(window[from..].iter().take(length));
    let near = NEAR_EDGES + depth;
    let mut picked: Vec<usize> = (0..edges.len().min(near)).collect();
    picked.extend(FAR_EDGES.into_iter().take(1 + 2 * depth).map(|share| (share * (edges.len() - 1) as f64).round() as usize));
    picked.sort_unstable();
    picked.dedup();
    for (turn, &k) in picked.iter().enumerate() {
        let side = usize::from(edges.len() <= FEW_EDGES);
        chosen.extend(window[edges[k].saturating_sub(side)..].iter().take(2 + 2 * side));
        if turn < INSIDES.len() && turn < 2 + depth {
            let inside = f64::from(window[edges[k]]) + (INSIDES[turn] * step).round();
            if inside <= f64::from(last) {
                chosen.extend(nearest(window, inside));
            }
        }
    }
    chosen
}

/// Where the fitted law changes its level between neighbours: the last batch size before it.
pub(super) fn jumps(answer: &Inference) -> Vec<u32> {
    let growth: Vec<(u32, f64)> = answer
        .fitted
        .windows(2)
        .map(|pair| (pair[0].batch_size, pair[1].seconds / pair[0].seconds - 1.0))
        .collect();
    let mut found = Vec::new();
    for (at, &(size, here)) in growth.iter().enumerate() {
        let from = at.saturating_sub(2);
        let to = (at + 3).min(growth.len());
        let mut around: Vec<f64> = growth[from..to].iter().map(|&(_, rate)| rate).collect();
        around.sort_by(f64::total_cmp);
        if (here - around[around.len() / 2]).abs() > JUMP {
            found.push(size);
        }
    }
    found
}

/// Witnesses of the changes of level at `jumps`.
pub(super) fn of_jumps(jumps: &[u32], window: &[u32]) -> BTreeSet<u32> {
    jumps
        .iter()
        .flat_map(|&after| after.saturating_sub(SIDES - 1)..=after + SIDES)
        .filter(|size| window.binary_search(size).is_ok())
        .collect()
}

/// For a change of level after `after`, the middle between the nearest visited batch sizes, where these are not neighbours in `window`.
pub(super) fn between(after: u32, visited: &BTreeSet<u32>, window: &[u32]) -> Option<u32> {
    let below = *visited.range(..=after).next_back()?;
    let above = *visited.range(after + 1..).next()?;
    let low = window.partition_point(|&size| size <= below);
    let high = window.partition_point(|&size| size < above);
    (low < high).then(|| window[low + (high - low) / 2])
}

fn nearest(window: &[u32], size: f64) -> Option<u32> {
    window
        .iter()
        .copied()
        .min_by(|&a, &b| {
            (f64::from(a) - size)
                .abs()
                .total_cmp(&(f64::from(b) - size).abs())
        })
}

/// True for the same answer: verdict, and period within one percent.
pub(super) fn same(one: &Inference, other: &Inference) -> bool {
    one.verdict == other.verdict
        && match (one.step, other.step) {
            (Some(one), Some(other)) => (one / other - 1.0).abs() <= 0.01,
            (None, None) => true,
            _ => false,
        }
}

/// True for an answer, as opposed to the statement that there is none yet.
pub(super) const fn answers(inference: &Inference) -> bool {
    !matches!(inference.verdict, Verdict::Insufficient)
}
