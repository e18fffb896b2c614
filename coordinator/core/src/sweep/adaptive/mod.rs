//! The adaptive strategy: measures where the verdict can still change, and stops when it cannot.
//!
//! The planner asks it before each round, with what was measured so far, and nothing else: it keeps no state. Each answer is one of the stages below.
//!
//! 1. *Look*: one block at each batch size of a sparse design ([`levels`]). The inference's answer from everything there is, the *sight*, says what to
//!    believe; nothing is reported from it.
//! 2. *Confirm*: the batch sizes that could refute the sight ([`witnesses`]) get their required blocks. The *answer* is the inference's from these
//!    alone, as the step table will give it.
//! 3. *Weigh*: where both agree, the answer has margin and predicts what else was seen ([`weigh`]), nothing that could be measured would change it. Else
//!    the next design is looked at, with more witnesses, up to the dense sweep.

mod levels;
mod weigh;
mod witnesses;

use std::collections::{BTreeMap, BTreeSet};

use batchstep_inference::{Inference, Observation, Options, Trace, Verdict, infer};
use batchstep_proto::domain::{Strategy, VisitOrder};

use super::{
    Conclusion, ConclusionReason, SeriesPlan,
    rules::{LEAST_WINDOW, MOST_REPEATS, required_rounds},
    settled::settled,
};
use levels::{LAST_LEVEL, SHORT_RANGE, level};

/// The level that must have been looked at before "no step" is believed, and before changes of level that do not repeat are: a step that starts late
/// or costs little looks like them.
const LEVEL_WITHOUT_STEP: usize = 1;
const LEVEL_IRREGULAR: usize = 2;
/// Depth at which witnesses are asked for no further: everything is one by then.
const MOST_DEPTH: usize = 8;
/// Further blocks for a batch size that is not precise yet, at least and at most at a time.
const MORE_BLOCKS: (u32, u32) = (3, 10);

/// Blocks still missing, by batch size; each at least 1.
pub(super) type Missing = BTreeMap<u32, u32>;

/// What the strategy asks for.
#[derive(Debug)]
pub(super) enum Ask {
    /// These blocks.
    Measure(Missing),
    /// Nothing: the answer is certain, and what it reports is precise. May be asked for a wider range.
    Enough { why: Conclusion, step: bool },
    /// Whatever a dense sweep would measure: every batch size has its required blocks.
    Everything,
}

/// Whether the strategy has a choice to make.
pub(super) fn applies(plan: &SeriesPlan, window: &[u32]) -> bool {
    plan.spec.strategy == Strategy::Adaptive
        && plan.spec.visit_order == VisitOrder::Random
        // A fixed count asks for one block everywhere.
        && plan.spec.iterations.is_none()
        && window.len() > SHORT_RANGE
}

/// What is known of a series.
pub(super) struct Situation<'a> {
    /// Batch sizes that can be visited, ascending.
    window: &'a [u32],
    /// Blocks that count towards the required ones, for every batch size of the window.
    counts: &'a BTreeMap<u32, u32>,
    /// The last level whose batch sizes have all been looked at.
    reached: Option<usize>,
    /// Empty before the first level is reached.
    observations: Vec<Observation>,
    required: u32,
    precision: f64,
}

impl<'a> Situation<'a> {
    pub(super) fn of(
        plan: &SeriesPlan,
        window: &'a [u32],
        counts: &'a BTreeMap<u32, u32>,
        observe: impl FnOnce() -> Vec<Observation>,
    ) -> Self {
        let mut situation = Self {
            window,
            counts,
            reached: None,
            observations: Vec::new(),
            required: required_rounds(&plan.spec),
            precision: plan.spec.precision,
        };
        situation.reached = (0..=LAST_LEVEL)
            .take_while(|&one| situation.missing(level(window, one), 1).is_empty())
            .last();
        if situation.reached.is_some() {
            situation.observations = observe();
        }
        situation
    }

    /// What is worth measuring next, or why nothing is.
    pub(super) fn ask(&self) -> Ask {
        let (Some(reached), Ok(seen)) = (self.reached, Trace::new(self.observations.clone()))
        else {
            return Ask::Measure(self.missing(level(self.window, 0), 1));
        };
        let sight = infer(&seen, &Options::default());
        let dense = level(self.window, reached).len() == self.window.len();
        let believable = match sight.verdict {
            Verdict::Step => true,
            Verdict::NoStep => dense || reached >= LEVEL_WITHOUT_STEP,
            Verdict::Irregular => dense || reached >= LEVEL_IRREGULAR,
            Verdict::Insufficient => false,
        };
        if sight.verdict == Verdict::Insufficient && reached > 0 {
            // Where one block of a batch size says too little, five of fewer say more than one of all.
            let fewer = self.missing(level(self.window, reached - 1), self.required);
            if !fewer.is_empty() {
                return Ask::Measure(fewer);
            }
        }
        if !believable {
            return self.look_further(reached);
        }
        let jumps = match sight.verdict {
            Verdict::Step => Vec::new(),
            _ => witnesses::jumps(&sight),
        };
        let closer = self.missing(self.between(&jumps), 1);
        if !closer.is_empty() {
            return Ask::Measure(closer);
        }
        let missing = self.unconfirmed(&sight, &jumps, reached);
        if !missing.is_empty() {
            return Ask::Measure(missing);
        }
        self.weigh(&sight, &seen)
            .unwrap_or_else(|| self.confirm_further(&sight, &jumps, reached))
    }

    /// `missing` and what the smallest batch sizes lack of an answer of their own, which a budget must be kept for.
    pub(super) fn with_least(&self, missing: &Missing) -> Missing {
        let mut all = self.missing(self.least().iter().copied(), self.required);
        for (&size, &blocks) in missing {
            all.entry(size)
                .and_modify(|most| *most = blocks.max(*most))
                .or_insert(blocks);
        }
        all
    }

    /// What can be completed when the budget pays for no more: batch sizes with any block, and the smallest; ascending.
    pub(super) fn begun(&self) -> Vec<u32> {
        let mut begun = self.with(|count| count > 0);
        begun.extend(self.least());
        begun.into_iter().collect()
    }

    fn least(&self) -> &[u32] {
        &self.window[..self.window.len().min(LEAST_WINDOW as usize)]
    }

    fn with(&self, wanted: impl Fn(u32) -> bool) -> BTreeSet<u32> {
        let sizes = self.window.iter().copied();
        sizes.filter(|&size| wanted(self.count(size))).collect()
    }

    fn count(&self, size: u32) -> u32 {
        self.counts.get(&size).copied().unwrap_or(0)
    }

    /// What `sizes` lack of `blocks` each.
    fn missing(&self, sizes: impl IntoIterator<Item = u32>, blocks: u32) -> Missing {
        sizes
            .into_iter()
            .map(|size| (size, blocks.saturating_sub(self.count(size))))
            .filter(|&(_, missing)| missing > 0)
            .collect()
    }

    /// The middle of the gap in which each of `jumps` lies, until it lies between neighbours.
    fn between(&self, jumps: &[u32]) -> BTreeSet<u32> {
        let visited = self.with(|count| count > 0);
        jumps
            .iter()
            .filter_map(|&after| witnesses::between(after, &visited, self.window))
            .collect()
    }

    /// What the witnesses of `sight` lack of their required blocks.
    fn unconfirmed(&self, sight: &Inference, jumps: &[u32], depth: usize) -> Missing {
        let mut witnesses = match sight.verdict {
            Verdict::Step => witnesses::of_step(sight, self.window, depth),
            _ => {
                let mut all = witnesses::of_jumps(jumps, self.window);
                all.extend(level(self.window, depth.saturating_sub(LEVEL_WITHOUT_STEP)));
                all
            }
        };
        // What was begun for a sight that is no longer believed is completed, too: half-measured batch sizes spoil an answer.
        witnesses.extend(self.with(|count| 2 * count > self.required));
        self.missing(witnesses, self.required)
    }

    /// The end, or the way there, when the answer is certain.
    fn weigh(&self, sight: &Inference, seen: &Trace) -> Option<Ask> {
        let trace = Trace::new(settled(&self.observations, self.required).ok()?).ok()?;
        let answer = infer(&trace, &Options::default());
        let certain = weigh::certain(sight, &answer)?;
        if !weigh::predicts(&answer, seen, self.required) {
            return None;
        }
        let open = self.imprecise(&answer, &trace);
        if !open.is_empty() {
            return Some(Ask::Measure(open));
        }
        let why = Conclusion {
            reason: ConclusionReason::VerdictSettled,
            message: format!(
                "the verdict cannot change: {certain}, from {} of {} batch sizes",
                trace.points().len(),
                self.window.len()
            ),
        };
        Some(Ask::Enough {
            why,
            step: answer.verdict == Verdict::Step,
        })
    }

    /// Blocks that make both sides of the reported jump precise.
    fn imprecise(&self, answer: &Inference, trace: &Trace) -> Missing {
        let jump = answer.jump_at.map_or(0..0, |at| at..at.saturating_add(2));
        trace
            .points()
            .iter()
            .filter(|point| jump.contains(&point.batch_size))
            .filter(|point| point.relative_standard_error > self.precision)
            .filter_map(|point| {
                let room = MOST_REPEATS.checked_sub(self.count(point.batch_size))?;
                // Standard errors fall with the root of the number of blocks.
                let short = (point.relative_standard_error / self.precision).powi(2) - 1.0;
                let more = (short * point.blocks as f64).ceil() as u32;
                let more = more.clamp(MORE_BLOCKS.0, MORE_BLOCKS.1).min(room);
                (more > 0).then_some((point.batch_size, more))
            })
            .collect()
    }

    /// More witnesses, and more of the range before that where there is more.
    fn confirm_further(&self, sight: &Inference, jumps: &[u32], reached: usize) -> Ask {
        let deeper = || {
            (reached..=MOST_DEPTH)
                .map(|depth| self.unconfirmed(sight, jumps, depth))
                .find(|missing| !missing.is_empty())
        };
        match deeper() {
            Some(missing) if reached == LAST_LEVEL => Ask::Measure(missing),
            _ => self.look_further(reached),
        }
    }

    /// One block at each batch size of the next level; on the last, one more everywhere, up to the required ones.
    fn look_further(&self, reached: usize) -> Ask {
        let everywhere = self.window.iter().copied();
        let least = everywhere.clone().map(|size| self.count(size)).min();
        let further = (reached + 1..=LAST_LEVEL)
            .map(|one| self.missing(level(self.window, one), 1))
            .chain([self.missing(everywhere, (least.unwrap_or(0) + 1).min(self.required))])
            .find(|missing| !missing.is_empty());
        further.map_or(Ask::Everything, Ask::Measure)
    }
}

/// The design that is looked at first in a range that is wider by `wider`, as far as it lies there, and its cost in blocks: what a look and a
/// confirmation take.
pub(super) fn look_into(window: &[u32], wider: &[u32], required: u32) -> (Missing, Missing) {
    let all: Vec<u32> = window.iter().chain(wider).copied().collect();
    let inside = |one: usize| {
        level(&all, one)
            .into_iter()
            .filter(|size| wider.binary_search(size).is_ok())
    };
    let look = inside(0).map(|size| (size, 1)).collect();
    let confirmed = inside(0).map(|size| (size, required));
    let cost = inside(1).map(|size| (size, 1)).chain(confirmed).collect();
    (look, cost)
}

/// The batch sizes of each pass that `missing` takes, ascending.
pub(super) fn passes(missing: &Missing) -> Vec<Vec<u32>> {
    let most = missing.values().copied().max().unwrap_or(0);
    (0..most)
        .map(|pass| {
            let due = missing.iter().filter(|&(_, &blocks)| blocks > pass);
            due.map(|(&size, _)| size).collect()
        })
        .collect()
}
