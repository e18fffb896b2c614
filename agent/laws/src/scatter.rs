//! What a machine adds to the time of one block: scatter, bursts, drift, and the ticks of its clock.

use serde::{Deserialize, Serialize};

use crate::Random;

/// How blocks of a device scatter. Everything is relative to the law unless it says otherwise; the default adds nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Scatter {
    /// Standard deviation of a block, as a share of its time (scale of the distribution where tails are `heavy`).
    pub sigma: f64,
    /// Whether blocks have the tails of Student's t with three degrees of freedom instead of a normal distribution's.
    pub heavy: bool,
    /// Share of blocks that something else slows down, by 10 to 100 %.
    pub bursts: f64,
    /// Peak-to-peak size of a slow wave of the whole device's speed.
    pub drift: f64,
    /// Seconds that wave takes; 0: one per round.
    pub drift_seconds: f64,
    /// Seconds between two ticks of the clock that times a block; 0: exact.
    pub tick_seconds: f64,
}

/// A scatter that no device can have.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{field} = {value}: {allowed}")]
pub struct ScatterError {
    /// Its name in the file.
    pub field: &'static str,
    /// As given.
    pub value: f64,
    /// What would do.
    pub allowed: &'static str,
}

/// When a block is measured, for what drifts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Moment {
    /// Seconds since the device was started.
    Seconds(f64),
    /// A place within a round, 0 to 1, whose wave begins at `phase` radians.
    Round {
        /// Radians.
        phase: f64,
        /// 0 to 1.
        at: f64,
    },
}

impl Scatter {
    /// Normal scatter of `sigma` and nothing else.
    #[must_use]
    pub fn quiet(sigma: f64) -> Self {
        Self {
            sigma,
            ..Self::default()
        }
    }

    /// Seconds per iteration of a block of `iterations` whose law says `seconds` each; always positive.
    pub fn block(&self, random: &mut Random, seconds: f64, iterations: u32, moment: Moment) -> f64 {
        let burst = if self.bursts > 0.0 && random.chance(self.bursts) {
            1.0 + random.uniform(0.1, 1.0)
        } else {
            1.0
        };
        let scatter = if self.heavy {
            random.heavy()
        } else {
            random.normal()
        };
        // However heavy the tail, a block is no faster than a fifth of its law.
        let scattered = (1.0 + self.sigma * scatter).max(0.2);
        let exact = seconds * self.drift_at(moment) * burst * scattered;
        if self.tick_seconds > 0.0 {
            let elapsed = exact * f64::from(iterations);
            let ticks = (elapsed / self.tick_seconds).round().max(1.0);
            ticks * self.tick_seconds / f64::from(iterations)
        } else {
            exact
        }
    }

    /// The device's speed at `moment`, as a factor on time.
    #[must_use]
    pub fn drift_at(&self, moment: Moment) -> f64 {
        let angle = match moment {
            Moment::Seconds(seconds) if self.drift_seconds > 0.0 => {
                std::f64::consts::TAU * seconds / self.drift_seconds
            }
            Moment::Seconds(_) => return 1.0,
            Moment::Round { phase, at } => phase + std::f64::consts::TAU * at,
        };
        1.0 + self.drift * angle.sin() / 2.0
    }

    /// Whether a device can scatter so.
    ///
    /// # Errors
    /// Names the field that is out of range.
    pub fn check(&self) -> Result<(), ScatterError> {
        let share = |field, value: f64, most: f64, allowed| {
            if (0.0..=most).contains(&value) {
                Ok(())
            } else {
                Err(ScatterError {
                    field,
                    value,
                    allowed,
                })
            }
        };
        share("sigma", self.sigma, 1.0, "a share from 0 to 1")?;
        share("bursts", self.bursts, 1.0, "a share from 0 to 1")?;
        share("drift", self.drift, 1.0, "a share from 0 to 1")?;
        let seconds = "seconds from 0 to 86400";
        share("drift_seconds", self.drift_seconds, 86_400.0, seconds)?;
        share("tick_seconds", self.tick_seconds, 86_400.0, seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blocks(scatter: Scatter, moment: impl Fn(u32) -> Moment) -> Vec<f64> {
        let mut random = Random::new(3);
        (0..4000)
            .map(|k| scatter.block(&mut random, 0.01, 10, moment(k)))
            .collect()
    }

    #[test]
    fn scatter_has_the_size_it_says() {
        let of = blocks(Scatter::quiet(0.02), |_| Moment::Seconds(0.0));
        let mean = of.iter().sum::<f64>() / of.len() as f64;
        let square = of.iter().map(|t| (t / mean - 1.0).powi(2)).sum::<f64>() / of.len() as f64;
        assert!((mean / 0.01 - 1.0).abs() < 0.002, "{mean}");
        assert!((square.sqrt() / 0.02 - 1.0).abs() < 0.05, "{square}");
    }

    #[test]
    fn a_clock_ticks_in_whole_ticks_of_the_block() {
        let scatter = Scatter {
            tick_seconds: 0.016,
            ..Scatter::quiet(0.05)
        };
        for seconds in blocks(scatter, |_| Moment::Seconds(0.0)) {
            let ticks = seconds * 10.0 / 0.016;
            assert!((ticks - ticks.round()).abs() < 1e-9 && ticks >= 1.0);
        }
    }

    #[test]
    fn drift_swings_by_its_size_in_its_time() {
        let scatter = Scatter {
            drift: 0.1,
            drift_seconds: 60.0,
            ..Scatter::default()
        };
        let of = blocks(scatter, |k| Moment::Seconds(f64::from(k) / 10.0));
        let most = of.iter().copied().fold(0.0, f64::max);
        let least = of.iter().copied().fold(f64::INFINITY, f64::min);
        assert!((most / least - 1.05 / 0.95).abs() < 1e-3, "{most} {least}");
    }

    #[test]
    fn impossible_scatter_is_named() {
        let scatter = Scatter {
            bursts: f64::NAN,
            ..Scatter::default()
        };
        assert_eq!(scatter.check().unwrap_err().field, "bursts");
        assert_eq!(Scatter::quiet(0.01).check(), Ok(()));
    }
}
