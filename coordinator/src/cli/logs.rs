//! Where the program's own log goes: stderr, so that stdout carries data only. Called once by `main`.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

use super::Cli;

/// Starts logging. The daemon tells what it does; every other command only warns.
pub fn start(cli: &Cli) {
    let usual = if cli.is_daemon() { "info" } else { "warn" };
    let (filter, problem) = match cli.log.as_deref().map(EnvFilter::try_new) {
        None => (EnvFilter::new(usual), None),
        Some(Ok(filter)) => (filter, None),
        Some(Err(error)) => (EnvFilter::new(usual), Some(error)),
    };
    let colours = std::io::stderr().is_terminal()
        && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(colours)
        .with_writer(std::io::stderr)
        .with_target(false);
    // Only fails when a subscriber is set already, as in a test that calls this twice.
    let _ = subscriber.try_init();
    if let Some(error) = problem {
        tracing::warn!(%error, "The log level of --log or BATCHSTEP_LOG is not one; the usual level is used.");
    }
}
