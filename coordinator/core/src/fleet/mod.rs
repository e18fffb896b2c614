//! The fleet state machine: agents, devices, sweeps, series, rounds, attempts and leases.
//!
//! Sans-IO: [`State::handle`] is given the time and an [`Input`] and answers with [`Effect`]s, which the caller carries out in order. The
//! caller commits all [`Record`]s of one call, or of several in order, in one transaction before it carries out anything else of them; when that
//! fails it drops the state and makes a new one with [`State::restore`], so a state never runs ahead of its store. No clock, no randomness, ordered maps only: the
//! same inputs give the same effects, in the coordinator and in a simulation.

mod absent;
mod agents;
mod attempts;
mod config;
mod departures;
mod effect;
mod gates;
mod input;
mod lanes;
mod planner;
mod pools;
mod record;
mod reports;
mod restore;
mod restrictions;
mod schedule;
mod selection;
mod series;
mod state;
mod sweeps;
#[cfg(test)]
mod tests;
mod timers;
mod unread;
mod views;

pub use config::Config;
pub use effect::{Answer, Disposition, Effect, Event, Refusal, ToAgent, Verdict};
pub use input::{Enrolled, HeldAttempt, HeldState, Hello, Input, Progress, ReplyKey, SessionKey};
pub use planner::{Planner, SweepPlanner};
pub use record::{
    AttemptState, Record, SeriesSnapshot, SeriesState, SeriesSummary, StoredAttempt, StoredRound,
    SweepSnapshot, SweepState,
};
pub use restore::Kept;
pub use restrictions::Restriction;
pub use state::State;
pub use unread::Unread;
pub use views::{Census, shortened};
