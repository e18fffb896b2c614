//! The law: seconds per iteration as a sum of what devices do, one field for each.
//!
//! ```text
//! t(B) = cap(B) * switches(B) * max(floor, remainders(B, constant + slope B + square B^2 + concave + combs + bumps + waves))
//! ```
//!
//! Units are seconds and samples. A file or a test states a law as data, so that a trace that surprised somebody can be kept and run again.

use serde::{Deserialize, Serialize};

/// Seconds per iteration by batch size. Everything that is left out is absent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Law {
    /// Seconds that every iteration takes.
    pub constant: f64,
    /// Seconds for each sample.
    pub slope: f64,
    /// Seconds for the square of each sample.
    pub square: f64,
    /// Seconds below which no iteration can be launched.
    pub floor: f64,
    /// Seconds times the batch size to the power of `concave_power`: growth that slows down.
    pub concave: f64,
    /// Between 0 and 1.
    pub concave_power: f64,
    /// Rounds of samples: waves and tiles.
    pub combs: Vec<Comb>,
    /// Slower paths for samples left over.
    pub remainders: Vec<Remainder>,
    /// Libraries that change their algorithm.
    pub switches: Vec<Switch>,
    /// A power cap that slows larger batches.
    pub power_cap: Option<PowerCap>,
    /// Soft rises and falls: caches that overflow.
    pub bumps: Vec<Bump>,
    /// Ripples without a period in the batch size.
    pub waves: Vec<Wave>,
}

/// One jump for every round of samples begun: `jump * ceil((B - offset) / period)`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Comb {
    /// Samples per round, real-valued.
    pub period: f64,
    /// Samples by which the ends of the rounds are shifted.
    #[serde(default)]
    pub offset: f64,
    /// Seconds of one more round.
    pub jump: f64,
    /// Whether the samples of a round pay for it in `slope` already, so that the comb adds nothing on average: `jump * (ceil(x) - x)`.
    #[serde(default)]
    pub level: bool,
}

/// Extra cost of left-over samples, repeating with the length of `extra`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Remainder {
    /// The cost of 0, 1, 2, .. left-over samples: seconds, or a share of the time where it is `proportional`.
    pub extra: Vec<f64>,
    /// Whether the slower path costs a share of the time instead of a time of its own.
    #[serde(default)]
    pub proportional: bool,
}

/// Another algorithm right of a batch size.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Switch {
    /// The last batch size of the old algorithm.
    pub after: u32,
    /// Time of the new algorithm over that of the old.
    pub factor: f64,
}

/// A power cap: right of `from` the time approaches `slowdown` times what it was.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PowerCap {
    /// The batch size that reaches the cap.
    pub from: f64,
    /// Factor approached by large batches, above 1.
    pub slowdown: f64,
}

/// A soft change of level: `rise / (1 + exp(-(B - center) / width))`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bump {
    /// Batch size of the middle of the change.
    pub center: f64,
    /// Batch sizes over which it spreads.
    pub width: f64,
    /// Seconds, negative for a fall.
    pub rise: f64,
}

/// A ripple `size * sin((B / length)^power)`: with a power other than 1 it has no period.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wave {
    /// Batch sizes per radian of the first ripple.
    pub length: f64,
    /// Exponent of the batch size within the sine.
    pub power: f64,
    /// Seconds.
    pub size: f64,
}

/// A law that gives no usable time.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum LawError {
    /// A period below one sample.
    #[error("combs[{index}].period = {period}: a round holds at least one sample")]
    Period {
        /// Position in the list, from 0.
        index: usize,
        /// As given.
        period: f64,
    },
    /// A remainder without a length.
    #[error(
        "remainders[{index}].extra is empty: give the extra cost of 0, 1, 2, .. left-over samples"
    )]
    Remainder {
        /// Position in the list, from 0.
        index: usize,
    },
    /// A time that is not above zero.
    #[error(
        "at batch size {batch_size} the law gives {seconds} s: an iteration takes a time above 0"
    )]
    Seconds {
        /// The smallest such batch size.
        batch_size: u32,
        /// What the law gives.
        seconds: f64,
    },
}

impl Law {
    /// Seconds per iteration at `batch_size`.
    #[must_use]
    pub fn seconds(&self, batch_size: u32) -> f64 {
        let b = f64::from(batch_size);
        let combs: f64 = self.combs.iter().map(|comb| comb.seconds(b)).sum();
        let bumps: f64 = self.bumps.iter().map(|bump| bump.seconds(b)).sum();
        let waves: f64 = self.waves.iter().map(|wave| wave.seconds(b)).sum();
        let concave = if self.concave == 0.0 {
            0.0
        } else {
            self.concave * b.powf(self.concave_power)
        };
        let mut seconds =
            self.constant + self.slope * b + self.square * b * b + concave + combs + bumps + waves;
        for remainder in &self.remainders {
            let extra = remainder.extra[batch_size as usize % remainder.extra.len()];
            if remainder.proportional {
                seconds *= 1.0 + extra;
            } else {
                seconds += extra;
            }
        }
        // Unlike `max`, which would hide what is not a number.
        seconds = if seconds.is_nan() || seconds > self.floor {
            seconds
        } else {
            self.floor
        };
        for switch in &self.switches {
            if batch_size > switch.after {
                seconds *= switch.factor;
            }
        }
        match self.power_cap {
            Some(cap) if b > cap.from => {
                seconds * (1.0 + (cap.slowdown - 1.0) * (1.0 - cap.from / b))
            }
            _ => seconds,
        }
    }

    /// Whether the law gives a time for every batch size up to `largest`.
    ///
    /// # Errors
    /// Names what does not.
    pub fn check(&self, largest: u32) -> Result<(), LawError> {
        for (index, comb) in self.combs.iter().enumerate() {
            if !(comb.period >= 1.0 && comb.period.is_finite()) {
                return Err(LawError::Period {
                    index,
                    period: comb.period,
                });
            }
        }
        if let Some(index) = self.remainders.iter().position(|of| of.extra.is_empty()) {
            return Err(LawError::Remainder { index });
        }
        for batch_size in 1..=largest {
            let seconds = self.seconds(batch_size);
            if !(seconds > 0.0 && seconds.is_finite()) {
                return Err(LawError::Seconds {
                    batch_size,
                    seconds,
                });
            }
        }
        Ok(())
    }

    /// The law of a device that is `factor` times as slow.
    #[must_use]
    pub fn scaled(mut self, factor: f64) -> Self {
        for seconds in [
            &mut self.constant,
            &mut self.slope,
            &mut self.square,
            &mut self.floor,
            &mut self.concave,
        ] {
            *seconds *= factor;
        }
        self.combs.iter_mut().for_each(|comb| comb.jump *= factor);
        self.bumps.iter_mut().for_each(|bump| bump.rise *= factor);
        self.waves.iter_mut().for_each(|wave| wave.size *= factor);
        for remainder in &mut self.remainders {
            if !remainder.proportional {
                remainder
                    .extra
                    .iter_mut()
                    .for_each(|extra| *extra *= factor);
            }
        }
        self
    }
}

impl Comb {
    /// Samples over period that keep a multiple in the round it ends, despite rounding.
    const SLACK: f64 = 1e-9;

    fn seconds(&self, b: f64) -> f64 {
        let rounds = (b - self.offset) / self.period;
        let begun = (rounds - Self::SLACK).ceil();
        self.jump * if self.level { begun - rounds } else { begun }
    }
}

impl Bump {
    fn seconds(&self, b: f64) -> f64 {
        self.rise / (1.0 + (-(b - self.center) / self.width).exp())
    }
}

impl Wave {
    fn seconds(&self, b: f64) -> f64 {
        self.size * (b / self.length).powf(self.power).sin()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn staircase() -> Law {
        Law {
            constant: 0.002,
            combs: vec![Comb {
                period: 26.4,
                offset: 0.0,
                jump: 0.001,
                level: false,
            }],
            ..Law::default()
        }
    }

    #[test]
    fn rounds_begin_after_the_multiples() {
        let law = staircase();
        let jumps: Vec<u32> = (1..140)
            .filter(|&b| law.seconds(b + 1) > law.seconds(b))
            .collect();
        assert_eq!(jumps, [26, 52, 79, 105, 132]);
    }

    #[test]
    fn parts_act_together() {
        let law = Law {
            floor: 0.004,
            switches: vec![Switch {
                after: 60,
                factor: 2.0,
            }],
            remainders: vec![Remainder {
                extra: vec![0.0, 0.5],
                proportional: true,
            }],
            ..staircase()
        };
        assert_eq!(law.seconds(2), 0.004);
        assert!((law.seconds(28) - 0.004).abs() < 1e-12);
        assert!((law.seconds(29) - 0.006).abs() < 1e-12);
        assert!((law.seconds(62) - 0.010).abs() < 1e-12);
        let twice = law.clone().scaled(2.0);
        assert!((1..200).all(|b| (twice.seconds(b) / law.seconds(b) - 2.0).abs() < 1e-12));
    }

    #[test]
    fn impossible_laws_are_named() {
        let mut law = staircase();
        law.combs[0].period = 0.5;
        assert_eq!(
            law.check(10).unwrap_err().to_string(),
            "combs[0].period = 0.5: a round holds at least one sample"
        );
        let falling = Law {
            constant: 1.0,
            slope: -0.25,
            ..Law::default()
        };
        let error = falling.check(100).unwrap_err();
        assert!(
            matches!(error, LawError::Seconds { batch_size: 4, .. }),
            "{error}"
        );
        assert_eq!(staircase().check(4096), Ok(()));
        for broken in [
            Law {
                constant: f64::NAN,
                ..staircase()
            },
            Law {
                floor: f64::NAN,
                ..staircase()
            },
        ] {
            let error = broken.check(1).unwrap_err().to_string();
            assert_eq!(
                error,
                "at batch size 1 the law gives NaN s: an iteration takes a time above 0"
            );
        }
    }

    #[test]
    fn a_law_survives_its_text() {
        let law = staircase();
        let text = serde_json::to_string(&law).unwrap();
        assert_eq!(serde_json::from_str::<Law>(&text).unwrap(), law);
        let error = serde_json::from_str::<Law>(r#"{"constnat":1}"#).unwrap_err();
        assert!(error.to_string().contains("unknown field"), "{error}");
    }
}
