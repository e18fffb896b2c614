//! `--preset article`: the experiment this tool grew from, how long it would take, and the way that keeps to a budget. Called by `local`, which
//! estimates from a few seconds of the same protocol here, and by `forewarning` for `sweep run`, which estimates from what was measured on such a
//! device before; never from a formula for some other machine.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result};
use batchstep_proto::{
    domain::{BatchSizes, Strategy, SweepSpec},
    wire,
    workload::{Cnn, WorkloadSpec},
};

use super::{args::SweepArgs, exit, export, machine::Machine, sweep, text};
use crate::store::ModelLimits;

/// Name of the preset, on the wire and in reports.
const NAME: &str = "article";
/// Iterations per batch size in the article.
const ITERATIONS: u32 = 1000;
/// Blocks they are split into: the least number of rounds of the measurement protocol.
const ROUNDS: u32 = 5;
/// Batch sizes that are measured unless others are asked for.
const LARGEST_BATCH: u32 = 64;
/// The article asks for a count of iterations, not for a precision: the planner must not add rounds.
const ANY_PRECISION: f64 = 0.99;
/// Bounds a run of the preset; the count of iterations ends it long before, and the estimate says when.
const LONGEST: Duration = Duration::from_secs(30 * 86_400);
/// The estimate's budget, which the planner sizes its limits by; its first round of a few seconds is all that is waited for.
const PROBE_BUDGET: Duration = Duration::from_secs(240);
/// Longest wait for the estimate, loading libtorch included.
const PROBE_TIMEOUT: Duration = Duration::from_secs(90);
/// Batch sizes of the estimate: time grows linearly between and beyond them on a CPU.
const PROBE_SIZES: [u32; 3] = [1, 2, 4];
/// Reference visits, warm-up and assignment, as a share of the counted iterations.
const OVERHEAD: f64 = 1.15;
/// The budget that is offered instead.
const OFFERED_BUDGET: &str = "10m";

/// Turns what was asked for into the article's experiment: with a budget, its network and plots within that time; without one, its 1000
/// iterations per batch size, as five blocks of 200 in random order.
///
/// # Errors
/// When other flags ask for another experiment.
pub(super) fn apply(spec: &mut SweepSpec, args: &SweepArgs) -> Result<()> {
    if !args.workloads.is_empty() || args.iterations.is_some() {
        return Err(exit::usage(
            "--preset article fixes the workload and the iterations; leave out --workload and --iterations",
        ));
    }
    spec.preset = Some(NAME.to_owned());
    spec.workloads = vec![WorkloadSpec::Cnn(Cnn::default())];
    if args.budget.is_some() {
        return Ok(());
    }
    if args.batch_sizes.is_none() {
        spec.batch_sizes = BatchSizes::Listed((1..=LARGEST_BATCH).collect());
    }
    spec.strategy = Strategy::Dense;
    spec.iterations = Some(ITERATIONS / ROUNDS);
    spec.precision = ANY_PRECISION;
    spec.budget = LONGEST;
    Ok(())
}

/// True where the whole experiment is asked for, without a budget.
pub(super) fn is_whole(spec: &SweepSpec) -> bool {
    spec.preset.as_deref() == Some(NAME) && spec.iterations.is_some()
}

/// True for a submitted sweep that its iterations end, and no budget that anybody gave: time left says nothing.
pub(super) fn has_no_budget(spec: &wire::SweepSpec) -> bool {
    spec.preset.as_deref() == Some(NAME)
        && spec.iterations.is_some()
        && Duration::from_nanos(spec.budget_ns) >= LONGEST
}

/// Batch sizes of the whole experiment.
pub(super) fn sizes(spec: &SweepSpec) -> Vec<u32> {
    match &spec.batch_sizes {
        BatchSizes::Auto => (1..=LARGEST_BATCH).collect(),
        BatchSizes::Listed(sizes) => sizes.clone(),
    }
}

/// Iterations of the whole experiment at every batch size.
pub(super) fn iterations(spec: &SweepSpec) -> u32 {
    spec.iterations.unwrap_or(ITERATIONS / ROUNDS) * ROUNDS
}

/// How long the whole experiment takes on a device that was timed at these batch sizes, seconds per iteration; `None` without points.
pub(super) fn time_by(points: &BTreeMap<u32, f64>, spec: &SweepSpec) -> Option<Duration> {
    let seconds = extrapolate(points, &sizes(spec))?;
    let all = seconds * f64::from(iterations(spec)) * OVERHEAD;
    Some(Duration::try_from_secs_f64(all).unwrap_or(LONGEST))
}

/// How long `spec` takes on this machine, from a short sweep of the same network in a folder of its own below `data_dir`.
///
/// # Errors
/// When the short sweep fails.
pub(super) async fn estimate(spec: &SweepSpec, data_dir: &Path) -> Result<Duration> {
    let folder = Passing(data_dir.join(format!("estimate-{}", std::process::id())));
    let blocks = probe(spec, &folder.0)
        .await
        .context("cannot estimate how long the article's experiment takes")?;
    // Devices measure side by side: the slowest decides.
    fastest_by_device(&blocks)
        .values()
        .filter_map(|points| time_by(points, spec))
        .max()
        .filter(|time| !time.is_zero())
        .with_context(|| {
            format!(
                "the estimate of the article's experiment timed no block; `{} local --workload cnn` tells why, and --budget keeps to a time",
                text::program()
            )
        })
}

/// This command again, within a budget.
pub(super) fn budgeted_command() -> String {
    text::this_command_with(&["--budget", OFFERED_BUDGET])
}

/// A folder that is gone when nobody needs it, also when the estimate is interrupted.
struct Passing(PathBuf);

impl Drop for Passing {
    fn drop(&mut self) {
        // What cannot be removed is in nobody's way.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

async fn probe(spec: &SweepSpec, folder: &Path) -> Result<Vec<wire::BlockRecord>> {
    let mut machine = Machine::start(folder, ModelLimits::default(), None).await?;
    let probe = SweepSpec {
        batch_sizes: BatchSizes::Listed(PROBE_SIZES.to_vec()),
        iterations: None,
        budget: PROBE_BUDGET,
        strategy: Strategy::Dense,
        preset: None,
        ..spec.clone()
    };
    let sweep_id = sweep::submit(&mut machine.client, probe).await?;
    let enough = |sweep: &wire::Sweep| {
        !sweep.series.is_empty() && sweep.series.iter().all(|series| series.blocks > 0)
    };
    // Only its blocks count; a probe that takes too long has timed some, or tells why not.
    let _ = tokio::time::timeout(PROBE_TIMEOUT, machine.wait_for(&sweep_id, enough)).await;
    let blocks = export::blocks(&mut machine.client, &sweep_id).await;
    machine.stop().await?;
    blocks
}

/// The fastest block of each batch size, seconds per iteration, by device: a few seconds give no median worth its name.
fn fastest_by_device(blocks: &[wire::BlockRecord]) -> BTreeMap<&str, BTreeMap<u32, f64>> {
    let mut devices: BTreeMap<&str, BTreeMap<u32, f64>> = BTreeMap::new();
    for record in blocks {
        let Some(block) = record.block.as_ref().filter(|block| block.iterations > 0) else {
            continue;
        };
        let seconds =
            Duration::from_nanos(block.elapsed_ns).as_secs_f64() / f64::from(block.iterations);
        let fastest = devices
            .entry(&record.device_id)
            .or_default()
            .entry(block.batch_size)
            .or_insert(seconds);
        *fastest = fastest.min(seconds);
    }
    devices
}

/// Seconds of one iteration at every batch size together, by the line through the smallest and the largest point; `None` without points.
fn extrapolate(points: &BTreeMap<u32, f64>, sizes: &[u32]) -> Option<f64> {
    let ((&small, &at_small), (&large, &at_large)) =
        (points.first_key_value()?, points.last_key_value()?);
    let per_sample = if large > small {
        ((at_large - at_small) / f64::from(large - small)).max(0.0)
    } else {
        at_small / f64::from(small.max(1))
    };
    let one = |size: u32| (at_small + per_sample * (f64::from(size) - f64::from(small))).max(0.0);
    Some(sizes.iter().copied().map(one).sum())
}

#[cfg(test)]
mod tests {
    use super::extrapolate;

    #[test]
    fn a_line_through_the_probe_reaches_every_size() {
        let line = |size: u32| 0.5 + 0.25 * f64::from(size);
        let points = [1, 2, 4].map(|size| (size, line(size))).into();
        let sizes: Vec<u32> = (1..=64).collect();
        let expected: f64 = sizes.iter().copied().map(line).sum();
        assert!((extrapolate(&points, &sizes).unwrap() - expected).abs() < 1e-9);
        assert_eq!(extrapolate(&[(2, 1.0)].into(), &[4]), Some(2.0));
        assert_eq!(extrapolate(&[].into(), &sizes), None);
    }
}
