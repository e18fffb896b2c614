//! The command that runs one seed: its world without faults, its world with them, and the comparison.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    process::{self, ExitCode},
    sync::Arc,
    thread,
    time::Duration,
};

use anyhow::{Context as _, anyhow};
use clap::Args;
use serde::{Deserialize, Serialize};

use tracing_subscriber::{
    EnvFilter,
    fmt::{format::Writer, time::FormatTime},
};

use crate::{answers, chronicle::Chronicle, panics, scenario::Scenario, system, world};

/// Where the simulated disks are, if it is there: flushing costs nothing in memory.
const MEMORY: &str = "/dev/shm";
/// A poll of all of coordinator and agents at once needs more than a thread's usual 2 MiB in unoptimised builds.
const STACK_BYTES: usize = 32 << 20;

#[derive(Debug, Args)]
pub struct Options {
    /// Which world
    seed: u64,
    /// Print every event to stderr
    #[arg(long)]
    trace: bool,
    /// Print the logs of coordinator and agents to stderr, by the filter in RUST_LOG
    #[arg(long)]
    logs: bool,
    /// Give up after so many seconds of real time
    #[arg(long, default_value_t = 600)]
    give_up_after: u64,
}

/// What came of a seed, as it is printed.
#[derive(Debug, Serialize, Deserialize)]
pub struct Summary {
    pub seed: u64,
    /// SHA-256 over the events.
    pub fingerprint: String,
    /// Seconds that passed in the world with faults.
    pub simulated_seconds: f64,
    /// Broken rules; empty is good.
    pub violations: Vec<String>,
    /// How often what happened in the world with faults.
    pub counts: BTreeMap<String, u64>,
}

/// Runs it.
///
/// # Errors
/// When the simulated disks cannot be made.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let seed = options.seed;
    let limit = Duration::from_secs(options.give_up_after);
    thread::spawn(move || {
        thread::sleep(limit);
        eprintln!("seed {seed} did not end within {limit:?}");
        process::exit(2);
    });
    // Named before the seed decides what is random: two runs of one seed may run at the same time.
    let memory = Path::new(MEMORY);
    let mut naming = tempfile::Builder::new();
    naming.prefix("batchstep-simulation-");
    let folder = if memory.is_dir() {
        naming.tempdir_in(memory)
    } else {
        naming.tempdir()
    };
    let folder = folder.context("cannot make a folder for the simulated disks")?;
    panics::keep();
    let (logs, path) = (options.logs, folder.path().to_owned());
    // A fresh thread: hash maps made before would have used up some of what is random.
    let simulation = thread::Builder::new()
        .stack_size(STACK_BYTES)
        .spawn(move || simulate(seed, logs, path))?;
    let ended = simulation
        .join()
        .map_err(|_| anyhow!("the simulation itself failed: {:?}", panics::take()))?;
    let (summary, chronicle) = ended.context("the simulated disks cannot be used")?;
    if options.trace {
        for line in chronicle.trace() {
            eprintln!("{line}");
        }
    }
    println!("{}", serde_json::to_string(&summary)?);
    Ok(if summary.violations.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn simulate(seed: u64, logs: bool, folder: PathBuf) -> io::Result<(Summary, Arc<Chronicle>)> {
    let scenario = Scenario::new(seed);
    let undisturbed = world::run(&scenario.undisturbed(), &folder.join("undisturbed"))?;
    if logs {
        log();
    }
    let disturbed = world::run(&scenario, &folder.join("disturbed"))?;
    answers::compare(
        &undisturbed.answers,
        &disturbed.answers,
        &disturbed.chronicle,
    );
    let mut violations: Vec<String> = undisturbed
        .chronicle
        .violations()
        .into_iter()
        .map(|rule| format!("without faults: {rule}"))
        .collect();
    violations.extend(disturbed.chronicle.violations());
    let summary = Summary {
        seed,
        fingerprint: disturbed.chronicle.fingerprint(),
        simulated_seconds: disturbed.lasted.as_secs_f64(),
        violations,
        counts: disturbed.chronicle.counts(),
    };
    Ok((summary, disturbed.chronicle))
}

fn log() {
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::from_default_env())
        .with_timer(SimulatedTime)
        .with_writer(io::stderr)
        .with_ansi(false)
        .init();
}

struct SimulatedTime;

impl FormatTime for SimulatedTime {
    fn format_time(&self, writer: &mut Writer<'_>) -> std::fmt::Result {
        write!(writer, "{:>10.3}", system::elapsed().as_secs_f64())
    }
}
