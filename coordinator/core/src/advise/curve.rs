//! The time of an iteration at any batch size: from the fit or the measured points, and beyond them as far as is honest. Used by `answer`.

use std::collections::BTreeMap;

use super::{
    facts::{Estimate, Source},
    rounds::Rounds,
};
use crate::steptable::{DetailedRow, Verdict};

/// Times are extrapolated up to this many times the largest measured batch size: as far again as was measured. Beyond, nothing says that the law holds.
pub const REACH: u32 = 2;

/// Iteration times of one row.
#[derive(Debug, Clone)]
pub(super) struct Curve {
    /// Seconds per iteration.
    known: BTreeMap<u32, f64>,
    /// How those are known.
    source: Source,
    rounds: Option<Rounds>,
    /// The smallest and largest measured batch size.
    pub(super) first: u32,
    pub(super) last: u32,
}

impl Curve {
    /// The fitted law where a law was confirmed (a step, or none), the measured medians elsewhere; `None` without points.
    pub(super) fn of(row: &DetailedRow) -> Option<Self> {
        let (first, last) = (
            row.points.first()?.batch_size,
            row.points.last()?.batch_size,
        );
        let usable = |seconds: &f64| seconds.is_finite() && *seconds > 0.0;
        let lawful = matches!(row.row.verdict, Verdict::Step | Verdict::NoStep);
        let fitted: BTreeMap<u32, f64> = row
            .fitted
            .iter()
            .filter(|point| lawful && usable(&point.seconds))
            .map(|point| (point.batch_size, point.seconds))
            .collect();
        let (known, source) = if fitted.is_empty() {
            let measured = row
                .points
                .iter()
                .filter(|point| usable(&point.seconds))
                .map(|point| (point.batch_size, point.seconds))
                .collect();
            (measured, Source::Measured)
        } else {
            (fitted, Source::Fitted)
        };
        (!known.is_empty()).then_some(Self {
            known,
            source,
            rounds: Rounds::of(&row.row).filter(|_| row.row.verdict == Verdict::Step),
            first,
            last,
        })
    }

    /// The largest batch size that is spoken of.
    pub(super) const fn reach(&self) -> u32 {
        self.last.saturating_mul(REACH)
    }

    /// Seconds per iteration; `None` below the measured range and beyond the reach.
    pub(super) fn at(&self, size: u32) -> Option<Estimate<f64>> {
        if let Some(&value) = self.known.get(&size) {
            return Some(Estimate {
                value,
                source: self.source,
            });
        }
        let below = self.known.range(..size).next_back();
        match (below, self.known.range(size..).next()) {
            (Some((&low, &at_low)), Some((&high, &at_high))) => {
                let share = f64::from(size - low) / f64::from(high - low);
                Some(Estimate {
                    value: at_low + share * (at_high - at_low),
                    source: Source::Interpolated,
                })
            }
            (Some(_), None) if size <= self.reach() => {
                let value = match self.rounds {
                    Some(rounds) => self.continued(rounds, size),
                    None => self.along_the_slope(size),
                }?;
                (value.is_finite() && value > 0.0).then_some(Estimate {
                    value,
                    source: Source::Extrapolated,
                })
            }
            _ => None,
        }
    }

    /// Seconds that one sample more costs on average, over the upper half of the measured range.
    pub(super) fn marginal_seconds(&self) -> Option<f64> {
        let (&last, &at_last) = self.known.last_key_value()?;
        let (&middle, &at_middle) = self.known.range(last.div_ceil(2)..).next()?;
        (last > middle).then(|| (at_last - at_middle) / f64::from(last - middle))
    }

    /// The batch size after which one more sample costs most beyond the dearer of the samples beside it, where that is `least` of the time or more.
    pub(super) fn uneven_at(&self, least: f64) -> Option<u32> {
        let known: Vec<(u32, f64)> = self
            .known
            .iter()
            .map(|(&size, &seconds)| (size, seconds))
            .collect();
        known
            .windows(4)
            .filter(|beside| beside[3].0 - beside[0].0 == 3)
            .map(|beside| {
                let rise = |k: usize| beside[k + 1].1 - beside[k].1;
                (beside[1].0, (rise(1) - rise(0).max(rise(2))) / beside[1].1)
            })
            .filter(|(_, extra)| *extra >= least)
            .max_by(|one, other| one.1.total_cmp(&other.1))
            .map(|(size, _)| size)
    }

    /// Seconds per sample at the cheapest batch size of the measured range.
    pub(super) fn least_cost(&self) -> Option<f64> {
        self.known
            .iter()
            .map(|(&size, &seconds)| seconds / f64::from(size))
            .min_by(f64::total_cmp)
    }

    /// The known sizes at which a sample costs less than at every smaller one, ascending, with that cost in seconds.
    pub(super) fn records(&self) -> Vec<(u32, f64)> {
        let mut records: Vec<(u32, f64)> = Vec::new();
        for (&size, &seconds) in &self.known {
            let cost = seconds / f64::from(size);
            if records.last().is_none_or(|(_, least)| cost < *least) {
                records.push((size, cost));
            }
        }
        records
    }

    /// The known size in a range at which a sample costs least.
    pub(super) fn cheapest_within(&self, low: u32, high: u32) -> Option<u32> {
        if low > high {
            return None;
        }
        self.known
            .range(low..=high)
            .min_by(|one, other| {
                let cost = |(size, seconds): &(&u32, &f64)| **seconds / f64::from(**size);
                cost(one).total_cmp(&cost(other))
            })
            .map(|(&size, _)| size)
    }

    /// The last whole round of the measured range, shifted by as many rounds as lie between, each costing what rounds cost in its upper half.
    fn continued(&self, rounds: Rounds, size: u32) -> Option<f64> {
        let known = |round: u32| {
            let size = rounds.good(round)?;
            let value = self
                .at(size)
                .filter(|at| at.source != Source::Extrapolated)?;
            Some((size, value.value))
        };
        let end = rounds.filled(self.last)?;
        let begin = end.checked_sub(1)?;
        let ((begin_size, at_begin), (end_size, at_end)) = (known(begin)?, known(end)?);
        let per_round = (end / 2..end)
            .find_map(|round| {
                let (_, at) = known(round)?;
                Some((at_end - at) / f64::from(end - round))
            })
            .unwrap_or(at_end - at_begin);
        let filled = rounds.filled(size)?;
        let left_over = size - rounds.good(filled)?;
        // Of a fractional step some rounds are a sample longer than the last one.
        let like = begin_size + left_over.min(end_size - begin_size);
        let (at, from) = if left_over == 0 {
            (at_end, end)
        } else {
            (self.at(like)?.value, begin)
        };
        Some(at + (f64::from(filled) - f64::from(from)) * per_round)
    }

    fn along_the_slope(&self, size: u32) -> Option<f64> {
        let (&last, &at_last) = self.known.last_key_value()?;
        Some(at_last + self.marginal_seconds()?.max(0.0) * f64::from(size - last))
    }
}
