//! Flags for the intervals and limits of the fleet; the defaults and their reasons are in [`Config`]. Used by `serve`.

use std::time::Duration;

use batchstep_core::fleet::Config;
use clap::Args;

use super::{args::Span, exit};

/// Intervals and limits of the fleet.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Fleet")]
pub(super) struct FleetArgs {
    /// Shortest time between two heartbeats of an agent.
    #[arg(long, value_name = "TIME", default_value_t = Span(Config::default().heartbeat_floor), hide_short_help = true)]
    heartbeat_floor: Span,
    /// Heartbeats per second taken at most, over all agents; above it agents beat more slowly.
    #[arg(long, value_name = "N", default_value_t = Config::default().heartbeats_per_second, value_parser = clap::value_parser!(u32).range(1..), hide_short_help = true)]
    heartbeats_per_second: u32,
    /// Heartbeat intervals of silence after which an agent gets nothing new.
    #[arg(long, value_name = "N", default_value_t = Config::default().lease_intervals, value_parser = clap::value_parser!(u32).range(1..=1000), hide_short_help = true)]
    lease_intervals: u32,
    /// Heartbeat intervals of silence after which an agent is lost and its rounds are given to others.
    #[arg(long, value_name = "N", default_value_t = Config::default().lost_intervals, value_parser = clap::value_parser!(u32).range(1..=1000), hide_short_help = true)]
    lost_intervals: u32,
    /// How long a lost agent stays listed.
    #[arg(long, value_name = "TIME", default_value_t = Span(Config::default().forget_after), hide_short_help = true)]
    forget_after: Span,
    /// How long an agent without a coordinator keeps a running round alive.
    #[arg(long, value_name = "TIME", default_value_t = Span(Config::default().offline_budget), hide_short_help = true)]
    offline_budget: Span,
    /// How much longer agents may be silent after the coordinator has restarted.
    #[arg(long, value_name = "TIME", default_value_t = Span(Config::default().recovery_grace), hide_short_help = true)]
    recovery_grace: Span,
    /// How long a connected agent may take to accept a round.
    #[arg(long, value_name = "TIME", default_value_t = Span(Config::default().acceptance_limit), hide_short_help = true)]
    acceptance_limit: Span,
    /// What an agent may take beyond twice a round's time limit.
    #[arg(long, value_name = "TIME", default_value_t = Span(Config::default().overtime), hide_short_help = true)]
    overtime: Span,
    /// How long an agent may take to report a round that it was told to stop.
    #[arg(long, value_name = "TIME", default_value_t = Span(Config::default().stop_limit), hide_short_help = true)]
    stop_limit: Span,
    /// Refused rounds in a row after which a series fails.
    #[arg(long, value_name = "N", default_value_t = Config::default().refused_limit, value_parser = clap::value_parser!(u32).range(1..), hide_short_help = true)]
    refused_limit: u32,
    /// Attempts at a round that stop with nothing measured after which its series fails, unless it is for idle devices.
    #[arg(long, value_name = "N", default_value_t = Config::default().stopped_limit, value_parser = clap::value_parser!(u32).range(1..), hide_short_help = true)]
    stopped_limit: u32,
    /// Declined rounds in a row after which a series fails.
    #[arg(long, value_name = "N", default_value_t = Config::default().declined_limit, value_parser = clap::value_parser!(u32).range(1..), hide_short_help = true)]
    declined_limit: u32,
    /// Rounds in a row, of several networks or of one that runs elsewhere, that measure nothing before their agent is cordoned.
    #[arg(long, value_name = "N", default_value_t = Config::default().cordon_limit, value_parser = clap::value_parser!(u32).range(1..), hide_short_help = true)]
    cordon_limit: u32,
    /// First pause of a device after a round that measured nothing; it doubles each time.
    #[arg(long, value_name = "TIME", default_value_t = Span(Config::default().back_off_floor), hide_short_help = true)]
    back_off_floor: Span,
    /// Longest such pause.
    #[arg(long, value_name = "TIME", default_value_t = Span(Config::default().back_off_ceiling), hide_short_help = true)]
    back_off_ceiling: Span,
}

impl FleetArgs {
    /// The same for the fleet.
    ///
    /// # Errors
    /// When settings contradict each other.
    pub(super) fn config(&self) -> anyhow::Result<Config> {
        let config = Config {
            heartbeat_floor: self.heartbeat_floor.0,
            heartbeats_per_second: self.heartbeats_per_second,
            lease_intervals: self.lease_intervals,
            lost_intervals: self.lost_intervals,
            forget_after: self.forget_after.0,
            offline_budget: self.offline_budget.0,
            recovery_grace: self.recovery_grace.0,
            acceptance_limit: self.acceptance_limit.0,
            overtime: self.overtime.0,
            stop_limit: self.stop_limit.0,
            refused_limit: self.refused_limit,
            stopped_limit: self.stopped_limit,
            declined_limit: self.declined_limit,
            cordon_limit: self.cordon_limit,
            back_off_floor: self.back_off_floor.0,
            back_off_ceiling: self.back_off_ceiling.0,
            ..Config::default()
        };
        match contradiction(&config) {
            None => Ok(config),
            Some(problem) => Err(exit::usage(problem)),
        }
    }
}

/// What cannot be meant.
fn contradiction(config: &Config) -> Option<String> {
    let lost_after = config.heartbeat_floor * config.lost_intervals;
    if config.heartbeat_floor < Duration::from_millis(100) {
        Some(
            "heartbeat_floor is below 100ms: agents would do nothing but tell that they live"
                .to_owned(),
        )
    } else if config.lost_intervals <= config.lease_intervals {
        Some(format!(
            "lost_intervals ({}) must be larger than lease_intervals ({}): what an agent has is given to others only after it gets nothing new",
            config.lost_intervals, config.lease_intervals
        ))
    } else if config.forget_after < lost_after {
        Some(format!(
            "forget_after ({}) is shorter than the time after which an agent is lost at all ({})",
            Span(config.forget_after),
            Span(lost_after)
        ))
    } else if config.back_off_ceiling < config.back_off_floor {
        Some(format!(
            "back_off_ceiling ({}) is below back_off_floor ({})",
            Span(config.back_off_ceiling),
            Span(config.back_off_floor)
        ))
    } else {
        None
    }
}
