//! Whether an answer is certain: nothing that could still be measured would change its verdict.
//!
//! Called by the adaptive strategy with two answers of the inference: the *sight* from every block there is, and the *answer* from the batch sizes that
//! have their required blocks. Compares and words; never measures.

use batchstep_inference::{
    EdgeSight, Inference, LEAST_DETECTABLE, Point, Trace, Verdict, percent, period_words as period,
};

use crate::sweep::{medians::median, rules::HIGH_CONFIDENCE};

/// Confirmed edges after which another one says the same, where the range holds so many. Three switches of an algorithm can lie as three edges do.
const ENOUGH_EDGES: usize = 4;
/// Largest jump, relative, that may have gone unseen when "no step" is final. The inference gives the worst over many periods; where a step would cost
/// the 1 % that is worth caring about, most periods are seen far better.
const UNSEEN_JUMP: f64 = 0.025;
/// Relative difference up to which two periods are the same.
const SAME_PERIOD: f64 = 0.01;
/// Typical distance of the other batch sizes from what the answer predicts, over what their noise and the answer's own fit let expect, above which
/// something is going on that the answer does not know of.
const MOST_OFF: f64 = 2.2;
/// Batch sizes that must have been looked at beside the answer's own before their distance says anything.
const LEAST_OTHERS: usize = 8;
/// Relative standard deviation of a block below which no device is taken at its word.
const LEAST_NOISE: f64 = 0.002;
/// Standard deviation of a normal distribution over the median of its absolute value, 1 / Φ⁻¹(3/4).
const SIGMA_OVER_MEDIAN: f64 = 1.4826;
/// Standard error of a median over that of a mean for normal noise, √(π/2).
const MEDIAN_OVER_MEAN_ERROR: f64 = 1.2533;

/// Why `answer` is certain, in words; `None` where it is not.
pub(super) fn certain(sight: &Inference, answer: &Inference) -> Option<String> {
    if !same(sight, answer) {
        return None;
    }
    match answer.verdict {
        Verdict::Step => {
            let confirmed = answer.count_edges(EdgeSight::Confirmed);
            let missed = answer.count_edges(EdgeSight::Missed);
            let (step, confidence) = (answer.step?, answer.confidence?);
            let sure =
                confidence >= HIGH_CONFIDENCE && confirmed >= ENOUGH_EDGES.min(answer.edges.len());
            sure.then(|| {
                format!(
                    "step {} seen at {confirmed} of {} edges with confidence {confidence:.2}",
                    period(step),
                    confirmed + missed
                )
            })
        }
        Verdict::NoStep => {
            let unseen = answer.smallest_detectable_jump?;
            (unseen <= UNSEEN_JUMP).then(|| {
                format!(
                    "no step, and jumps from {} on would have been seen",
                    percent(unseen.max(LEAST_DETECTABLE))
                )
            })
        }
        Verdict::Irregular => Some("changes of level that do not repeat".to_owned()),
        Verdict::Insufficient => None,
    }
}

/// The same verdict, and the same period.
fn same(one: &Inference, other: &Inference) -> bool {
    one.verdict == other.verdict
        && match (one.step, other.step) {
            (Some(one), Some(other)) => (one / other - 1.0).abs() <= SAME_PERIOD,
            (None, None) => true,
            _ => false,
        }
}

/// Whether `answer`, which knows only the batch sizes with their `required` blocks, predicts the others in `seen` as well as their noise, and its own fit,
/// let it: no law describes a real device to the last permille.
pub(super) fn predicts(answer: &Inference, seen: &Trace, required: u32) -> bool {
    let (own, others): (Vec<&Point>, Vec<&Point>) = seen
        .points()
        .iter()
        .partition(|point| point.blocks >= required as usize);
    let noise = own.iter().map(|point| {
        point.relative_standard_error * (point.blocks as f64).sqrt() / MEDIAN_OVER_MEAN_ERROR
    });
    let noise = median(noise.filter(|sigma| sigma.is_finite()).collect()).max(LEAST_NOISE);
    let off = |point: &&Point| {
        let at = answer
            .fitted
            .binary_search_by_key(&point.batch_size, |fitted| fitted.batch_size);
        Some((point.median / answer.fitted[at.ok()?].seconds - 1.0).abs())
    };
    let misfit = SIGMA_OVER_MEDIAN * median(own.iter().filter_map(off).collect());
    let off: Vec<f64> = others
        .iter()
        .filter_map(|point| Some(off(point)? / misfit.hypot(noise / (point.blocks as f64).sqrt())))
        .collect();
    off.len() < LEAST_OTHERS || SIGMA_OVER_MEDIAN * median(off) <= MOST_OFF
}

#[cfg(test)]
mod tests {
    use batchstep_inference::{Observation, Options, infer};

    use super::*;

    fn trace(sizes: &[u32], blocks: u32, law: impl Fn(u32) -> f64) -> Trace {
        let observations = sizes.iter().flat_map(|&batch_size| {
            let seconds = law(batch_size);
            // A scatter of half a percent that repeats.
            (0..blocks).map(move |round| Observation {
                batch_size,
                round,
                seconds: seconds * (1.0 + 0.005 * f64::from((batch_size + 3 * round) % 5) / 2.0),
            })
        });
        Trace::new(observations.collect()).unwrap()
    }

    fn answer(trace: &Trace) -> Inference {
        infer(trace, &Options::default())
    }

    fn staircase(size: u32) -> f64 {
        1.0 + 0.5 * f64::from(size.div_ceil(8))
    }

    #[test]
    fn a_clear_step_is_certain_and_another_sight_is_not() {
        let sizes: Vec<u32> = (1..=64).collect();
        let found = answer(&trace(&sizes, 5, staircase));
        let why = certain(&found, &found).unwrap();
        assert!(why.starts_with("step 8 seen at 7 of 7 edges"), "{why}");
        let other = answer(&trace(&sizes, 5, |size| {
            1.0 + 0.5 * f64::from(size.div_ceil(16))
        }));
        assert_eq!(certain(&other, &found), None);
        let doubtful = Inference {
            confidence: Some(0.9),
            ..found.clone()
        };
        assert_eq!(certain(&found, &doubtful), None);
    }

    #[test]
    fn no_step_is_certain_only_where_one_would_have_been_seen() {
        let sizes: Vec<u32> = (1..=64).collect();
        let found = answer(&trace(&sizes, 5, |size| 1.0 + 0.1 * f64::from(size)));
        assert_eq!(found.verdict, Verdict::NoStep, "{}", found.reason);
        assert!(
            certain(&found, &found)
                .unwrap()
                .starts_with("no step, and jumps")
        );
        let blind = Inference {
            smallest_detectable_jump: Some(0.1),
            ..found.clone()
        };
        assert_eq!(certain(&found, &blind), None);
    }

    #[test]
    fn an_answer_that_does_not_predict_what_was_looked_at_is_not_the_end() {
        let even: Vec<u32> = (1..=64).filter(|size| size % 4 < 2).collect();
        let found = answer(&trace(&even, 5, staircase));
        let with_others = |law: &dyn Fn(u32) -> f64| {
            let own = even
                .iter()
                .flat_map(|&batch_size| (0..5).map(move |round| (batch_size, round)));
            let others = (1..=64).filter(|size| size % 4 >= 2).map(|size| (size, 0));
            let observations = own.chain(others).map(|(batch_size, round)| Observation {
                batch_size,
                round,
                seconds: law(batch_size)
                    * (1.0 + 0.005 * f64::from((batch_size + 3 * round) % 5) / 2.0),
            });
            Trace::new(observations.collect()).unwrap()
        };
        assert!(predicts(&found, &with_others(&staircase), 5));
        let dipping = |size: u32| staircase(size) * if size % 4 >= 2 { 0.95 } else { 1.0 };
        assert!(!predicts(&found, &with_others(&dipping), 5));
    }
}
