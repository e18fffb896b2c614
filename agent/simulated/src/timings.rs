//! How long an iteration takes on a device that nothing disturbs.

use std::time::Duration;

use batchstep_laws::Law;
use batchstep_proto::domain::Round;

/// One undisturbed iteration.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Iteration {
    /// Wall seconds, above zero.
    pub seconds: f64,
    /// Seconds of them in which the device had work; `None` for a device without a clock of its own.
    pub device_seconds: Option<f64>,
}

impl Iteration {
    /// On a device without a clock of its own.
    #[must_use]
    pub const fn of(seconds: f64) -> Self {
        Self {
            seconds,
            device_seconds: None,
        }
    }
}

/// Where a machine's times come from.
pub trait Timings {
    /// An iteration of the round's network at `batch_size`, when the device's clock shows `now`.
    ///
    /// # Errors
    /// Why that batch size cannot be run, in words: its visit fails with them.
    fn iteration(&self, round: &Round, batch_size: u32, now: Duration)
    -> Result<Iteration, String>;
}

/// A law, whatever the workload.
impl Timings for Law {
    fn iteration(&self, _: &Round, batch_size: u32, _: Duration) -> Result<Iteration, String> {
        Ok(Iteration::of(self.seconds(batch_size)))
    }
}

/// Seconds by batch size and time, whatever the workload.
impl<F: Fn(u32, Duration) -> f64> Timings for F {
    fn iteration(&self, _: &Round, batch_size: u32, now: Duration) -> Result<Iteration, String> {
        Ok(Iteration::of(self(batch_size, now)))
    }
}
