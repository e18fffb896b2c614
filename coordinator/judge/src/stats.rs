//! Order statistics. Used by every stage.

/// Makes the median absolute deviation of a normal distribution its standard deviation: 1 / Φ⁻¹(3/4).
const NORMAL: f64 = 1.4826;

/// The middle, between two of an even number; `None` of nothing.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = values.get(middle)?;
    if values.len() % 2 == 1 {
        return Some(*upper);
    }
    Some(f64::midpoint(values[middle - 1], *upper))
}

/// The value with this share of the sorted values below it, between two neighbours where it lies there; `None` of nothing.
pub(crate) fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let at = share.clamp(0.0, 1.0) * last as f64;
    let below = at.floor();
    let (low, high) = (sorted[below as usize], sorted[at.ceil() as usize]);
    Some(low + (high - low) * (at - below))
}

/// Standard deviation by the median absolute deviation from `centre`, as if normal; `None` of nothing. For few values, whose deviations from their own median are too
/// small, it is corrected as by Croux and Rousseeuw, "Time-efficient algorithms for two highly robust estimators of scale" (1992).
pub(crate) fn robust_sigma(values: impl IntoIterator<Item = f64>, centre: f64) -> Option<f64> {
    let deviations: Vec<f64> = values
        .into_iter()
        .map(|value| (value - centre).abs())
        .collect();
    let count = deviations.len() as f64;
    Some(NORMAL * count / (count - 0.8) * median(deviations)?)
}

/// Probability that two samples of one distribution differ in rank at least as much as these, both sides: the Mann-Whitney test (Mann and Whitney, "On a test
/// of whether one of two random variables is stochastically larger than the other", 1947), exact. Equal values count half for each side, which makes the statistic
/// smaller and the answer cautious. 1 where either is empty.
pub(crate) fn mann_whitney(one: &[f64], other: &[f64]) -> f64 {
    let (n, m) = (one.len(), other.len());
    if n == 0 || m == 0 {
        return 1.0;
    }
    // Twice the statistic, so that ties stay whole numbers.
    let doubled: usize = one
        .iter()
        .flat_map(|a| other.iter().map(move |b| a.total_cmp(b)))
        .map(|ordering| match ordering {
            std::cmp::Ordering::Less => 0,
            std::cmp::Ordering::Equal => 1,
            std::cmp::Ordering::Greater => 2,
        })
        .sum();
    let extreme = doubled.min(2 * n * m - doubled).div_ceil(2);
    let ways = ways(n, m);
    let all: f64 = ways.iter().sum();
    let tail: f64 = ways.iter().take(extreme + 1).sum();
    (2.0 * tail / all).min(1.0)
}

/// In how many orders of `n` and `m` different values the statistic is 0, 1, 2, …, n·m: the coefficients of the Gaussian binomial, factor by factor.
fn ways(n: usize, m: usize) -> Vec<f64> {
    let mut ways = vec![0.0; n * m + 1];
    ways[0] = 1.0;
    for factor in 1..=n {
        // times (1 - q^(m+factor)), from the top
        for at in (m + factor..ways.len()).rev() {
            ways[at] -= ways[at - (m + factor)];
        }
        // over (1 - q^factor), from the bottom
        for at in factor..ways.len() {
            ways[at] += ways[at - factor];
        }
    }
    ways
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_is_between_two() {
        assert_eq!(median([]), None);
        assert_eq!(median([3.0]), Some(3.0));
        assert_eq!(median([4.0, 1.0, 2.0, 100.0]), Some(3.0));
    }

    #[test]
    fn the_spread_forgets_a_few_outliers() {
        let values = [-1.0, 1.0, -1.0, 1.0, 1000.0];
        assert_eq!(robust_sigma(values, 0.0), Some(NORMAL * 5.0 / 4.2));
    }

    #[test]
    fn a_quantile_lies_between_its_neighbours() {
        assert_eq!(quantile(&[], 0.5), None);
        assert_eq!(quantile(&[1.0, 3.0], 0.25), Some(1.5));
        assert_eq!(quantile(&[1.0, 2.0, 3.0], 1.0), Some(3.0));
    }

    /// Of all orders of two and three values, counted by hand: 1, 1, 2, 2, 2, 1, 1 of 10.
    #[test]
    fn orders_are_counted_exactly() {
        assert_eq!(ways(2, 3), [1.0, 1.0, 2.0, 2.0, 2.0, 1.0, 1.0]);
        let p = mann_whitney(&[1.0, 2.0], &[3.0, 4.0, 5.0]);
        assert!((p - 0.2).abs() < 1e-12, "{p}");
        assert_eq!(mann_whitney(&[1.0, 4.0], &[2.0, 3.0]), 1.0);
        assert_eq!(mann_whitney(&[5.0, 5.0], &[5.0, 5.0]), 1.0);
    }

    /// Seven above twenty-eight: 2 / C(35, 7).
    #[test]
    fn a_week_that_is_apart_is_improbable() {
        let before: Vec<f64> = (0..28).map(f64::from).collect();
        let after: Vec<f64> = (100..107).map(f64::from).collect();
        let p = mann_whitney(&after, &before);
        assert!((p * 6_724_520.0 / 2.0 - 1.0).abs() < 1e-9, "{p}");
    }
}
