//! What to do with the answer: good batch sizes, the knee of throughput, and what to measure next.
//!
//! Words here are read by people who have never seen this crate.

use crate::answer::BestThroughput;
use crate::term::good_size;
use crate::trace::Trace;

/// Most batch sizes recommended.
const MOST_RECOMMENDED: usize = 32;

/// The knee is the smallest batch size with this share of the best throughput.
const KNEE_SHARE: f64 = 0.95;

/// The best throughput measured, and the smallest batch size close to it.
pub(crate) fn throughput(trace: &Trace) -> (Option<BestThroughput>, Option<u32>) {
    let best = trace
        .points()
        .iter()
        .map(|point| BestThroughput {
            batch_size: point.batch_size,
            samples_per_second: (f64::from(point.batch_size) / point.median).min(f64::MAX),
        })
        .max_by(|a, b| a.samples_per_second.total_cmp(&b.samples_per_second));
    let knee = best.and_then(|best| {
        trace
            .points()
            .iter()
            .find(|point| {
                f64::from(point.batch_size) / point.median >= KNEE_SHARE * best.samples_per_second
            })
            .map(|point| point.batch_size)
    });
    (best, knee)
}

/// Good batch sizes from `start` to `last`: all of them, or those nearest to 1, 2, 4, ... times the first.
pub(crate) fn recommended(period: f64, offset: f64, start: u32, last: u32) -> Vec<u32> {
    let (start, last) = (f64::from(start).max(1.0), f64::from(last));
    let mut round = ((start - offset) / period).floor().max(0.0);
    while good_size(round, period, offset) < start {
        round += 1.0;
    }
    let rounds = ((last - offset) / period + 1e-9).floor() - round + 1.0;
    let within = |size: &f64| *size >= start && *size <= last;
    if rounds <= MOST_RECOMMENDED as f64 {
        return (0..MOST_RECOMMENDED)
            .map(|k| good_size(round + k as f64, period, offset))
            .take_while(within)
            .map(|size| size as u32)
            .collect();
    }
    let first = good_size(round, period, offset);
    let mut sizes: Vec<u32> = (0..MOST_RECOMMENDED)
        .map(|k| first * 2.0_f64.powi(k as i32))
        .take_while(|target| *target <= last + period)
        .map(|target| good_size(((target - offset) / period).round(), period, offset))
        .filter(within)
        .map(|size| size as u32)
        .collect();
    sizes.dedup();
    sizes
}

/// A dense window to measure next where the batch sizes so far lie `spacing` apart: an option for the command line.
pub(crate) fn dense_window(trace: &Trace, spacing: u32) -> String {
    let sizes = trace.points();
    let (first, last) = (sizes[0].batch_size, sizes[sizes.len() - 1].batch_size);
    let width = spacing.clamp(32, 128);
    // Right of the knee of the floor small multiples show a jump best; the middle of the range is a safe start.
    let from = if first < width {
        width + 1
    } else {
        first.saturating_add(1)
    };
    let from = if from >= last { first } else { from };
    let to = from.saturating_add(width - 1).max(from);
    if spacing > 128 {
        format!(
            "measure {from}..{to} densely: --batch-sizes {from}-{to}, and repeat with a window twice as wide"
        )
    } else {
        format!("measure {from}..{to} densely: --batch-sizes {from}-{to}")
    }
}

/// Smallest jump that is told as detectable, a share of the time: timings without any scatter would show them all.
pub const LEAST_DETECTABLE: f64 = 1e-4;

/// A share as a percentage with as many digits as matter: "41 %", "1.2 %", "0.40 %".
#[must_use]
pub fn percent(share: f64) -> String {
    let percent = 100.0 * share;
    match percent.abs() {
        p if p >= 10.0 => format!("{percent:.0} %"),
        p if p >= 1.0 => format!("{percent:.1} %"),
        _ => format!("{percent:.2} %"),
    }
}

/// A period in samples without needless decimals: "16", "26.4"; with as many as keep a fraction from reading as a whole number, up to six.
#[must_use]
pub fn period_words(period: f64) -> String {
    let written = |decimals: usize| {
        let text = format!("{period:.decimals$}");
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    };
    if period.fract() == 0.0 {
        return format!("{period:.0}");
    }
    (2..6)
        .map(written)
        .find(|text| text.contains('.'))
        .unwrap_or_else(|| written(6))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_good_sizes_are_all_recommended() {
        assert_eq!(recommended(16.0, 0.0, 1, 64), [16, 32, 48, 64]);
        assert_eq!(recommended(26.4, 0.0, 30, 140), [52, 79, 105, 132]);
        assert_eq!(recommended(12.0, 5.0, 1, 40), [5, 17, 29]);
    }

    #[test]
    fn many_good_sizes_are_thinned_by_doubling() {
        assert_eq!(
            recommended(4.0, 0.0, 1, 600),
            [4, 8, 16, 32, 64, 128, 256, 512]
        );
        assert_eq!(recommended(2.0, 0.0, 1, u32::MAX).len(), 31);
        assert_eq!(recommended(16.0, 0.0, 1, 512).len(), 32);
    }

    #[test]
    fn shares_and_periods_read_well() {
        assert_eq!(percent(0.412), "41 %");
        assert_eq!(percent(0.0123), "1.2 %");
        assert_eq!(percent(0.004), "0.40 %");
        assert_eq!(period_words(26.4), "26.4");
        assert_eq!(period_words(16.0), "16");
        assert_eq!(period_words(1200.0), "1200");
        assert_eq!(period_words(5.004), "5.004");
        assert_eq!(period_words(5.000_000_01), "5");
    }
}
