//! Which batch sizes have the timed blocks that an answer needs. Called by `assess` for the table and by the command line for exported blocks, so that
//! both judge alike; knows nothing of what the times say.

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
/// A wider window that the budget did not finish does not spoil the narrower one, but few may be missing in between.
///
/// # Errors
/// When fewer than four fifths of the batch sizes between the smallest and the largest such one are among them, or there is none.
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
        .map_or(0, |(low, high)| counts.range(low..=high).filter(|(_, count)| **count * 2 > required).count());
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
