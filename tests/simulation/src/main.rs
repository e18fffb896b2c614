//! The whole of batchstep in a deterministic simulation: real coordinator, real agents, real gRPC, on simulated devices, network, disks and clocks.
//!
//! `batchstep-simulation seed N` runs one world twice, without faults and with those that the seed draws, and checks both; the same seed gives the same
//! events in the same order. `batchstep-simulation campaign` runs many, each in a process of its own. See docs/guide/simulation.md.

mod answers;
mod campaign;
mod chronicle;
mod disk;
mod echo;
mod executions;
mod fault;
mod host;
mod ledger;
mod network;
mod one_seed;
mod operator;
mod panics;
mod scenario;
mod store;
mod system;
mod verdict;
mod world;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(
    about = "Simulates coordinator, agents, network, disks and clocks, and checks that nothing is lost and nothing counts twice"
)]
struct Command {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Run one seed and print what came of it as JSON
    Seed(one_seed::Options),
    /// Run many seeds, each in a process of its own, and print what came of all
    Campaign(campaign::Options),
}

fn main() -> anyhow::Result<ExitCode> {
    match Command::parse().what {
        What::Seed(options) => one_seed::run(&options),
        What::Campaign(options) => campaign::run(&options),
    }
}
