//! The batch sizes that can confirm or refute what is believed.
//!
//! For a step: neighbours around the first edge, both sides of edges near and far, and the insides of rounds, which a shorter period would cut. Without
//! one: both sides of every change of level. Called by the adaptive strategy; measures nothing and believes nothing.

use std::collections::BTreeSet;

use batchstep_inference::{Inference, StepKind};

/// Neighbours around the first edge: with pairs at other edges they keep the inference's grid spacing at 1, so that no short period is out of sight.
const RUN: usize = 10;
/// Further ones for each level of depth.
const RUN_DEEPER: usize = 6;
/// Periods that the run covers where a pattern of left-over samples must be seen residue by residue, and some more.
const RUN_PERIODS: f64 = 3.0;
const RUN_SPARE: usize = 4;
/// Edges from the first on whose two sides are witnesses; one more with each level of depth.
const NEAR_EDGES: usize = 4;
/// Where further ones lie, as shares of the way to the last: like a vernier, a far edge fixes a fractional period. One at first, two more with each
/// level of depth.
const FAR_EDGES: [f64; 7] = [1.0, 0.6, 0.8, 0.7, 0.9, 0.5, 0.4];
/// With no more edges in range than this, each takes two batch sizes on each side: two changes of level explain three pairs as well as a step does.
const FEW_EDGES: usize = 4;
/// Places inside rounds, as shares of the period, for one round each: half, third and quarter periods have edges there.
const INSIDES: [f64; 6] = [0.5, 1.0 / 3.0, 2.0 / 3.0, 0.25, 0.75, 0.4];
/// How many of them at first; one more with each level of depth.
const FIRST_INSIDES: usize = 2;
/// A change between neighbours, beyond the usual growth around it, that is worth a look of its own: half of what the inference calls a switch.
const JUMP: f64 = 0.015;
/// Batch sizes on each side of a change of level.
const SIDE: u32 = 3;
/// Slack, in periods, that keeps a multiple in the round it ends despite rounding.
const EDGE_SLACK_PERIODS: f64 = 1e-9;

/// Witnesses of the step in `sight`, more with each level of `depth`; batch sizes of `window`, which is ascending.
pub(super) fn of_step(sight: &Inference, window: &[u32], depth: usize) -> BTreeSet<u32> {
    let (Some(step), Some(&last)) = (sight.step, window.last()) else {
        return BTreeSet::new();
    };
    let edges = edges(sight, step, window);
    let Some(&first) = edges.first() else {
        return BTreeSet::new();
    };
    let mut witnesses = BTreeSet::new();
    let run = run(sight, step, depth).min(window.len());
    let from = (first + 1).saturating_sub(run / 2).min(window.len() - run);
    witnesses.extend(&window[from..from + run]);
    let side = usize::from(edges.len() <= FEW_EDGES);
    for (turn, &at) in picked(edges.len(), depth)
        .iter()
        .map(|&k| &edges[k])
        .enumerate()
    {
        witnesses.extend(window[at.saturating_sub(side)..].iter().take(2 + 2 * side));
        if let Some(share) = INSIDES.get(turn).filter(|_| turn < FIRST_INSIDES + depth) {
            let inside = f64::from(window[at]) + (share * step).round();
            if inside <= f64::from(last) {
                witnesses.extend(nearest(window, inside));
            }
        }
    }
    witnesses
}

/// Positions in `window` of the last batch size before each edge that is in range and not hidden by the launch-bound floor, ascending.
fn edges(sight: &Inference, step: f64, window: &[u32]) -> Vec<usize> {
    let (first, last) = (window[0], window[window.len() - 1]);
    let visible = sight.edges.first().map_or(first, |edge| edge.batch_size);
    let offset = sight.offset.unwrap_or(0.0);
    let mut edges: Vec<usize> = (0..)
        .map(|k| (f64::from(k).mul_add(step, offset) + EDGE_SLACK_PERIODS * step).floor())
        .skip_while(|&edge| edge < f64::from(visible.max(first)))
        .take_while(|&edge| edge < f64::from(last))
        .map(|edge| window.partition_point(|&size| f64::from(size) <= edge))
        .filter_map(|above| above.checked_sub(1))
        .collect();
    edges.dedup();
    edges
}

/// Length of the run of neighbours.
fn run(sight: &Inference, step: f64, depth: usize) -> usize {
    let by_residue = sight.offset.is_some_and(|offset| offset != 0.0)
        || (depth > 0 && sight.kind == Some(StepKind::Remainder));
    let covering = if by_residue {
        (RUN_PERIODS * step).ceil() as usize + RUN_SPARE
    } else {
        0
    };
    (RUN + RUN_DEEPER * depth).max(covering)
}

/// Which of `count` edges, ascending.
fn picked(count: usize, depth: usize) -> BTreeSet<usize> {
    let far = FAR_EDGES
        .into_iter()
        .take(1 + 2 * depth)
        .map(|share| (share * (count - 1) as f64).round() as usize);
    (0..count.min(NEAR_EDGES + depth)).chain(far).collect()
}

fn nearest(window: &[u32], size: f64) -> Option<u32> {
    let distance = |other: u32| (f64::from(other) - size).abs();
    window
        .iter()
        .copied()
        .min_by(|&a, &b| distance(a).total_cmp(&distance(b)))
}

/// The batch sizes after which the law that explains the sight best changes its level, ascending.
pub(super) fn jumps(sight: &Inference) -> Vec<u32> {
    /// Neighbours on each side that tell the usual growth.
    const REACH: usize = 2;
    let growth: Vec<f64> = sight
        .fitted
        .windows(2)
        .map(|pair| pair[1].seconds / pair[0].seconds - 1.0)
        .collect();
    (0..growth.len())
        .filter(|&at| {
            let around = &growth[at.saturating_sub(REACH)..(at + REACH + 1).min(growth.len())];
            let mut around = around.to_vec();
            around.sort_by(f64::total_cmp);
            (growth[at] - around[around.len() / 2]).abs() > JUMP
        })
        .map(|at| sight.fitted[at].batch_size)
        .collect()
}

/// Witnesses of changes of level after each of `jumps`.
pub(super) fn of_jumps(jumps: &[u32], window: &[u32]) -> BTreeSet<u32> {
    jumps
        .iter()
        .flat_map(|&after| (after + 1).saturating_sub(SIDE)..=after.saturating_add(SIDE))
        .filter(|size| window.binary_search(size).is_ok())
        .collect()
}

/// For a change of level after `after`: the middle between the nearest visited batch sizes, where these are not neighbours in `window`.
pub(super) fn between(after: u32, visited: &BTreeSet<u32>, window: &[u32]) -> Option<u32> {
    let below = *visited.range(..=after).next_back()?;
    let above = *visited.range(after.saturating_add(1)..).next()?;
    let low = window.partition_point(|&size| size <= below);
    let high = window.partition_point(|&size| size < above);
    (low < high).then(|| window[low + (high - low) / 2])
}

#[cfg(test)]
mod tests {
    use batchstep_inference::{Observation, Options, Trace, infer};

    use super::*;

    fn sight(sizes: impl IntoIterator<Item = u32>, law: impl Fn(u32) -> f64) -> Inference {
        let observations = sizes.into_iter().map(|batch_size| Observation {
            batch_size,
            round: 0,
            // Not quite exact, as nothing is.
            seconds: law(batch_size) * (1.0 + 1e-3 * f64::from(batch_size * 7 % 5)),
        });
        infer(
            &Trace::new(observations.collect()).unwrap(),
            &Options::default(),
        )
    }

    #[test]
    fn a_step_is_witnessed_at_its_edges_and_inside_its_rounds() {
        let window: Vec<u32> = (1..=160).collect();
        let sight = sight(1..=160, |size| 1.0 + 0.3 * f64::from(size.div_ceil(16)));
        assert_eq!(sight.step, Some(16.0));
        let few = of_step(&sight, &window, 0);
        for size in [16, 17, 32, 33, 48, 49, 64, 65, 144, 145] {
            assert!(few.contains(&size), "{size} of {few:?}");
        }
        let inside = |size: &&u32| (3..15).contains(&(**size % 16));
        assert!(
            few.iter().filter(inside).count() >= 2 && few.len() <= 24,
            "{few:?}"
        );
        let more = of_step(&sight, &window, 2);
        assert!(
            more.len() > few.len() && few.iter().filter(|size| more.contains(size)).count() >= 20
        );
    }

    #[test]
    fn a_change_of_level_is_closed_in_on() {
        let window: Vec<u32> = (1..=64).collect();
        let mut visited: BTreeSet<u32> = window
            .iter()
            .copied()
            .filter(|size| size % 9 == 1)
            .collect();
        let law = |size: u32| (1.0 + 0.02 * f64::from(size)) * if size > 40 { 1.4 } else { 1.0 };
        let mut looks = 0;
        loop {
            let sight = sight((1..=24).chain(visited.iter().copied()), law);
            let closer: Vec<u32> = jumps(&sight)
                .into_iter()
                .filter_map(|after| between(after, &visited, &window))
                .collect();
            if closer.is_empty() {
                break;
            }
            visited.extend(closer);
            looks += 1;
        }
        assert!(
            looks <= 5 && visited.contains(&40) && visited.contains(&41),
            "{looks}: {visited:?}"
        );
        assert_eq!(of_jumps(&[40], &window), (38..=43).collect());
    }
}
