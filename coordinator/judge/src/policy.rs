//! The judge's thresholds: configuration, with the values that the simulated nights of `docs/results/nightly.md` are measured with as defaults.

use serde::{Deserialize, Serialize};

/// A policy looks back over a year of nights at most: books stay small.
const MOST_NIGHTS: usize = 366;

/// Why a policy cannot be followed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("judge.{field} is {value}: {rule}")]
pub struct PolicyError {
    field: &'static str,
    value: String,
    rule: &'static str,
}

/// What makes a night worth a verdict. Shares are relative: 0.03 is 3 %.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Policy {
    /// Valid nights that a baseline spans.
    pub baseline_nights: usize,
    /// Valid nights before which a series is learned: only a shift of `learning_shift` counts, and that from the fourth night on, since the median of
    /// fewer than three is no more than one of them.
    pub learning_nights: usize,
    /// See `learning_nights`.
    pub learning_shift: f64,
    /// A hit is further from the baseline than this many of its standard deviations…
    pub hit_sigmas: f64,
    /// …and by at least this share.
    pub hit_shift: f64,
    /// The spread of nights is taken for at least this, a share: a quiet month does not make a hair a hit.
    pub least_sigma: f64,
    /// So many hits…
    pub confirming_hits: usize,
    /// …among so many valid nights are an alarm.
    pub confirming_nights: usize,
    /// Valid nights whose most frequent step is the usual one.
    pub step_nights: usize,
    /// Steps that differ by at most this share are the same.
    pub step_tolerance: f64,
    /// A shift together with a changed environment counts from this share on (and from `hit_sigmas` on)…
    pub environment_shift: f64,
    /// …and is told on its first night from this share on. Below, and where siblings with the same change do not share it, it takes a second night.
    pub environment_far: f64,
    /// Valid nights at the end of which a drift is looked for…
    pub drift_recent: usize,
    /// …against so many before them.
    pub drift_before: usize,
    /// Probability below which ranks as different as theirs are no chance.
    pub drift_probability: f64,
    /// A drift is at least this share.
    pub drift_shift: f64,
    /// Nights above the best level there ever was by this share have crept.
    pub creep: f64,
    /// Devices of a model from which they are judged together.
    pub model_devices: usize,
    /// Their median shift is further from none than this many standard deviations of a median…
    pub model_sigmas: f64,
    /// …and by at least this share.
    pub model_shift: f64,
    /// Siblings, the device itself among them, from which it can be an outlier.
    pub outlier_devices: usize,
    /// An outlier is slower than its siblings' median by so many of their standard deviations…
    pub outlier_sigmas: f64,
    /// …and by this share,…
    pub outlier_shift: f64,
    /// …or by this share alone.
    pub outlier_far: f64,
    /// Valid nights in a row near the baseline that end an alarm.
    pub resolving_nights: usize,
    /// Near: within so many standard deviations,…
    pub resolving_sigmas: f64,
    /// …or this share, whichever is more.
    pub resolving_shift: f64,
    /// Days, not nights, for which an acknowledged alarm stays silent.
    pub muted_days: u32,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            baseline_nights: 28,
            learning_nights: 8,
            learning_shift: 0.10,
            hit_sigmas: 4.0,
            hit_shift: 0.03,
            least_sigma: 0.003,
            confirming_hits: 2,
            confirming_nights: 3,
            step_nights: 14,
            step_tolerance: 0.05,
            environment_shift: 0.03,
            environment_far: 0.05,
            drift_recent: 7,
            drift_before: 28,
            drift_probability: 1e-4,
            drift_shift: 0.02,
            creep: 0.05,
            model_devices: 4,
            model_sigmas: 4.0,
            model_shift: 0.015,
            outlier_devices: 4,
            outlier_sigmas: 3.5,
            outlier_shift: 0.05,
            outlier_far: 0.10,
            resolving_nights: 3,
            resolving_sigmas: 2.0,
            resolving_shift: 0.015,
            muted_days: 14,
        }
    }
}

impl Policy {
    /// Checks that the judge can follow it.
    ///
    /// # Errors
    /// With the first field that it cannot.
    pub fn check(&self) -> Result<(), PolicyError> {
        let shares = [
            ("learning_shift", self.learning_shift),
            ("hit_shift", self.hit_shift),
            ("least_sigma", self.least_sigma),
            ("step_tolerance", self.step_tolerance),
            ("environment_shift", self.environment_shift),
            ("environment_far", self.environment_far),
            ("drift_probability", self.drift_probability),
            ("drift_shift", self.drift_shift),
            ("creep", self.creep),
            ("model_shift", self.model_shift),
            ("outlier_shift", self.outlier_shift),
            ("outlier_far", self.outlier_far),
            ("resolving_shift", self.resolving_shift),
        ];
        for (field, value) in shares {
            refuse(
                field,
                value,
                value > 0.0 && value < 1.0,
                "a share is above 0 and below 1, such as 0.03 for 3 %",
            )?;
        }
        let sigmas = [
            ("hit_sigmas", self.hit_sigmas),
            ("model_sigmas", self.model_sigmas),
            ("outlier_sigmas", self.outlier_sigmas),
            ("resolving_sigmas", self.resolving_sigmas),
        ];
        for (field, value) in sigmas {
            refuse(
                field,
                value,
                value > 0.0 && value.is_finite(),
                "it counts standard deviations and is above 0",
            )?;
        }
        let counts = [
            ("learning_nights", self.learning_nights, 3),
            ("confirming_hits", self.confirming_hits, 1),
            ("step_nights", self.step_nights, 1),
            ("drift_recent", self.drift_recent, 3),
            ("drift_before", self.drift_before, 3),
            ("model_devices", self.model_devices, 2),
            ("outlier_devices", self.outlier_devices, 3),
            ("resolving_nights", self.resolving_nights, 1),
        ];
        for (field, value, least) in counts {
            refuse(
                field,
                value,
                value >= least,
                "it is too few to say anything",
            )?;
        }
        let (baseline, learning) = (self.baseline_nights, self.learning_nights);
        refuse(
            "baseline_nights",
            baseline,
            baseline >= learning,
            "it is fewer than learning_nights",
        )?;
        let (far, least) = (self.environment_far, self.environment_shift);
        refuse(
            "environment_far",
            far,
            far >= least,
            "it is less than environment_shift",
        )?;
        let (hits, nights) = (self.confirming_hits, self.confirming_nights);
        refuse(
            "confirming_nights",
            nights,
            nights >= hits,
            "it is fewer than confirming_hits",
        )?;
        let longest = [
            ("baseline_nights", baseline),
            ("step_nights", self.step_nights),
            ("confirming_nights", nights),
            ("drift_recent", self.drift_recent),
            ("drift_before", self.drift_before),
            ("resolving_nights", self.resolving_nights),
        ];
        for (field, value) in longest {
            refuse(
                field,
                value,
                value <= MOST_NIGHTS,
                "more nights than a year are not remembered",
            )?;
        }
        Ok(())
    }

    /// Valid nights that a book remembers, and as many since the beginning of an open alarm: what the longest look back of the judge needs.
    #[must_use]
    pub fn remembered_nights(&self) -> usize {
        let looks = [
            self.baseline_nights,
            self.step_nights,
            self.drift_recent.saturating_add(self.drift_before),
            self.confirming_nights,
            self.resolving_nights,
        ];
        looks.into_iter().max().unwrap_or(0)
    }
}

fn refuse(
    field: &'static str,
    value: impl ToString,
    holds: bool,
    rule: &'static str,
) -> Result<(), PolicyError> {
    if holds {
        return Ok(());
    }
    let value = value.to_string();
    Err(PolicyError { field, value, rule })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_can_be_followed_and_nonsense_is_named() {
        assert_eq!(Policy::default().check(), Ok(()));
        let refused = |change: fn(&mut Policy)| {
            let mut policy = Policy::default();
            change(&mut policy);
            policy.check().unwrap_err().to_string()
        };
        let told = refused(|policy| policy.hit_shift = 3.0);
        assert!(told.starts_with("judge.hit_shift is 3:"), "{told}");
        let told = refused(|policy| policy.hit_sigmas = f64::NAN);
        assert!(told.starts_with("judge.hit_sigmas is NaN:"), "{told}");
        let told = refused(|policy| policy.confirming_nights = 1);
        assert!(told.contains("fewer than confirming_hits"), "{told}");
        let told = refused(|policy| policy.baseline_nights = 4000);
        assert!(told.contains("more nights than a year"), "{told}");
    }

    #[test]
    fn a_book_remembers_what_the_longest_look_needs() {
        assert_eq!(Policy::default().remembered_nights(), 35);
    }
}
