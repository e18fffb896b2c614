//! The pieces a law is a sum of, as functions of the batch size.
//!
//! The sample turns them into columns for the fits, plots and advice evaluate them at batch sizes nobody measured. A term never knows its
//! coefficient.

/// Slack, in periods, that keeps `k * period` itself in round `k` despite rounding.
const EDGE_SLACK_PERIODS: f64 = 1e-9;

/// One function of the batch size.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Term {
    /// 1 up to the end of the launch-bound floor, 0 after it.
    Floor,
    /// 1.
    Constant,
    /// The batch size.
    Slope,
    /// Its square: power caps, caches that overflow.
    Square,
    /// Its natural logarithm: concave growth.
    Log,
    /// 1 right of a batch size: the library switches its algorithm.
    Level(u32),
    /// Samples beyond a batch size: memory-bound becomes compute-bound.
    Hinge(u32),
    /// `ceil((b - offset) / period) - (b - offset) / period`: rounds begun less samples over period. The part that
    /// is linear in `b` belongs to [`Term::Slope`], which keeps the two columns apart.
    Comb {
        /// Samples per round.
        period: f64,
        /// Samples by which the good batch sizes are shifted.
        offset: f64,
    },
    /// The comb of that period right of a batch size: an algorithm that is slower or faster has larger or smaller jumps.
    CombAfter {
        /// Samples per round.
        period: f64,
        /// Samples by which the good batch sizes are shifted.
        offset: f64,
        /// The last batch size of the old algorithm.
        after: u32,
    },
    /// 1 unless the batch size is a multiple: any left-over sample takes a slower path.
    LeftOver(u32),
    /// Left-over samples over the period: a path that handles them one by one.
    Ramp(u32),
    /// `1 + growth * b` where the batch size leaves `residue` after division by `period`, else 0.
    Residue {
        /// Samples per repetition.
        period: u32,
        /// Left-over samples, below `period`.
        residue: u32,
        /// Growth of the cost with each sample, relative to that of no sample: 0 for a path that costs the same each
        /// time it is taken, slope over constant of the smooth part for one that costs a share of the time.
        growth: f64,
    },
}

impl Term {
    /// The term at batch size `size`.
    pub(crate) fn at(self, size: u32) -> f64 {
        let b = f64::from(size);
        match self {
            Self::Floor | Self::Constant => 1.0,
            Self::Slope => b,
            Self::Square => b * b,
            Self::Log => b.ln(),
            Self::Level(after) => f64::from(u8::from(size > after)),
            Self::Hinge(at) => f64::from(size.saturating_sub(at)),
            Self::Comb { period, offset } => {
                let rounds = (b - offset) / period;
                (rounds - EDGE_SLACK_PERIODS).ceil() - rounds
            }
            Self::CombAfter {
                period,
                offset,
                after,
            } => {
                if size > after {
                    Self::Comb { period, offset }.at(size)
                } else {
                    0.0
                }
            }
            Self::LeftOver(period) => f64::from(u8::from(!size.is_multiple_of(period))),
            Self::Ramp(period) => f64::from(size % period) / f64::from(period),
            Self::Residue {
                period,
                residue,
                growth,
            } => {
                if size % period == residue {
                    grown(growth, b)
                } else {
                    0.0
                }
            }
        }
    }

    /// Free parameters the term adds: its coefficient, and where it stands. Having chosen a place among all points
    /// costs more than a smooth parameter (Zhang and Siegmund, "A modified Bayes information criterion", 2007); a
    /// hinge's place matters less than a jump's.
    pub(crate) fn parameters(self) -> f64 {
        match self {
            Self::Level(_) => 3.0,
            Self::Hinge(_) => 2.5,
            Self::Floor => 2.0,
            _ => 1.0,
        }
    }
}

/// The factor on a remainder's cost at batch size `b`.
pub(crate) fn grown(growth: f64, b: f64) -> f64 {
    1.0 + growth * b
}

/// Rounds begun by `size` samples.
pub(crate) fn rounds_begun(size: u32, period: f64, offset: f64) -> f64 {
    ((f64::from(size) - offset) / period - EDGE_SLACK_PERIODS).ceil()
}

/// The good batch size at the end of `rounds` rounds, the largest within them: `floor(rounds * period + offset)`, all in samples.
#[must_use]
pub fn good_size(rounds: f64, period: f64, offset: f64) -> f64 {
    (rounds * period + offset + EDGE_SLACK_PERIODS * period).floor()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fractional_periods_end_their_rounds_below_the_multiple() {
        let good: Vec<f64> = (1..5).map(|k| good_size(f64::from(k), 26.4, 0.0)).collect();
        assert_eq!(good, [26.0, 52.0, 79.0, 105.0]);
        assert_eq!(rounds_begun(26, 26.4, 0.0), 1.0);
        assert_eq!(rounds_begun(27, 26.4, 0.0), 2.0);
    }

    #[test]
    fn a_multiple_belongs_to_the_round_it_ends() {
        for k in 1..200_u32 {
            assert_eq!(rounds_begun(7 * k, 7.0, 0.0), f64::from(k));
            assert_eq!(rounds_begun(7 * k + 1, 7.0, 0.0), f64::from(k + 1));
        }
    }
}
