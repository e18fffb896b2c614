//! Scheduling: who runs a device, what keeps it from starting something, and the assignment of the next round in its line. The reasons here are the
//! ones that people are shown, so that the explanation and the decision cannot disagree.

use std::{collections::BTreeSet, time::Duration};

use batchstep_proto::{
    ids::{AgentId, AttemptId, SeriesId},
    wire,
};

use super::{AttemptState, Record, State, ToAgent, attempts::Attempt};

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
        if let Some(reason) = &agent.drain {
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
        let pause = self.lanes.get(device)?.back_off.as_ref()?;
        let left = pause.until.checked_sub(self.now)?;
        (left > Duration::ZERO).then(|| {
            format!(
                "backing off after {} failures in a row, tries again in {} s: {}",
                pause.failures,
                left.as_secs_f64().ceil(),
                pause.reason
            )
        })
    }

    fn absence(&self, device: &str) -> String {
        let last = self
            .lanes
            .get(device)
            .into_iter()
            .flat_map(|lane| &lane.claimants)
            .filter_map(|id| self.agents.get(id))
            .max_by_key(|agent| agent.heard);
        match last {
            Some(agent) => format!(
                "the agent on {} is not connected; last heard of {} s ago",
                agent.host.hostname,
                self.now.saturating_sub(agent.heard).as_secs()
            ),
            None => {
                format!("no agent with device {device} has connected since the coordinator started")
            }
        }
    }

    /// Starts what can start on the devices where something changed.
    pub(super) fn assign_ready(&mut self) {
        while let Some(device) = self.dirty.pop_first() {
            self.assign(&device);
        }
    }

    fn assign(&mut self, device: &str) {
        let Some(lane) = self.lanes.get(device) else {
            return;
        };
        let (None, Some(turn)) = (lane.open, lane.queue.first().copied()) else {
            return;
        };
        if self.obstacle(device).is_some() {
            return;
        }
        let Some(agent) = self.owner(device) else {
            return;
        };
        self.offer(turn.series, agent);
    }

    /// Gives a series' open round to an agent: on record first, then sent.
    fn offer(&mut self, id: SeriesId, agent: AgentId) {
        let Some(series) = self.series.get(&id) else {
            return;
        };
        let (Some(record), Some(tries)) = (&series.open, series.tries.last()) else {
            return;
        };
        let round = record.round.clone();
        let number = u32::try_from(tries.len()).unwrap_or(u32::MAX);
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
            && let Some(tries) = series.tries.last_mut()
        {
            tries.push(attempt);
        }
        self.attempts.insert(
            attempt,
            Attempt {
                series: id,
                round: round.index,
                agent,
                state: AttemptState::Assigned,
                stopping: false,
                due: self.now,
                restored: false,
                digests: BTreeSet::new(),
            },
        );
        self.occupy(attempt);
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
            let round = Box::new(round);
            self.send(session, ToAgent::Assign { attempt, round });
        }
    }
}
