//! The numbers of the measurement protocol that the planner and the correction share, each with its reason (`docs/guide/measurement.md`).
//!
//! Used within `sweep` and by `steptable`; holds no behaviour beyond reading a plan.

use std::time::Duration;

use batchstep_proto::domain::{DeviceKind, SweepSpec, Timing};

use super::SeriesPlan;

/// Blocks every reported batch size has; below that a median says little about its own error.
pub const REQUIRED_ROUNDS: u32 = 5;
/// Passes the window of an automatic grid is chosen for: the required ones, and two to repeat or refine.
pub(super) const AIMED_ROUNDS: u32 = 7;
/// Blocks of one batch size after which more of them cannot be what is missing.
pub(super) const MOST_REPEATS: u32 = 50;
/// Version of how blocks are timed, chosen and corrected: raised by every change after which the same device has other times. Nights of two versions are not
/// compared with each other.
pub const TIMING_PROTOCOL: u32 = 1;
/// Other visits between two reference visits.
pub(super) const REFERENCE_EVERY: usize = 8;
/// Range of the reference within a round, relative, above which the round counts as drifting.
pub(super) const DRIFT_LIMIT: f64 = 0.03;
/// Drifting rounds that are measured again; later ones are kept with their tag.
pub(super) const DRIFTING_REPEATS: usize = 3;
/// Device time below which a round is filled with further repetitions, seconds.
pub(super) const ROUND_LEAST_SECONDS: f64 = 5.0;
/// Device time above which a pass over the window is split into several rounds, seconds.
pub(super) const ROUND_MOST_SECONDS: f64 = 30.0;
/// Broken rounds with the same batch size in work, and no block of it in between, that quarantine it.
pub(super) const CRASHES_TO_QUARANTINE: u32 = 2;
/// Failed visits after which a batch size is left out.
pub(super) const ERRORS_TO_LEAVE_OUT: u32 = 2;
/// Failed visits after which a batch size is left out where several devices share the series and only one of them ever tried, for each of them: as
/// patient as with broken rounds.
pub(super) const ERRORS_OF_ONE_TO_LEAVE_OUT: u32 = 3;
/// Broken rounds in a row without a single block that end a series.
pub(super) const EMPTY_ROUNDS_TO_FAIL: usize = 3;
/// Rounds without a single block that end a series where their agent ended, not their worker. The pauses between them double up to a minute, so that a
/// host that restarts again and again has a quarter of an hour to be mended, and a batch size that takes its host down does not run for ever.
pub(super) const STOPPED_ROUNDS_TO_FAIL: usize = 20;
/// An iteration longer than this share of the budget ends the probe. Doubling batch sizes, at most six iterations each (three of warm-up, three
/// timed), cost 12 iterations of the last one at most: 15 % of the budget.
pub(super) const ITERATION_SHARE_OF_BUDGET: f64 = 1.0 / 80.0;
/// What the probe costs at most, as a share of the budget.
pub(super) const PROBE_SHARE_OF_BUDGET: f64 = 0.15;
/// What warming the device up costs at most, as a share of the budget.
pub(super) const WARM_UP_SHARE_OF_BUDGET: f64 = 0.1;
/// Share of the budget by which it may be overdrawn where that completes the required blocks, which would otherwise be wasted.
pub(super) const OVERDRAFT_SHARE: f64 = 0.1;
/// Fewest batch sizes of an automatic window, however small the budget: below 12 nothing can be inferred.
pub(super) const LEAST_WINDOW: u32 = 12;
/// An automatic window grows to this many times its cap when nothing was seen within it.
pub(super) const WIDEST_WINDOW: u32 = 4;
/// From this confidence on a step is taken for granted, and only its edges are measured further.
pub(super) const HIGH_CONFIDENCE: f64 = 0.95;

/// Blocks a reported batch size needs: five; one where the person fixed the iterations of a block, as the article did.
#[must_use]
pub const fn required_rounds(spec: &SweepSpec) -> u32 {
    if spec.iterations.is_some() {
        1
    } else {
        REQUIRED_ROUNDS
    }
}

/// Most batch sizes of an automatic window at first.
pub(super) const fn window_cap(kind: DeviceKind) -> u32 {
    match kind {
        DeviceKind::Cuda => 512,
        DeviceKind::Cpu | DeviceKind::Simulated => 128,
    }
}

/// The protocol's timing, with a device warm-up that a small budget can pay.
pub(super) fn timing(plan: &SeriesPlan) -> Timing {
    let protocol = Timing::protocol(plan.device.kind != DeviceKind::Cuda);
    Timing {
        device_warm_up_min: protocol.device_warm_up_min.min(plan.spec.budget / 20),
        device_warm_up_max: protocol
            .device_warm_up_max
            .min(plan.spec.budget.mul_f64(WARM_UP_SHARE_OF_BUDGET)),
        ..protocol
    }
}

/// Longest iteration an ascending probe goes on after.
pub(super) fn iteration_limit(plan: &SeriesPlan) -> Duration {
    plan.spec.budget.mul_f64(ITERATION_SHARE_OF_BUDGET)
}
