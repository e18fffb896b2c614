//! Which laws are measured how. Runs on every core; what comes out does not depend on how many there are.

use std::{
    ops::Range,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use batchstep_laws::{Class, Truth};
use batchstep_proto::domain::Strategy;

use crate::compare::{Outcome, run};

/// Relative standard deviation of a block, in turn from seed to seed: what the measurement protocol reaches.
pub const NOISE: [f64; 4] = [0.002, 0.003, 0.005, 0.01];

/// One law, measured three times with other blocks each.
pub struct Comparison {
    pub class: Class,
    pub seed: u64,
    /// Position in [`NOISE`].
    pub noise: usize,
    pub truth: Truth,
    /// Batch sizes that are listed.
    pub sizes: usize,
    pub dense: Outcome,
    pub adaptive: Outcome,
    /// Whether another dense sweep agreed with the first.
    pub repeatable: bool,
}

impl Comparison {
    /// Every law of `classes` with one of `seeds`, in that order.
    pub fn all(
        classes: impl IntoIterator<Item = Class>,
        seeds: Range<u64>,
        precision: f64,
    ) -> Vec<Self> {
        let jobs: Vec<(Class, u64)> = classes
            .into_iter()
            .flat_map(|class| seeds.clone().map(move |seed| (class, seed)))
            .collect();
        let at = AtomicUsize::new(0);
        let done: Mutex<Vec<(usize, Self)>> = Mutex::new(Vec::with_capacity(jobs.len()));
        let workers = std::thread::available_parallelism().map_or(1, usize::from);
        std::thread::scope(|scope| {
            for _ in 0..workers {
                scope.spawn(|| {
                    loop {
                        let index = at.fetch_add(1, Ordering::Relaxed);
                        let Some(&(class, seed)) = jobs.get(index) else {
                            break;
                        };
                        let one = Self::of(class, seed, precision);
                        if let Ok(mut done) = done.lock() {
                            done.push((index, one));
                        }
                    }
                });
            }
        });
        let mut done = done.into_inner().unwrap_or_default();
        done.sort_by_key(|&(index, _)| index);
        done.into_iter().map(|(_, one)| one).collect()
    }

    fn of(class: Class, seed: u64, precision: f64) -> Self {
        let noise = seed as usize % NOISE.len();
        let draw = class.draw(seed, NOISE[noise]);
        // The blocks of a sweep come from its seed.
        let sweep = |strategy, number: u64| run(&draw, strategy, precision, seed | number << 32);
        let dense = sweep(Strategy::Dense, 0);
        let repeatable = sweep(Strategy::Dense, 1).agrees_with(&dense);
        let adaptive = sweep(Strategy::Adaptive, 2);
        Self {
            class,
            seed,
            noise,
            truth: draw.truth,
            sizes: draw.sizes.len(),
            dense,
            adaptive,
            repeatable,
        }
    }

    /// Whether both strategies came to the same verdict and period.
    pub fn same(&self) -> bool {
        self.adaptive.agrees_with(&self.dense)
    }

    /// Time in blocks of the adaptive sweep over that of the dense one.
    pub fn measuring_share(&self) -> f64 {
        self.adaptive.measuring.as_secs_f64() / self.dense.measuring.as_secs_f64()
    }

    /// The same of all device time.
    pub fn device_share(&self) -> f64 {
        self.adaptive.spent.as_secs_f64() / self.dense.spent.as_secs_f64()
    }
}
