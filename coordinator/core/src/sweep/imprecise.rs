//! Whether a batch size is less precise than asked for, whatever the drift turns out to be, and how long it will stay so.
//!
//! Called by the planner when a dense sweep has its required blocks, instead of learning the drift: which of the ways to learn it is best takes all blocks
//! of the series and most of a plan's time, and rarely matters for whether more blocks are wanted. Decides nothing; where it cannot tell, the drift is learned.

use std::cmp::Ordering;

use batchstep_inference::{Observation, Trace};

use super::{
    correct::Seen,
    drift::{Place, Possible},
    rules::REQUIRED_ROUNDS,
};

/// What rounding may do to a standard error, relative, and much more.
const ROUNDING: f64 = 1e-9;
/// Of the blocks that a batch size lacks by its standard error, the share that is taken for granted: of few blocks the error is known badly, and its square worse.
const GRANTED: f64 = 0.5;
/// The blocks that are taken for granted at most, as a share of those there are. The error is that of a median: where disturbed blocks are no longer half of
/// them it falls at once, and not with the square root of their number.
const GROWTH: f64 = 0.5;
/// Batch sizes that are asked for how much is lacking: of five, two may be wrong.
const ASKED: usize = 5;

impl Seen<'_, '_> {
    /// `None` unless [`Corrected::observations`] are of a batch size in `window`, ascending, whose relative standard error is above `precision`; then the number
    /// of further blocks that most batch sizes lack, as far as that is taken for granted: single ones may be imprecise by accident, and [`ASKED`] of them
    /// speak for all. Without `foresight` that is not asked, and 0.
    ///
    /// [`Corrected::observations`]: super::Corrected::observations
    pub(super) fn surely_lacking(
        &self,
        window: &[u32],
        precision: f64,
        foresight: bool,
    ) -> Option<u32> {
        let leveled = self.leveled();
        let possible = Possible::of(&leveled, self.references())?;
        let mut repeats = possible.repeats();
        repeats.retain(|blocks| {
            let size = blocks
                .first()
                .map(|&(_, place)| self.block(place).batch_size);
            size.is_some_and(|size| window.binary_search(&size).is_ok())
        });
        let lacking = |blocks: &Vec<_>| {
            let counting = self.counting(blocks);
            let granted = granted(&possible, &counting, precision)?;
            // Where most rounds drift few blocks count, and few of those that follow will, unless the drift is over: then as many again settle it.
            let most = (blocks.len() as f64 * GROWTH).min(counting.len() as f64);
            Some(granted.min(most) as u32)
        };
        let mut numbered = repeats.iter().enumerate();
        let (first, by_first) = numbered.find_map(|(at, it)| Some((at, lacking(it)?)))?;
        if !foresight || by_first == 0 {
            return Some(0);
        }
        let every = repeats.len().div_ceil(ASKED);
        let asked = repeats.iter().enumerate().step_by(every);
        // Up to the first that lacks any they have been asked already.
        let mut lacking: Vec<u32> = asked
            .map(|(at, it)| match at.cmp(&first) {
                Ordering::Less => 0,
                Ordering::Equal => by_first,
                Ordering::Greater => lacking(it).unwrap_or(0),
            })
            .collect();
        lacking.sort_unstable();
        lacking.get((lacking.len() - 1) / 2).copied()
    }

    /// Those of the blocks that are observations: not throttled, and of steady rounds where these are enough.
    fn counting(&self, blocks: &[(usize, Place)]) -> Vec<usize> {
        let unthrottled = || {
            blocks
                .iter()
                .filter(|(_, place)| !self.is_throttled(*place))
        };
        let steady: Vec<usize> = unthrottled()
            .filter(|(_, (round, _))| !self.drifts(*round))
            .map(|&(at, _)| at)
            .collect();
        if steady.len() >= REQUIRED_ROUNDS as usize {
            return steady;
        }
        unthrottled().map(|&(at, _)| at).collect()
    }
}

/// How many more blocks beside those that count a batch size lacks for certain, where it is less precise than asked for in every way to learn the drift.
fn granted(possible: &Possible, counting: &[usize], precision: f64) -> Option<f64> {
    let errors = possible.seconds(counting).map(|seconds| error(&seconds));
    let least = errors.fold(f64::INFINITY, f64::min);
    // A single block has no finite error.
    let is_sure = least.is_finite() && least > precision * (1.0 + ROUNDING);
    let blocks = counting.len() as f64;
    let lacking = ((least / precision).powi(2) - 1.0) * blocks;
    is_sure.then_some(lacking * GRANTED)
}

/// Relative standard error of repeats; 0 where there is none to speak of.
fn error(seconds: &[f64]) -> f64 {
    let repeats = seconds.iter().zip(0_u32..);
    let observations = repeats.map(|(&seconds, round)| Observation {
        batch_size: 1,
        round,
        seconds,
    });
    let trace = Trace::new(observations.collect());
    trace.map_or(0.0, |trace| trace.points()[0].relative_standard_error)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{
        super::{
            correct,
            simulator::{Simulator, plan, spec},
        },
        *,
    };

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn what_is_surely_imprecise_is_so_with_the_drift_that_is_learned(
            noise in 0.0..0.02_f64,
            drift in 0.0..0.1_f64,
            pace in 0.3..20.0_f64,
            killed_every in prop_oneof![Just(0), 5..200_u32],
        ) {
            const WINDOW: std::ops::RangeInclusive<u32> = 1..=20;
            let plan = plan(spec("1-20", 60), "SIM-a");
            let mut device = Simulator::new(|size| 2e-3 * f64::from(size.div_ceil(4)));
            (device.noise, device.killed_every) = (noise, killed_every);
            device.drift = Box::new(move |now| 1.0 + drift * (now / pace).sin());
            let (history, _) = device.run(&plan);
            let past = history.past();
            let trace = Trace::new(correct(&plan, &history).observations()).unwrap();
            let errors = || trace.points().iter().map(|point| point.relative_standard_error);
            let worst = errors().fold(0.0, f64::max);
            let window: Vec<u32> = WINDOW.collect();
            let seen = Seen::of(&plan, &past);
            for precision in errors().chain([0.0, worst * 0.5, worst * 0.9]) {
                let is_sure = seen.surely_lacking(&window, precision, true).is_some();
                prop_assert!(!is_sure || worst > precision, "{worst} {precision}");
            }
            // Nothing repeats so well that it has no error at all, and without gaps in the reference that is seen.
            prop_assert!(killed_every > 0 || seen.surely_lacking(&window, 0.0, true).is_some());
        }
    }
}
