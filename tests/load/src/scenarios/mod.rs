//! What is measured, one file for each question. Every scenario starts its coordinator on an empty folder, and leaves nothing running.

mod durable;
mod idle;
mod restart;
mod sizes;

use std::{
    fs,
    path::{Path, PathBuf},
    thread::available_parallelism,
    time::Duration,
};

use anyhow::{Context as _, Result};
use clap::ValueEnum;
use jiff::Timestamp;
use tempfile::TempDir;

use crate::{
    Options,
    bench::{
        coordinator::{Coordinator, free_port},
        disk, limits,
        page::Page,
    },
};

/// A scenario.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Name {
    /// Durable reports and whole rounds as fast as they go.
    Durable,
    /// How long a device waits between two rounds.
    Idle,
    /// Fleets of growing size, with heartbeats and with rounds.
    Sizes,
    /// A coordinator that is killed under its fleet.
    Restart,
}

/// What every scenario needs.
pub struct Bench {
    batchstep: PathBuf,
    disk: PathBuf,
    quick: bool,
    /// Of fleets that are compared; none: the usual ones.
    sizes: Vec<u32>,
    /// What is printed.
    pub page: Page,
}

/// A coordinator on a folder that is removed with it.
pub struct Lab {
    /// Dropped first: the process ends before its folder goes.
    pub coordinator: Coordinator,
    pub data: TempDir,
    pub port: u16,
}

/// Runs what is asked for.
///
/// # Errors
/// When something does not work; a goal that is missed is no error.
pub async fn run(options: &Options) -> Result<()> {
    let batchstep = match &options.batchstep {
        Some(path) => path.clone(),
        None => std::env::current_exe()?.with_file_name("batchstep"),
    };
    fs::create_dir_all(&options.disk)
        .with_context(|| format!("cannot create {}", options.disk.display()))?;
    let mut bench = Bench {
        batchstep,
        disk: options.disk.clone(),
        quick: options.quick,
        sizes: options.sizes.clone(),
        page: Page::default(),
    };
    bench.preamble()?;
    let wanted = |name| options.only.is_empty() || options.only.contains(&name);
    if wanted(Name::Durable) {
        durable::measure(&mut bench).await?;
    }
    if wanted(Name::Idle) {
        idle::measure(&mut bench).await?;
    }
    if wanted(Name::Sizes) {
        sizes::measure(&mut bench).await?;
    }
    if wanted(Name::Restart) {
        restart::measure(&mut bench).await?;
    }
    if let Some(path) = &options.json {
        bench.page.write(path)?;
    }
    Ok(())
}

impl Bench {
    /// The machine, which every other figure depends on.
    fn preamble(&self) -> Result<()> {
        let cores = available_parallelism()?;
        let model = fs::read_to_string("/proc/cpuinfo")?;
        let model = model
            .lines()
            .find_map(|line| line.strip_prefix("model name")?.split_once(':'))
            .map_or("unknown processor", |(_, name)| name.trim());
        let load = fs::read_to_string("/proc/loadavg")?;
        let load = load.split_whitespace().next().unwrap_or_default();
        self.page.say(&format!(
            "{}: {cores} cores of {model}, load {load} before, {} descriptors; the fleet shares these cores with the coordinator.",
            Timestamp::now().strftime("%F %H:%M UTC"),
            limits::descriptors()?,
        ));
        Ok(())
    }

    /// A window of measuring.
    pub fn window(&self, seconds: u64) -> Duration {
        Duration::from_secs(if self.quick {
            seconds.div_ceil(4)
        } else {
            seconds
        })
    }

    /// The larger number, unless it is to be quick.
    pub fn scale<T>(&self, full: T, quick: T) -> T {
        if self.quick { quick } else { full }
    }

    /// A coordinator without any past.
    pub async fn lab(&self) -> Result<Lab> {
        let data = TempDir::with_prefix_in("bench-fleet-", &self.disk)?;
        let port = free_port()?;
        Ok(Lab {
            coordinator: Coordinator::start(&self.batchstep, data.path(), port).await?,
            data,
            port,
        })
    }

    /// The coordinator again, on what it left.
    pub async fn start_again(&self, data: &Path, port: u16) -> Result<Coordinator> {
        Coordinator::start(&self.batchstep, data, port).await
    }

    /// Plain syncs of the disk per second.
    pub fn syncs_per_second(&self) -> Result<f64> {
        disk::syncs_per_second(&self.disk, self.window(4))
    }
}
