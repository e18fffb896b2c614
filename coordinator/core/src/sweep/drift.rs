//! The reference's time along a round: how much slower or faster than usual the device was at each moment.
//!
//! Called by `correct` only. A single reference block is as noisy as any other, so its ratio is smoothed and may be applied in part: how much is
//! learned from the series itself, as whatever brings repeats of the same batch size closest together. A device that drifts slowly gets the full
//! correction; one that is only noisy keeps its raw times.

use std::collections::BTreeMap;

use batchstep_proto::domain::{Block, RoundKind, VisitRole};

use super::{History, RoundRecord, cost::median};

/// Reference blocks that a running median spans, narrow first: the narrow one follows a quick drift, the wide one averages noise away.
const SPANS: [usize; 3] = [3, 7, 15];
/// Shares of the logarithm of the reference's ratio that may be applied, beside none of it; the full correction first.
const STRENGTHS: [f64; 4] = [1.0, 0.75, 0.5, 0.25];
/// A weaker correction must leave this share of the scatter at most, or the full one is kept: it is the one with a physical reason.
const CLEARLY_LESS: f64 = 0.98;
/// Repeats of a batch size from which their scatter counts, and blocks in all from which it decides.
const LEAST_REPEATS: usize = 3;
const LEAST_BLOCKS: usize = 36;

/// How the reference's ratio is turned into a correction.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Smoothing {
    span: usize,
    strength: f64,
}

impl Default for Smoothing {
    fn default() -> Self {
        Self {
            span: SPANS[0],
            strength: STRENGTHS[0],
        }
    }
}

impl Smoothing {
    /// No correction at all.
    const NONE: Self = Self {
        span: SPANS[0],
        strength: 0.0,
    };

    /// The one that leaves repeats of the same batch size closest together; the default while there are too few of them to tell.
    pub(super) fn of(history: &History, baseline: &BTreeMap<u32, f64>) -> Self {
        let usual = Self::default();
        let Some(scatter) = usual.scatter(history, baseline) else {
            return usual;
        };
        let mut best = (CLEARLY_LESS * scatter, usual);
        let corrections = STRENGTHS
            .iter()
            .flat_map(|&strength| SPANS.map(|span| Self { span, strength }));
        for smoothing in corrections.chain([Self::NONE]) {
            if let Some(scatter) = smoothing.scatter(history, baseline)
                && scatter < best.0
            {
                best = (scatter, smoothing);
            }
        }
        best.1
    }

    /// Median distance of the logarithm of a corrected block from its batch size's median.
    fn scatter(self, history: &History, baseline: &BTreeMap<u32, f64>) -> Option<f64> {
        let mut by_size: BTreeMap<u32, Vec<f64>> = BTreeMap::new();
        for record in history
            .rounds
            .iter()
            .filter(|record| record.round.kind == RoundKind::Measure)
        {
            for part in attempts(record) {
                let Some(drift) = Drift::of(part, baseline, self) else {
                    continue;
                };
                for block in part.iter().filter(|block| block.role == VisitRole::Measure) {
                    let corrected = block.seconds_per_iteration() / drift.at(middle(block));
                    by_size
                        .entry(block.batch_size)
                        .or_default()
                        .push(corrected.ln());
                }
            }
        }
        let distances: Vec<f64> = by_size
            .into_values()
            .filter(|logarithms| logarithms.len() >= LEAST_REPEATS)
            .flat_map(|logarithms| {
                let center = median(logarithms.clone());
                logarithms
                    .into_iter()
                    .map(move |logarithm| (logarithm - center).abs())
            })
            .collect();
        (distances.len() >= LEAST_BLOCKS).then(|| median(distances))
    }
}

/// The reference's time along one attempt, relative to its median over the series.
pub(super) struct Drift {
    /// Seconds since the attempt's start, and the ratio there; ascending in time, at least one.
    knots: Vec<(f64, f64)>,
}

impl Drift {
    /// `None` without a reference block among `blocks`, which are those of one attempt.
    pub(super) fn of(
        blocks: &[Block],
        baseline: &BTreeMap<u32, f64>,
        smoothing: Smoothing,
    ) -> Option<Self> {
        let raw: Vec<(f64, f64)> = blocks
            .iter()
            .filter(|block| block.role == VisitRole::Reference)
            .filter_map(|block| {
                let median = baseline.get(&block.batch_size)?;
                Some((middle(block), block.seconds_per_iteration() / median))
            })
            .collect();
        (!raw.is_empty()).then(|| Self {
            knots: smoothed(&raw, smoothing.span)
                .into_iter()
                .map(|(time, ratio)| (time, ratio.powf(smoothing.strength)))
                .collect(),
        })
    }

    /// The ratio at `time`, seconds since the attempt's start: interpolated between the knots, constant outside.
    pub(super) fn at(&self, time: f64) -> f64 {
        let above = self.knots.partition_point(|&(knot, _)| knot < time);
        match (
            above.checked_sub(1).map(|below| self.knots[below]),
            self.knots.get(above),
        ) {
            (Some((start, low)), Some(&(end, high))) if end > start => {
                low + (high - low) * (time - start) / (end - start)
            }
            (_, Some(&(_, ratio))) | (Some((_, ratio)), None) => ratio,
            (None, None) => 1.0,
        }
    }

    /// By how much the highest ratio exceeds the lowest, relative.
    pub(super) fn range(&self) -> f64 {
        let ratios = || self.knots.iter().map(|&(_, ratio)| ratio);
        let low = ratios().fold(f64::INFINITY, f64::min);
        let high = ratios().fold(0.0, f64::max);
        high / low - 1.0
    }
}

/// Running medians over `span` knots, so that one disturbed reference block does not disturb sixteen others. Medians of three treat the ends by
/// Tukey's end-point rule, which follows a trend ("Exploratory Data Analysis", 1977, 7E); wider ones shrink their window there.
fn smoothed(knots: &[(f64, f64)], span: usize) -> Vec<(f64, f64)> {
    let last = knots.len() - 1;
    let mut smooth: Vec<(f64, f64)> = (0..=last)
        .map(|at| {
            let reach = (span / 2).min(at).min(last - at);
            let window = knots[at - reach..=at + reach]
                .iter()
                .map(|&(_, ratio)| ratio);
            (knots[at].0, median(window.collect()))
        })
        .collect();
    if knots.len() >= 4 {
        let end =
            |outer: f64, near: f64, far: f64| median(vec![outer, near, 3.0 * near - 2.0 * far]);
        smooth[0].1 = end(knots[0].1, smooth[1].1, smooth[2].1);
        smooth[last].1 = end(knots[last].1, smooth[last - 1].1, smooth[last - 2].1);
    }
    smooth
}

/// The blocks of a round by attempt: time starts again with each.
pub(super) fn attempts(record: &RoundRecord) -> impl Iterator<Item = &[Block]> {
    record
        .blocks
        .chunk_by(|earlier, later| later.started_after >= earlier.started_after)
}

/// The middle of a block, seconds since its attempt's start.
pub(super) fn middle(block: &Block) -> f64 {
    block.started_after.as_secs_f64() + block.elapsed.as_secs_f64() / 2.0
}
