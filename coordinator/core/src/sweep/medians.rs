//! Medians: of one list, and of the neighbourhoods of many moments, which is most of what learning a drift costs.
//!
//! Used all over `sweep` and by `steptable`; knows nothing of what the values mean.

/// Two readings of the same moment, whose medians are found side by side.
pub(super) type Pair = [f64; 2];

/// Values of the widest neighbourhood.
const WIDEST: usize = 16;

/// The median of at least one value; 0 for none.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    median_of(&mut values)
}

/// The same in place, for many medians in a row; the values are reordered.
pub(super) fn median_of(values: &mut [f64]) -> f64 {
    let count = values.len();
    if count == 0 {
        return 0.0;
    }
    let (below, middle, _) = values.select_nth_unstable_by(count / 2, f64::total_cmp);
    if count % 2 == 1 {
        return *middle;
    }
    // Beside the middle lies the largest value below it.
    let beside = below.iter().copied().max_by(f64::total_cmp);
    f64::midpoint(beside.unwrap_or(*middle), *middle)
}

/// The medians around each value of a row, by a sorting network: what it compares does not depend on the values, so that it has no branch to mispredict
/// and both readings pass through it together.
pub(super) struct Neighbours {
    reach: usize,
    /// Positions to compare, in order; the lesser value goes to the first.
    comparisons: Vec<(usize, usize)>,
}

impl Neighbours {
    /// Of up to `reach` values on either side, 8 at most.
    pub(super) fn within(reach: usize) -> Self {
        debug_assert!((1..=WIDEST / 2).contains(&reach), "{reach}");
        Self {
            reach,
            comparisons: towards_the_middle(2 * reach),
        }
    }

    /// Values on either side that count.
    pub(super) const fn reach(&self) -> usize {
        self.reach
    }

    /// The median of what lies around position `at` of `row`, itself left out; 0 where it is alone.
    pub(super) fn median(&self, row: &[Pair], at: usize) -> Pair {
        let before = &row[at.saturating_sub(self.reach)..at];
        let after = &row[at + 1..row.len().min(at + 1 + self.reach)];
        let (width, count) = (2 * self.reach, before.len() + after.len());
        if count == 0 {
            return [0.0; 2];
        }
        // What is missing at the ends of the row lies as often below all values as above them, which leaves the middle where it is.
        let mut values = [[f64::INFINITY; 2]; WIDEST];
        values[..before.len()].copy_from_slice(before);
        values[before.len()..count].copy_from_slice(after);
        values[count..count + (width - count) / 2].fill([f64::NEG_INFINITY; 2]);
        for &(low, high) in &self.comparisons {
            let (one, other) = (values[low], values[high]);
            values[low] = [one[0].min(other[0]), one[1].min(other[1])];
            values[high] = [one[0].max(other[0]), one[1].max(other[1])];
        }
        let (low, high) = (values[self.reach - 1], values[self.reach]);
        if count % 2 == 1 {
            return low;
        }
        [
            f64::midpoint(low[0], high[0]),
            f64::midpoint(low[1], high[1]),
        ]
    }
}

/// The comparisons that bring the two values in the middle of `width` to their places: Batcher's merge exchange (Knuth, "The Art of Computer Programming",
/// volume 3, algorithm 5.2.2M), without those that only order the rest.
fn towards_the_middle(width: usize) -> Vec<(usize, usize)> {
    let half = width.next_power_of_two() / 2;
    let mut all = Vec::new();
    let mut part = half;
    while part > 0 {
        let (mut step, mut rest, mut distance) = (half, 0, part);
        loop {
            let low = (0..width - distance).filter(|low| low & part == rest);
            all.extend(low.map(|low| (low, low + distance)));
            if step == part {
                break;
            }
            (distance, step, rest) = (step - part, step / 2, part);
        }
        part /= 2;
    }
    let mut matters = vec![false; width];
    (matters[width / 2 - 1], matters[width / 2]) = (true, true);
    let mut kept: Vec<(usize, usize)> = Vec::with_capacity(all.len());
    for (low, high) in all.into_iter().rev() {
        if matters[low] || matters[high] {
            (matters[low], matters[high]) = (true, true);
            kept.push((low, high));
        }
    }
    kept.reverse();
    kept
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As it is defined: everything sorted, the one in the middle.
    fn plain(mut values: Vec<f64>) -> f64 {
        values.sort_by(f64::total_cmp);
        match values.len() {
            0 => 0.0,
            count if count % 2 == 1 => values[count / 2],
            count => f64::midpoint(values[count / 2 - 1], values[count / 2]),
        }
    }

    /// Often equal, so that ties are met.
    fn value() -> impl Strategy<Value = f64> {
        prop_oneof![-1.0..1.0_f64, (-2..3).prop_map(f64::from)]
    }

    proptest! {
        #[test]
        fn a_median_is_the_one_in_the_middle(values in proptest::collection::vec(value(), 0..60)) {
            prop_assert_eq!(median(values.clone()), plain(values));
        }

        #[test]
        fn neighbours_are_those_within_reach(
            row in proptest::collection::vec([value(), value()], 1..40),
            reach in 1..=WIDEST / 2,
        ) {
            let neighbours = Neighbours::within(reach);
            for at in 0..row.len() {
                let found = neighbours.median(&row, at);
                for (reading, found) in found.into_iter().enumerate() {
                    let around = (at.saturating_sub(reach)..=(at + reach).min(row.len() - 1)).filter(|other| *other != at);
                    prop_assert_eq!(found, plain(around.map(|other| row[other][reading]).collect()));
                }
            }
        }
    }
}
