//! The settings of an inference. Callers rarely need other than the defaults.

/// Settings of [`infer`](crate::infer).
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// Seed of every random draw: the same trace, options and seed give the same answer, bit for bit.
    pub seed: u64,
    /// Bootstrap resamples over rounds behind the confidence; at least 200 for a figure worth quoting.
    pub resamples: usize,
    /// Smallest effect, as a share of the iteration time, that counts as a step.
    pub effect_gate: f64,
    /// Whether predicted edges and profiles must be confirmed where they should appear. Off only in tests and
    /// validation, to show what it prevents.
    pub edge_guard: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            seed: 0x0BA7_C457,
            resamples: 200,
            effect_gate: 0.01,
            edge_guard: true,
        }
    }
}
