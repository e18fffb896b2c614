//! Which batch sizes a series can and should visit: the ascending probe that finds the range, and the window within it.
//!
//! Used by the planner. The window follows from the probe and the batch sizes already visited, so that a restarted coordinator finds the same one.

use std::time::Duration;

use batchstep_proto::domain::{BatchSizes, DeviceKind, RoundKind, VisitFailureKind};

use super::{
    SeriesPlan,
    cost::Costs,
    history::Past,
    rules::{self, AIMED_ROUNDS, LEAST_WINDOW, REQUIRED_ROUNDS, WIDEST_WINDOW},
    standing::Standing,
};

/// The launch-bound floor ends where an iteration takes this much longer than at the smallest batch size.
const FLOOR_RISE: f64 = 1.1;
/// A window chosen for the aimed rounds is not made smaller than this when the required rounds can pay for it.
const COMFORTABLE_WINDOW: usize = 32;
/// Share of the budget that a window may be planned to take; costs are estimates.
const PLANNED_SHARE: f64 = 0.9;

/// The largest batch size that fits is found to this fraction of itself.
const MEMORY_RESOLUTION: u32 = 16;

/// The batch sizes a complete probe visits, ascending and at least doubling.
pub(super) fn probe_sizes(plan: &SeriesPlan) -> Vec<u32> {
    match &plan.spec.batch_sizes {
        BatchSizes::Auto => {
            let largest = rules::window_cap(plan.device.kind) * WIDEST_WINDOW;
            (0..)
                .map(|power| 1_u32 << power)
                .take_while(|&size| size <= largest)
                .collect()
        }
        BatchSizes::Listed(sizes) => {
            let mut probe: Vec<u32> = Vec::new();
            for &size in sizes {
                if probe.last().is_none_or(|&last| size >= last * 2) {
                    probe.push(size);
                }
            }
            // The largest one shows whether everything fits.
            if let (Some(&largest), Some(&last)) = (sizes.last(), probe.last())
                && largest > last
            {
                probe.push(largest);
            }
            probe
        }
    }
}

/// What the probe still has to visit; empty once it has met the end, or a limit and knows where that lies.
pub(super) fn unprobed(plan: &SeriesPlan, standing: &Standing) -> Vec<u32> {
    let doubling = undoubled(plan, standing);
    if doubling.is_empty() {
        return bisecting(plan, standing).into_iter().collect();
    }
    doubling
}

/// The next batch size between the largest that fitted and the smallest that did not, until they are close or next to each other.
fn bisecting(plan: &SeriesPlan, standing: &Standing) -> Option<u32> {
    let bound = standing.bound.as_ref()?;
    let memory = matches!(
        bound.kind,
        VisitFailureKind::OutOfMemory | VisitFailureKind::MemoryLimit
    );
    let (&fitted, _) = standing.probed.range(..bound.batch_size).next_back()?;
    let gap = bound.batch_size - fitted;
    let middle = fitted + gap / 2;
    let wanted = memory
        && plan.spec.batch_sizes == BatchSizes::Auto
        && gap > (fitted / MEMORY_RESOLUTION).max(1);
    (wanted && standing.usable(middle) && !standing.fails_in_probe(middle)).then_some(middle)
}

/// What is left of the doubling batch sizes.
fn undoubled(plan: &SeriesPlan, standing: &Standing) -> Vec<u32> {
    let sizes = probe_sizes(plan);
    // Two crashing sizes in a row: so will the larger ones.
    let crashed = sizes
        .windows(2)
        .find(|pair| standing.quarantined(pair[0]) && standing.crashes.contains_key(&pair[1]));
    let end = crashed.map_or(u32::MAX, |pair| pair[0]);
    sizes
        .into_iter()
        .filter(|&size| {
            size < end
                && standing.below_bound(size)
                && !standing.quarantined(size)
                && !standing.probed.contains_key(&size)
                && !standing.fails_in_probe(size)
        })
        .collect()
}

/// The batch sizes to measure, ascending: all that are listed, or a dense window as large as the budget pays for.
pub(super) fn window(plan: &SeriesPlan, past: &Past<'_>, standing: &Standing) -> Vec<u32> {
    match &plan.spec.batch_sizes {
        BatchSizes::Listed(sizes) => sizes.clone(),
        BatchSizes::Auto => {
            let base = base_window(plan, past, standing);
            let Some((&low, &high)) = base.first().zip(base.last()) else {
                return base;
            };
            let visited = standing.measured.keys().next_back().copied().unwrap_or(0);
            let mut high = high;
            while high < visited {
                high = doubled(low, high).min(largest(plan, standing));
                if high == largest(plan, standing) {
                    break;
                }
            }
            (low..=high).collect()
        }
    }
    .into_iter()
    .filter(|&size| standing.usable(size))
    .collect()
}

/// The batch sizes by which an automatic window grows next; empty when it cannot.
pub(super) fn widened(plan: &SeriesPlan, standing: &Standing, window: &[u32]) -> Vec<u32> {
    let (BatchSizes::Auto, Some((&low, &high))) =
        (&plan.spec.batch_sizes, window.first().zip(window.last()))
    else {
        return Vec::new();
    };
    (high + 1..=doubled(low, high).min(largest(plan, standing)))
        .filter(|&size| standing.usable(size))
        .collect()
}

const fn doubled(low: u32, high: u32) -> u32 {
    high + (high + 1 - low)
}

/// The largest batch size an automatic window may hold: what the probe reached, or what lies below the limit it met.
fn largest(plan: &SeriesPlan, standing: &Standing) -> u32 {
    let probed = standing.probed.keys().next_back().copied().unwrap_or(1);
    let cap = rules::window_cap(plan.device.kind) * WIDEST_WINDOW;
    match &standing.bound {
        Some(bound) => (bound.batch_size - 1).max(1).min(cap),
        None => probed,
    }
}

fn base_window(plan: &SeriesPlan, past: &Past<'_>, standing: &Standing) -> Vec<u32> {
    let costs = Costs::from_probe(plan, standing);
    let cap = rules::window_cap(plan.device.kind);
    let low = lowest(plan, standing, cap);
    let high = (low + cap - 1).min(largest(plan, standing)).max(low);
    let sizes: Vec<u32> = (low..=high).collect();
    let probing: Duration = past
        .rounds
        .iter()
        .filter(|record| record.round.kind == RoundKind::Probe)
        .map(|record| super::budget::time_of(record))
        .sum();
    let left = plan.spec.budget.saturating_sub(probing).as_secs_f64() * PLANNED_SHARE;
    let reference = reference(&costs, &sizes).unwrap_or(low);
    let pays_for = |rounds: u32| costs.affordable(&sizes, reference, left / f64::from(rounds));
    let comfortable = pays_for(AIMED_ROUNDS);
    let count = if comfortable < COMFORTABLE_WINDOW {
        pays_for(REQUIRED_ROUNDS).min(COMFORTABLE_WINDOW)
    } else {
        comfortable
    };
    let count = count.max(LEAST_WINDOW as usize).min(sizes.len());
    sizes[..count].to_vec()
}

/// Where an automatic window begins: at 1, or near the end of a long launch-bound floor, left of which nothing can be seen.
fn lowest(plan: &SeriesPlan, standing: &Standing, cap: u32) -> u32 {
    let Some(&least) = standing.probed.values().next() else {
        return 1;
    };
    let floor_end = standing
        .probed
        .iter()
        .take_while(|&(_, &seconds)| seconds <= least * FLOOR_RISE)
        .map(|(&size, _)| size)
        .last()
        .unwrap_or(1);
    if plan.device.kind == DeviceKind::Cuda && floor_end > cap / 4 {
        floor_end / 2 + 1
    } else {
        1
    }
}

/// The batch that shows drift: mid-range, so that its block is made of the same kernels as the others', and cheap.
pub(super) fn reference(costs: &Costs, window: &[u32]) -> Option<u32> {
    let (&low, &high) = window.first().zip(window.last())?;
    let middle = (f64::from(low) * f64::from(high)).sqrt();
    window
        .iter()
        .copied()
        .filter(|&size| {
            // A reference block longer than a second is paid too often.
            size == low || costs.seconds_per_iteration(size) <= 1.0
        })
        .min_by(|&a, &b| {
            let distance = |size: u32| (f64::from(size) / middle).ln().abs();
            distance(a).total_cmp(&distance(b))
        })
}
