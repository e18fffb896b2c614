//! `batchstep restore`: makes a data directory from a backup, and overwrites nothing.

use std::path::PathBuf;

use anyhow::Result;
use batchstep_proto::size::Size;
use clap::Args;

use super::{Exit, text};
use crate::backup;

/// Flags of `batchstep restore`.
#[derive(Debug, Args)]
#[command(
    after_help = "The backup is read first: a damaged one, or one of a newer batchstep, is refused. What was measured after it was made is not in it; reports that
agents still hold for rounds it does not know are kept in quarantine, and the rounds are measured again.

Examples:
  batchstep restore --from /backup/batchstep-2026-11-25 --data-dir /var/lib/batchstep
  batchstep table --data-dir /var/lib/batchstep"
)]
pub(super) struct Options {
    /// The backup.
    #[arg(long, value_name = "DIR")]
    from: PathBuf,
    /// Data directory to make; it must not exist, or be empty.
    #[arg(long, value_name = "DIR", env = "BATCHSTEP_DATA_DIR")]
    data_dir: PathBuf,
}

/// Makes the data directory.
///
/// # Errors
/// When the backup cannot be used, or there is anything in the data directory.
pub(super) async fn run(options: Options) -> Result<Exit> {
    let copied = backup::restore(&options.from, &options.data_dir).await?;
    let (from, to) = (options.from.display(), options.data_dir.display());
    text::print_line(&format!(
        "{to} is restored from {from}: {} files, {}. To use it: batchstep serve --data-dir {}",
        copied.files,
        Size(copied.bytes),
        text::shell_word(&options.data_dir.to_string_lossy()),
    ))?;
    Ok(Exit::Done)
}
