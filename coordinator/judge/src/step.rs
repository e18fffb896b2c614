//! S1: is the step the usual one?

use crate::{Measurement, Policy, Step, baseline::last, book::Entry};

/// What a night's steps are against the usual one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Look {
    /// The usual one, or nothing that could be compared.
    Usual,
    /// Another, and not measured again yet.
    Suspect {
        /// What it usually is.
        usual: Step,
    },
    /// Two measurements agree on another.
    Changed {
        /// What it usually was.
        usual: Step,
    },
    /// Two measurements do not agree.
    Unstable {
        /// What it usually is.
        usual: Step,
    },
}

impl Look {
    pub(crate) fn at(
        policy: &Policy,
        settled: &[Entry],
        tonight: Step,
        again: Option<&Measurement>,
    ) -> Self {
        let Some(usual) = usual(policy, settled) else {
            return Self::Usual;
        };
        if tonight == Step::Unknown || same(policy, tonight, usual) {
            return Self::Usual;
        }
        match again.map(|again| again.step) {
            // A measurement that does not tell is none.
            None | Some(Step::Unknown) => Self::Suspect { usual },
            Some(again) if same(policy, again, tonight) => Self::Changed { usual },
            Some(_) => Self::Unstable { usual },
        }
    }
}

/// The most frequent known step of the last nights, of several the latest; `None` where fewer than half of them know one.
pub(crate) fn usual(policy: &Policy, settled: &[Entry]) -> Option<Step> {
    let nights = last(settled, policy.step_nights);
    let known: Vec<Step> = nights
        .iter()
        .map(|entry| entry.step)
        .filter(|step| *step != Step::Unknown)
        .collect();
    if nights.len() < policy.learning_nights.min(policy.step_nights)
        || 2 * known.len() < nights.len()
    {
        return None;
    }
    let votes = |step: Step| {
        known
            .iter()
            .filter(|other| same(policy, **other, step))
            .count()
    };
    known.iter().copied().max_by_key(|step| votes(*step))
}

/// True for steps that are one and the same.
pub(crate) fn same(policy: &Policy, one: Step, other: Step) -> bool {
    match (one, other) {
        (Step::Period(one), Step::Period(other)) => {
            (one - other).abs() <= policy.step_tolerance * one.max(other)
        }
        _ => one == other,
    }
}
