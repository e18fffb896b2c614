//! Restoring a state from what the store kept. Devices and sessions are unknown until their agents say hello; open attempts keep their devices
//! meanwhile, so that what still runs somewhere is heard first and nothing is started beside it. Rounds that are over are read later, see `unread`.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use batchstep_proto::ids::{AgentId, SeriesId, SweepId};

use super::{
    AttemptState, Config, Effect, Planner, Restriction, SeriesSnapshot, SeriesState, State,
    StoredAttempt, SweepSnapshot, SweepState, attempts::Attempt,
};

/// What a state is made of after a restart.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Kept {
    /// Every sweep that is active, and every other one with an attempt that is assigned or accepted, in the order of submission.
    pub sweeps: Vec<SweepSnapshot>,
    /// Agents that get no work, and why.
    pub restrictions: BTreeMap<AgentId, Restriction>,
}

impl State {
    /// The state after a restart, from what the store kept. Leases of open attempts are extended by the recovery grace. The effects are to be carried out like those of
    /// [`State::handle`].
    #[must_use]
    pub fn restore(
        config: Config,
        planner: impl Planner + 'static,
        kept: Kept,
        now: Duration,
    ) -> (Self, Vec<Effect>) {
        let Kept {
            sweeps,
            restrictions,
        } = kept;
        let mut state = Self::new(config, planner);
        state.now = now;
        state.restrictions = restrictions;
        let ids: Vec<SweepId> = sweeps.iter().map(|sweep| sweep.id).collect();
        for sweep in sweeps {
            state.add_sweep(sweep.id, sweep.request, sweep.spec, sweep.state);
            for (ordinal, series) in (0_u32..).zip(sweep.series) {
                state.restore_series(sweep.id, ordinal, series, sweep.state);
            }
        }
        for id in ids {
            let series = state
                .sweeps
                .get(&id)
                .map(|sweep| sweep.series.clone())
                .unwrap_or_default();
            for series in series {
                state.advance(series);
            }
            state.settle_sweep(id);
            state.forget_settled_sweep(id);
        }
        let effects = state.settle();
        (state, effects)
    }

    fn restore_series(
        &mut self,
        sweep: SweepId,
        ordinal: u32,
        snapshot: SeriesSnapshot,
        sweep_state: SweepState,
    ) {
        let id = snapshot.plan.id;
        self.add_series(sweep, snapshot.plan, ordinal);
        let is_over = !matches!(snapshot.state, SeriesState::Waiting | SeriesState::Running);
        let stopping = is_over || sweep_state != SweepState::Active;
        if snapshot.rounds_done > 0 {
            self.unread.insert(id);
        }
        for round in snapshot.open {
            let index = round.record.round.index;
            self.restore_attempts(id, index, round.attempts, stopping);
            if let Some(series) = self.series.get_mut(&id) {
                series.summary.add(&round.record);
                series.open.insert(index, round.record);
            }
        }
        let Some(series) = self.series.get_mut(&id) else {
            return;
        };
        series.summary.rounds_done = snapshot.rounds_done;
        if is_over {
            series.over = Some((snapshot.state, snapshot.message));
            series.remaining = Duration::ZERO;
            let turn = series.turn;
            if let Some(sweep) = self.sweeps.get_mut(&sweep) {
                sweep.going -= 1;
            }
            for device in series.plan.devices() {
                if let Some(lane) = self.lanes.get_mut(device) {
                    lane.leave(&turn);
                }
            }
        }
    }

    /// Makes the attempts of a round known. Those that are open keep their devices.
    pub(super) fn restore_attempts(
        &mut self,
        series: SeriesId,
        round: u32,
        attempts: Vec<StoredAttempt>,
        stopping: bool,
    ) {
        if let Some(series) = self.series.get_mut(&series) {
            let tries = attempts.iter().map(|stored| stored.id).collect();
            series.set_tries(round, tries);
        }
        for stored in attempts {
            let known = self.series.get(&series);
            let has_departed =
                known.is_some_and(|known| known.plan.departed.contains_key(&stored.device));
            let attempt = Attempt {
                series,
                round,
                device: stored.device,
                agent: stored.agent,
                state: stored.state,
                given: Duration::ZERO,
                stopping: stopping || has_departed,
                excused: stored.state == AttemptState::Declined,
                due: self.now,
                restored: true,
                digests: BTreeSet::new(),
            };
            let is_open = attempt.is_open();
            self.attempts.insert(stored.id, attempt);
            if is_open {
                self.occupy(stored.id);
                let lease = self.config.heartbeat_floor * self.config.lost_intervals;
                self.set_deadline(stored.id, lease + self.config.recovery_grace);
            }
        }
    }
}
