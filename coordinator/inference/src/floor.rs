//! Where the launch-bound floor may end.
//!
//! Below some batch size the device waits for the host and the time does not grow. The candidates found here are tried
//! beside "no floor" by every fit; the information criterion decides.

use crate::point::median;
use crate::sample::Sample;

/// Standard errors by which a point must exceed the floor to be off it.
const OFF_FLOOR_ERRORS: f64 = 4.0;

/// Relative excess that is always off the floor, and one that never is.
const ALWAYS_OFF: f64 = 0.05;
const NEVER_OFF: f64 = 0.002;

/// Points a floor must hold, and that must remain right of it.
const FLOOR_POINTS: usize = 4;
const REST_POINTS: usize = 8;

/// The last batch size of the initial run of equal times, if there is such a run.
pub(crate) fn candidate(sample: &Sample) -> Option<u32> {
    let count = sample.len();
    if count < FLOOR_POINTS + REST_POINTS {
        return None;
    }
    let limit =
        (OFF_FLOOR_ERRORS * sample.repeat_error.unwrap_or(0.005)).clamp(NEVER_OFF, ALWAYS_OFF);
    let mut end = FLOOR_POINTS;
    let mut level = median(&mut sample.seconds[..end].to_vec());
    if sample.seconds[..end]
        .iter()
        .any(|seconds| (seconds / level - 1.0).abs() > limit)
    {
        return None;
    }
    // One slow block among fast ones does not end a floor: two points in a row above it do.
    while end + 1 < count
        && sample.seconds[end..end + 2]
            .iter()
            .any(|seconds| *seconds <= level * (1.0 + limit))
    {
        end += 1;
        level = median(&mut sample.seconds[..end].to_vec());
    }
    (count - end >= REST_POINTS).then(|| sample.sizes[end - 1])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::{Observation, Trace};

    fn floor_of(law: impl Fn(u32) -> f64) -> Option<u32> {
        let observations = (1..=40)
            .map(|batch_size| Observation {
                batch_size,
                round: 0,
                seconds: law(batch_size),
            })
            .collect();
        candidate(&Sample::new(&Trace::new(observations).unwrap()))
    }

    #[test]
    fn a_floor_ends_where_the_time_begins_to_grow() {
        assert_eq!(floor_of(|b| f64::from(b.max(12))), Some(12));
        assert_eq!(floor_of(f64::from), None);
    }

    #[test]
    fn one_slow_point_does_not_end_a_floor() {
        let law = |b: u32| if b == 7 { 14.0 } else { f64::from(b.max(12)) };
        assert_eq!(floor_of(law), Some(12));
    }

    #[test]
    fn a_floor_to_the_end_leaves_nothing_to_fit() {
        assert_eq!(floor_of(|_| 1.0), None);
    }
}
