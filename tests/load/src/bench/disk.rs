//! What the disk does by itself: writes that are on it before the next one begins.

use std::{
    fs::OpenOptions,
    io::{Seek as _, SeekFrom, Write as _},
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};

/// Plain `fsync` rate of the disk under `folder`: a page appended to a file and synced, again and again, per second.
///
/// # Errors
/// When the folder cannot be written.
pub fn syncs_per_second(folder: &Path, window: Duration) -> Result<f64> {
    const PAGE: [u8; 4096] = [0x5a; 4096];
    /// The file is written over after so many pages, as a write-ahead log is.
    const PAGES: u64 = 4096;
    let path = folder.join("sync-probe");
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .open(&path)
        .with_context(|| format!("cannot write {}", path.display()))?;
    let start = Instant::now();
    let mut syncs = 0_u64;
    while start.elapsed() < window {
        file.seek(SeekFrom::Start(syncs % PAGES * PAGE.len() as u64))?;
        file.write_all(&PAGE)?;
        file.sync_data()?;
        syncs += 1;
    }
    let rate = syncs as f64 / start.elapsed().as_secs_f64();
    std::fs::remove_file(&path)?;
    Ok(rate)
}
