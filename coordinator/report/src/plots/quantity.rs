//! What a curve shows against batch size, and how a time becomes it.

use crate::cells;

/// The vertical axis of a curve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Quantity {
    /// Seconds per iteration.
    Seconds,
    IterationsPerSecond,
    SamplesPerSecond,
    /// The same in the article's word for a sample.
    PatchesPerSecond,
}

impl Quantity {
    /// The quantity of an iteration of `batch_size` samples that takes `seconds`.
    pub(crate) fn of(self, batch_size: f64, seconds: f64) -> f64 {
        match self {
            Self::Seconds => seconds,
            Self::IterationsPerSecond => 1.0 / seconds,
            Self::SamplesPerSecond | Self::PatchesPerSecond => batch_size / seconds,
        }
    }

    /// Title of the plot.
    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::Seconds => "Iteration time against batch size",
            Self::IterationsPerSecond => "Iterations per second against batch size",
            Self::SamplesPerSecond => "Throughput against batch size",
            Self::PatchesPerSecond => "Patches per second against batch size",
        }
    }

    /// Title of the axis and the factor from the quantity to its unit, for values up to `largest`.
    pub(crate) fn axis(self, largest: f64) -> (String, f64) {
        match self {
            Self::Seconds => {
                let (unit, factor) = match largest {
                    value if value >= 1.0 => ("s", 1.0),
                    value if value >= 1e-3 => ("ms", 1e3),
                    value if value >= 1e-6 => ("µs", 1e6),
                    _ => ("ns", 1e9),
                };
                (format!("iteration time, {unit}"), factor)
            }
            Self::IterationsPerSecond => ("iterations per second".to_owned(), 1.0),
            Self::SamplesPerSecond => ("samples per second".to_owned(), 1.0),
            Self::PatchesPerSecond => ("patches per second".to_owned(), 1.0),
        }
    }

    /// A value in words.
    pub(crate) fn words(self, value: f64) -> String {
        match self {
            Self::Seconds => cells::duration(value),
            Self::IterationsPerSecond => format!("{} iterations/s", cells::prefixed(value)),
            Self::SamplesPerSecond => cells::throughput(value),
            Self::PatchesPerSecond => format!("{} patches/s", cells::prefixed(value)),
        }
    }

    /// What the sample after `at` costs when its iteration takes `relative` longer, as a share; `None` where it costs nothing.
    pub(crate) fn jump(self, at: u32, relative: f64) -> Option<String> {
        let (at_samples, next) = (f64::from(at), at.checked_add(1)?);
        let (lost, what) = match self {
            Self::Seconds => {
                return (relative > 0.0)
                    .then(|| format!("{next} costs {} more than {at}", cells::percent(relative)));
            }
            Self::IterationsPerSecond => (1.0 - 1.0 / (1.0 + relative), "iterations/s"),
            Self::SamplesPerSecond => (
                1.0 - f64::from(next) / at_samples / (1.0 + relative),
                "samples/s",
            ),
            Self::PatchesPerSecond => (
                1.0 - f64::from(next) / at_samples / (1.0 + relative),
                "patches/s",
            ),
        };
        (lost > 0.0).then(|| format!("{next}: {} fewer {what} than {at}", cells::percent(lost)))
    }

    /// Whether good batch sizes are low (times) or high (rates) beside their neighbours.
    pub(crate) const fn lower_is_better(self) -> bool {
        matches!(self, Self::Seconds)
    }
}
