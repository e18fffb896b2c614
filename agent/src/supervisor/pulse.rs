//! Says how the agent is: from the task that decides everything, so that one that hangs is noticed. An agent without a coordinator is well, and says so.

use batchstep_daemon::Pulse;
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::Supervisor;
use crate::{Shutdown, config::Config, executor::Executor};

/// When to say it; never where nobody listens.
pub(super) fn beats(config: &Config) -> Option<Interval> {
    let mut beats = interval(config.heart.as_ref()?.interval());
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    Some(beats)
}

/// Resolves when it is time; at once the first time.
pub(super) async fn next(beats: &mut Option<Interval>) {
    match beats {
        Some(beats) => drop(beats.tick().await),
        None => std::future::pending().await,
    }
}

impl<E: Executor> Supervisor<E> {
    pub(super) fn beat(&self) {
        if let Some(heart) = &self.config.heart {
            heart.beat(Pulse {
                is_well: true,
                status: self.status(),
            });
        }
    }

    fn status(&self) -> String {
        let running = self
            .lanes
            .values()
            .filter(|it| it.running.is_some())
            .count();
        let waiting: usize = self.lanes.values().map(|lane| lane.waiting.len()).sum();
        let line = match (self.shutdown, &self.coordinator) {
            (Shutdown::No, Some(_)) => "Connected to the coordinator",
            (Shutdown::No, None) => "No connection to the coordinator; trying",
            (Shutdown::Drain, _) => "Draining",
            (Shutdown::Now, _) => "Stopping",
        };
        format!("{line}; rounds running: {running}, waiting: {waiting}.")
    }
}
