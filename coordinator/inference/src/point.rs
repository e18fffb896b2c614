//! What is known about one batch size: robust location, its interval, and how many blocks were odd.
//!
//! Made by [`Trace`](crate::Trace); read by the fits and drawn by the plots. Outliers are counted, never dropped: the
//! median does not mind them.

use serde::Serialize;

/// Standard deviation of a normal distribution over its median absolute deviation, 1 / Φ⁻¹(3/4).
const MAD_TO_SIGMA: f64 = 1.482_602_218_505_602;

/// Large-sample standard error of the median over that of the mean for normal noise, √(π/2).
const MEDIAN_OVER_MEAN_ERROR: f64 = 1.253_314_137_315_5;

/// The estimate for one batch size.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Point {
    /// Samples per iteration.
    pub batch_size: u32,
    /// Median over blocks of the seconds per iteration.
    pub median: f64,
    /// Lower end of the 95 % interval of the median, seconds.
    pub low: f64,
    /// Upper end of the 95 % interval of the median, seconds.
    pub high: f64,
    /// Standard error of the median over the median; infinite with a single block, about whose noise nothing is known.
    pub relative_standard_error: f64,
    /// Blocks behind the estimate.
    pub blocks: usize,
    /// Blocks beyond Tukey's outer fences (1.5 interquartile ranges outside the quartiles), at least 5 blocks given.
    pub outliers: usize,
}

impl Point {
    /// The estimate from the `seconds` of every block, at least one, all finite and positive.
    pub(crate) fn from_blocks(batch_size: u32, mut seconds: Vec<f64>) -> Self {
        seconds.sort_by(f64::total_cmp);
        let center = quantile(&seconds, 0.5);
        let blocks = seconds.len();
        let relative_standard_error = if blocks > 1 {
            let sigma = (MAD_TO_SIGMA * median_deviation(&seconds, center) * small_sample(blocks))
                .max((seconds[blocks - 1] - seconds[0]) * f64::EPSILON);
            MEDIAN_OVER_MEAN_ERROR * sigma / (blocks as f64).sqrt() / center
        } else {
            f64::INFINITY
        };
        let (low, high) = median_interval(&seconds);
        Self {
            batch_size,
            median: center,
            low,
            high,
            relative_standard_error,
            blocks,
            outliers: outliers(&seconds),
        }
    }
}

/// Inflates the median absolute deviation of few values to an unbiased scale, n / (n - 0.8) for n below 10 and above
/// (Croux and Rousseeuw, "Time-efficient algorithms for two highly robust estimators of scale", 1992).
fn small_sample(count: usize) -> f64 {
    match count {
        0 | 1 => 1.0,
        2 => 1.196,
        3 => 1.495,
        4 => 1.363,
        5 => 1.206,
        6 => 1.200,
        7 => 1.140,
        8 => 1.129,
        9 => 1.107,
        n => n as f64 / (n as f64 - 0.8),
    }
}

/// The distribution-free 95 % interval of the median: order statistics whose binomial coverage is at least 95 %. With
/// fewer than six values even the extremes cover less; they are returned.
fn median_interval(sorted: &[f64]) -> (f64, f64) {
    let count = sorted.len();
    if count > 100 {
        // The normal approximation of the binomial; the exact sum would underflow for very many blocks.
        let rank = (count as f64 / 2.0 - 0.98 * (count as f64).sqrt()) as usize;
        return (sorted[rank], sorted[count - 1 - rank]);
    }
    let mut tail = 0.0;
    let mut probability = 0.5_f64.powi(i32::try_from(count).unwrap_or(i32::MAX));
    let mut rank = 0;
    // P(fewer than `rank + 1` values below the median) must stay within 2.5 %.
    for k in 0..count / 2 {
        tail += probability;
        if tail > 0.025 {
            break;
        }
        rank = k;
        probability *= (count - k) as f64 / (k + 1) as f64;
    }
    (sorted[rank], sorted[count - 1 - rank])
}

fn outliers(sorted: &[f64]) -> usize {
    if sorted.len() < 5 {
        return 0;
    }
    let (first, third) = (quantile(sorted, 0.25), quantile(sorted, 0.75));
    let reach = 1.5 * (third - first);
    sorted
        .iter()
        .filter(|&&value| value < first - reach || value > third + reach)
        .count()
}

/// The `share` quantile of ascending values, interpolated linearly; `sorted` must not be empty.
pub(crate) fn quantile(sorted: &[f64], share: f64) -> f64 {
    let position = share * (sorted.len() - 1) as f64;
    let below = position.floor() as usize;
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + (position - below as f64) * (sorted[above] - sorted[below])
}

/// The median of `values`, which are reordered; `values` must not be empty.
pub(crate) fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    quantile(values, 0.5)
}

/// Median absolute deviation from `center`.
pub(crate) fn median_deviation(values: &[f64], center: f64) -> f64 {
    let mut deviations: Vec<f64> = values.iter().map(|value| (value - center).abs()).collect();
    median(&mut deviations)
}

/// Robust standard deviation of `values` about `center` for normal noise.
pub(crate) fn robust_sigma(values: &[f64], center: f64) -> f64 {
    MAD_TO_SIGMA * median_deviation(values, center)
}
