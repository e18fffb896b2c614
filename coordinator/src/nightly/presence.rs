//! Who is there to measure, and how long a night waits for those who are not. Restarts, dead hosts and clocks that were put back must cost a night as little as they
//! can. What is counted here is real time since this coordinator began; nothing of it is kept.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use batchstep_core::nightly::Night;
use batchstep_proto::{
    ids::SweepId,
    wire::{self, AgentState, SeriesState},
};
use jiff::Timestamp;
use tokio::sync::Mutex;

use super::{keeper::Nightly, kept::Kept, people::NightlyError};
use crate::{engine::EngineError, store::Store};

/// How long after a start a night waits for devices that it knows: agents dial again within a minute.
const GATHERING: Duration = Duration::from_mins(2);
/// A host that is away for so long is not expected back in the same night.
const LOST_FOR: Duration = Duration::from_mins(30);

/// What is counted.
pub(super) struct Patience {
    /// When this coordinator began.
    began: Instant,
    /// When it first saw the nights that are under way.
    first_seen: Mutex<BTreeMap<String, (u64, Instant)>>,
    /// Since when sweeps wait for lost hosts only.
    lost_since: Mutex<BTreeMap<SweepId, Instant>>,
}

impl Patience {
    pub(super) fn new() -> Self {
        Self {
            began: Instant::now(),
            first_seen: Mutex::default(),
            lost_since: Mutex::default(),
        }
    }
}

impl<S: Store> Nightly<S> {
    /// Ids of the devices that could measure now.
    pub(super) async fn connected(&self) -> Result<BTreeSet<String>, NightlyError> {
        let here = |agent: &wire::Agent| {
            matches!(
                agent.state(),
                AgentState::Online | AgentState::Draining | AgentState::Unreachable
            )
        };
        let agents = self.engine.agents().await?.into_iter().filter(here);
        let devices = agents.flat_map(|agent| agent.devices);
        Ok(devices.map(|device| device.id).collect())
    }

    /// Whether a night's sweep may go out: after a start the fleet is given time to come back, or the night would have those alone who were first.
    pub(super) async fn is_gathered(
        &self,
        kept: &Kept,
        connected: &BTreeSet<String>,
    ) -> Result<bool, NightlyError> {
        if self.patience.began.elapsed() >= GATHERING {
            return Ok(true);
        }
        let name = kept.schedule.name.as_str();
        let expected = self.remembered_devices(name).await?;
        Ok(!connected.is_empty() && expected.is_subset(connected))
    }

    /// What time it is for a night: never before it was to begin, or a moment of a wrong clock would cut it short. When the clock stays behind, the night ends all
    /// the same once it has taken its time.
    pub(super) async fn time_of(&self, life: &Night) -> Timestamp {
        let now = self.settings.clock.now();
        let number = life.number();
        let mut first_seen = self.patience.first_seen.lock().await;
        let seen = first_seen
            .entry(life.schedule().to_string())
            .or_insert_with(|| (number, Instant::now()));
        if seen.0 != number {
            *seen = (number, Instant::now());
        }
        let most = life.ends().duration_since(life.planned()).unsigned_abs();
        if now < life.planned() && seen.1.elapsed() > most {
            life.ends()
        } else {
            now.max(life.planned())
        }
    }

    /// Whether a sweep is over because all that it still waited for was lost with its hosts for so long that nobody expects it in this night: it is called back
    /// then, so that there is time to measure again what should be.
    async fn is_left_by_all(
        &self,
        sweep: SweepId,
        active: &wire::Sweep,
    ) -> Result<bool, NightlyError> {
        let states = || active.series.iter().map(wire::Series::state);
        let runs = states().any(|state| state == SeriesState::Running);
        let waits = states().any(|state| state == SeriesState::Waiting);
        // Who is connected is asked only once nothing runs: of a large fleet that is a long answer.
        let is_left = !runs && waits && {
            let connected = self.connected().await?;
            let mut series = active.series.iter();
            !series
                .any(|it| it.state() == SeriesState::Waiting && connected.contains(&it.device_id))
        };
        {
            let mut lost_since = self.patience.lost_since.lock().await;
            if !is_left {
                lost_since.remove(&sweep);
                return Ok(false);
            }
            let since = *lost_since.entry(sweep).or_insert_with(Instant::now);
            if since.elapsed() < LOST_FOR {
                return Ok(false);
            }
            lost_since.remove(&sweep);
        }
        tracing::info!(%sweep, "A night's sweep waits for lost hosts only, and is called back.");
        let reason = "only lost hosts are left of the night".to_owned();
        match self.engine.cancel(sweep, reason).await {
            Ok(_) | Err(EngineError::Refused(_)) => self.is_over(sweep).await,
            Err(error) => Err(error.into()),
        }
    }

    /// Whether nothing more is to come of a night's sweep.
    pub(super) async fn has_ended(&self, sweep: SweepId) -> Result<bool, NightlyError> {
        match self.engine.sweep(sweep).await? {
            Some(active) => self.is_left_by_all(sweep, &active).await,
            None => self.is_over(sweep).await,
        }
    }
}
