//! The log of a process: to stderr, so that stdout carries data only; as text for people or as JSON lines for collectors. Started once by a `main`.

use std::io::{self, IsTerminal as _};

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;

/// How a log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Lines for people, coloured on a terminal.
    Text,
    /// One JSON object a line: `timestamp`, `level`, `target`, `fields` with the `message` among them, and the `span`s it happened in.
    Json,
}

/// Starts the log; a second call in one process, as in tests, changes nothing.
pub fn start(filter: EnvFilter, format: Format) {
    let colours = io::stderr().is_terminal()
        && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr);
    let _ = match format {
        Format::Text => builder.with_ansi(colours).with_target(false).try_init(),
        Format::Json => builder.json().try_init(),
    };
}
