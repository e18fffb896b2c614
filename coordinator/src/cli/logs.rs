//! Where the program's own log goes: stderr, so that stdout carries data only. Called once by `main`.

use anyhow::Result;
use batchstep_daemon::logs;
use tracing_subscriber::EnvFilter;

use super::{Cli, exit};

/// Starts logging. The daemon tells what it does; every other command only warns.
///
/// # Errors
/// When the daemon is given no proper filter: what it would have logged is missed only when it is needed.
pub fn start(cli: &Cli) -> Result<()> {
    let format = cli.daemon_log_format();
    let wanted = cli.log.as_deref().map(EnvFilter::try_new);
    match (wanted, format) {
        (Some(Ok(filter)), format) => logs::start(filter, format.unwrap_or(logs::Format::Text)),
        (Some(Err(error)), Some(_)) => {
            let log = cli.log.as_deref().unwrap_or_default();
            return Err(exit::usage(format!(
                "{log:?} is not a log filter ({error}); write a level, or target=level pairs"
            )));
        }
        (Some(Err(error)), None) => {
            logs::start(EnvFilter::new("warn"), logs::Format::Text);
            tracing::warn!(%error, "The log level of --log or BATCHSTEP_LOG is not one; the usual level is used.");
        }
        (None, _) => logs::start(EnvFilter::new("warn"), logs::Format::Text),
    }
    Ok(())
}
