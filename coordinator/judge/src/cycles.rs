//! Beside S2: slower in cycles where the time does not show it, since a higher clock hides it. Worth knowing; nobody waits longer for it, so it is no alarm.

use crate::{
    Baseline, Book, Policy,
    verdict::{Kind, Numbers, Reason, Verdict},
};

/// True for a night beyond the gate in cycles, as far as it was measured; not while the baseline is learned.
pub(crate) fn is_hit(baseline: &Baseline, first: Option<f64>, again: Option<f64>) -> bool {
    let is_beyond = |cycles: f64| {
        baseline
            .cycles
            .is_some_and(|usual| cycles - usual > baseline.gate_of_cycles)
    };
    !baseline.is_learning && first.is_some_and(is_beyond) && again.is_none_or(is_beyond)
}

/// The verdict, where enough nights were hits; tonight's entry is the book's last.
pub(crate) fn judge(policy: &Policy, book: &mut Book, numbers: &Numbers) -> Option<Verdict> {
    let nights = book.last(policy.confirming_nights);
    let is_hit = nights.last().is_some_and(|entry| entry.is_hit_in_cycles);
    let hits = nights.iter().filter(|entry| entry.is_hit_in_cycles).count();
    let is_slower = is_hit && hits >= policy.confirming_hits;
    let is_told_as_time =
        book.alarm.is_some() || nights.last().is_some_and(|entry| entry.hit.is_some());
    let was = std::mem::replace(&mut book.standing.cycles, is_slower);
    (is_slower && !is_told_as_time).then(|| {
        Verdict::new(Kind::SlowerInCycles, Reason::Hits)
            .with(numbers.clone())
            .new_if(!was)
    })
}
