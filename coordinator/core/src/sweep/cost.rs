//! What visits cost: iteration times interpolated from what was timed, and the block lengths that follow from them.
//!
//! Used by the planner to fit rounds into a budget; never decides which batch sizes are visited.

use std::{collections::BTreeMap, time::Duration};

use batchstep_proto::domain::{AttemptOutcome, RoundKind, Timing, VisitOrder};

use super::{
    SeriesPlan,
    history::Past,
    medians::median,
    rules::{self, REFERENCE_EVERY, REQUIRED_ROUNDS},
    standing::Standing,
};

/// Making the data and synchronising, for a visit of which nothing is known yet, seconds.
const VISIT_OVERHEAD_SECONDS: f64 = 0.01;
/// Finished rounds that the overhead is read from: the first ones hold first visits, which later ones do not.
const OVERHEAD_ROUNDS: usize = 3;
/// Most iterations of a block, whatever the device's speed.
const MOST_ITERATIONS: f64 = 1_000_000.0;

/// Iteration time by batch size, linear between the batch sizes that were timed.
#[derive(Debug)]
struct TimeModel(Vec<(f64, f64)>);

impl TimeModel {
    /// Seconds per iteration; proportional to the batch above the largest one timed, constant below the smallest.
    fn seconds(&self, batch_size: u32) -> f64 {
        let size = f64::from(batch_size);
        let above = self.0.partition_point(|&(known, _)| known < size);
        match (
            above.checked_sub(1).map(|below| self.0[below]),
            self.0.get(above),
        ) {
            (Some((below, low)), Some(&(above, high))) => {
                low + (high - low) * (size - below) / (above - below)
            }
            (None, Some(&(_, seconds))) => seconds,
            (Some((known, seconds)), None) => seconds * size / known,
            (None, None) => 0.0,
        }
    }
}

/// Prices of visits, in seconds of device time.
#[derive(Debug)]
pub(super) struct Costs {
    model: TimeModel,
    timing: Timing,
    /// Iterations that are settled: fixed by the person, or by the first block.
    settled: BTreeMap<(u32, bool), u32>,
    fixed: Option<u32>,
    ascending: bool,
    /// Round time over block time, from the rounds that finished.
    overhead: Option<f64>,
}

impl Costs {
    /// As the probe alone shows them: they decide the window, which must not change with every round.
    pub(super) fn from_probe(plan: &SeriesPlan, standing: &Standing) -> Self {
        Self {
            model: TimeModel(
                standing
                    .probed
                    .iter()
                    .map(|(&size, &seconds)| (f64::from(size), seconds))
                    .collect(),
            ),
            timing: rules::timing(plan),
            settled: BTreeMap::new(),
            fixed: plan.spec.iterations,
            ascending: plan.spec.visit_order == VisitOrder::Ascending,
            overhead: None,
        }
    }

    /// As everything so far shows them.
    pub(super) fn of(plan: &SeriesPlan, past: &Past<'_>, standing: &Standing) -> Self {
        let mut known = standing.probed.clone();
        for (&size, seconds) in &standing.measured {
            known.insert(size, median(seconds.clone()));
        }
        if let (true, Some(bound)) = (known.is_empty(), &standing.bound) {
            known.extend(bound.seconds.map(|seconds| (bound.batch_size, seconds)));
        }
        let (mut elapsed, mut timed) = (Duration::ZERO, Duration::ZERO);
        let finished = past
            .rounds
            .iter()
            .rev()
            .filter(|record| record.round.kind == RoundKind::Measure)
            .filter(|record| matches!(record.outcomes.as_slice(), [(AttemptOutcome::Finished, _)]));
        for record in finished.take(OVERHEAD_ROUNDS) {
            elapsed += record.elapsed;
            timed += record
                .blocks
                .iter()
                .map(|block| block.elapsed)
                .sum::<Duration>();
        }
        Self {
            model: TimeModel(
                known
                    .into_iter()
                    .map(|(size, seconds)| (f64::from(size), seconds))
                    .collect(),
            ),
            settled: standing.iterations.clone(),
            overhead: (!timed.is_zero())
                .then(|| (elapsed.as_secs_f64() / timed.as_secs_f64()).clamp(1.0, 10.0)),
            ..Self::from_probe(plan, standing)
        }
    }

    /// True while not one iteration was timed.
    pub(super) const fn know_nothing(&self) -> bool {
        self.model.0.is_empty()
    }

    /// Iterations of a block: what the person fixed, else what its first block had, else enough for the target length, at least
    /// the least number while the block stays under the ceiling, else one.
    pub(super) fn iterations(&self, batch_size: u32, reference: bool) -> u32 {
        if let (Some(fixed), false) = (self.fixed, reference) {
            return fixed;
        }
        if let Some(&settled) = self.settled.get(&(batch_size, reference)) {
            return settled;
        }
        let seconds = self.model.seconds(batch_size).max(1e-9);
        let target = (self.timing.block_target.as_secs_f64() / seconds)
            .ceil()
            .clamp(1.0, MOST_ITERATIONS) as u32;
        let least = self.timing.block_min_iterations.max(1);
        if target >= least {
            target
        } else if seconds * f64::from(least) < self.timing.block_ceiling.as_secs_f64() {
            least
        } else {
            1
        }
    }

    /// Seconds of one visit, warm-up included: the average over the required rounds.
    pub(super) fn visit(&self, batch_size: u32, reference: bool) -> f64 {
        let seconds = self.model.seconds(batch_size);
        let iterations = f64::from(self.iterations(batch_size, reference));
        match self.overhead {
            Some(factor) => seconds * iterations * factor,
            None => {
                let first = f64::from(self.timing.first_visit_warm_up);
                let later = f64::from(self.timing.later_visit_warm_up);
                let warm_up = later + (first - later) / f64::from(REQUIRED_ROUNDS);
                seconds * (iterations + warm_up) + VISIT_OVERHEAD_SECONDS
            }
        }
    }

    /// What the first visit of a batch size takes beyond the average, seconds, where that is not in the rounds' overhead.
    fn still_cold(&self, batch_size: u32) -> f64 {
        if self.overhead.is_some() || self.settled.contains_key(&(batch_size, false)) {
            return 0.0;
        }
        let timing = &self.timing;
        let further = timing
            .first_visit_warm_up
            .saturating_sub(timing.later_visit_warm_up);
        let share = 1.0 - 1.0 / f64::from(REQUIRED_ROUNDS);
        self.model.seconds(batch_size) * f64::from(further) * share
    }

    /// Seconds of the reference visits among `visits` others.
    fn references(&self, visits: usize, reference: u32) -> f64 {
        if self.ascending || visits == 0 {
            return 0.0;
        }
        (visits.div_ceil(REFERENCE_EVERY) + 1) as f64 * self.visit(reference, true)
    }

    /// Seconds of a round over `sizes`, reference visits included.
    pub(super) fn round(&self, sizes: &[u32], reference: u32) -> f64 {
        sizes
            .iter()
            .map(|&size| self.visit(size, false))
            .sum::<f64>()
            + self.references(sizes.len(), reference)
    }

    /// Seconds of `passes`, each a round of its own: an upper bound for rounds that hold more than one.
    pub(super) fn passes(&self, passes: &[Vec<u32>], reference: u32) -> f64 {
        let seconds = passes.iter().map(|pass| self.round(pass, reference));
        seconds.sum()
    }

    /// How many of `sizes`, from the first, make a round of at most `seconds`.
    pub(super) fn affordable(&self, sizes: &[u32], reference: u32, seconds: f64) -> usize {
        let mut sum = 0.0;
        sizes
            .iter()
            .enumerate()
            .take_while(|&(position, &size)| {
                sum += self.visit(size, false) + self.still_cold(size);
                sum + self.references(position + 1, reference) <= seconds
            })
            .count()
    }

    /// Seconds per iteration.
    pub(super) fn seconds_per_iteration(&self, batch_size: u32) -> f64 {
        self.model.seconds(batch_size)
    }
}
