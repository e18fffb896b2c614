//! A row folded onto one period: for each batch size where it lies within its round, and its extra time over the line through the good batch
//! sizes. Arithmetic on what the inference found, for the plot `folded`; estimates nothing and judges nothing.

use std::collections::BTreeMap;

use super::study::Study;

/// Shares of a period by which a good batch size may fall short of its multiple, as in the inference: rounding, not samples.
const SLACK_PERIODS: f64 = 1e-9;
/// Most good batch sizes followed; longer ranges have enough.
const MOST_ROUNDS: usize = 1 << 16;

/// A batch size within its round.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Folded {
    pub(super) batch_size: u32,
    /// Samples since the last full round, above 0 and at most a period: `B - offset - k * step`. The good batch sizes lie within the last
    /// sample of a period.
    pub(super) position: f64,
    /// Full rounds before it, counted from the first good batch size.
    pub(super) round: usize,
    /// `t / L - 1`, where `L` is the line through the good batch sizes: for what was measured the measured ones, as in the profile, for the law
    /// its own.
    pub(super) extra: f64,
}

/// A study folded onto its period.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Fold {
    /// Samples.
    pub(super) period: f64,
    /// The measured batch sizes from the first good one on, ascending.
    pub(super) points: Vec<Folded>,
    /// The law at every whole batch size of that range, by round.
    pub(super) law: Vec<Vec<Folded>>,
}

impl Fold {
    /// Folds `study`; `None` without a step, or with fewer than two good batch sizes in the fitted range, through which no line goes.
    pub(super) fn new(study: &Study<'_>) -> Option<Self> {
        let period = study.step.filter(|step| step.is_finite() && *step >= 1.0)?;
        let usable = |seconds: f64| seconds.is_finite() && seconds > 0.0;
        let law: BTreeMap<u32, f64> = study
            .fitted
            .iter()
            .filter(|point| usable(point.seconds))
            .map(|point| (point.batch_size, point.seconds))
            .collect();
        let comb = Comb {
            period,
            offset: study.offset,
        };
        let good = comb.good_sizes(study, &law);
        if good.len() < 2 {
            return None;
        }
        let measured: BTreeMap<u32, f64> = study
            .points
            .iter()
            .filter(|point| usable(point.seconds))
            .map(|point| (point.batch_size, point.seconds))
            .collect();
        let measured_good: Vec<(u32, f64)> = good
            .iter()
            .map(|&(size, seconds)| (size, measured.get(&size).copied().unwrap_or(seconds)))
            .collect();
        let fold = |good: &[(u32, f64)], (&batch_size, &seconds): (&u32, &f64)| {
            let (round, line) = line(good, batch_size)?;
            let folded = Folded {
                batch_size,
                position: comb.position(batch_size),
                round,
                extra: seconds / line - 1.0,
            };
            (line > 0.0 && folded.extra.is_finite()).then_some(folded)
        };
        let mut by_round: BTreeMap<usize, Vec<Folded>> = BTreeMap::new();
        for folded in law.iter().filter_map(|entry| fold(&good, entry)) {
            by_round.entry(folded.round).or_default().push(folded);
        }
        Some(Self {
            period,
            points: measured
                .iter()
                .filter_map(|entry| fold(&measured_good, entry))
                .collect(),
            law: by_round.into_values().collect(),
        })
    }
}

/// The rounds of a step.
#[derive(Debug, Clone, Copy)]
struct Comb {
    period: f64,
    offset: f64,
}

impl Comb {
    /// The good batch size after `rounds` full rounds: `floor(rounds * step + offset)`.
    fn good(&self, rounds: f64) -> f64 {
        (rounds * self.period + self.offset + SLACK_PERIODS * self.period).floor()
    }

    /// Samples of `batch_size` since the last full round.
    fn position(&self, batch_size: u32) -> f64 {
        let rounds = (f64::from(batch_size) - self.offset) / self.period;
        let full = (rounds - SLACK_PERIODS).ceil() - 1.0;
        (rounds - full) * self.period
    }

    /// The good batch sizes of the fitted range right of the launch-bound floor, each with the law's seconds. The floor ends where the
    /// recommended batch sizes begin.
    fn good_sizes(&self, study: &Study<'_>, law: &BTreeMap<u32, f64>) -> Vec<(u32, f64)> {
        let Some((&first, &last)) = law.keys().next().zip(law.keys().next_back()) else {
            return Vec::new();
        };
        let start = study
            .recommended_batch_sizes
            .first()
            .map_or(first, |size| first.max(*size));
        let before = ((f64::from(start) - self.offset) / self.period).floor() - 1.0;
        (0..MOST_ROUNDS)
            .map(|round| self.good(before + round as f64))
            .skip_while(|size| *size < f64::from(start.max(1)))
            .take_while(|size| *size <= f64::from(last))
            .filter_map(|size| {
                law.get(&(size as u32))
                    .map(|seconds| (size as u32, *seconds))
            })
            .collect()
    }
}

/// The line through the good batch sizes at `batch_size`, and how many of them lie before it; continued straight after the last, absent before the
/// first.
fn line(good: &[(u32, f64)], batch_size: u32) -> Option<(usize, f64)> {
    let before = good.partition_point(|(size, _)| *size < batch_size);
    if before == 0 {
        let (first, seconds) = *good.first()?;
        return (first == batch_size).then_some((0, seconds));
    }
    let from = (before - 1).min(good.len() - 2);
    let ((left, low), (right, high)) = (good[from], good[from + 1]);
    let slope = (high - low) / f64::from(right - left).max(1.0);
    Some((
        before,
        low + slope * (f64::from(batch_size) - f64::from(left)),
    ))
}

#[cfg(test)]
mod tests {
    use batchstep_core::steptable::{FittedPoint, PointRow};
    use batchstep_inference::Inference;

    use super::*;

    /// A study of `law` at 1..=last with a step of `step`, whose floor ends at `first`.
    fn folded(step: f64, offset: f64, first: u32, last: u32, law: impl Fn(f64) -> f64) -> Fold {
        let mut inference = Inference::insufficient(String::new());
        inference.step = Some(step);
        inference.offset = Some(offset);
        inference.recommended_batch_sizes = vec![first];
        inference.fitted = (1..=last)
            .map(|batch_size| FittedPoint {
                batch_size,
                seconds: law(f64::from(batch_size)),
            })
            .collect();
        let points: Vec<PointRow> = (1..=last)
            .step_by(2)
            .map(|batch_size| PointRow {
                batch_size,
                seconds: law(f64::from(batch_size)),
                low: 0.0,
                high: 1.0,
                blocks: 1,
                outliers: 0,
                peak_memory_bytes: None,
            })
            .collect();
        Fold::new(&Study::of_timings("t.csv", &points, &inference)).unwrap()
    }

    #[test]
    fn a_staircase_jumps_after_a_full_round_and_falls_to_the_next() {
        let fold = folded(16.0, 0.0, 16, 64, |b| 1.0 + (b / 16.0).ceil());
        let at = |size: u32| {
            let law = fold.law.iter().flatten();
            *law.into_iter()
                .find(|point| point.batch_size == size)
                .unwrap()
        };
        for good in [16, 32, 48, 64] {
            assert_eq!((at(good).position, at(good).extra), (16.0, 0.0));
        }
        // 17 takes 3 where the line from 2 at 16 to 3 at 32 promises 2 + 1/16.
        assert_eq!(at(17).position, 1.0);
        assert!((at(17).extra - (3.0 / 2.0625 - 1.0)).abs() < 1e-12);
        assert_eq!((at(32).round, at(33).round), (1, 2));
        assert_eq!(fold.law.len(), 4, "the first good size and three rounds");
        // What lies before the first good batch size has no line.
        assert_eq!(fold.points.first().map(|point| point.batch_size), Some(17));
    }

    #[test]
    fn fractional_rounds_end_within_their_last_sample() {
        let law = |b: f64| 1.0 + (b / 26.4).ceil();
        let fold = folded(26.4, 0.0, 26, 140, law);
        for good in [52, 79, 105, 132] {
            let mut law = fold.law.iter().flatten();
            let point = law.find(|point| point.batch_size == good).unwrap();
            assert!(
                point.position > 25.4 && point.position <= 26.4 + 1e-6,
                "{point:?}"
            );
            assert!(point.extra.abs() < 1e-12, "{point:?}");
        }
        let first: Vec<u32> = fold.law.iter().map(|round| round[0].batch_size).collect();
        assert_eq!(first, [26, 27, 53, 80, 106, 133]);
        let after = fold.law.iter().skip(1).map(|round| round[0]);
        assert!(
            after
                .into_iter()
                .all(|point| point.position <= 1.0 + 1e-9 && point.extra > 0.1)
        );
    }

    #[test]
    fn what_was_measured_is_compared_with_the_good_batch_sizes_as_measured() {
        let mut inference = Inference::insufficient(String::new());
        inference.step = Some(4.0);
        inference.fitted = (1..=12)
            .map(|batch_size| FittedPoint {
                batch_size,
                seconds: f64::from(batch_size),
            })
            .collect();
        // Half of what the law says, and 10 % more between the multiples.
        let points: Vec<PointRow> = (1..=12)
            .map(|batch_size| {
                let extra = if batch_size % 4 == 0 { 1.0 } else { 1.1 };
                PointRow {
                    batch_size,
                    seconds: 0.5 * f64::from(batch_size) * extra,
                    low: 0.0,
                    high: 9.0,
                    blocks: 1,
                    outliers: 0,
                    peak_memory_bytes: None,
                }
            })
            .collect();
        let fold = Fold::new(&Study::of_timings("t.csv", &points, &inference)).unwrap();
        for point in &fold.points {
            let expected = if point.position == 4.0 { 0.0 } else { 0.1 };
            assert!((point.extra - expected).abs() < 1e-12, "{point:?}");
        }
        assert!(
            fold.law
                .iter()
                .flatten()
                .all(|point| point.extra.abs() < 1e-12)
        );
    }

    #[test]
    fn an_offset_shifts_the_good_batch_sizes() {
        let fold = folded(8.0, 3.0, 11, 40, |b| 1.0 + ((b - 3.0) / 8.0).ceil());
        let good: Vec<u32> = fold
            .law
            .iter()
            .flatten()
            .filter(|point| point.position == 8.0)
            .map(|point| point.batch_size)
            .collect();
        assert_eq!(good, [11, 19, 27, 35]);
    }

    #[test]
    fn what_cannot_be_folded_is_not() {
        let mut inference = Inference::insufficient(String::new());
        assert!(Fold::new(&Study::of_timings("", &[], &inference)).is_none());
        for step in [f64::NAN, 0.0, -4.0, f64::INFINITY, 16.0] {
            inference.step = Some(step);
            inference.fitted = vec![FittedPoint {
                batch_size: 16,
                seconds: 1.0,
            }];
            assert!(Fold::new(&Study::of_timings("", &[], &inference)).is_none());
        }
    }
}
