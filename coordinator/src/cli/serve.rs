//! `batchstep serve`: the coordinator as a daemon. Opens, binds, tells the service manager, waits for a signal, drains; the work itself is in `crate::serve`.

use std::{net::SocketAddr, path::PathBuf};

use anyhow::{Context as _, Result};
use batchstep_daemon::{
    logs,
    notify::ServiceManager,
    settings::{FileArgs, Settings},
};
use clap::Args;
use tokio_util::sync::CancellationToken;

use super::{Exit, args::ModelArgs, exit, fleet_args::FleetArgs, signals::Interrupts, text};
use crate::serve::{self, ServeError};

/// Flags of `batchstep serve`.
#[derive(Debug, Args)]
#[command(
    after_help = "SIGINT or SIGTERM ends it: sessions are told, what is committed stays, and sweeps go on at the next start. A second one ends it at
once. There is no encryption yet, so only loopback addresses are listened on.

Every flag that takes a value is also a key of the file that --config names, with underscores: --data-dir is data_dir. A flag outranks its environment
variable, that the file, that the default. --help shows the fleet's intervals, too.

Examples:
  batchstep serve --data-dir /var/lib/batchstep
  batchstep serve --data-dir ./data --listen 127.0.0.1:9000
  batchstep serve --config /etc/batchstep/coordinator.toml --check-config
  batchstep-agent run --coordinator http://127.0.0.1:7847 --state-dir ./agent"
)]
pub(super) struct Options {
    #[command(flatten)]
    pub(super) file: FileArgs,
    /// Where the database and models are kept; made when missing.
    #[arg(long, value_name = "DIR", env = "BATCHSTEP_DATA_DIR")]
    data_dir: PathBuf,
    /// Address and port to listen on.
    #[arg(
        long,
        value_name = "ADDR",
        env = "BATCHSTEP_LISTEN",
        default_value = "127.0.0.1:7847"
    )]
    listen: SocketAddr,
    #[command(flatten)]
    models: ModelArgs,
    /// How to log, on stderr.
    #[arg(
        long,
        value_name = "FORMAT",
        env = "BATCHSTEP_LOG_FORMAT",
        default_value = "text"
    )]
    pub(super) log_format: logs::Format,
    #[command(flatten)]
    fleet: FleetArgs,
}

/// Serves until a signal.
///
/// # Errors
/// When the data directory cannot be used, the port is taken, or serving fails.
pub(super) async fn run(options: Options, settings: &Settings) -> Result<Exit> {
    let fleet = options.fleet.config()?;
    if options.file.check_config {
        serve::check_address(options.listen).map_err(refused)?;
        text::print(settings.to_string().as_bytes())?;
        return Ok(Exit::Done);
    }
    let manager = ServiceManager::from_environment()?;
    let mut interrupts = Interrupts::catch()?;
    let listener = serve::bind(options.listen).await.map_err(refused)?;
    let address = listener
        .local_addr()
        .context("cannot tell the address that is listened on")?;
    let store = serve::open_store(&options.data_dir, options.models.limits()).await?;
    tracing::info!(%address, data_dir = %options.data_dir.display(), "The coordinator listens.");
    let shutdown = CancellationToken::new();
    let stop = shutdown.clone();
    tokio::spawn(async move {
        let by_hand = interrupts.next().await;
        let signal = if by_hand { "SIGINT" } else { "SIGTERM" };
        tracing::info!(
            signal,
            "The coordinator stops; a second signal ends it at once."
        );
        stop.cancel();
        interrupts.exit_at_next();
    });
    let (heart, pulses) = manager.heart();
    tokio::spawn(manager.follow(pulses, shutdown.clone()));
    serve::serve_monitored(store, listener, shutdown, fleet, heart).await?;
    tracing::info!("The coordinator has stopped.");
    Ok(Exit::Done)
}

/// An address that must not be listened on is the caller's mistake.
fn refused(error: ServeError) -> anyhow::Error {
    match error {
        ServeError::NotLoopback { .. } => exit::usage(error.to_string()),
        other => other.into(),
    }
}
