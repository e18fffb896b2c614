//! What people may see of the state, in the wire's own messages. Reads only; what only the store knows (times of day, ended sweeps) is for the
//! caller to add.

use std::collections::{BTreeMap, BTreeSet};

use batchstep_proto::{
    domain::{DeviceSelector, nanos},
    ids::{AgentId, SweepId},
    wire,
};

use super::{SeriesState, State, SweepState, selection::meant, series::Series, sweeps::Sweep};

/// Devices of a shared series whose reasons make that of the series; each of them has its own beside it.
const DEVICES_EXPLAINED: usize = 3;

/// The fleet in numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Census {
    /// Agents in each state; states without an agent are left out.
    pub agents: BTreeMap<wire::AgentState, usize>,
    /// Agents with an open stream.
    pub sessions: usize,
    /// Sweeps that are not over.
    pub active_sweeps: usize,
    /// Attempts that an agent has and that have not ended.
    pub open_attempts: usize,
    /// Series whose history is still to be read back.
    pub unread_series: usize,
}

impl State {
    /// An active sweep with its series; `submitted_at` is empty. `None`: it is over, or there is none.
    #[must_use]
    pub fn sweep(&self, id: SweepId) -> Option<wire::Sweep> {
        let sweep = self
            .sweeps
            .get(&id)
            .filter(|sweep| sweep.state == SweepState::Active)?;
        Some(wire::Sweep {
            sweep_id: id.to_string(),
            spec: Some(sweep.spec.clone().into()),
            state: sweep_state(sweep.state) as i32,
            submitted_at: String::new(),
            finished_at: None,
            series: sweep
                .series
                .iter()
                .filter_map(|id| self.series.get(id))
                .map(|series| wire::Series {
                    devices: self.sharing_devices(series),
                    ..self.series_view(series)
                })
                .collect(),
            explanation: self.sweep_explanation(sweep),
        })
    }

    /// Active sweeps in the order of submission.
    #[must_use]
    pub fn active_sweeps(&self) -> Vec<SweepId> {
        let mut sweeps: Vec<(u64, SweepId)> = self
            .sweeps
            .iter()
            .filter(|(_, sweep)| sweep.state == SweepState::Active)
            .map(|(id, sweep)| (sweep.sequence, *id))
            .collect();
        sweeps.sort_unstable();
        sweeps.into_iter().map(|(_, id)| id).collect()
    }

    /// Every agent that has said hello since the coordinator started, or is restricted, by id, as of the last input.
    #[must_use]
    pub fn agents(&self) -> Vec<wire::Agent> {
        let known = self.agents.keys().chain(self.restrictions.keys());
        let ids: BTreeSet<AgentId> = known.copied().collect();
        ids.into_iter().map(|id| self.agent_view(id)).collect()
    }

    /// True of an agent that has said hello since the coordinator started and was not removed since.
    #[must_use]
    pub fn is_here(&self, id: AgentId) -> bool {
        self.agents.contains_key(&id)
    }

    fn agent_view(&self, id: AgentId) -> wire::Agent {
        let agent = self.agents.get(&id);
        let restriction = self.restrictions.get(&id).cloned().unwrap_or_default();
        let attempts = self.open.get(&id).map_or(0, BTreeSet::len);
        wire::Agent {
            agent_id: id.to_string(),
            state: self.agent_state(id, attempts == 0) as i32,
            host: Some(match agent {
                Some(agent) => agent.host.clone().into(),
                None => wire::HostFacts {
                    hostname: restriction.hostname,
                    ..Default::default()
                },
            }),
            devices: agent
                .into_iter()
                .flat_map(|agent| agent.devices.values().cloned())
                .map(Into::into)
                .collect(),
            since_last_message_ns: agent.map(|agent| nanos(self.now.saturating_sub(agent.heard))),
            drain_reason: restriction.drain,
            cordon_reason: restriction.cordon,
            attempts: u32::try_from(attempts).unwrap_or(u32::MAX),
        }
    }

    /// How many there are of everything, for monitoring.
    #[must_use]
    pub fn census(&self) -> Census {
        let mut census = Census {
            active_sweeps: self.active_sweeps().len(),
            open_attempts: self.open.values().map(BTreeSet::len).sum(),
            unread_series: self.unread.len(),
            ..Census::default()
        };
        for (id, agent) in &self.agents {
            let state = self.agent_state(*id, !self.open.contains_key(id));
            *census.agents.entry(state).or_default() += 1;
            census.sessions += usize::from(agent.session.is_some());
        }
        census
    }

    /// True when no sweep is active and no attempt is out.
    #[must_use]
    pub fn idle(&self) -> bool {
        self.sweeps.is_empty()
    }

    fn agent_state(&self, id: AgentId, has_no_work: bool) -> wire::AgentState {
        let Some(agent) = self.agents.get(&id) else {
            return wire::AgentState::Unreachable;
        };
        let silence = self.now.saturating_sub(agent.heard);
        let is_silent = silence >= agent.interval * self.config.lease_intervals;
        let is_drained = self
            .restrictions
            .get(&id)
            .is_some_and(|restriction| restriction.drain.is_some());
        if agent.lost {
            wire::AgentState::Lost
        } else if agent.session.is_none() || is_silent {
            wire::AgentState::Unreachable
        } else if self.is_cordoned(id) {
            wire::AgentState::Cordoned
        } else if (agent.draining || is_drained) && has_no_work {
            wire::AgentState::Drained
        } else if agent.draining || is_drained {
            wire::AgentState::Draining
        } else {
            wire::AgentState::Online
        }
    }

    pub(super) fn series_view(&self, series: &Series) -> wire::Series {
        let state = self.series_state(series);
        wire::Series {
            series_id: series.plan.id.to_string(),
            device_id: series.plan.device.id.clone(),
            device_model: series.plan.device.model.clone(),
            device_kind: series.plan.device.kind.to_wire(),
            hostname: series.plan.hostname.clone(),
            workload: series.plan.workload.labelled().to_string(),
            threads: series.plan.threads,
            state: series_state(state) as i32,
            rounds_done: series.summary.rounds_done,
            blocks: series.summary.blocks,
            measuring_ns: nanos(series.summary.measuring),
            remaining_ns: nanos(series.remaining),
            explanation: self.series_explanation(series, state),
            shared_by: series.plan.shared_by(),
            devices: Vec::new(),
        }
    }

    /// The devices that share a series and what each of them does; none where it has one of its own.
    pub(super) fn sharing_devices(&self, series: &Series) -> Vec<wire::SharingDevice> {
        let places = series.plan.places().filter(|_| series.plan.is_shared());
        places
            .map(|(device, hostname)| {
                let round = self.measures(series, device);
                let departure = series.plan.departure(device);
                let is_idle = round.is_none() && series.over.is_none();
                wire::SharingDevice {
                    device_id: device.to_owned(),
                    hostname: hostname.to_owned(),
                    round,
                    explanation: if let Some(departure) = departure {
                        departure
                    } else if is_idle {
                        let reason = self.closed_gate(series.plan.sweep);
                        reason.unwrap_or_else(|| self.why_not_on(series, device))
                    } else {
                        String::new()
                    },
                }
            })
            .collect()
    }

    fn series_state(&self, series: &Series) -> SeriesState {
        if let Some((state, _)) = &series.over {
            *state
        } else if series
            .plan
            .devices()
            .any(|device| self.measures(series, device).is_some())
        {
            SeriesState::Running
        } else {
            SeriesState::Waiting
        }
    }

    /// The round of a series that has a device now.
    fn measures(&self, series: &Series, device: &str) -> Option<u32> {
        let first = self.lanes.get(device)?.out.first()?;
        let attempt = self.attempts.get(first)?;
        (attempt.series == series.plan.id).then_some(attempt.round)
    }

    /// Why a series is over, or does not run.
    fn series_explanation(&self, series: &Series, state: SeriesState) -> String {
        if let Some((_, message)) = &series.over {
            return message.clone();
        }
        if state == SeriesState::Running {
            return String::new();
        }
        if let Some(reason) = self.closed_gate(series.plan.sweep) {
            return reason;
        }
        let mut reasons: Vec<String> = series
            .plan
            .present()
            .take(DEVICES_EXPLAINED)
            .map(|device| self.why_not_on(series, device))
            .collect();
        reasons.dedup();
        reasons.join("; ")
    }

    /// Why a series that is not over has no round on one of its devices.
    fn why_not_on(&self, series: &Series, device: &str) -> String {
        let Some(lane) = self.lanes.get(device) else {
            return self.obstacle(device).unwrap_or_default();
        };
        let running = lane
            .out
            .first()
            .and_then(|id| self.attempts.get(id))
            .and_then(|attempt| self.series.get(&attempt.series));
        if let Some(other) = running {
            return format!(
                "device {device} is busy with {} of sweep {}",
                other.plan.workload.labelled(),
                other.plan.sweep
            );
        }
        if let Some(obstacle) = self.obstacle(device) {
            return obstacle;
        }
        if let Some(pause) = self.own_pause(lane, series.plan.id) {
            return pause;
        }
        if self.unread.contains(&series.plan.id) && self.ready_round(series).is_none() {
            return "what it measured before the coordinator started is still being read back"
                .to_owned();
        }
        if series.must_wait && !series.open.is_empty() {
            return "what follows the rounds that are out is not known before one is over"
                .to_owned();
        }
        let mut line = self.line(lane);
        match line.position(|turn| turn == series.turn).unwrap_or(0) {
            0 => "about to start".to_owned(),
            1 => format!("1 series is before it on device {device}"),
            before => format!("{before} series are before it on device {device}"),
        }
    }

    /// Why a sweep has no series yet, or which devices of those that are meant it leaves out.
    fn sweep_explanation(&self, sweep: &Sweep) -> Vec<String> {
        let is_set = !matches!(sweep.spec.devices, DeviceSelector::Listed(_));
        let has_series = !sweep.series.is_empty();
        // What is listed by its id is taken, and its series says what it waits for.
        if has_series && !is_set {
            return Vec::new();
        }
        let candidates = self.candidates();
        let series = sweep.series.iter().filter_map(|id| self.series.get(id));
        let own: BTreeSet<&str> = series.flat_map(|it| it.plan.devices()).collect();
        let unfit: Vec<String> = meant(&sweep.spec.devices, &candidates)
            .unwrap_or_default()
            .iter()
            .filter(|candidate| !own.contains(candidate.device.id.as_str()))
            .filter_map(|candidate| {
                let reason = candidate.left_out()?;
                let (model, host) = (&candidate.device.model, &candidate.host.hostname);
                Some(format!(
                    "{model} {} on {host}: {reason}",
                    candidate.device.id
                ))
            })
            .collect();
        if !unfit.is_empty() {
            let mut lines = vec![if has_series {
                "left out, because no trial can start there:".to_owned()
            } else {
                "no trial can start on the devices that are meant:".to_owned()
            }];
            lines.extend(unfit);
            return lines;
        }
        if has_series {
            return Vec::new();
        }
        let known: Vec<String> = candidates.keys().map(ToString::to_string).collect();
        let wanted = match &sweep.spec.devices {
            DeviceSelector::All => "any device",
            DeviceSelector::Cpu => "a processor",
            DeviceSelector::Gpu => "an NVIDIA GPU",
            DeviceSelector::Listed(_) => "one of the listed devices",
        };
        vec![if known.is_empty() {
            "no agent is connected yet; start one with `batchstep-agent run`".to_owned()
        } else {
            format!(
                "no agent has a matching device: {wanted} is wanted for dtype {}; known: {}",
                sweep.spec.dtype,
                shortened(&known)
            )
        }]
    }
}

/// The wire's word for a sweep's state.
pub(super) const fn sweep_state(state: SweepState) -> wire::SweepState {
    match state {
        SweepState::Active => wire::SweepState::Active,
        SweepState::Done => wire::SweepState::Done,
        SweepState::Cancelled => wire::SweepState::Cancelled,
        SweepState::Failed => wire::SweepState::Failed,
    }
}

const fn series_state(state: SeriesState) -> wire::SeriesState {
    match state {
        SeriesState::Waiting => wire::SeriesState::Waiting,
        SeriesState::Running => wire::SeriesState::Running,
        SeriesState::Done => wire::SeriesState::Done,
        SeriesState::Failed => wire::SeriesState::Failed,
        SeriesState::Cancelled => wire::SeriesState::Cancelled,
    }
}

/// A list for a message: the first few, and how many more there are.
#[must_use]
pub fn shortened(names: &[String]) -> String {
    const SHOWN: usize = 16;
    let shown = names[..names.len().min(SHOWN)].join(", ");
    match names.len().checked_sub(SHOWN) {
        None | Some(0) => shown,
        Some(more) => format!("{shown} and {more} more"),
    }
}
