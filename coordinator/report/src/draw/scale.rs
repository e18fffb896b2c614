//! From values to pixels, and which values to label. Ticks are where people expect them: multiples of 1, 2 and 5 for quantities, of the step or of
//! powers of two for batch sizes.

/// Ratio of largest to smallest value above which an axis is logarithmic.
const LOGARITHMIC_ABOVE: f64 = 1000.0;
/// The same of levels that are compared with each other.
const LEVELS_LOGARITHMIC_ABOVE: f64 = 4.0;
/// Room beyond the levels, as a share of their range, and at least this share of the largest: differences of less are nothing to look at.
const LEVELS_MARGIN: f64 = 0.1;
const LEVELS_LEAST: f64 = 0.01;

/// A mapping from an interval of values to an interval of pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Scale {
    low: f64,
    high: f64,
    start: f64,
    end: f64,
    logarithmic: bool,
}

impl Scale {
    /// Maps `low..high` to pixels `start..end`. An empty interval is widened, so that a single value has a place.
    pub(crate) fn linear(low: f64, high: f64, start: f64, end: f64) -> Self {
        let (low, high) = if high > low {
            (low, high)
        } else {
            (low - 1.0, low + 1.0)
        };
        Self {
            low,
            high,
            start,
            end,
            logarithmic: false,
        }
    }

    /// The same in decades; `low` must be positive.
    fn logarithmic(low: f64, high: f64, start: f64, end: f64) -> Self {
        let mut scale = Self::linear(low, high, start, end);
        scale.logarithmic = scale.low > 0.0;
        scale
    }

    /// For batch sizes from `smallest` to `largest`: from zero where that wastes little room, in decades above three of them.
    pub(crate) fn batch_sizes(smallest: f64, largest: f64, start: f64, end: f64) -> Self {
        if smallest > 0.0 && largest / smallest > LOGARITHMIC_ABOVE {
            return Self::logarithmic(smallest / 1.15, largest * 1.15, start, end);
        }
        let margin = ((largest - smallest) * 0.025).max(0.75);
        let low = if smallest <= 0.4 * largest {
            0.0
        } else {
            smallest - margin
        };
        Self::linear(low, largest + margin, start, end)
    }

    /// For quantities from `smallest` to `largest`, both positive, with headroom for labels: from zero unless all values lie close together.
    pub(crate) fn quantities(
        smallest: f64,
        largest: f64,
        headroom: f64,
        start: f64,
        end: f64,
    ) -> Self {
        if smallest > 0.0 && largest / smallest > LOGARITHMIC_ABOVE {
            return Self::logarithmic(smallest / 1.3, largest * 2.0, start, end);
        }
        let low = if smallest > 0.72 * largest {
            (smallest - 0.35 * (largest - smallest).max(largest * 0.01)).max(0.0)
        } else {
            0.0
        };
        Self::linear(low, largest + headroom * (largest - low), start, end)
    }

    /// For times of one thing from `smallest` to `largest`, both positive, that are compared with each other: zero is of no interest, and what is
    /// several times as long goes on an axis in decades, which leaves room for the others.
    pub(crate) fn levels(smallest: f64, largest: f64, start: f64, end: f64) -> Self {
        if smallest > 0.0 && largest / smallest > LEVELS_LOGARITHMIC_ABOVE {
            return Self::logarithmic(smallest / 1.1, largest * 1.1, start, end);
        }
        let margin = (LEVELS_MARGIN * (largest - smallest)).max(LEVELS_LEAST * largest);
        Self::linear((smallest - margin).max(0.0), largest + margin, start, end)
    }

    /// Whether the axis is in decades.
    pub(crate) fn is_logarithmic(&self) -> bool {
        self.logarithmic
    }

    /// Whether zero is on the axis.
    pub(crate) fn has_zero(&self) -> bool {
        self.low <= 0.0
    }

    /// The value at the far end.
    pub(crate) fn high(&self) -> f64 {
        self.high
    }

    /// Pixel of `value`.
    pub(crate) fn at(&self, value: f64) -> f64 {
        let share = if self.logarithmic {
            (value.max(self.low).ln() - self.low.ln()) / (self.high.ln() - self.low.ln())
        } else {
            (value - self.low) / (self.high - self.low)
        };
        self.start + share * (self.end - self.start)
    }

    /// Pixels per unit of a linear axis.
    pub(crate) fn density(&self) -> f64 {
        ((self.end - self.start) / (self.high - self.low)).abs()
    }

    /// Round values to label, `wanted` of them or fewer.
    pub(crate) fn ticks(&self, wanted: usize) -> Vec<f64> {
        if self.logarithmic {
            return self.decades(wanted);
        }
        let rough = (self.high - self.low) / wanted.max(1) as f64;
        let magnitude = 10_f64.powf(rough.log10().floor());
        let spacing = [1.0, 2.0, 5.0, 10.0]
            .map(|factor| factor * magnitude)
            .into_iter()
            .find(|spacing| *spacing >= rough * 0.999);
        self.multiples(spacing.unwrap_or(rough))
    }

    /// Batch sizes to label, `wanted` of them or fewer: multiples of a whole `step`, else of a power of two.
    pub(crate) fn batch_size_ticks(&self, wanted: usize, step: Option<f64>) -> Vec<f64> {
        if self.logarithmic {
            return self.decades(wanted);
        }
        let whole = step.filter(|step| {
            step.fract() == 0.0 && *step >= 2.0 && (self.high - self.low) / step >= 3.0
        });
        let mut spacing = whole.unwrap_or(1.0);
        while (self.high - self.low) / spacing > wanted.max(1) as f64 {
            spacing *= 2.0;
        }
        self.multiples(spacing)
    }

    fn multiples(&self, spacing: f64) -> Vec<f64> {
        let first = (self.low / spacing - 1e-9).ceil() as i64;
        let last = (self.high / spacing + 1e-9).floor() as i64;
        (first..=last)
            .map(|multiple| multiple as f64 * spacing)
            .collect()
    }

    fn decades(&self, wanted: usize) -> Vec<f64> {
        let exponents = self.low.log10().floor() as i32..=self.high.log10().ceil() as i32;
        let within = |factors: &[f64]| -> Vec<f64> {
            exponents
                .clone()
                .flat_map(|exponent| {
                    factors
                        .iter()
                        .map(move |factor| factor * 10_f64.powi(exponent))
                })
                .filter(|value| *value >= self.low * 0.999 && *value <= self.high * 1.001)
                .collect()
        };
        let fine = within(&[1.0, 2.0, 5.0]);
        if fine.len() <= wanted {
            fine
        } else {
            within(&[1.0])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_few() {
        let scale = Scale::linear(0.0, 0.0173, 400.0, 0.0);
        assert_eq!(scale.ticks(5).len(), 4);
        let labels: Vec<String> = scale
            .ticks(5)
            .iter()
            .map(|tick| format!("{tick:.3}"))
            .collect();
        assert_eq!(labels, ["0.000", "0.005", "0.010", "0.015"]);
        assert_eq!(scale.at(0.0), 400.0);
    }

    #[test]
    fn batch_sizes_are_labelled_at_multiples_of_the_step() {
        let scale = Scale::batch_sizes(1.0, 96.0, 0.0, 800.0);
        assert_eq!(
            scale.batch_size_ticks(12, Some(16.0)),
            [0.0, 16.0, 32.0, 48.0, 64.0, 80.0, 96.0]
        );
        assert_eq!(
            scale.batch_size_ticks(8, Some(26.4)),
            [0.0, 16.0, 32.0, 48.0, 64.0, 80.0, 96.0]
        );
        assert_eq!(
            scale.batch_size_ticks(4, Some(4.0)),
            [0.0, 32.0, 64.0, 96.0]
        );
    }

    #[test]
    fn levels_are_apart_and_a_spike_makes_decades() {
        let near = Scale::levels(0.0200, 0.0221, 0.0, 100.0);
        assert!(!near.has_zero() && !near.is_logarithmic());
        assert!(near.at(0.0221) - near.at(0.0200) > 60.0);
        assert!((3..=7).contains(&near.ticks(6).len()));
        let same = Scale::levels(0.02, 0.02, 0.0, 100.0);
        assert_eq!(same.at(0.02), 50.0);
        let spike = Scale::levels(0.02, 0.3, 0.0, 100.0);
        assert!(spike.is_logarithmic() && !spike.ticks(6).is_empty());
    }

    #[test]
    fn odd_ranges_have_finite_places() {
        for (smallest, largest) in [
            (7.0, 7.0),
            (1.0, 1e6),
            (65.0, 80.0),
            (1.0, 2.0),
            (4e9, 4.2e9),
        ] {
            let scale = Scale::batch_sizes(smallest, largest, 10.0, 110.0);
            for value in [smallest, largest] {
                let pixel = scale.at(value);
                assert!(
                    (10.0..=110.0).contains(&pixel),
                    "{value} of {smallest}..{largest} at {pixel}"
                );
            }
            assert!(scale.batch_size_ticks(10, None).len() <= 12);
        }
        assert!(Scale::batch_sizes(1.0, 1e6, 0.0, 1.0).is_logarithmic());
        assert!(Scale::quantities(0.9, 1.0, 0.1, 0.0, 1.0).low > 0.0);
        assert!(Scale::quantities(0.1, 1.0, 0.1, 0.0, 1.0).has_zero());
    }
}
