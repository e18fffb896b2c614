//! Scheduling: who runs a device, what keeps it from starting something, and the assignment of the next round in its line. The reasons here are the
//! ones that people are shown, so that the explanation and the decision cannot disagree.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use batchstep_proto::{
    ids::{AgentId, AttemptId, SeriesId, SweepId},
    wire,
};

use super::{
    AttemptState, Record, State, ToAgent,
    attempts::{Attempt, Standing},
    lanes::{Lane, Turn, USUAL_ROUND},
};

impl State {
    /// The agent that runs a device: the first of those that offer it which is connected.
    pub(super) fn owner(&self, device: &str) -> Option<AgentId> {
        self.lanes
            .get(device)?
            .claimants
            .iter()
            .copied()
            .find(|id| {
                self.agents
                    .get(id)
                    .is_some_and(|agent| agent.session.is_some())
            })
    }

    /// Why nothing may start on a device now, whatever it is; `None`: it may.
    pub(super) fn obstacle(&self, device: &str) -> Option<String> {
        let Some(id) = self.owner(device) else {
            return Some(self.absence(device));
        };
        let agent = self.agents.get(&id)?;
        let host = &agent.host.hostname;
        let silence = self.now.saturating_sub(agent.heard);
        if silence >= agent.interval * self.config.lease_intervals {
            return Some(format!(
                "the agent on {host} has been silent for {} s",
                silence.as_secs()
            ));
        }
        let restriction = self.restrictions.get(&id);
        if let Some(reason) = restriction.and_then(|it| it.cordon.as_ref()) {
            return Some(format!(
                "the agent on {host} is cordoned: {reason}; `batchstep agents undrain {id}` gives it work again"
            ));
        }
        if let Some(reason) = restriction.and_then(|it| it.drain.as_ref()) {
            return Some(if reason.is_empty() {
                format!("the agent on {host} is draining")
            } else {
                format!("the agent on {host} is draining: {reason}")
            });
        }
        if agent.draining {
            return Some(format!("the agent on {host} is draining"));
        }
        if let Some(known) = agent.devices.get(device)
            && !known.ineligible.is_empty()
        {
            let reasons: Vec<&str> = known
                .ineligible
                .iter()
                .map(|reason| reason.message.as_str())
                .collect();
            return Some(format!("device {device}: {}", reasons.join("; ")));
        }
        self.lanes.get(device)?.back_off.as_ref()?.explain(self.now)
    }

    /// Why a series may not start now although its device may; `None`: it may.
    pub(super) fn own_pause(&self, lane: &Lane, series: SeriesId) -> Option<String> {
        lane.pauses.get(&series)?.explain(self.now)
    }

    /// Starts what can start on the devices where something changed.
    pub(super) fn assign_ready(&mut self) {
        while let Some(device) = self.dirty.pop_first() {
            self.assign(&device);
        }
    }

    fn assign(&mut self, device: &str) {
        // One for the device, and one behind it.
        while self.assign_next(device) {}
    }

    /// Gives out one round on a device; false: there is nothing to give, or it cannot start.
    fn assign_next(&mut self, device: &str) -> bool {
        let Some(lane) = self.lanes.get(device) else {
            return false;
        };
        if !lane.has_room() || lane.queue.is_empty() || self.obstacle(device).is_some() {
            return false;
        }
        let Some(agent) = self.owner(device) else {
            return false;
        };
        // What has the device must be known to run, and at the same agent.
        let may_follow = lane.out.iter().all(|out| {
            self.attempts.get(out).is_some_and(|attempt| {
                attempt.agent == agent && attempt.standing() == Standing::Running
            })
        });
        if !may_follow {
            return false;
        }
        let line: Vec<SeriesId> = self.line(lane).map(|turn| turn.series).collect();
        line.into_iter()
            .any(|series| self.offer_next(series, agent, device))
    }

    /// The series that may start on a device, in the order in which they would: by priority, then the sweep that had least of the device, then by submission.
    pub(super) fn line<'a>(&'a self, lane: &'a Lane) -> impl Iterator<Item = Turn> + 'a {
        let out = self.rounds_out(lane);
        let mut line: Vec<(Reverse<i32>, Duration, Turn)> = lane
            .queue
            .iter()
            .filter(|turn| self.closed_gate(turn.sweep).is_none())
            .filter(|turn| self.own_pause(lane, turn.series).is_none())
            .map(|turn| {
                let out = out.get(&turn.sweep).copied().unwrap_or(0);
                let share = lane.share(turn.sweep, out, USUAL_ROUND);
                (Reverse(turn.priority), share, *turn)
            })
            .collect();
        line.sort_unstable();
        line.into_iter().map(|(_, _, turn)| turn)
    }

    /// The least that another sweep of this priority, which could run, had of a device, with what is out.
    pub(super) fn least_share(&self, lane: &Lane, sweep: SweepId, priority: i32) -> Duration {
        let out = self.rounds_out(lane);
        let sweeps = lane
            .queue
            .iter()
            .filter(|turn| turn.sweep != sweep && turn.priority == priority)
            .map(|turn| turn.sweep)
            .filter(|sweep| self.closed_gate(*sweep).is_none());
        let shares = sweeps.map(|sweep| {
            let out = out.get(&sweep).copied().unwrap_or(0);
            lane.share(sweep, out, Duration::ZERO)
        });
        shares.min().unwrap_or(Duration::ZERO)
    }

    fn rounds_out(&self, lane: &Lane) -> BTreeMap<SweepId, u32> {
        let mut out = BTreeMap::new();
        for attempt in lane.out.iter().filter_map(|out| self.attempts.get(out)) {
            if let Some(series) = self.series.get(&attempt.series) {
                *out.entry(series.plan.sweep).or_default() += 1;
            }
        }
        out
    }

    /// Gives out the next round of a series; false: all of its rounds are out, and what follows is not known yet.
    fn offer_next(&mut self, id: SeriesId, agent: AgentId, device: &str) -> bool {
        // It was asked since a round last came back.
        if self.series.get(&id).is_none_or(|series| series.must_wait) {
            return false;
        }
        let ready = |state: &Self| {
            let series = state.series.get(&id)?;
            state.ready_round(series)
        };
        if let Some(index) = ready(self) {
            self.offer(id, index, agent, device);
            return true;
        }
        if !self.plan_ahead(id) {
            return false;
        }
        ready(self).is_some_and(|index| {
            self.offer(id, index, agent, device);
            true
        })
    }

    /// Gives an open round of a series to an agent for its device: on record first, then sent.
    fn offer(&mut self, id: SeriesId, index: u32, agent: AgentId, device: &str) {
        let Some(series) = self.series.get_mut(&id) else {
            return;
        };
        let Some(record) = series.open.get_mut(&index) else {
            return;
        };
        device.clone_into(&mut record.round.device_id);
        let round = record.round.clone();
        let number = u32::try_from(series.tries_of(index).len()).unwrap_or(u32::MAX);
        let sweep = series.plan.sweep;
        let first_of_series = !series.has_started();
        let attempt = AttemptId::of(round.id, number);
        self.persist(Record::AttemptAssigned {
            attempt,
            number,
            agent,
            round: round.clone(),
        });
        if let Some(series) = self.series.get_mut(&id)
            && let Some(tries) = series.tries.get_mut(index as usize)
        {
            tries.push(attempt);
        }
        self.attempts.insert(
            attempt,
            Attempt {
                series: id,
                round: index,
                device: round.device_id.clone(),
                agent,
                state: AttemptState::Assigned,
                given: self.now,
                stopping: false,
                excused: false,
                due: self.now,
                restored: false,
                digests: BTreeSet::new(),
            },
        );
        self.occupy(attempt);
        let prefetched = self
            .lanes
            .get(&round.device_id)
            .is_some_and(|lane| lane.out.first() != Some(&attempt));
        self.set_deadline(attempt, self.config.acceptance_limit);
        if first_of_series && let Some(series) = self.series.get(&id) {
            let series = Some(self.series_view(series));
            self.journal(
                Some(sweep),
                wire::event::Kind::SeriesStarted(wire::SeriesStarted { series }),
            );
        }
        self.journal(
            Some(sweep),
            wire::event::Kind::RoundAssigned(wire::RoundAssigned {
                series_id: id.to_string(),
                device_id: round.device_id.clone(),
                round: round.index,
                visits: u32::try_from(round.visits.len()).unwrap_or(u32::MAX),
            }),
        );
        if let Some(session) = self.agents.get(&agent).and_then(|agent| agent.session) {
            let assign = ToAgent::Assign {
                attempt,
                round: Box::new(round),
                prefetched,
            };
            self.send(session, assign);
        }
    }
}
