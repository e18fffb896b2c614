//! From a list of batch sizes to a round: order, reference visits, iterations and limits.
//!
//! Called by the planner; the order comes from the sweep's seed, the series and the round's index, and from nothing else.

use std::{collections::BTreeMap, time::Duration};

use batchstep_proto::{
    domain::{Round, RoundKind, Timing, Visit, VisitOrder, VisitRole},
    ids::RoundId,
};
use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;

use super::{
    SeriesPlan,
    cost::Costs,
    rules::{self, REFERENCE_EVERY},
};

/// A round's time limit is this many times its estimate, above a fixed allowance for starting a worker.
const TIME_LIMIT_FACTOR: f64 = 5.0;
/// Loading libraries and building a network, generously.
const START_ALLOWANCE: Duration = Duration::from_secs(60);

/// The batch sizes of all `passes`: a seeded permutation for each, or all visits to a batch size in a row where the sweep asks for the ascending order.
pub(super) fn ordered(plan: &SeriesPlan, index: u32, passes: &[Vec<u32>]) -> Vec<u32> {
    let mut order = Vec::with_capacity(passes.iter().map(Vec::len).sum());
    for (number, pass) in (0_u32..).zip(passes) {
        let first = order.len();
        order.extend_from_slice(pass);
        let mut seed = [0_u8; 32];
        seed[..8].copy_from_slice(&plan.spec.seed.to_be_bytes());
        seed[8..24].copy_from_slice(plan.id.as_uuid().as_bytes());
        seed[24..28].copy_from_slice(&index.to_be_bytes());
        seed[28..].copy_from_slice(&number.to_be_bytes());
        order[first..].sort_unstable();
        order[first..].shuffle(&mut ChaCha8Rng::from_seed(seed));
    }
    if plan.spec.visit_order == VisitOrder::Ascending {
        order.sort_unstable();
    }
    order
}

/// The ascending round that finds the range.
pub(super) fn probe(plan: &SeriesPlan, index: u32, sizes: &[u32]) -> Round {
    let visits = sizes
        .iter()
        .map(|&batch_size| Visit {
            batch_size,
            role: VisitRole::Probe,
            iterations: None,
        })
        .collect();
    let timing = Timing {
        iteration_limit: Some(rules::iteration_limit(plan)),
        ..rules::timing(plan)
    };
    let time_limit = START_ALLOWANCE + timing.device_warm_up_max + plan.spec.budget;
    round(
        plan,
        index,
        RoundKind::Probe,
        sizes.first().copied(),
        visits,
        timing,
        time_limit,
    )
}

/// The round that visits `sizes` in the order given, with the reference first, last and every eight visits.
pub(super) fn measure(
    plan: &SeriesPlan,
    index: u32,
    sizes: &[u32],
    reference: u32,
    costs: &Costs,
) -> Round {
    let timing = rules::timing(plan);
    let estimate = Duration::from_secs_f64(
        (costs.round(sizes, reference) * TIME_LIMIT_FACTOR).clamp(0.0, 1e9),
    );
    let with_reference = plan.spec.visit_order == VisitOrder::Random;
    let reference = with_reference.then_some(reference);
    let visits = visits(sizes, reference, |batch_size, role| {
        Some(costs.iterations(batch_size, role == VisitRole::Reference))
    });
    let time_limit = START_ALLOWANCE + timing.device_warm_up_max + estimate;
    round(
        plan,
        index,
        RoundKind::Measure,
        reference,
        visits,
        timing,
        time_limit,
    )
}

/// A measuring round like `round`, which holds one or more passes: the same visits for as long, in the order of another index.
#[must_use]
pub fn repeated(plan: &SeriesPlan, round: &Round, index: u32) -> Round {
    let mut counts = BTreeMap::new();
    let mut iterations = BTreeMap::new();
    for visit in &round.visits {
        iterations.insert((visit.batch_size, visit.role), visit.iterations);
        if visit.role == VisitRole::Measure {
            *counts.entry(visit.batch_size).or_insert(0) += 1;
        }
    }
    let passes = counts.values().copied().max().unwrap_or(0);
    let pass = |number| {
        let within = counts.iter().filter(move |&(_, &count)| number < count);
        within.map(|(&size, _)| size).collect()
    };
    let passes: Vec<Vec<u32>> = (0..passes).map(pass).collect();
    let sizes = ordered(plan, index, &passes);
    Round {
        id: RoundId::of(plan.id, index),
        device_id: plan.device.id.clone(),
        index,
        visits: visits(&sizes, round.reference_batch_size, |batch_size, role| {
            iterations.get(&(batch_size, role)).copied().flatten()
        }),
        ..round.clone()
    }
}

/// Visits to `sizes` in the order given; with a reference that one first, last and every eight visits.
fn visits(
    sizes: &[u32],
    reference: Option<u32>,
    iterations: impl Fn(u32, VisitRole) -> Option<u32>,
) -> Vec<Visit> {
    let visit = |batch_size: u32, role: VisitRole| Visit {
        batch_size,
        role,
        iterations: iterations(batch_size, role),
    };
    let reference = reference.map(|size| visit(size, VisitRole::Reference));
    let mut visits = Vec::with_capacity(sizes.len() + sizes.len() / REFERENCE_EVERY + 2);
    for chunk in sizes.chunks(REFERENCE_EVERY) {
        visits.extend(reference);
        visits.extend(chunk.iter().map(|&size| visit(size, VisitRole::Measure)));
    }
    visits.extend(reference);
    visits
}

fn round(
    plan: &SeriesPlan,
    index: u32,
    kind: RoundKind,
    reference_batch_size: Option<u32>,
    visits: Vec<Visit>,
    timing: Timing,
    time_limit: Duration,
) -> Round {
    Round {
        id: RoundId::of(plan.id, index),
        series: plan.id,
        sweep: plan.sweep,
        device_id: plan.device.id.clone(),
        index,
        kind,
        workload: plan.workload.clone(),
        mode: plan.spec.mode,
        dtype: plan.spec.dtype,
        threads: plan.threads,
        seed: plan.spec.seed,
        reference_batch_size,
        visits,
        timing,
        time_limit,
        idle_only: plan.spec.scheduling.idle_only,
    }
}
