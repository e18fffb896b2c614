//! The command that runs many seeds: each in a process of its own, so that one that hangs or dies is one, and two runs of a seed are alike.

use std::{
    collections::BTreeMap,
    env,
    num::NonZero,
    process::{Command, ExitCode},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use clap::Args;

use crate::one_seed::Summary;

/// Between two lines of progress.
const PROGRESS: Duration = Duration::from_secs(60);

#[derive(Debug, Args)]
pub struct Options {
    /// How many
    #[arg(long, default_value_t = 100)]
    seeds: u64,
    /// The first one
    #[arg(long, default_value_t = 0)]
    start: u64,
    /// How many at a time; one for each processor unless told
    #[arg(long)]
    jobs: Option<usize>,
    /// Begin no more after so many seconds of real time
    #[arg(long)]
    seconds: Option<u64>,
    /// How a seed is run again, in what is printed of a failing one
    #[arg(long, default_value = "batchstep-simulation seed")]
    command: String,
}

#[derive(Debug, Default)]
struct Tally {
    done: u64,
    failed: Vec<u64>,
    simulated_seconds: f64,
    counts: BTreeMap<String, u64>,
}

/// Runs it.
///
/// # Errors
/// When this program cannot be started again.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let program = env::current_exe().context("cannot tell where this program is")?;
    let jobs = options
        .jobs
        .unwrap_or_else(|| thread::available_parallelism().map_or(1, NonZero::get));
    let next = AtomicU64::new(options.start);
    let end = options.start.saturating_add(options.seeds);
    let began = Instant::now();
    let tally = Mutex::new(Tally::default());
    let told = Mutex::new(began);
    thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                let has_time = || {
                    options
                        .seconds
                        .is_none_or(|limit| began.elapsed().as_secs() < limit)
                };
                while has_time() {
                    let seed = next.fetch_add(1, Relaxed);
                    if seed >= end {
                        return;
                    }
                    let output = Command::new(&program)
                        .args(["seed", &seed.to_string()])
                        .output();
                    let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
                    tally.done += 1;
                    let summary = output
                        .as_ref()
                        .ok()
                        .and_then(|output| serde_json::from_slice::<Summary>(&output.stdout).ok());
                    match summary {
                        Some(summary) => tally.add(summary, &options.command),
                        None => {
                            tally.failed.push(seed);
                            println!(
                                "seed {seed} ended badly: {output:?}\n  again: {} {seed} --trace",
                                options.command
                            );
                        }
                    }
                    let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
                    if told.elapsed() >= PROGRESS {
                        *told = Instant::now();
                        eprintln!(
                            "{} seeds, {} failed, {:?}",
                            tally.done,
                            tally.failed.len(),
                            began.elapsed()
                        );
                    }
                }
            });
        }
    });
    let tally = tally.into_inner().unwrap_or_else(PoisonError::into_inner);
    tally.print(began.elapsed());
    Ok(if tally.failed.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

impl Tally {
    fn add(&mut self, summary: Summary, command: &str) {
        self.simulated_seconds += summary.simulated_seconds;
        for (what, times) in summary.counts {
            *self.counts.entry(what).or_default() += times;
        }
        if !summary.violations.is_empty() {
            self.failed.push(summary.seed);
            println!("seed {} breaks a rule:", summary.seed);
            for violation in &summary.violations {
                println!("  {violation}");
            }
            println!("  again: {command} {} --trace", summary.seed);
        }
    }

    #[allow(clippy::cast_precision_loss)]
    fn print(&self, took: Duration) {
        println!(
            "{} seeds, {} failed {:?}; {:.1} simulated hours in {:.0} s",
            self.done,
            self.failed.len(),
            self.failed,
            self.simulated_seconds / 3600.0,
            took.as_secs_f64()
        );
        for (what, times) in &self.counts {
            println!(
                "  {what}: {times}, {:.2} per seed",
                *times as f64 / self.done.max(1) as f64
            );
        }
    }
}
