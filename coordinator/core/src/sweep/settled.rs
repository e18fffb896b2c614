//! Which batch sizes have the timed blocks that an answer needs. Called by the adaptive strategy, by `steptable` and by the command line for exported
//! blocks, so that all judge alike; knows nothing of what the times say.

use std::collections::BTreeMap;

use batchstep_inference::Observation;

/// Share of the batch sizes in the settled range that must have their required blocks.
const SETTLED_SHARE: f64 = 0.8;

/// Too few batch sizes have the blocks they need.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{settled} of {measured} batch sizes have the {required} measuring rounds needed")]
pub struct Unsettled {
    /// Batch sizes that have them.
    pub settled: usize,
    /// Batch sizes with any block.
    pub measured: usize,
    /// Blocks that each needs.
    pub required: u32,
}

/// The observations of the batch sizes that have `required` blocks, each of which is one round's.
///
/// A wider window that the budget did not finish does not spoil the narrower one, but few may be missing in between. A batch size with at most half of
/// the required blocks was looked at by an adaptive sweep, which then found that it does not matter: it neither counts nor spoils. In a sweep that was cut
/// short while it measured every batch size alike, the blocks of any two differ by one, so that what is missing there is never taken for that.
///
/// # Errors
/// When fewer than four fifths of the batch sizes that were measured, between the smallest and the largest such one, are among them, or there is none.
pub fn settled(observations: &[Observation], required: u32) -> Result<Vec<Observation>, Unsettled> {
    let mut counts: BTreeMap<u32, u32> = BTreeMap::new();
    for observation in observations {
        *counts.entry(observation.batch_size).or_default() += 1;
    }
    let enough = |size: &u32| counts.get(size).is_some_and(|&count| count >= required);
    let settled: Vec<u32> = counts.keys().copied().filter(enough).collect();
    let within = settled
        .first()
        .zip(settled.last())
        .map_or(0, |(low, high)| {
            let counts = counts.range(low..=high).map(|(_, &count)| count);
            counts.filter(|count| 2 * count > required).count()
        });
    if within == 0 || (settled.len() as f64) < SETTLED_SHARE * within as f64 {
        return Err(Unsettled {
            settled: settled.len(),
            measured: counts.len(),
            required,
        });
    }
    Ok(observations
        .iter()
        .filter(|observation| enough(&observation.batch_size))
        .copied()
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn observations(counts: impl IntoIterator<Item = (u32, u32)>) -> Vec<Observation> {
        let blocks = counts.into_iter().flat_map(|(batch_size, count)| {
            (0..count).map(move |round| Observation {
                batch_size,
                round,
                seconds: 1.0,
            })
        });
        blocks.collect()
    }

    #[test]
    fn a_dense_sweep_that_was_cut_short_has_no_answer() {
        // Any random part of the last pass is missing.
        for missing in 2..8 {
            let counts = (1..=40).map(|size| (size, if size * 7 % 8 < missing { 4 } else { 5 }));
            let settled = settled(&observations(counts), 5).map_err(|why| why.settled);
            assert!(settled.is_err(), "{missing} of 8");
        }
        let none = settled(&observations((1..=40).map(|size| (size, 1 + size % 2))), 5);
        assert_eq!(none.unwrap_err().settled, 0);
    }

    #[test]
    fn what_was_only_looked_at_neither_counts_nor_spoils() {
        let counts = (1..=40).map(|size| (size, if size % 3 == 0 { 5 } else { size % 2 + 1 }));
        let kept = settled(&observations(counts), 5).unwrap();
        assert_eq!(kept.len(), 13 * 5);
        assert!(kept.iter().all(|one| one.batch_size.is_multiple_of(3)));
    }

    #[test]
    fn a_confirmation_that_was_cut_short_is_no_answer() {
        let counts = (1..=40).map(|size| (size, if size % 3 == 0 { 5 - size % 2 } else { 1 }));
        assert!(settled(&observations(counts), 5).is_err());
    }
}
