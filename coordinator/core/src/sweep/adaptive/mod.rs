//! The adaptive strategy: measures where the verdict can still change, and stops when it cannot.
//!
//! Called by the planner after the probe, before each round.

mod levels;
mod witnesses;

use std::collections::{BTreeMap, BTreeSet};

use batchstep_inference::{Inference, Observation, Options, Trace, Verdict, infer};

use super::{
    Conclusion, ConclusionReason,
    rules::{HIGH_CONFIDENCE, MOST_REPEATS},
    settled::settled,
};
use levels::{LEVELS, level};

/// Smallest jump, relative, that must be visible before "no step" is believed.
const SIGHT: f64 = 0.025;
/// The level that must have been seen before "no step" is believed.
const LEVEL_WITHOUT_STEP: usize = 1;
/// Witness depth beyond which everything is one.
const MOST_DEPTH: usize = 8;
/// Typical distance of a batch size from what the others predict, in standard deviations, above which something is not understood yet.
const MISFIT: f64 = 2.2;
const LEAST_NOISE: f64 = 0.002;
/// Confirmed edges after which more of them say the same.
const ENOUGH_EDGES: usize = 4;

/// What is known when the strategy is asked.
pub(super) struct Situation<'a> {
    pub window: &'a [u32],
    /// Blocks that count, by batch size of the window.
    pub counts: &'a BTreeMap<u32, u32>,
    pub observations: Vec<Observation>,
    pub required: u32,
    pub precision: f64,
}

/// Blocks still wanted, by batch size.
pub(super) type Missing = BTreeMap<u32, u32>;

impl Situation<'_> {
    fn count(&self, size: u32) -> u32 {
        self.counts.get(&size).copied().unwrap_or(0)
    }

    fn missing(&self, sizes: impl IntoIterator<Item = u32>, blocks: u32) -> Missing {
        sizes
            .into_iter()
            .filter(|&size| self.count(size) < blocks)
            .map(|size| (size, blocks - self.count(size)))
            .collect()
    }

    /// What is worth measuring next, or why nothing is.
    pub(super) fn wanted(&self) -> Result<Missing, Conclusion> {
        let window = self.window;
        let reached = (0..LEVELS)
            .take_while(|&l| self.missing(level(window, l), 1).is_empty())
            .last();
        let Some(reached) = reached else {
            let blocks = if window.len() <= levels::SHORT_RANGE { self.required } else { 1 };
            return Ok(self.missing(level(window, 0), blocks));
        };
        let Ok(all) = Trace::new(self.observations.clone()) else {
            return Ok(self.missing(level(window, reached), 1));
        };
        let sight = infer(&all, &Options::default());
        let debug = std::env::var_os("PLAN").is_some();
        if debug { eprintln!("level {reached} n {} settled {} blocks {} sight {:?} {:?} conf {:?} sdj {:?}: {}", self.counts.values().filter(|&&c| c > 0).count(), self.counts.values().filter(|&&c| c >= self.required).count(), self.counts.values().sum::<u32>(), sight.verdict, sight.step, sight.confidence, sight.smallest_detectable_jump, sight.reason); }
        let further = || self.further(reached);
        let visited: BTreeSet<u32> = window
            .iter()
            .copied()
            .filter(|&size| self.count(size) > 0)
            .collect();
        let jumps = match sight.verdict {
            Verdict::Step => Vec::new(),
            Verdict::Insufficient => return further(),
            _ if reached < LEVEL_WITHOUT_STEP && level(window, reached).len() < window.len() => {
                return further();
            }
            _ => {
                let jumps = witnesses::jumps(&sight);
                let between: BTreeSet<u32> = jumps
                    .iter()
                    .filter_map(|&after| witnesses::between(after, &visited, window))
                    .collect();
                let unseen = self.missing(between, 1);
                if !unseen.is_empty() {
                    return Ok(unseen);
                }
                jumps
            }
        };
        // What was begun for an answer that is no longer looked at is completed, too, so that it may be used.
        let begun: BTreeSet<u32> = visited
            .iter()
            .copied()
            .filter(|&size| 2 * self.count(size) > self.required)
            .collect();
        let decisive = |depth: usize| {
            let mut decisive = match sight.verdict {
                Verdict::Step => witnesses::of_step(&sight, window, depth),
                _ => {
                    let mut decisive = witnesses::of_jumps(&jumps, window);
                    decisive.extend(level(window, depth - LEVEL_WITHOUT_STEP.min(depth)));
                    decisive
                }
            };
            decisive.extend(&begun);
            self.missing(decisive, self.required)
        };
        let missing = decisive(reached);
        if !missing.is_empty() {
            return Ok(missing);
        }
        let deeper = || {
            let deeper = (reached..=MOST_DEPTH).map(decisive).find(|missing| !missing.is_empty());
            match deeper {
                Some(missing) if reached + 1 >= LEVELS => Ok(missing),
                _ => further(),
            }
        };
        let Ok(settled) = settled(&self.observations, self.required) else {
            return further();
        };
        let Ok(settled) = Trace::new(settled) else {
            return further();
        };
        let answer = infer(&settled, &Options::default());
        if debug { eprintln!("   answer {:?} {:?} conf {:?} sdj {:?} edges {:?}: {}", answer.verdict, answer.step, answer.confidence, answer.smallest_detectable_jump, answer.edges.iter().map(|e| (e.batch_size, e.sight)).collect::<Vec<_>>(), answer.reason); }
        match self.weigh(reached, &sight, &answer).filter(|_| self.predicts(&answer, &all)) {
            Some(reason) => self.refined(&answer, &settled, reason),
            None => deeper(),
        }
    }

    /// Why `answer` is final, if it is.
    fn weigh(&self, reached: usize, sight: &Inference, answer: &Inference) -> Option<String> {
        if !witnesses::same(sight, answer) {
            return None;
        }
        match answer.verdict {
            Verdict::Step => {
                let sure = answer.confidence >= Some(HIGH_CONFIDENCE);
                let seen = answer.edges.iter().filter(|edge| edge.sight != batchstep_inference::EdgeSight::Unclear).count();
                let confirmed = answer.edges.iter().filter(|edge| edge.sight == batchstep_inference::EdgeSight::Confirmed).count();
                let enough = confirmed >= ENOUGH_EDGES.min(answer.edges.len());
                (sure && enough).then(|| format!("step {} seen at {confirmed} of {seen} edges", answer.step.unwrap_or(0.0)))
            }
            Verdict::Irregular => (reached >= 2).then(|| "irregular".to_owned()),
            Verdict::NoStep => {
                let sight = answer.smallest_detectable_jump.unwrap_or(1.0);
                (sight <= SIGHT).then(|| format!("no step: a jump of {:.2} % would have been seen", sight * 100.0))
            }
            Verdict::Insufficient => None,
        }
    }

    /// Whether the answer from the settled batch sizes predicts the others that were visited, as well as their noise allows.
    fn predicts(&self, answer: &Inference, all: &Trace) -> bool {
        let noise = |points: Vec<f64>| super::cost::median(points);
        let settled: Vec<f64> = all
            .points()
            .iter()
            .filter(|point| point.blocks >= self.required as usize && point.blocks > 1)
            .map(|point| point.relative_standard_error * (point.blocks as f64).sqrt() / 1.25)
            .collect();
        if settled.is_empty() { return true; }
        let sigma = noise(settled).max(LEAST_NOISE);
        let others: Vec<f64> = all
            .points()
            .iter()
            .filter(|point| point.blocks < self.required as usize)
            .filter_map(|point| {
                let at = answer.fitted.binary_search_by_key(&point.batch_size, |fitted| fitted.batch_size).ok()?;
                let off = point.median / answer.fitted[at].seconds - 1.0;
                Some(off.abs() * (point.blocks as f64).sqrt() / sigma)
            })
            .collect();
        if others.len() < 8 { return true; }
        let typical = noise(others) / 0.6745;
        if std::env::var_os("PLAN").is_some() { eprintln!("   off by {typical} sigma {sigma}"); }
        typical < MISFIT
    }

    /// More of the range, or more blocks of it.
    fn further(&self, reached: usize) -> Result<Missing, Conclusion> {
        if reached + 1 < LEVELS {
            let next = self.missing(level(self.window, reached + 1), 1);
            if !next.is_empty() {
                return Ok(next);
            }
        }
        let least = self.window.iter().map(|&size| self.count(size)).min().unwrap_or(0);
        if least < self.required {
            return Ok(self.missing(self.window.iter().copied(), least + 1));
        }
        // As a dense sweep goes on.
        let imprecise = Trace::new(self.observations.clone()).is_ok_and(|trace| {
            trace.points().iter().any(|point| point.relative_standard_error > self.precision)
        });
        if !imprecise {
            return Err(Conclusion { reason: ConclusionReason::PrecisionReached, message: format!("every batch size is precise to {} %", self.precision * 100.0) });
        }
        let more = self.missing(self.window.iter().copied().filter(|&size| self.count(size) < MOST_REPEATS), least + 1);
        if more.is_empty() || least >= MOST_REPEATS {
            return Err(Conclusion { reason: ConclusionReason::RepeatsExhausted, message: "noise".to_owned() });
        }
        Ok(more)
    }

    /// The points that matter to the answer, until they are precise.
    fn refined(&self, answer: &Inference, trace: &Trace, reason: String) -> Result<Missing, Conclusion> {
        let matter: BTreeSet<u32> = answer.jump_at.into_iter().flat_map(|at| [at, at + 1]).collect();
        let open: Vec<u32> = trace
            .points()
            .iter()
            .filter(|point| matter.contains(&point.batch_size))
            .filter(|point| point.relative_standard_error > self.precision && self.count(point.batch_size) < MOST_REPEATS)
            .map(|point| point.batch_size)
            .collect();
        if open.is_empty() {
            return Err(Conclusion { reason: ConclusionReason::VerdictSettled, message: format!("the verdict cannot change: {reason}") });
        }
        Ok(open.into_iter().map(|size| (size, 3)).collect())
    }
}
