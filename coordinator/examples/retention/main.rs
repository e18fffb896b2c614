//! What nights cost on the disk, and what compaction brings back: real records through the store's own commits, then compaction, alone and beside a reporter.
//!
//! `make bench-retention` runs it; `--series 300` is a fleet of the size that the design speaks of. Prints a page in Markdown; the folder is removed at the end.

mod nights;

use std::{
    env,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use batchstep_coordinator::{
    meters::Meters,
    retention,
    store::{RetentionStore as _, Sqlite, Store as _, StoreSize},
};
use clap::Parser;
use jiff::{SignedDuration, Timestamp};
use nights::{BLOCKS, Night, ROUNDS};
use tokio_util::sync::CancellationToken;

/// Rounds that share a commit, as those of a busy fleet do.
const ROUNDS_PER_COMMIT: usize = 16;
/// Between two commits of the reporter.
const REPORTER_RESTS: Duration = Duration::from_millis(5);
/// How long the reporter is measured without compaction.
const QUIET: Duration = Duration::from_secs(20);
/// Time of one night.
const NIGHT: SignedDuration = SignedDuration::from_hours(24);

/// Fills a database with nights and compacts the oldest.
#[derive(Debug, Parser)]
struct Options {
    /// Series of a night.
    #[arg(long, default_value_t = 300)]
    series: u32,
    /// Nights that are kept in full.
    #[arg(long, default_value_t = 90)]
    keep: u32,
    /// Nights after those, each of which lets the oldest go.
    #[arg(long, default_value_t = 5)]
    more: u32,
    /// Where the database is made: decides which disk is measured.
    #[arg(long)]
    folder: Option<PathBuf>,
}

fn main() -> Result<()> {
    let options = Options::parse();
    // As the coordinator has it.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(measure(&options))
}

async fn measure(options: &Options) -> Result<()> {
    let folder = options.folder.clone().unwrap_or_else(env::temp_dir);
    let folder = folder.join(format!("batchstep-retention-{}", std::process::id()));
    let store = Arc::new(Sqlite::open(&folder).await?);
    let first = Timestamp::now() - NIGHT * i32::try_from(options.keep + options.more)?;
    println!(
        "{} series x {ROUNDS} rounds x {BLOCKS} blocks: {} blocks a night; nights are kept for {}.\n",
        options.series,
        options.series * ROUNDS * BLOCKS,
        options.keep,
    );
    let mut table = Table::default();
    for number in 0..options.keep {
        let took = fill(&store, number, options.series, first).await?;
        if number == 0 || number + 1 == options.keep {
            table.row(&store, number + 1, "in full", took).await?;
        }
    }
    let nights = options.keep..options.keep + options.more;
    for number in nights.clone() {
        let took = fill(&store, number, options.series, first).await?;
        table.row(&store, number + 1, "one more", took).await?;
        let begun = Instant::now();
        compact(&store, first, number - options.keep).await?;
        table
            .row(&store, number + 1, "oldest compacted", begun.elapsed())
            .await?;
    }
    let quiet = reporter(&store, async {
        tokio::time::sleep(QUIET).await;
        Ok(())
    })
    .await?;
    // Two more of the nights that were kept, with somebody who waits for his receipts.
    let beside = reporter(&store, async {
        for oldest in [options.more, options.more + 1] {
            compact(&store, first, oldest).await?;
        }
        Ok(())
    })
    .await?;
    table.print();
    println!(
        "\n| commits of a reporter beside | commits | p50 | p99 | longest |\n|---|---|---|---|---|"
    );
    commits("nothing", quiet);
    commits("compaction", beside);
    let store = Arc::into_inner(store).context("the store is still in use")?;
    store.close().await;
    vacuum(&folder).await?;
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}

/// Records one night, which ends in the middle of its day.
async fn fill(store: &Sqlite, number: u32, series: u32, first: Timestamp) -> Result<Duration> {
    let begun = Instant::now();
    let at = first + NIGHT * i32::try_from(number)?;
    let mut night = Night::new(number, series)?;
    store.commit(at, &night.submitted()).await?;
    for index in 0..ROUNDS {
        let series: Vec<usize> = (0..night.plans.len()).collect();
        for some in series.chunks(ROUNDS_PER_COMMIT) {
            let records: Vec<_> = some
                .iter()
                .flat_map(|one| night.round(*one, index))
                .collect();
            store.commit(at, &records).await?;
        }
    }
    store.commit(at, &night.ended()).await?;
    Ok(begun.elapsed())
}

/// Compacts what is as old as the night with this number, which is the oldest that has blocks.
async fn compact(store: &Arc<Sqlite>, first: Timestamp, oldest: u32) -> Result<()> {
    let before = first + NIGHT * i32::try_from(oldest)? + NIGHT / 2;
    let (meters, stop) = (Meters::default(), CancellationToken::new());
    retention::compact(store, before, &meters, &stop).await?;
    Ok(())
}

/// The times of the commits of one device's rounds while something else goes on.
async fn reporter(
    store: &Sqlite,
    beside: impl Future<Output = Result<()>>,
) -> Result<Vec<Duration>> {
    let done = AtomicBool::new(false);
    let beside = async {
        let outcome = beside.await;
        done.store(true, Ordering::Relaxed);
        outcome
    };
    let reports = async {
        let mut night = Night::of_a_reporter()?;
        store.commit(Timestamp::now(), &night.submitted()).await?;
        let (mut times, mut index) = (Vec::new(), 0);
        while !done.load(Ordering::Relaxed) {
            let records = night.round(0, index);
            let begun = Instant::now();
            store.commit(Timestamp::now(), &records).await?;
            times.push(begun.elapsed());
            index += 1;
            tokio::time::sleep(REPORTER_RESTS).await;
        }
        Ok::<_, anyhow::Error>(times)
    };
    let (outcome, times) = tokio::join!(beside, reports);
    outcome?;
    times
}

/// What is printed of sizes.
#[derive(Default)]
struct Table(Vec<String>);

impl Table {
    async fn row(&mut self, store: &Sqlite, night: u32, what: &str, took: Duration) -> Result<()> {
        let StoreSize { bytes, free_bytes } = store.size().await?.context("a store on a disk")?;
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        self.0.push(format!(
            "| {night} | {what} | {:.1} s | {:.1} MiB | {:.1} MiB | {:.1} MiB |",
            took.as_secs_f64(),
            mib(bytes),
            mib(free_bytes),
            mib(bytes - free_bytes),
        ));
        Ok(())
    }

    fn print(&self) {
        println!(
            "| nights | what | took | files | of these free | in use |\n|---|---|---|---|---|---|"
        );
        for row in &self.0 {
            println!("{row}");
        }
    }
}

fn commits(beside: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |share: f64| {
        let place = (times.len().saturating_sub(1)) as f64 * share;
        times
            .get(place as usize)
            .map_or(0.0, |time| time.as_secs_f64() * 1e3)
    };
    println!(
        "| {beside} | {} | {:.1} ms | {:.1} ms | {:.1} ms |",
        times.len(),
        at(0.5),
        at(0.99),
        at(1.0)
    );
}

/// What a person can do about free room, and what it costs.
async fn vacuum(folder: &std::path::Path) -> Result<()> {
    let file = folder.join("coordinator.db");
    let before = std::fs::metadata(&file)?.len();
    let begun = Instant::now();
    let db = sqlx::SqlitePool::connect(&format!("sqlite://{}", file.display())).await?;
    sqlx::query("VACUUM").execute(&db).await?;
    db.close().await;
    println!(
        "\nVACUUM of the closed database: {:.1} s, from {:.1} to {:.1} MiB.",
        begun.elapsed().as_secs_f64(),
        before as f64 / f64::from(1 << 20),
        std::fs::metadata(&file)?.len() as f64 / f64::from(1 << 20),
    );
    Ok(())
}
