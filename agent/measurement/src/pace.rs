//! How many iterations make a block, how long a visit is warmed up, and when a device is warm.

use std::time::Duration;

use batchstep_proto::domain::Timing;

/// Blocks of the reference batch that must agree before a device counts as warm.
pub const SETTLED_BLOCKS: usize = 5;

/// The share of a block that warm-up lasts at least: short iterations need more than a few to settle.
const FIRST_VISIT_SHARE: u32 = 5;
const LATER_VISIT_SHARE: u32 = 20;

/// What a visit's warm-up takes at least, iterations and time; `first`: the batch size was not visited before by this worker process.
#[must_use]
pub fn visit_warm_up(timing: &Timing, first: bool) -> (u32, Duration) {
    let (iterations, share) = if first {
        (timing.first_visit_warm_up, FIRST_VISIT_SHARE)
    } else {
        (timing.later_visit_warm_up, LATER_VISIT_SHARE)
    };
    (iterations.max(1), timing.block_target / share)
}

/// Iterations of a block: enough for `block_target`, at least `block_min_iterations` while that stays under `block_ceiling`, else 1.
#[must_use]
pub fn block_iterations(timing: &Timing, iteration: Duration) -> u32 {
    let iteration = iteration.as_secs_f64().max(1e-9);
    let wanted = (timing.block_target.as_secs_f64() / iteration).ceil();
    let least = f64::from(timing.block_min_iterations.max(1));
    let iterations = wanted.max(least);
    if iterations * iteration >= timing.block_ceiling.as_secs_f64() {
        return 1;
    }
    // At most 2^32 - 1 after the comparison; truncation is of a whole number.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let iterations = iterations.min(f64::from(u32::MAX)) as u32;
    iterations
}

/// True when the last [`SETTLED_BLOCKS`] values lie within a relative range of `drift` around their median.
#[must_use]
pub fn settled(seconds_per_iteration: &[f64], drift: f64) -> bool {
    let Some(start) = seconds_per_iteration.len().checked_sub(SETTLED_BLOCKS) else {
        return false;
    };
    let mut last = seconds_per_iteration[start..].to_vec();
    last.sort_by(f64::total_cmp);
    let range = last[SETTLED_BLOCKS - 1] - last[0];
    range <= drift * last[SETTLED_BLOCKS / 2]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn iterations(milliseconds: f64) -> u32 {
        block_iterations(
            &Timing::protocol(true),
            Duration::from_secs_f64(milliseconds / 1e3),
        )
    }

    #[test]
    fn a_block_lasts_a_tenth_of_a_second() {
        assert_eq!(iterations(0.05), 2000);
        assert_eq!(iterations(30.0), 4);
        assert_eq!(iterations(33.4), 3);
    }

    #[test]
    fn slow_iterations_are_three_to_a_block_until_that_takes_two_seconds() {
        assert_eq!(iterations(100.0), 3);
        assert_eq!(iterations(660.0), 3);
        assert_eq!(iterations(670.0), 1);
        assert_eq!(iterations(60_000.0), 1);
    }

    #[test]
    fn a_clock_that_did_not_move_gives_a_finite_block() {
        assert!(iterations(0.0) > 1_000_000);
    }

    #[test]
    fn a_device_is_warm_when_its_last_blocks_agree() {
        let cold = [2.0, 1.5, 1.2];
        assert!(!settled(&cold, 0.02));
        let warm = [2.0, 1.0, 1.01, 1.0, 1.005, 1.0];
        assert!(settled(&warm, 0.02));
        assert!(!settled(&warm, 0.005));
        assert!(!settled(&[1.0, 1.0, 1.0, 1.0, 2.0], 0.02));
    }
}
