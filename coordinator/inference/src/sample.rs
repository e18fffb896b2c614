//! The trace as the fits see it: one relative response per batch size, rounds made comparable, weights by what is known.
//!
//! Noise is proportional to time, so every column is divided by the measured time and the response is 1 everywhere:
//! residuals are relative errors. Made once per inference; resamples only replace the response.

use crate::point::{median, robust_sigma};
use crate::term::Term;
use crate::trace::Trace;

/// Normalised seconds are kept within this factor of the typical ones, so that squares stay finite.
const EXTREME: f64 = 1e60;

/// Points a round must hold before its speed is compared with the others'.
const ROUND_POINTS: usize = 5;

/// Standard error of a trimmed mean over that of a mean, for normal noise and five to fifteen blocks.
const TRIMMED_OVER_MEAN_ERROR: f64 = 1.1;

/// Single blocks count as no more than so many standard deviations of a block from the trimmed mean of their batch size: about where Tukey's outer
/// fences lie for normal noise, and beyond what any of ten thousand blocks does by itself.
const CLIP_SIGMAS: f64 = 5.0;

/// Blocks this near to their trimmed mean are never clipped, whatever the others do: clocks tick.
const NEAR: f64 = 0.02;

/// A block, by its round, as a ratio to the trimmed mean of its batch size.
#[derive(Clone, Copy, Debug)]
struct Ratio {
    round: usize,
    ratio: f64,
}

/// What the fits work on.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    /// Batch sizes, ascending.
    pub(crate) sizes: Vec<u32>,
    /// The same as floating-point numbers.
    pub(crate) sizes_f64: Vec<f64>,
    /// Trimmed mean of the seconds in units of [`scale`](Self::scale), rounds made comparable.
    pub(crate) seconds: Vec<f64>,
    /// Square root of each point's weight, about 1.
    pub(crate) weight: Vec<f64>,
    /// What a column is multiplied by: weight over seconds.
    pub(crate) unit: Vec<f64>,
    /// Weight times relative time: 1 unless clipped.
    pub(crate) response: Vec<f64>,
    /// Typical relative standard error of a trimmed mean, from repeats; `None` without any.
    pub(crate) repeat_error: Option<f64>,
    /// Seconds of one unit.
    pub(crate) scale: f64,
    /// Blocks of each point, fastest first.
    blocks: Vec<Vec<Ratio>>,
    rounds: usize,
}

impl Sample {
    /// Prepares `trace`.
    pub(crate) fn new(trace: &Trace) -> Self {
        let mut centers: Vec<f64> = trace.points().iter().map(|point| point.median).collect();
        let scale = median(&mut centers.clone());
        let relative = |seconds: f64| (seconds / scale).clamp(1.0 / EXTREME, EXTREME);
        for seconds in &mut centers {
            *seconds = relative(*seconds);
        }
        let rounds = trace.round_count();
        let mut blocks: Vec<Vec<Ratio>> = trace
            .blocks()
            .iter()
            .map(|of_point| {
                of_point
                    .iter()
                    .map(|block| Ratio {
                        round: block.round,
                        ratio: relative(block.seconds),
                    })
                    .collect()
            })
            .collect();
        level_rounds(&mut blocks, &mut centers, rounds);
        clip_blocks(&mut blocks, &centers);
        let errors: Vec<f64> = blocks
            .iter()
            .zip(&centers)
            .filter(|(of_point, _)| of_point.len() > 1)
            .map(|(of_point, center)| standard_error(of_point, *center))
            .collect();
        let repeat_error = (errors.len() * 2 >= blocks.len())
            .then(|| errors.iter().sum::<f64>() / errors.len().max(1) as f64);
        let typical_blocks =
            median(&mut blocks.iter().map(|b| b.len() as f64).collect::<Vec<_>>()).max(1.0);
        let weight: Vec<f64> = blocks
            .iter()
            .map(|of_point| {
                (of_point.len() as f64 / typical_blocks)
                    .sqrt()
                    .clamp(0.5, 1.5)
            })
            .collect();
        for (of_point, center) in blocks.iter_mut().zip(&centers) {
            for block in of_point.iter_mut() {
                block.ratio /= center;
            }
            of_point.sort_by(|a, b| a.ratio.total_cmp(&b.ratio));
        }
        let sizes: Vec<u32> = trace
            .points()
            .iter()
            .map(|point| point.batch_size)
            .collect();
        let unit = weight.iter().zip(&centers).map(|(w, t)| w / t).collect();
        Self {
            sizes_f64: sizes.iter().copied().map(f64::from).collect(),
            sizes,
            unit,
            response: weight.clone(),
            weight,
            seconds: centers,
            repeat_error,
            scale,
            blocks,
            rounds,
        }
    }

    /// Number of batch sizes.
    pub(crate) fn len(&self) -> usize {
        self.sizes.len()
    }

    /// Number of different rounds.
    pub(crate) fn rounds(&self) -> usize {
        self.rounds
    }

    /// Whether there are repeats to resample.
    pub(crate) fn has_repeats(&self) -> bool {
        self.repeat_error.is_some() && self.rounds > 1
    }

    /// The smallest batch size; a trace has at least one.
    pub(crate) fn first(&self) -> u32 {
        self.sizes[0]
    }

    /// The largest batch size.
    pub(crate) fn last(&self) -> u32 {
        self.sizes[self.sizes.len() - 1]
    }

    /// The weighted column of `term`, 0 on the other side of the end of the `floor`.
    pub(crate) fn column(&self, term: Term, floor: Option<u32>) -> Vec<f64> {
        let below = term == Term::Floor;
        self.sizes
            .iter()
            .zip(&self.unit)
            .map(|(&size, unit)| {
                let on_floor = floor.is_some_and(|end| size <= end);
                if on_floor == below {
                    term.at(size) * unit
                } else {
                    0.0
                }
            })
            .collect()
    }

    /// The response when round `r` counts `copies[r]` times; a point none of them measured keeps its value.
    pub(crate) fn resample(&self, copies: &[u32], response: &mut Vec<f64>) {
        response.clear();
        response.extend(
            self.blocks
                .iter()
                .zip(&self.weight)
                .zip(&self.response)
                .map(|((of_point, weight), &kept)| {
                    weighted_mean(of_point, copies).map_or(kept, |ratio| {
                        // A point that was clipped as an outlier stays clipped.
                        kept + weight * (ratio - 1.0)
                    })
                }),
        );
    }
}

/// Divides out what a whole round was slower or faster than the others: rounds hours apart differ by more than noise,
/// and an adaptive sweep measures different batch sizes in different rounds.
fn level_rounds(blocks: &mut [Vec<Ratio>], centers: &mut [f64], rounds: usize) {
    if rounds < 2 {
        return;
    }
    for _ in 0..2 {
        let mut ratios: Vec<Vec<f64>> = vec![Vec::new(); rounds];
        for (of_point, center) in blocks.iter().zip(centers.iter()) {
            if of_point.len() > 1 {
                for block in of_point {
                    ratios[block.round].push(block.ratio / center);
                }
            }
        }
        let speeds: Vec<f64> = ratios
            .iter_mut()
            .map(|of_round| {
                if of_round.len() < ROUND_POINTS {
                    1.0
                } else {
                    median(of_round).clamp(0.5, 2.0)
                }
            })
            .collect();
        let mut values = Vec::new();
        for (of_point, center) in blocks.iter_mut().zip(centers.iter_mut()) {
            values.clear();
            for block in of_point.iter_mut() {
                block.ratio /= speeds[block.round];
                values.push(block.ratio);
            }
            *center = trimmed_mean(&mut values);
        }
    }
}

/// Pulls single wild blocks, a cold start or a hiccup of the host, to the edge of what repeats do. Trimmed means do not mind them, but what is known
/// about their scatter, and the resamples that draw their round twice, would.
fn clip_blocks(blocks: &mut [Vec<Ratio>], centers: &[f64]) {
    let mut sigmas: Vec<f64> = blocks
        .iter()
        .zip(centers)
        .filter(|(of_point, _)| of_point.len() > 1)
        .map(|(of_point, center)| block_sigma(of_point, *center))
        .collect();
    if sigmas.is_empty() {
        return;
    }
    let limit = (CLIP_SIGMAS * median(&mut sigmas)).max(NEAR);
    for (of_point, center) in blocks.iter_mut().zip(centers) {
        for block in of_point.iter_mut() {
            block.ratio = block
                .ratio
                .clamp(center * (1.0 - limit), center * (1.0 + limit));
        }
    }
}

/// Relative standard error of the trimmed mean of `blocks`, at least two.
fn standard_error(blocks: &[Ratio], center: f64) -> f64 {
    TRIMMED_OVER_MEAN_ERROR * block_sigma(blocks, center) / (blocks.len() as f64).sqrt()
}

/// Relative standard deviation of one of `blocks`, at least two.
fn block_sigma(blocks: &[Ratio], center: f64) -> f64 {
    let values: Vec<f64> = blocks.iter().map(|block| block.ratio / center).collect();
    let count = values.len() as f64;
    // The mean absolute deviation is steadier than the median one for the five blocks there usually are; its
    // expectation for normal noise is sqrt(2 (n - 1) / (pi n)) sigma.
    let mean_deviation = values.iter().map(|value| (value - 1.0).abs()).sum::<f64>() / count;
    let by_mean = mean_deviation / (0.797_88 * ((count - 1.0) / count).sqrt());
    let by_median = robust_sigma(&values, 1.0) * (count / (count - 0.8)).min(1.5);
    if values.len() < 6 { by_mean } else { by_median }
}

/// Values left out at each end of `count`: one of three or more, a quarter of many.
fn trimmed(count: u32) -> u32 {
    if count < 3 { 0 } else { (count / 4).max(1) }
}

/// The mean of `values` without the smallest and the largest quarter: almost as steady as a mean for normal noise, and as deaf to single outliers as
/// a median (Tukey 1960). Sorts them.
fn trimmed_mean(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let cut = trimmed(values.len() as u32) as usize;
    let kept = &values[cut..values.len() - cut];
    kept.iter().sum::<f64>() / kept.len() as f64
}

/// The same of ascending `blocks`, each counted as often as its round; `None` where none is.
fn weighted_mean(blocks: &[Ratio], copies: &[u32]) -> Option<f64> {
    let total: u32 = blocks.iter().map(|block| copies[block.round]).sum();
    if total == 0 {
        return None;
    }
    let cut = trimmed(total);
    let (from, to) = (cut, total - cut);
    let (mut seen, mut sum) = (0, 0.0);
    for block in blocks {
        let next = seen + copies[block.round];
        let counted = next.min(to).saturating_sub(seen.max(from));
        sum += f64::from(counted) * block.ratio;
        seen = next;
    }
    Some(sum / f64::from(to - from))
}
