//! What the column of times may be given in, and how it becomes seconds per iteration.

use clap::ValueEnum;

/// Unit of a time or a rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Unit {
    /// Seconds per iteration.
    #[value(name = "s")]
    Seconds,
    /// Milliseconds per iteration.
    #[value(name = "ms")]
    Milliseconds,
    /// Microseconds per iteration.
    #[value(name = "us", alias = "µs", alias = "μs")]
    Microseconds,
    /// Nanoseconds per iteration.
    #[value(name = "ns")]
    Nanoseconds,
    /// Throughput: seconds per iteration are batch size / throughput.
    #[value(name = "samples/s")]
    SamplesPerSecond,
    /// Iterations per second.
    #[value(name = "iterations/s")]
    IterationsPerSecond,
}

impl Unit {
    /// As `--unit` takes it.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Seconds => "s",
            Self::Milliseconds => "ms",
            Self::Microseconds => "us",
            Self::Nanoseconds => "ns",
            Self::SamplesPerSecond => "samples/s",
            Self::IterationsPerSecond => "iterations/s",
        }
    }

    /// In words.
    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::Seconds => "seconds per iteration",
            Self::Milliseconds => "milliseconds per iteration",
            Self::Microseconds => "microseconds per iteration",
            Self::Nanoseconds => "nanoseconds per iteration",
            Self::SamplesPerSecond => "samples per second",
            Self::IterationsPerSecond => "iterations per second",
        }
    }

    /// Names of a column that holds this unit and nothing else; the last is preferred where a file has several.
    pub(super) const fn column_names(self) -> &'static [&'static str] {
        match self {
            Self::Seconds => &["seconds"],
            Self::Milliseconds => &["milliseconds", "ms"],
            Self::Microseconds => &["microseconds", "us"],
            Self::Nanoseconds => &["nanoseconds", "ns"],
            Self::SamplesPerSecond => &["samples_per_second", "throughput"],
            Self::IterationsPerSecond => &["iterations_per_second"],
        }
    }

    /// Seconds per iteration of `batch_size` samples; not finite or not above zero where `value` is out of all range.
    pub(super) fn seconds(self, value: f64, batch_size: u32) -> f64 {
        match self {
            Self::Seconds => value,
            // Divided, as 1e-3 has no exact value and 1000 has.
            Self::Milliseconds => value / 1e3,
            Self::Microseconds => value / 1e6,
            Self::Nanoseconds => value / 1e9,
            Self::SamplesPerSecond => f64::from(batch_size) / value,
            Self::IterationsPerSecond => 1.0 / value,
        }
    }
}
