//! From a list of batch sizes to a round: order, reference visits, iterations and limits.
//!
//! Called by the planner; the order comes from the sweep's seed, the series and the round's index, and from nothing else.

use std::time::Duration;

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
    let visit = |batch_size: u32, role: VisitRole| Visit {
        batch_size,
        role,
        iterations: Some(costs.iterations(batch_size, role == VisitRole::Reference)),
    };
    let with_reference = plan.spec.visit_order == VisitOrder::Random;
    let mut visits = Vec::with_capacity(sizes.len() + sizes.len() / REFERENCE_EVERY + 2);
    for chunk in sizes.chunks(REFERENCE_EVERY) {
        if with_reference {
            visits.push(visit(reference, VisitRole::Reference));
        }
        visits.extend(chunk.iter().map(|&size| visit(size, VisitRole::Measure)));
    }
    if with_reference {
        visits.push(visit(reference, VisitRole::Reference));
    }
    let timing = rules::timing(plan);
    let estimate = Duration::from_secs_f64(
        (costs.round(sizes, reference) * TIME_LIMIT_FACTOR).clamp(0.0, 1e9),
    );
    let time_limit = START_ALLOWANCE + timing.device_warm_up_max + estimate;
    round(
        plan,
        index,
        RoundKind::Measure,
        with_reference.then_some(reference),
        visits,
        timing,
        time_limit,
    )
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
