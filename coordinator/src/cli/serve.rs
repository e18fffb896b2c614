//! `batchstep serve`: the coordinator as a daemon. Opens, binds, waits for a signal, drains; the work itself is in `crate::serve`.

use std::{net::SocketAddr, path::PathBuf};

use anyhow::{Context as _, Result};
use clap::Args;
use tokio_util::sync::CancellationToken;

use super::{Exit, args::ModelArgs, descriptors, exit, signals::Interrupts};
use crate::serve::{self, ServeError};

/// Flags of `batchstep serve`.
#[derive(Debug, Args)]
#[command(
    after_help = "SIGINT or SIGTERM ends it: sessions are told, what is committed stays, and sweeps go on at the next start. A second one ends it at
once. There is no encryption yet, so only loopback addresses are listened on.

Examples:
  batchstep serve --data-dir /var/lib/batchstep
  batchstep serve --data-dir ./data --listen 127.0.0.1:9000
  batchstep-agent run --coordinator http://127.0.0.1:7847 --state-dir ./agent"
)]
pub(super) struct Options {
    /// Where the database and models are kept; made when missing.
    #[arg(long, value_name = "DIR", env = "BATCHSTEP_DATA_DIR")]
    data_dir: PathBuf,
    #[command(flatten)]
    models: ModelArgs,
    /// Address and port to listen on.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7847")]
    listen: SocketAddr,
}

/// Serves until a signal.
///
/// # Errors
/// When the data directory cannot be used, the port is taken, or serving fails.
pub(super) async fn run(options: Options) -> Result<Exit> {
    let mut interrupts = Interrupts::catch()?;
    descriptors::raise_limit();
    let listener = serve::bind(options.listen)
        .await
        .map_err(|error| match error {
            ServeError::NotLoopback { .. } => exit::usage(error.to_string()),
            other => other.into(),
        })?;
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
    serve::serve(store, listener, shutdown).await?;
    tracing::info!("The coordinator has stopped.");
    Ok(Exit::Done)
}
