//! What step a fitted law means: its period, its pattern, and the periods beside it.
//!
//! Between a period and its multiples the choice is by effect, not by fit: at small noise some real but tiny structure
//! always exists at a multiple. Used for the answer and for every resample; it never looks at the data.

use crate::fit::Law;
use crate::term::{Term, grown, rounds_begun};

/// A divisor is the step when it carries at least this share of what the longer period carries.
const DIVISOR_SHARE: f64 = 0.7;

/// A longer period is worth mentioning when it carries more than this share beyond the step.
const REMARKABLE_SHARE: f64 = 0.1;

/// How the extra time repeats.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Pattern {
    /// One jump per period, in the sample's unit of seconds.
    Jump(f64),
    /// What each left-over sample adds.
    Profile(Profile),
}

/// The cost of left-over samples.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Profile {
    /// Extra seconds of each left-over sample before growth, in the sample's unit; 0 for the first.
    pub(crate) extra: Vec<f64>,
    /// See [`Term::Residue`].
    pub(crate) growth: f64,
}

impl Profile {
    /// Extra seconds at batch size `size`, in the sample's unit.
    pub(crate) fn at(&self, size: u32) -> f64 {
        self.extra[size as usize % self.extra.len()] * grown(self.growth, f64::from(size))
    }

    /// The largest extra time at about batch size `size`.
    pub(crate) fn largest_at(&self, size: f64) -> f64 {
        self.extra.iter().copied().fold(0.0, f64::max) * grown(self.growth, size)
    }
}

/// A further period, with its jump in the sample's unit of seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Other {
    pub(crate) period: f64,
    pub(crate) jump: f64,
    /// See [`Term::Residue`].
    pub(crate) growth: f64,
}

/// The step of one law.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Reading {
    pub(crate) period: f64,
    pub(crate) offset: f64,
    pub(crate) pattern: Pattern,
    /// Largest jump first.
    pub(crate) others: Vec<Other>,
}

impl Reading {
    /// Reads `law`; `None` when it has no period or a pattern without a cost.
    pub(crate) fn of(law: &Law) -> Option<Self> {
        Self::with_coefficients(law, &law.coefficients)
    }

    /// Reads `law` as if its coefficients were `coefficients`.
    pub(crate) fn with_coefficients(law: &Law, coefficients: &[f64]) -> Option<Self> {
        if let Some(profile) = residue_profile(law, coefficients) {
            return Some(of_profile(&profile));
        }
        let mut combs: Vec<(f64, f64, f64)> = law
            .terms
            .iter()
            .zip(coefficients)
            .filter_map(|(term, &jump)| match *term {
                Term::Comb { period, offset } => Some((period, offset, jump)),
                _ => None,
            })
            .collect();
        combs.sort_by(|a, b| b.2.total_cmp(&a.2));
        let &(period, offset, jump) = combs.first()?;
        (jump > 0.0).then(|| Self {
            period,
            offset,
            pattern: Pattern::Jump(jump),
            others: combs[1..]
                .iter()
                .map(|&(period, _, jump)| Other {
                    period,
                    jump,
                    growth: 0.0,
                })
                .collect(),
        })
    }

    /// The periodic part at batch size `size`, in the sample's unit of seconds, up to what is linear in `size`.
    pub(crate) fn at(&self, size: u32) -> f64 {
        match &self.pattern {
            Pattern::Jump(jump) => {
                let rounds = (f64::from(size) - self.offset) / self.period;
                jump * (rounds_begun(size, self.period, self.offset) - rounds)
            }
            Pattern::Profile(profile) => profile.at(size),
        }
    }

    /// The factor on the pattern's cost at batch size `size`, 1 unless it grows.
    pub(crate) fn growth_at(&self, size: u32) -> f64 {
        match &self.pattern {
            Pattern::Jump(_) => 1.0,
            Pattern::Profile(profile) => grown(profile.growth, f64::from(size)),
        }
    }

    /// Whether `term` is part of this step's pattern.
    pub(crate) fn explains(&self, term: Term) -> bool {
        match term {
            Term::Comb { period, offset } => period == self.period && offset == self.offset,
            Term::Residue { .. } | Term::LeftOver(_) | Term::Ramp(_) => true,
            _ => false,
        }
    }
}

/// The fitted extra seconds of each residue over residue 0, when the law has such columns: one for each sample of the
/// period. Residues nobody measured are interpolated.
pub(crate) fn residue_profile(law: &Law, coefficients: &[f64]) -> Option<Profile> {
    // Nested shapes: the longest period holds the others.
    let shapes = || {
        law.terms
            .iter()
            .zip(coefficients)
            .filter_map(|(&term, &c)| match term {
                Term::LeftOver(period) | Term::Ramp(period) => Some((period, term, c)),
                _ => None,
            })
    };
    if let Some(longest) = shapes().map(|(period, ..)| period).max() {
        let profile = (0..longest).map(|r| shapes().map(|(_, term, c)| c * term.at(r)).sum());
        return Some(Profile {
            extra: profile.collect(),
            growth: 0.0,
        });
    }
    let (period, growth) = law.terms.iter().find_map(|&term| match term {
        Term::Residue { period, growth, .. } => Some((period, growth)),
        _ => None,
    })?;
    let mut known: Vec<(usize, f64)> = vec![(0, 0.0)];
    for (term, &c) in law.terms.iter().zip(coefficients) {
        if let Term::Residue { residue, .. } = *term {
            known.push((residue as usize, c));
        }
    }
    known.push((period as usize, 0.0));
    let mut profile = vec![0.0; period as usize];
    for pair in known.windows(2) {
        let ((from, low), (to, high)) = (pair[0], pair[1]);
        for (r, value) in profile.iter_mut().enumerate().take(to).skip(from) {
            *value = low + (high - low) * (r - from) as f64 / (to - from) as f64;
        }
    }
    Some(Profile {
        extra: profile,
        growth,
    })
}

/// The smallest divisor of `period` that carries most of the effect.
fn of_profile(repeating: &Profile) -> Reading {
    let Profile {
        extra: profile,
        growth,
    } = repeating;
    let (period, growth) = (profile.len() as u32, *growth);
    let whole = effect(profile);
    let mut divisors: Vec<(u32, Vec<f64>)> = (2..period)
        .filter(|divisor| period.is_multiple_of(*divisor))
        .map(|divisor| (divisor, fold(profile, divisor as usize)))
        .collect();
    divisors.push((period, profile.clone()));
    let chosen = divisors
        .iter()
        .position(|(_, folded)| effect(folded) >= DIVISOR_SHARE * whole)
        .unwrap_or(divisors.len() - 1);
    let mut others = Vec::new();
    let (step, pattern) = divisors[chosen].clone();
    if step < period && effect(&pattern) < (1.0 - REMARKABLE_SHARE) * whole {
        others.push(Other {
            period: f64::from(period),
            jump: profile[1],
            growth,
        });
    }
    // A shorter rhythm inside the step: the divisor that carries most of the rest.
    let shorter = divisors[..chosen]
        .iter()
        .map(|(divisor, folded)| (effect(folded), *divisor, folded))
        .filter(|(carried, divisor, folded)| {
            *carried > 2.0 * REMARKABLE_SHARE * whole && jumps_everywhere(profile, *divisor, folded)
        })
        .max_by(|a, b| a.0.total_cmp(&b.0));
    if let Some((_, divisor, folded)) = shorter {
        others.push(Other {
            period: f64::from(divisor),
            jump: folded[1],
            growth,
        });
    }
    Reading {
        period: f64::from(step),
        offset: 0.0,
        pattern: Pattern::Profile(Profile {
            extra: pattern,
            growth,
        }),
        others,
    }
}

/// Whether one sample more costs something after every multiple of `divisor`, not only on average: at least a quarter of what it does on average.
fn jumps_everywhere(profile: &[f64], divisor: u32, folded: &[f64]) -> bool {
    (0..profile.len())
        .step_by(divisor as usize)
        .all(|multiple| profile[multiple + 1] - profile[multiple] >= 0.25 * folded[1])
}

/// Mean square of the extra time over the line through the multiples. About the line, not about the mean: for
/// 0, 9, 5, 9 the multiples of 4 promise much more than the even batch sizes do.
fn effect(profile: &[f64]) -> f64 {
    profile.iter().map(|extra| extra * extra).sum::<f64>() / profile.len() as f64
}

/// The profile with respect to a divisor: mean over its repetitions of the extra time over the line through its multiples.
fn fold(profile: &[f64], divisor: usize) -> Vec<f64> {
    let repetitions = profile.len() / divisor;
    let mut folded = vec![0.0; divisor];
    for k in 0..repetitions {
        let left = profile[k * divisor];
        let right = profile[(k + 1) * divisor % profile.len()];
        for (r, sum) in folded.iter_mut().enumerate() {
            let line = left + (right - left) * r as f64 / divisor as f64;
            *sum += (profile[k * divisor + r] - line) / repetitions as f64;
        }
    }
    folded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(extra: &[f64]) -> Reading {
        of_profile(&Profile {
            extra: extra.to_vec(),
            growth: 0.0,
        })
    }

    #[test]
    fn two_unequal_peaks_are_a_period_of_four() {
        let reading = read(&[0.0, 9.0, 5.0, 9.0]);
        assert_eq!(reading.period, 4.0);
        assert_eq!(reading.others[0].period, 2.0);
    }

    #[test]
    fn a_dominating_alternation_is_a_period_of_two() {
        let reading = read(&[0.0, 9.0, 1.5, 9.0]);
        assert_eq!(reading.period, 2.0);
        assert_eq!(reading.others[0].period, 4.0);
    }

    #[test]
    fn an_average_alone_is_no_shorter_rhythm() {
        // From 2 to 3 nothing is added.
        let reading = read(&[0.0, 40.0, 30.0, 30.0]);
        assert_eq!(reading.period, 4.0);
        assert_eq!(reading.others, []);
    }

    #[test]
    fn tiny_structure_at_a_multiple_does_not_count() {
        let mut profile = [0.0, 9.0, 6.0, 3.0].repeat(4);
        profile[4] = 0.2;
        profile[9] += 0.3;
        let reading = read(&profile);
        assert_eq!(reading.period, 4.0);
        assert_eq!(reading.others, []);
    }
}
