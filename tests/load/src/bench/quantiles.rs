//! Order statistics of what was timed.

use std::time::Duration;

/// Times in ascending order.
pub struct Times(Vec<u32>);

impl Times {
    /// Of these microseconds.
    pub fn of(mut micros: Vec<u32>) -> Self {
        micros.sort_unstable();
        Self(micros)
    }

    /// How many.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The one below which a share of them lies; zero when there are none.
    pub fn quantile(&self, share: f64) -> Duration {
        let last = self.0.len().saturating_sub(1);
        let index = (last as f64 * share).round() as usize;
        let micros = self.0.get(index).copied().unwrap_or_default();
        Duration::from_micros(micros.into())
    }
}

/// Milliseconds, for a table.
pub fn ms(duration: Duration) -> String {
    let ms = duration.as_secs_f64() * 1e3;
    if ms < 10.0 {
        format!("{ms:.2} ms")
    } else if ms < 10_000.0 {
        format!("{ms:.0} ms")
    } else {
        format!("{:.1} s", ms / 1e3)
    }
}
