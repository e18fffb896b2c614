//! `bench-fleet`: what a coordinator costs under a fleet, and how fast it is. Run by `make bench-fleet`.
//!
//! The program starts a real `batchstep serve` on a folder of its own, and itself again as the processes that play the agents: real gRPC on loopback,
//! real commits to the disk, devices that only pretend to compute. Every figure stands beside something measured in the same run.

mod agents;
mod bench;
mod scenarios;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Measures a coordinator under a fleet of light agents.
#[derive(Debug, Parser)]
#[command(name = "bench-fleet")]
struct Cli {
    #[command(subcommand)]
    command: Option<Part>,
    #[command(flatten)]
    options: Options,
}

/// What is measured, and where.
#[derive(Debug, Clone, clap::Args)]
struct Options {
    /// Smaller fleets and shorter windows, in two minutes: to see that it works.
    #[arg(long)]
    quick: bool,
    /// Only these scenarios.
    #[arg(long, value_delimiter = ',')]
    only: Vec<scenarios::Name>,
    /// Sizes of the fleets that are compared by their size, instead of 100, 1,000 and 10,000.
    #[arg(long, value_delimiter = ',', value_name = "AGENTS")]
    sizes: Vec<u32>,
    /// The figures as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Where the coordinator's data directories are made: decides which disk is measured.
    #[arg(long, value_name = "DIR", default_value = "target")]
    disk: PathBuf,
    /// The coordinator; beside this program when absent.
    #[arg(long, value_name = "FILE")]
    batchstep: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Part {
    /// Plays agents until its input ends; started by `bench-fleet` itself.
    #[command(hide = true)]
    Agents(agents::Options),
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    bench::limits::raise_descriptors()?;
    // One thread for each process: the machine has few cores, and the coordinator needs them.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let outcome = match cli.command {
        Some(Part::Agents(options)) => runtime.block_on(agents::play(options)),
        None => runtime.block_on(scenarios::run(&cli.options)),
    };
    runtime.shutdown_background();
    outcome
}
