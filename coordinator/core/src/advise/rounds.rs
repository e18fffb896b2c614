//! The rounds of a step: good batch sizes `floor(k * step + offset)` and where a batch size lies among them. Pure arithmetic, used by everything in
//! `advise`.

use batchstep_inference::good_size;

use crate::steptable::Row;

/// Slack, in rounds, that keeps a multiple itself in the round it ends.
const SLACK_ROUNDS: f64 = 1e-9;

/// A step as a sequence of good batch sizes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Rounds {
    step: f64,
    offset: f64,
}

impl Rounds {
    /// Those of a row that has a step.
    pub(super) fn of(row: &Row) -> Option<Self> {
        Self::new(row.step?, row.offset)
    }

    /// Those of a step of at least one sample; `None` of a smaller one, and of what is no number.
    pub(super) fn new(step: f64, offset: Option<f64>) -> Option<Self> {
        (step.is_finite() && step >= 1.0).then(|| Self {
            step,
            offset: offset.filter(|offset| offset.is_finite()).unwrap_or(0.0),
        })
    }

    /// The good batch size at the end of `round`; `None` where there is none above 0.
    pub(super) fn good(self, round: u32) -> Option<u32> {
        let size = good_size(f64::from(round), self.step, self.offset);
        (size >= 1.0 && size <= f64::from(u32::MAX)).then_some(size as u32)
    }

    /// The last round that `size` samples fill; `None` below the first good batch size.
    pub(super) fn filled(self, size: u32) -> Option<u32> {
        // One more than the sample's own end, since a fractional step ends its rounds below the multiple.
        let rounds = (f64::from(size) + 1.0 - self.offset) / self.step - SLACK_ROUNDS;
        let mut round = if rounds >= 0.0 { rounds as u32 } else { 0 };
        while round > 0 && self.good(round).is_none_or(|good| good > size) {
            round -= 1;
        }
        self.good(round)
            .is_some_and(|good| good <= size)
            .then_some(round)
    }

    /// The largest good batch size up to `size`.
    pub(super) fn at_or_below(self, size: u32) -> Option<u32> {
        self.good(self.filled(size)?)
    }

    /// The smallest good batch size above `size`.
    pub(super) fn above(self, size: u32) -> Option<u32> {
        let first = self.filled(size).map_or(0, |round| round.saturating_add(1));
        (first..=first.saturating_add(2))
            .filter_map(|round| self.good(round))
            .find(|good| *good > size)
    }

    /// Every good batch size from `low` to `high`.
    pub(super) fn within(self, low: u32, high: u32) -> impl Iterator<Item = u32> {
        let first = self.above(low.saturating_sub(1));
        std::iter::successors(first, move |size| self.above(*size))
            .take_while(move |size| *size <= high)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rounds(step: f64, offset: f64) -> Rounds {
        Rounds { step, offset }
    }

    #[test]
    fn good_sizes_are_those_of_the_inference() {
        let sizes = |step, offset, low, high| -> Vec<u32> {
            rounds(step, offset).within(low, high).collect()
        };
        assert_eq!(sizes(16.0, 0.0, 1, 64), [16, 32, 48, 64]);
        assert_eq!(sizes(26.4, 0.0, 30, 140), [52, 79, 105, 132]);
        assert_eq!(sizes(12.0, 5.0, 1, 40), [5, 17, 29]);
        assert_eq!(sizes(1.0, 0.0, 3, 5), [3, 4, 5]);
    }

    #[test]
    fn every_size_lies_between_its_neighbours() {
        for (step, offset) in [
            (16.0, 0.0),
            (26.4, 0.0),
            (7.3, 2.0),
            (4.0, -1.0),
            (1.0, 0.0),
        ] {
            let rounds = rounds(step, offset);
            for size in 1..300 {
                let above = rounds.above(size).unwrap();
                assert!(above > size);
                match rounds.at_or_below(size) {
                    Some(below) => {
                        assert!(below <= size);
                        assert_eq!(rounds.above(below), Some(above), "{step} {offset} {size}");
                    }
                    None => assert_eq!(rounds.within(1, above).next(), Some(above)),
                }
            }
        }
    }
}
