//! S3: slowdowns too slow for any one night.

use crate::{
    Policy,
    book::Entry,
    stats::{mann_whitney, median},
    verdict::{Kind, Numbers, Reason, Verdict},
};

/// The verdict on the last nights, tonight's last; `None`: no drift, or too few nights.
pub(crate) fn judge(policy: &Policy, nights: &[Entry]) -> Option<Verdict> {
    ranks(policy, nights).or_else(|| creep(policy, nights))
}

fn ranks(policy: &Policy, nights: &[Entry]) -> Option<Verdict> {
    let first = nights
        .len()
        .checked_sub(policy.drift_recent + policy.drift_before)?;
    let levels: Vec<f64> = nights[first..].iter().map(|entry| entry.level).collect();
    let (before, recent) = levels.split_at(policy.drift_before);
    let baseline = median(before.iter().copied())?;
    let level = median(recent.iter().copied())?;
    let probability = mann_whitney(recent, before);
    let drifts =
        level - baseline >= policy.drift_shift.ln_1p() && probability < policy.drift_probability;
    drifts.then(|| {
        Verdict::new(Kind::Drift, Reason::Ranks).with(Numbers {
            probability: Some(probability),
            ..numbers(level, baseline, before.len())
        })
    })
}

/// Against the best that as many nights in a row have ever been.
fn creep(policy: &Policy, nights: &[Entry]) -> Option<Verdict> {
    let levels: Vec<f64> = nights.iter().map(|entry| entry.level).collect();
    let stretches = levels.windows(policy.drift_recent);
    let medians: Vec<f64> = stretches
        .filter_map(|stretch| median(stretch.iter().copied()))
        .collect();
    let level = *medians.last()?;
    let best = medians.iter().copied().min_by(f64::total_cmp)?;
    (level - best >= policy.creep.ln_1p()).then(|| {
        Verdict::new(Kind::Drift, Reason::Creep).with(numbers(level, best, policy.drift_recent))
    })
}

fn numbers(level: f64, baseline: f64, nights: usize) -> Numbers {
    Numbers {
        level: Some(level),
        baseline: Some(baseline),
        shift: Some(level - baseline),
        nights,
        ..Numbers::default()
    }
}
