//! `batchstep backup`: copies a coordinator's data directory on its host, also while the coordinator runs.

use std::path::PathBuf;

use anyhow::Result;
use batchstep_proto::size::Size;
use clap::Args;

use super::{Exit, text};
use crate::backup;

/// Flags of `batchstep backup`.
#[derive(Debug, Args)]
#[command(
    after_help = "Run it on the coordinator's host, as a user who may read its data directory. The coordinator goes on meanwhile; the database is copied as it is
at one moment. The folder holds the database, models, and whatever else the coordinator keeps, keys among it: guard it as the data directory.

Examples:
  batchstep backup --data-dir /var/lib/batchstep --to /backup/batchstep-$(date +%F)
  batchstep restore --from /backup/batchstep-2026-11-25 --data-dir /var/lib/batchstep"
)]
pub(super) struct Options {
    /// The coordinator's data directory.
    #[arg(long, value_name = "DIR", env = "BATCHSTEP_DATA_DIR")]
    data_dir: PathBuf,
    /// Folder to make; it must not exist, and is complete when it does.
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
}

/// Makes the backup.
///
/// # Errors
/// When the data directory cannot be read, or the folder cannot be made.
pub(super) async fn run(options: Options) -> Result<Exit> {
    let copied = backup::make(&options.data_dir, &options.to).await?;
    let (from, to) = (options.data_dir.display(), options.to.display());
    text::print_line(&format!(
        "{from} is backed up in {to}: {} files, {}. To use it: batchstep restore --from {} --data-dir DIR",
        copied.files,
        Size(copied.bytes),
        text::shell_word(&options.to.to_string_lossy()),
    ))?;
    Ok(Exit::Done)
}
