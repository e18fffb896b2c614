//! Every interval and limit of the fleet, in one place and each with its reason. Handed to the state when it is made, so that tests and
//! simulations can shorten them; never read from a file here.

use std::time::Duration;

/// Intervals and limits. The defaults are what a coordinator should run with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Shortest time between two heartbeats of an agent: a lost agent is noticed in tens of seconds, and an idle one costs nothing.
    pub heartbeat_floor: Duration,
    /// Heartbeats per second the coordinator takes at most, over all agents; above it the interval grows.
    pub heartbeats_per_second: u32,
    /// Heartbeat intervals of silence after which an agent gets nothing new.
    pub lease_intervals: u32,
    /// Heartbeat intervals of silence after which an agent is lost and its attempts are given to others.
    pub lost_intervals: u32,
    /// How long a lost agent stays listed.
    pub forget_after: Duration,
    /// How long an agent without a coordinator keeps a running round alive.
    pub offline_budget: Duration,
    /// What open leases gain when the coordinator restarts: agents spread their return over 10 s.
    pub recovery_grace: Duration,
    /// A connected agent that has not accepted an attempt after this has lost it.
    pub acceptance_limit: Duration,
    /// What an agent may take beyond twice a round's time limit, for starting a worker and delivering the report.
    pub overtime: Duration,
    /// How long an agent may take to report an attempt it was told to stop.
    pub stop_limit: Duration,
    /// Refused attempts in a row after which a series fails: a worker that cannot load its libraries will not learn to.
    pub refused_limit: u32,
    /// Attempts at a round that stopped with nothing measured after which its series fails, unless it is for idle devices: with the pauses between them a
    /// quarter of an hour, in which a host may be mended.
    pub stopped_limit: u32,
    /// Declined attempts in a row after which a series fails; with the pauses between them some minutes, since a busy device may be free soon.
    pub declined_limit: u32,
    /// Attempts in a row, of several networks or of one that runs elsewhere, that measure nothing before their agent is cordoned: more than one series
    /// takes to fail.
    pub cordon_limit: u32,
    /// First pause of a device after an attempt that measured nothing; doubles each time.
    pub back_off_floor: Duration,
    /// Longest such pause.
    pub back_off_ceiling: Duration,
    /// Welcomes are numbered from here; a caller that wants them to grow over its restarts starts higher each time.
    pub first_incarnation: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            heartbeat_floor: Duration::from_secs(10),
            heartbeats_per_second: 1000,
            lease_intervals: 3,
            lost_intervals: 6,
            forget_after: Duration::from_hours(7 * 24),
            offline_budget: Duration::from_mins(15),
            recovery_grace: Duration::from_secs(15),
            acceptance_limit: Duration::from_mins(1),
            overtime: Duration::from_mins(5),
            stop_limit: Duration::from_mins(1),
            refused_limit: 3,
            stopped_limit: 20,
            declined_limit: 10,
            cordon_limit: 5,
            back_off_floor: Duration::from_secs(1),
            back_off_ceiling: Duration::from_mins(1),
            first_incarnation: 0,
        }
    }
}

impl Config {
    /// The heartbeat interval for so many agents: max(floor, agents / rate).
    pub(super) fn heartbeat_interval(&self, agents: usize) -> Duration {
        let agents = u32::try_from(agents).unwrap_or(u32::MAX);
        (Duration::from_secs(1) * agents / self.heartbeats_per_second.max(1))
            .max(self.heartbeat_floor)
    }

    /// The pause after the `failures`-th failure in a row, counted from 1: floor, 2 floor, 4 floor, .. ceiling.
    pub(super) fn back_off(&self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(20);
        self.back_off_floor
            .saturating_mul(1 << doublings)
            .min(self.back_off_ceiling)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_grows_with_the_fleet_and_the_pause_is_bounded() {
        let config = Config::default();
        for (agents, seconds) in [(0, 10), (1, 10), (10_000, 10), (20_000, 20)] {
            assert_eq!(
                config.heartbeat_interval(agents),
                Duration::from_secs(seconds)
            );
        }
        for (failures, seconds) in [(1, 1), (2, 2), (3, 4), (7, 60), (u32::MAX, 60)] {
            assert_eq!(config.back_off(failures), Duration::from_secs(seconds));
        }
    }
}
