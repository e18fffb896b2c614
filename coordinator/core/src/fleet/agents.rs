//! Agents: their sessions, their devices, and what becomes of the attempts they hold. Streams carry wake-ups only, so a session that ends changes
//! nothing but who can be sent to; what ends an agent's attempts is its silence.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use batchstep_proto::{
    domain::{Device, HostFacts},
    ids::{AgentId, AttemptId, BootId},
    limits, wire,
};

use super::{
    AttemptState, Effect, HeldAttempt, HeldState, Hello, Record, SessionKey, State, ToAgent,
    Verdict,
    absent::{Cause, Gone},
    attempts::Standing,
    timers::Timer,
};

/// One agent that has said hello since the coordinator started.
#[derive(Debug, Clone)]
pub(super) struct Agent {
    pub boot: BootId,
    pub host: HostFacts,
    /// By id.
    pub devices: BTreeMap<String, Device>,
    /// Its stream, while it has one.
    pub session: Option<SessionKey>,
    /// When its last message came.
    pub heard: Duration,
    /// The heartbeat interval it was told.
    pub interval: Duration,
    /// It takes no new work, by its own word.
    pub draining: bool,
    /// Silent for so long that its attempts were given up.
    pub lost: bool,
}

impl State {
    pub(super) fn hello(&mut self, session: SessionKey, hello: Hello) {
        let id = hello.agent;
        self.make_room(session, id, hello.boot);
        self.incarnation += 1;
        let connected = self.sessions.len() + 1;
        let interval = self.config.heartbeat_interval(connected);
        let hostname = hello.host.hostname.clone();
        self.claim(id, hello.boot, &hello.devices);
        self.agents.insert(
            id,
            Agent {
                boot: hello.boot,
                host: hello.host,
                devices: hello
                    .devices
                    .into_iter()
                    .map(|device| (device.id.clone(), device))
                    .collect(),
                session: Some(session),
                heard: self.now,
                interval,
                draining: hello.draining,
                lost: false,
            },
        );
        self.sessions.insert(session, id);
        let lost_at = self.now + interval * self.config.lost_intervals;
        self.set_timer(lost_at, Timer::Agent(id));
        self.journal(
            None,
            wire::event::Kind::AgentConnected(wire::AgentConnected {
                agent_id: id.to_string(),
                hostname,
            }),
        );

        let verdicts: Vec<(AttemptId, Verdict)> = hello
            .held
            .iter()
            .map(|held| (held.attempt, self.verdict(id, *held)))
            .collect();
        self.expire_unheld(id, &hello.held);
        let kept: Vec<AttemptId> = hello
            .held
            .iter()
            .zip(&verdicts)
            .filter(|(held, (_, verdict))| {
                held.state == HeldState::Accepted && *verdict == Verdict::Keep
            })
            .map(|(held, _)| held.attempt)
            .collect();
        self.send(
            session,
            ToAgent::Welcome {
                incarnation: self.incarnation,
                heartbeat_interval: interval,
                lease: interval * self.config.lease_intervals,
                offline_budget: self.config.offline_budget,
                verdicts,
            },
        );
        for attempt in kept {
            self.send(session, ToAgent::Recorded(attempt));
        }
        self.tell_restriction(id);
        self.expand_waiting_sweeps();
    }

    /// Ends the session an agent had before, and whatever else used this stream.
    fn make_room(&mut self, session: SessionKey, id: AgentId, boot: BootId) {
        if self.sessions.get(&session).is_some_and(|user| *user != id) {
            self.disconnected(session, "another agent took over its stream");
        }
        let Some(agent) = self.agents.get(&id) else {
            return;
        };
        let Some(old) = agent.session else { return };
        let newer_process = agent.boot != boot;
        let reason = if newer_process {
            "a newer process with the same agent id has connected"
        } else {
            "the agent has opened a newer session"
        };
        self.disconnected(old, reason);
        if old != session {
            self.out.push(Effect::Close {
                session: old,
                reason: reason.to_owned(),
                permanent: newer_process,
            });
        }
    }

    /// Makes the agent offer these devices and no others. A new process may have cured what made its devices pause.
    fn claim(&mut self, id: AgentId, boot: BootId, devices: &[Device]) {
        let is_new_process = self.agents.get(&id).is_none_or(|agent| agent.boot != boot);
        let given_up = |gone: &String| devices.iter().all(|device| device.id != *gone);
        if let Some(agent) = self.agents.get(&id) {
            let gone = Gone {
                agent: id,
                hostname: agent.host.hostname.clone(),
                cause: Cause::GivenUp,
            };
            let given_away: Vec<String> = agent
                .devices
                .keys()
                .filter(|it| given_up(it))
                .cloned()
                .collect();
            for device in given_away {
                self.unclaim(&device, &gone);
            }
        }
        for device in devices {
            let lane = self.lane(&device.id);
            lane.offered_by(id);
            if is_new_process {
                lane.back_off = None;
            }
            self.dirty.insert(device.id.clone());
        }
    }

    /// Takes a device from the agent that departs.
    fn unclaim(&mut self, device: &str, gone: &Gone) {
        let Some(lane) = self.lanes.get_mut(device) else {
            return;
        };
        lane.claimants.retain(|it| *it != gone.agent);
        if lane.is_unused() {
            self.lanes.remove(device);
        } else if lane.claimants.is_empty() {
            lane.gone = Some(gone.clone());
        }
    }

    /// What becomes of an attempt that an agent says it holds. What is spooled is always delivered: a result is never thrown away unseen.
    fn verdict(&mut self, agent: AgentId, held: HeldAttempt) -> Verdict {
        if held.state == HeldState::Spooled {
            return Verdict::Keep;
        }
        let id = held.attempt;
        let Some(attempt) = self
            .attempts
            .get(&id)
            .filter(|attempt| attempt.agent == agent)
        else {
            return Verdict::Stop;
        };
        let limit = self.limit_in_line(id);
        match attempt.standing() {
            // It would begin the moment the agent is welcome.
            standing
                if held.state == HeldState::Accepted && self.restrictions.contains_key(&agent) =>
            {
                if standing != Standing::Over {
                    self.call_back(id);
                }
                Verdict::Stop
            }
            Standing::Offered => {
                self.record_acceptance(id);
                Verdict::Keep
            }
            Standing::Running => {
                self.set_deadline(id, limit);
                Verdict::Keep
            }
            Standing::Over if attempt.state == AttemptState::Expired && self.is_free_for(id) => {
                if let Some(attempt) = self.attempts.get_mut(&id) {
                    attempt.stopping = false;
                }
                self.occupy(id);
                self.record_acceptance(id);
                Verdict::Keep
            }
            Standing::Stopping => {
                self.call_back(id);
                Verdict::Stop
            }
            Standing::Over => Verdict::Stop,
        }
    }

    fn expire_unheld(&mut self, agent: AgentId, held: &[HeldAttempt]) {
        let missing: Vec<AttemptId> = self
            .open
            .get(&agent)
            .into_iter()
            .flatten()
            .copied()
            .filter(|open| held.iter().all(|held| held.attempt != *open))
            .collect();
        for attempt in missing {
            self.expire(attempt, "its agent came back without it");
        }
    }

    pub(super) fn disconnected(&mut self, session: SessionKey, reason: &str) {
        let Some(id) = self.sessions.remove(&session) else {
            return;
        };
        if let Some(agent) = self.agents.get_mut(&id) {
            agent.session = None;
            // Others that offer the same devices can have them now.
            self.dirty.extend(agent.devices.keys().cloned());
        }
        self.journal(
            None,
            wire::event::Kind::AgentDisconnected(wire::AgentDisconnected {
                agent_id: id.to_string(),
                reason: reason.to_owned(),
            }),
        );
    }

    pub(super) fn heartbeat(
        &mut self,
        session: SessionKey,
        sequence: u64,
        draining: bool,
        changed: Vec<Device>,
    ) {
        let Some(id) = self.heard_on(session) else {
            return;
        };
        let Some(agent) = self.agents.get_mut(&id) else {
            return;
        };
        if agent.draining && !draining {
            self.dirty.extend(agent.devices.keys().cloned());
        }
        agent.draining = draining;
        let is_news = !changed.is_empty();
        for device in changed {
            self.change_device(id, device);
        }
        self.send(session, ToAgent::HeartbeatAck(sequence));
        if is_news {
            self.expand_waiting_sweeps();
        }
    }

    /// Takes what an agent says of one of its devices; one that it did not offer before was added while it ran, and is offered from now on.
    fn change_device(&mut self, id: AgentId, device: Device) {
        let Some(agent) = self.agents.get_mut(&id) else {
            return;
        };
        let is_known = agent.devices.contains_key(&device.id);
        if !is_known && agent.devices.len() >= limits::DEVICES_PER_AGENT {
            return;
        }
        self.dirty.insert(device.id.clone());
        if !is_known {
            let lane = self.lanes.entry(device.id.clone()).or_default();
            lane.offered_by(id);
        }
        agent.devices.insert(device.id.clone(), device);
    }

    /// Notes a sign of life on a stream; `None` when the stream is not an agent's current one.
    pub(super) fn heard_on(&mut self, session: SessionKey) -> Option<AgentId> {
        let id = *self.sessions.get(&session)?;
        self.heard_of(id);
        Some(id)
    }

    /// Notes a sign of life.
    pub(super) fn heard_of(&mut self, id: AgentId) {
        if let Some(agent) = self.agents.get_mut(&id).filter(|agent| !agent.lost) {
            if self.now - agent.heard >= agent.interval * self.config.lease_intervals {
                self.dirty.extend(agent.devices.keys().cloned());
            }
            agent.heard = self.now;
        }
    }

    /// Gives up on a silent agent: its attempts go to whoever offers their devices next.
    pub(super) fn lose_agent(&mut self, id: AgentId) {
        const REASON: &str = "the agent was silent for too long";
        if let Some(session) = self.agents.get(&id).and_then(|agent| agent.session) {
            self.disconnected(session, REASON);
            self.out.push(Effect::Close {
                session,
                reason: REASON.to_owned(),
                permanent: false,
            });
        }
        if let Some(agent) = self.agents.get_mut(&id) {
            agent.lost = true;
        }
        for attempt in self.open.remove(&id).unwrap_or_default() {
            self.expire(attempt, "its agent was lost");
        }
        self.fail_hopeless_series(&self.devices_of(id));
    }

    /// Takes an agent that is gone off the list.
    pub(super) fn forget_agent(&mut self, id: AgentId, cause: Cause) {
        if let Some(agent) = self.agents.remove(&id) {
            let gone = Gone {
                agent: id,
                hostname: agent.host.hostname,
                cause,
            };
            for device in agent.devices.keys() {
                self.unclaim(device, &gone);
            }
        }
    }

    /// Ids of the devices that an agent offers.
    pub(super) fn devices_of(&self, id: AgentId) -> BTreeSet<String> {
        let agent = self.agents.get(&id).into_iter();
        agent
            .flat_map(|agent| agent.devices.keys().cloned())
            .collect()
    }

    /// Commits that an attempt is with its agent, whether it is told now or was found at a hello.
    pub(super) fn record_acceptance(&mut self, id: AttemptId) {
        if let Some(attempt) = self.attempts.get_mut(&id) {
            attempt.state = AttemptState::Accepted;
            // From now on another can wait behind it.
            self.dirty.insert(attempt.device.clone());
        }
        self.persist(Record::AttemptAccepted { attempt: id });
        self.set_deadline(id, self.limit_in_line(id));
    }
}
