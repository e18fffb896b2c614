//! The command line: what people type, and which module answers it. Called by `main` only.
//!
//! One module per noun. `args`, `exit`, `logs`, `signals` and `text` know no commands; commands know them, never each other's flags, so that the
//! arrows run downward. Nothing here decides what to measure or what a trace means.

mod advise;
mod advise_view;
mod agent_child;
mod agents;
mod agents_view;
mod analyze;
mod analyze_view;
mod args;
mod article;
mod backup;
mod choice;
mod compare;
mod descriptors;
mod endpoint;
pub mod exit;
mod export;
mod fleet_args;
mod follow;
mod forewarning;
mod grid;
mod hand_over;
mod inventory;
mod judge_args;
mod local;
pub mod logs;
mod machine;
mod model;
mod moment;
mod nightly;
mod nights;
mod person;
mod progress;
mod regressions;
mod restore;
mod schedule;
mod serve;
mod signals;
mod sweep;
mod sweep_view;
mod tables;
mod tell_args;
mod text;
mod timings;
mod tokens;
mod workloads;

use std::{
    ffi::OsString,
    io::{self, Write as _},
};

use anyhow::Result;
use batchstep_daemon::{
    logs::Format as LogFormat,
    settings::{self, Daemon, Settings, SettingsError},
};
use batchstep_proto::version;
use clap::{CommandFactory as _, Parser, Subcommand};
use clap_complete::Shell;

pub use exit::Exit;

/// `concat!` takes no constants, so the protocol's number is a literal that the next line keeps true.
const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (protocol 1)");
const _: () = assert!(version::PROTOCOL == 1, "VERSION names the protocol");

/// Measures the parallelism step size of a device: the period in batch size at which iteration time jumps.
#[derive(Debug, Parser)]
#[command(
    name = "batchstep",
    version = VERSION,
    propagate_version = true,
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "Examples:
  batchstep local                                  measure this machine
  batchstep local --workload linear --budget 30s   one layer, half a minute
  batchstep advise --near 34 --data-dir DIR        what batch size 34 costs, and what is better; DIR as local names it
  batchstep analyze timings.csv                    find the step in your own timings

Exit codes: 0 done, 1 bad news, 2 usage, 3 incomplete, insufficient or failed, 4 ambiguous (with --strict)."
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    command: Command,
    /// What is logged on stderr: error, warn, info, debug, trace, or directives such as batchstep_coordinator=debug.
    #[arg(long, global = true, value_name = "LEVEL", env = "BATCHSTEP_LOG")]
    log: Option<String>,
}

/// The commands.
#[derive(Debug, Subcommand)]
enum Command {
    /// Measure this machine: an embedded coordinator, an agent, a table and a report.
    Local(local::Options),
    /// Run the coordinator that agents and operators dial.
    Serve(Box<serve::Options>),
    /// Copy a coordinator's data directory, also while the coordinator runs.
    Backup(backup::Options),
    /// Make a data directory from a backup.
    Restore(restore::Options),
    /// Ask a coordinator for measurements, and follow them.
    #[command(
        subcommand,
        after_help = "Examples:
  batchstep sweep run --workload linear --budget 1m
  batchstep sweep show last --explain
  batchstep sweep cancel last"
    )]
    Sweep(sweep::Command),
    /// List and remove the networks of people's own that a coordinator keeps.
    #[command(
        subcommand,
        after_help = "Examples:
  batchstep model list
  batchstep model remove net.pt"
    )]
    Model(model::Command),
    /// Make, list and revoke what agents join with and what operators show.
    #[command(
        subcommand,
        after_help = "Examples:
  umask 077
  batchstep token create --data-dir /var/lib/batchstep > join-token
  batchstep token create --operator ada --data-dir /var/lib/batchstep > token
  batchstep token list"
    )]
    Token(tokens::Command),
    /// List agents, drain them and take that back, remove those that are gone, revoke certificates.
    #[command(
        subcommand,
        after_help = "Examples:
  batchstep agents list
  batchstep agents drain gpu-07 --reason 'new fans'
  batchstep agents undrain gpu-07
  batchstep agents revoke gpu-07"
    )]
    Agents(agents::Command),
    /// Have sweeps run every night, and every device held against its own past.
    #[command(
        subcommand,
        after_help = "Examples:
  batchstep schedule add gpus-at-night --cron '0 2 * * *' --tz Europe/Berlin --devices gpu --workload resnet50 --dtype bf16
  batchstep schedule show gpus-at-night
  batchstep schedule run-now gpus-at-night --wait"
    )]
    Schedule(schedule::Command),
    /// Show the nights of schedules, with what was said of every series.
    #[command(
        subcommand,
        after_help = "Examples:
  batchstep nightly list
  batchstep nightly show
  batchstep nightly show 2026-11-26 --all"
    )]
    Nightly(nightly::Command),
    /// Show alarms, and answer them; ends with 1 where one is open.
    Regressions(Box<regressions::Options>),
    /// List hosts and GPUs, what happened to them, and what to look at.
    Inventory(inventory::Options),
    /// Print the step table.
    Table(tables::Options),
    /// Choose a batch size: the good ones, and what another one costs.
    Advise(advise::Options),
    /// Write the report of a stored sweep, or print its timed blocks.
    Export(export::Options),
    /// Compare two runs, nights, devices or drivers.
    Compare(compare::Options),
    /// Find the step in timings of any origin.
    Analyze(analyze::Options),
    /// List the workloads and their parameters.
    Workloads(workloads::Options),
    /// Print a completion script for a shell.
    #[command(after_help = "Examples:
  batchstep completions bash > ~/.local/share/bash-completion/completions/batchstep
  batchstep completions zsh > ~/.zfunc/_batchstep
  batchstep completions fish > ~/.config/fish/completions/batchstep.fish")]
    Completions {
        /// Which shell.
        shell: Shell,
    },
}

/// The daemon's log is what it has to say, so it says more than other commands do.
const SERVE: Daemon = Daemon {
    subcommand: "serve",
    defaults: &[("log", "info")],
};

impl Cli {
    /// Reads a command line, and the file that it names.
    ///
    /// # Errors
    /// When either cannot be followed, or help is asked for.
    pub fn read(
        arguments: impl IntoIterator<Item = OsString>,
    ) -> Result<(Self, Settings), SettingsError> {
        settings::parse(Self::command(), SERVE, arguments)
    }

    /// How the daemon logs; `None` for any other command.
    fn daemon_log_format(&self) -> Option<LogFormat> {
        match &self.command {
            Command::Serve(options) => Some(options.log_format),
            _ => None,
        }
    }
}

/// Runs one command; `settings` are those of the daemon.
///
/// # Errors
/// When the command failed; [`exit::report`] prints the error and chooses the code.
pub async fn run(cli: Cli, settings: &Settings) -> Result<Exit> {
    match cli.command {
        Command::Local(options) => local::run(options).await,
        Command::Serve(options) => serve::run(*options, settings).await,
        Command::Backup(options) => backup::run(options).await,
        Command::Restore(options) => restore::run(options).await,
        Command::Sweep(command) => sweep::run(command).await,
        Command::Model(command) => model::run(command).await,
        Command::Token(command) => tokens::run(command).await,
        Command::Agents(command) => agents::run(command).await,
        Command::Schedule(command) => schedule::run(command).await,
        Command::Nightly(command) => nightly::run(command).await,
        Command::Regressions(options) => regressions::run(*options).await,
        Command::Inventory(options) => inventory::run(options).await,
        Command::Table(options) => tables::run(options).await,
        Command::Advise(options) => advise::run(options).await,
        Command::Export(options) => export::run(options).await,
        Command::Compare(options) => compare::run(options).await,
        Command::Analyze(options) => analyze::run(&options),
        Command::Workloads(options) => workloads::run(&options),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "batchstep", &mut script);
            text::print(&script)?;
            io::stdout().flush()?;
            Ok(Exit::Done)
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
