//! Which traces are drawn, and the counts of what the inference made of them. Runs on every core; the counts do not depend on how many there are.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use batchstep_inference::{Options, infer};
use batchstep_laws::Class;

use crate::support::{Case, Outcome};

/// Relative standard deviation of a block. The first three are what the measurement protocol reaches: the bars are for those.
pub const NOISE: [f64; 5] = [0.002, 0.005, 0.01, 0.02, 0.05];
/// Noise levels that the bars are for.
pub const QUIET: usize = 3;
/// Rounds that the bars are for, in turn.
pub const ROUNDS: [u32; 4] = [5, 7, 10, 15];
/// Fewer rounds than the protocol's least, for comparison.
pub const FEW_ROUNDS: [u32; 2] = [3, 4];

/// Traces of a class at each quiet noise level.
const AT_QUIET: f64 = 200.0;
/// The same for a class without a step: rare events need more.
const AT_QUIET_SMOOTH: f64 = 400.0;
/// Traces of a class at each louder noise level, and at each quiet one with few rounds.
const ELSEWHERE: f64 = 100.0;

/// How a group of traces was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Group {
    /// What they are traces of.
    pub class: Class,
    /// Position in [`NOISE`].
    pub noise: usize,
    /// Whether they have fewer rounds than the protocol's least.
    pub few_rounds: bool,
}

impl Group {
    /// Whether the bars are for it.
    pub const fn barred(&self) -> bool {
        self.noise < QUIET && !self.few_rounds
    }
}

/// What became of traces.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    pub traces: u64,
    pub right: u64,
    pub false_steps: u64,
    pub wrong_steps: u64,
}

impl Counts {
    pub fn add(&mut self, other: Self) {
        self.traces += other.traces;
        self.right += other.right;
        self.false_steps += other.false_steps;
        self.wrong_steps += other.wrong_steps;
    }

    fn count(&mut self, outcome: Outcome) {
        self.traces += 1;
        match outcome {
            Outcome::Right => self.right += 1,
            Outcome::FalseStep => self.false_steps += 1,
            Outcome::WrongStep => self.wrong_steps += 1,
            Outcome::Missed => {}
        }
    }
}

/// The counts of a campaign.
pub type Results = BTreeMap<Group, Counts>;

/// A campaign to run.
pub struct Campaign {
    groups: Vec<(Group, u64)>,
    seed: u64,
    options: Options,
}

impl Campaign {
    /// Every class; `scale` 1 draws the published number of traces, from seed `seed` on.
    pub fn new(seed: u64, scale: f64, edge_guard: bool) -> Self {
        let traces = |published: f64| (published * scale).round().max(1.0) as u64;
        let mut groups = Vec::new();
        for class in Class::all() {
            for noise in 0..NOISE.len() {
                let group = Group {
                    class,
                    noise,
                    few_rounds: false,
                };
                let published = match (group.barred(), class.has_step()) {
                    (true, true) => AT_QUIET,
                    (true, false) => AT_QUIET_SMOOTH,
                    (false, _) => ELSEWHERE,
                };
                groups.push((group, traces(published)));
                if noise < QUIET {
                    let few_rounds = true;
                    groups.push((
                        Group {
                            few_rounds,
                            ..group
                        },
                        traces(ELSEWHERE),
                    ));
                }
            }
        }
        let options = Options {
            edge_guard,
            ..Options::default()
        };
        Self {
            groups,
            seed,
            options,
        }
    }

    /// Draws, measures and judges every trace.
    pub fn run(&self) -> Results {
        let next = AtomicUsize::new(0);
        let workers = thread::available_parallelism().map_or(1, usize::from);
        thread::scope(|scope| {
            let running: Vec<_> = (0..workers)
                .map(|_| scope.spawn(|| self.work(&next)))
                .collect();
            running
                .into_iter()
                .flat_map(|worker| {
                    worker
                        .join()
                        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
                })
                .collect()
        })
    }

    fn work(&self, next: &AtomicUsize) -> Vec<(Group, Counts)> {
        let mut done = Vec::new();
        while let Some(&(group, traces)) = self.groups.get(next.fetch_add(1, Ordering::Relaxed)) {
            let rounds: &[u32] = if group.few_rounds {
                &FEW_ROUNDS
            } else {
                &ROUNDS
            };
            let mut counts = Counts::default();
            for k in 0..traces {
                // No law is drawn twice: groups take turns in the seeds.
                let seed =
                    self.seed + 10 * k + 2 * group.noise as u64 + u64::from(group.few_rounds);
                let case = Case::of(
                    group.class,
                    seed,
                    NOISE[group.noise],
                    rounds[k as usize % rounds.len()],
                );
                counts.count(case.judge(&infer(&case.trace, &self.options)));
            }
            done.push((group, counts));
        }
        done
    }
}
