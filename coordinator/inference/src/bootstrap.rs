//! How sure the step is: rounds are drawn with replacement, and every law of the full fit competes again.
//!
//! A law's columns do not change between resamples, so each costs one projection. Without repeats the residuals of the
//! best law are drawn instead, which knows nothing of what differs between rounds.

use crate::fit::{Basis, Criterion, Law, dot};
use crate::options::Options;
use crate::random::Draws;
use crate::reading::Reading;
use crate::sample::Sample;
use crate::term::Term;

/// Periods closer than this are the same.
pub(crate) const SAME_PERIOD: f64 = 0.02;

/// Confidence cannot be high without repeats.
const MOST_WITHOUT_REPEATS: f64 = 0.94;

/// What odd or even rounds contribute to the agreement when another period suits them better, and when they do not even
/// show the pattern.
const PREFERS_ANOTHER: f64 = 0.85;
const CONTRADICTS: f64 = 0.5;

/// Shares of the pattern that half of the rounds may show.
const SHOWN_SHARE: std::ops::RangeInclusive<f64> = 0.4..=2.5;

/// Laws that compete in a resample.
const MOST_LAWS: usize = 24;

/// Purpose of the random draws.
const BOOTSTRAP: u64 = 1;

/// What the resamples chose.
pub(crate) struct Confidence {
    /// 0 to 1.
    pub(crate) value: f64,
    /// Smallest and largest period chosen by the resamples that agree.
    pub(crate) interval: (f64, f64),
}

/// The confidence in `period`, read from `laws[chosen]`; `rival` is the best law without a period.
pub(crate) fn confidence(
    sample: &Sample,
    criterion: &Criterion,
    laws: &[Law],
    chosen: usize,
    rival: &Law,
    period: f64,
    options: &Options,
) -> Confidence {
    let mut contest: Vec<&Law> = laws.iter().take(MOST_LAWS).collect();
    if chosen >= MOST_LAWS {
        contest.push(&laws[chosen]);
    }
    let choose = |response: &[f64]| choose(criterion, &contest, rival, response);
    let same = |found: Option<f64>| found.is_some_and(|p| (p / period - 1.0).abs() <= SAME_PERIOD);
    let mut draws = Draws::new(options.seed, BOOTSTRAP);
    let mut response = Vec::with_capacity(sample.len());
    let mut interval = (period, period);
    let mut agreeing = 0_usize;
    let resamples = options.resamples.max(1);
    let mut copies = vec![0_u32; sample.rounds()];
    let residuals = laws[chosen].residuals(sample);
    for _ in 0..resamples {
        if sample.has_repeats() {
            copies.fill(0);
            for _ in 0..sample.rounds() {
                copies[draws.index(sample.rounds())] += 1;
            }
            sample.resample(&copies, &mut response);
        } else {
            response.clear();
            response.extend(
                sample
                    .response
                    .iter()
                    .zip(&residuals)
                    .map(|(value, own)| value - own + residuals[draws.index(residuals.len())]),
            );
        }
        let found = choose(&response);
        if same(found) {
            agreeing += 1;
            let found = found.unwrap_or(period);
            interval = (interval.0.min(found), interval.1.max(found));
        }
    }
    let share = agreeing as f64 / resamples as f64;
    let value = if sample.has_repeats() {
        let agreement = [0, 1].map(|parity| {
            for (round, copy) in copies.iter_mut().enumerate() {
                *copy = u32::from(round % 2 == parity);
            }
            sample.resample(&copies, &mut response);
            if same(choose(&response)) {
                1.0
            } else if SHOWN_SHARE.contains(&shown_share(sample, &laws[chosen], &response)) {
                PREFERS_ANOTHER
            } else {
                CONTRADICTS
            }
        });
        share.min((agreement[0] + agreement[1]) / 2.0)
    } else {
        share.min(MOST_WITHOUT_REPEATS)
    };
    Confidence { value, interval }
}

/// How much of the law's periodic part `response` shows.
fn shown_share(sample: &Sample, law: &Law, response: &[f64]) -> f64 {
    let Some(reading) = Reading::of(law) else {
        return 0.0;
    };
    let pattern: Vec<f64> = sample
        .sizes
        .iter()
        .zip(&sample.unit)
        .map(|(&size, unit)| {
            let part = law.sum(size, |term| reading.explains(term));
            part * unit
        })
        .collect();
    let rest: Vec<Term> = law
        .terms
        .iter()
        .copied()
        .filter(|&term| !reading.explains(term))
        .collect();
    let mut basis = Basis::default();
    for term in rest {
        basis.push(sample.column(term, law.floor));
    }
    let fresh = basis.residual(&pattern);
    dot(&fresh, response) / dot(&fresh, &fresh).max(f64::MIN_POSITIVE)
}

/// The period of the law that explains `response` best, if it beats the rival.
fn choose(criterion: &Criterion, laws: &[&Law], rival: &Law, response: &[f64]) -> Option<f64> {
    let price = |law: &Law| criterion.bic(law.basis.residual_square(response), law.parameters);
    let (best, law) = laws
        .iter()
        .map(|law| (price(law), law))
        .min_by(|a, b| a.0.total_cmp(&b.0))?;
    if best >= price(rival) {
        return None;
    }
    Reading::with_coefficients(law, &law.basis.solve(response)).map(|reading| reading.period)
}
