//! Nested designs over the batch sizes of a range: each level holds the one before, the last holds everything.
//!
//! A level is a dense beginning and a spread of the rest. The beginning shows short periods, and every jump where it is largest; the spread shows long
//! periods and changes of level. Called by the adaptive strategy; knows nothing of what was measured.

use std::collections::BTreeSet;

/// Ranges up to this length are one level: there is nothing to save.
pub(super) const SHORT_RANGE: usize = 16;
/// Dense beginning of each level but the last: share of the range, least and most batch sizes.
const BEGINNINGS: [(f64, usize, usize); 3] = [(0.15, 14, 20), (0.3, 20, 36), (0.4, 32, 64)];
/// Batch sizes spread over the rest: share of it, least and most.
const SPREADS: [(f64, usize, usize); 3] = [(0.12, 8, 16), (0.2, 12, 32), (0.35, 16, 64)];
/// The level that holds everything.
pub(super) const LAST_LEVEL: usize = BEGINNINGS.len();

/// The batch sizes of `level`, ascending, from `window`, which is ascending; the whole window from the last level on.
pub(super) fn level(window: &[u32], level: usize) -> Vec<u32> {
    let count = window.len();
    if level >= LAST_LEVEL || count <= SHORT_RANGE {
        return window.to_vec();
    }
    let part = |(share, least, most): (f64, usize, usize), of: usize| {
        ((of as f64 * share) as usize).clamp(least, most).min(of)
    };
    let beginning = part(BEGINNINGS[level], count);
    // The spread of the first level's rest goes on in the later ones, so that the levels are nested.
    let rest = &window[part(BEGINNINGS[0], count)..];
    let mut chosen: BTreeSet<u32> = window[..beginning].iter().copied().collect();
    if let Some(&last) = rest.last() {
        chosen.insert(last);
        let spread = part(SPREADS[level], rest.len());
        chosen.extend((0..spread).map(|k| rest[golden(k, rest.len())]));
    }
    chosen.into_iter().collect()
}

/// Position `k` of a sequence whose first terms are always evenly, but never regularly spread over `0..count`: multiples of the golden ratio modulo 1
/// (Weyl 1916). A regular stride could be a multiple of the period.
fn golden(k: usize, count: usize) -> usize {
    const GOLDEN: f64 = 0.618_033_988_749_895;
    let share = ((k as f64 + 0.5) * GOLDEN).fract();
    ((share * count as f64) as usize).min(count - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_nested_and_end_with_everything() {
        for count in 1..300_u32 {
            let window: Vec<u32> = (3..3 + count).collect();
            let mut before: Vec<u32> = Vec::new();
            for step in 0..=LAST_LEVEL {
                let sizes = level(&window, step);
                assert!(sizes.is_sorted() && before.iter().all(|size| sizes.contains(size)));
                before = sizes;
            }
            assert_eq!(before, window);
        }
    }

    #[test]
    fn the_first_level_of_a_long_range_is_a_small_part_of_it() {
        let window: Vec<u32> = (1..=200).collect();
        let first = level(&window, 0);
        assert!((24..40).contains(&first.len()), "{}", first.len());
        assert!(first.windows(2).all(|pair| pair[1] - pair[0] < 40));
        assert_eq!(first.last(), Some(&200));
    }
}
