//! S3: slowdowns too slow for any one night. For the digest; nobody is woken for a drift.

use crate::{
    Book, Policy,
    book::{Entry, last},
    stats::{mann_whitney, median},
    verdict::{Kind, Numbers, Reason, Verdict},
};

/// The verdict on the last nights, tonight's last; `None`: no drift, too few nights, or a slowdown that is told already. Enters the best week.
pub(crate) fn judge(policy: &Policy, book: &mut Book) -> Option<Verdict> {
    let verdict = match book.frozen_from() {
        Some(_) => None,
        None => {
            let week = week(policy, book.current());
            book.best = [book.best, week]
                .into_iter()
                .flatten()
                .min_by(f64::total_cmp);
            ranks(policy, book.current()).or_else(|| creep(policy, week?, book.best?))
        }
    };
    let was = std::mem::replace(&mut book.standing.drift, verdict.is_some());
    verdict.map(|verdict| verdict.new_if(!was))
}

fn ranks(policy: &Policy, nights: &[Entry]) -> Option<Verdict> {
    let all = policy.drift_recent.saturating_add(policy.drift_before);
    let first = nights.len().checked_sub(all)?;
    let levels: Vec<f64> = nights[first..].iter().map(|entry| entry.level).collect();
    let (before, recent) = levels.split_at(policy.drift_before);
    let baseline = median(before.iter().copied())?;
    let level = median(recent.iter().copied())?;
    if level - baseline < policy.drift_shift.ln_1p() {
        return None;
    }
    let probability = mann_whitney(recent, before);
    (probability < policy.drift_probability).then(|| {
        Verdict::new(Kind::Drift, Reason::Ranks).with(Numbers {
            probability: Some(probability),
            ..numbers(level, baseline, before.len())
        })
    })
}

/// Median of the last nights, where there are enough.
fn week(policy: &Policy, nights: &[Entry]) -> Option<f64> {
    let recent = last(nights, policy.drift_recent);
    median(recent.iter().map(|entry| entry.level)).filter(|_| recent.len() == policy.drift_recent)
}

/// Against the best that as many nights in a row have ever been, in whatever environment: what each of several drivers took unnoticed adds up.
fn creep(policy: &Policy, week: f64, best: f64) -> Option<Verdict> {
    (week - best >= policy.creep.ln_1p()).then(|| {
        Verdict::new(Kind::Drift, Reason::Creep).with(numbers(week, best, policy.drift_recent))
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
