//! Seeded random draws for the bootstrap. One generator per purpose, so that adding draws in one place never changes
//! another's.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A deterministic source of indices.
pub(crate) struct Draws(ChaCha8Rng);

impl Draws {
    /// A generator for `purpose`, independent of those for other purposes with the same seed.
    pub(crate) fn new(seed: u64, purpose: u64) -> Self {
        let mut generator = ChaCha8Rng::seed_from_u64(seed);
        generator.set_stream(purpose);
        Self(generator)
    }

    /// An index below `count`, which must be positive.
    pub(crate) fn index(&mut self, count: usize) -> usize {
        self.0.random_range(0..count)
    }
}
