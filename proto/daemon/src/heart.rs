//! How a daemon says that it is well: the task that does its work beats, at an interval that whoever listens has chosen. A task that hangs beats no more.

use std::time::Duration;

use tokio::sync::watch;

/// How a daemon is at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pulse {
    /// It can do its work. One that cannot is restarted once that has lasted.
    pub is_well: bool,
    /// What it does, or what is wrong, in one line for people.
    pub status: String,
}

/// The listener's end; holds `None` until the first beat.
pub type Pulses = watch::Receiver<Option<Pulse>>;

/// The daemon's end.
#[derive(Debug, Clone)]
pub struct Heart {
    interval: Duration,
    pulses: watch::Sender<Option<Pulse>>,
}

impl Heart {
    /// One that is to beat this often, and where it is heard.
    #[must_use]
    pub fn new(interval: Duration) -> (Self, Pulses) {
        let (pulses, heard) = watch::channel(None);
        (Self { interval, pulses }, heard)
    }

    /// One that nobody listens to.
    #[must_use]
    pub fn unheard() -> Self {
        Self::new(Duration::from_secs(3600)).0
    }

    /// The longest time between two beats.
    #[must_use]
    pub const fn interval(&self) -> Duration {
        self.interval
    }

    /// Tells how the daemon is now.
    pub fn beat(&self, pulse: Pulse) {
        self.pulses.send_replace(Some(pulse));
    }
}
