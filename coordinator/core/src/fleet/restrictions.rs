//! What a person, or an agent's own record of failure, holds against giving it work: drained, cordoned. Kept in the store, so that neither side's restart
//! takes it back.

use std::collections::BTreeSet;

use batchstep_proto::{
    ids::{AgentId, SeriesId},
    wire,
    workload::WorkloadSpec,
};

use super::{Answer, Record, Refusal, ReplyKey, State, ToAgent};

/// Why an agent gets no work.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Restriction {
    /// The name of its host when it was last restricted.
    pub hostname: String,
    /// A person drains it, and why; may be empty.
    pub drain: Option<String>,
    /// Everything it tried failed, and how.
    pub cordon: Option<String>,
}

impl Restriction {
    /// True when nothing is left of it.
    #[must_use]
    pub const fn is_lifted(&self) -> bool {
        self.drain.is_none() && self.cordon.is_none()
    }
}

/// Attempts of an agent in a row that measured nothing.
#[derive(Debug, Clone, Default)]
pub(super) struct Failing {
    attempts: u32,
    series: BTreeSet<SeriesId>,
    workloads: BTreeSet<WorkloadSpec>,
}

impl State {
    pub(super) fn drain(&mut self, reply: ReplyKey, id: AgentId, drain: bool, reason: String) {
        if !self.agents.contains_key(&id) && !self.restrictions.contains_key(&id) {
            let refusal = self.no_such_agent(id);
            self.reply(reply, Answer::Refused(refusal));
            return;
        }
        let mut restriction = self.restrictions.get(&id).cloned().unwrap_or_default();
        if drain {
            restriction.drain = Some(reason.clone());
        } else {
            restriction.drain = None;
            restriction.cordon = None;
            self.failing.remove(&id);
        }
        self.restrict(id, restriction);
        // To take it back needs no message: an agent takes whatever it is given.
        if drain && let Some(session) = self.agents.get(&id).and_then(|agent| agent.session) {
            self.send(session, ToAgent::Drain { reason });
        }
        self.reply(reply, Answer::Drained);
    }

    fn restrict(&mut self, id: AgentId, mut restriction: Restriction) {
        if let Some(agent) = self.agents.get(&id) {
            restriction.hostname.clone_from(&agent.host.hostname);
            self.dirty.extend(agent.devices.keys().cloned());
        }
        self.persist(Record::AgentRestricted {
            agent: id,
            restriction: restriction.clone(),
        });
        self.journal(
            None,
            wire::event::Kind::AgentRestricted(wire::AgentRestricted {
                agent_id: id.to_string(),
                hostname: restriction.hostname.clone(),
                drain_reason: restriction.drain.clone(),
                cordon_reason: restriction.cordon.clone(),
            }),
        );
        if restriction.is_lifted() {
            self.restrictions.remove(&id);
            self.expand_waiting_sweeps();
        } else {
            self.restrictions.insert(id, restriction);
        }
    }

    pub(super) fn remove(&mut self, reply: ReplyKey, id: AgentId) {
        let connected = self
            .agents
            .get(&id)
            .filter(|agent| agent.session.is_some())
            .map(|agent| agent.host.hostname.clone());
        if let Some(host) = connected {
            let message = format!(
                "the agent {id} on {host} is connected; stop it first, or drain it and leave it on the list"
            );
            self.reply(reply, Answer::Refused(Refusal::Conflict(message)));
            return;
        }
        if !self.agents.contains_key(&id) && !self.restrictions.contains_key(&id) {
            let refusal = self.no_such_agent(id);
            self.reply(reply, Answer::Refused(refusal));
            return;
        }
        let out = self.open.get(&id).cloned().unwrap_or_default();
        for attempt in out {
            self.expire(attempt, "its agent was removed");
        }
        if let Some(mut restriction) = self.restrictions.remove(&id) {
            restriction.drain = None;
            restriction.cordon = None;
            self.persist(Record::AgentRestricted {
                agent: id,
                restriction,
            });
        }
        self.failing.remove(&id);
        self.forget_agent(id);
        self.reply(reply, Answer::Removed);
    }

    fn no_such_agent(&self, id: AgentId) -> Refusal {
        let known: Vec<String> = self.agents.keys().map(ToString::to_string).collect();
        Refusal::NotFound(if known.is_empty() {
            format!("no agent {id}; no agent has connected yet")
        } else {
            format!("no agent {id}; known: {}", super::views::shortened(&known))
        })
    }

    /// Notes that an agent has measured something.
    pub(super) fn note_success(&mut self, agent: AgentId) {
        self.failing.remove(&agent);
    }

    /// Notes that an attempt measured nothing for a reason of its own; true when that is so of everything its agent does.
    pub(super) fn note_failure(&mut self, agent: AgentId, id: SeriesId) -> bool {
        let Some(series) = self.series.get(&id) else {
            return false;
        };
        let workload = series.plan.workload.clone();
        let failing = self.failing.entry(agent).or_default();
        failing.attempts = failing.attempts.saturating_add(1);
        failing.series.insert(id);
        failing.workloads.insert(workload);
        let failing = failing.clone();
        // One network that runs nowhere is no fault of the host.
        failing.attempts >= self.config.cordon_limit
            && !self.is_cordoned(agent)
            && (failing.workloads.len() > 1
                || failing
                    .series
                    .iter()
                    .any(|id| self.works_elsewhere(*id) || self.others_measured(*id, agent)))
    }

    /// Gives an agent no work any more, since it fails at everything.
    pub(super) fn cordon(&mut self, agent: AgentId, message: &str) {
        let failing = self.failing.get(&agent).cloned().unwrap_or_default();
        let mut restriction = self.restrictions.get(&agent).cloned().unwrap_or_default();
        restriction.cordon = Some(format!(
            "{} attempts in a row measured nothing; the last: {message}",
            failing.attempts
        ));
        self.restrict(agent, restriction);
        self.fail_hopeless_series_of(agent);
    }

    pub(super) fn is_cordoned(&self, agent: AgentId) -> bool {
        self.restrictions
            .get(&agent)
            .is_some_and(|restriction| restriction.cordon.is_some())
    }

    /// True when another device of the same sweep has measured what this series measures.
    fn works_elsewhere(&self, id: SeriesId) -> bool {
        let Some(series) = self.series.get(&id) else {
            return false;
        };
        let Some(sweep) = self.sweeps.get(&series.plan.sweep) else {
            return false;
        };
        let siblings = sweep.series.iter().filter_map(|id| self.series.get(id));
        let mut siblings = siblings.filter(|sibling| {
            sibling.plan.workload == series.plan.workload
                && sibling.plan.hostname != series.plan.hostname
        });
        siblings.any(|sibling| sibling.summary.blocks > 0)
    }

    /// Ends the series that only a cordoned agent could run: their sweeps are not to wait for somebody to mend a host.
    pub(super) fn fail_hopeless_series_of(&mut self, id: AgentId) {
        let Some(agent) = self.agents.get(&id) else {
            return;
        };
        let devices: Vec<String> = agent.devices.keys().cloned().collect();
        for device in devices {
            let Some((host, _)) = self.hopeless(&device) else {
                continue;
            };
            let line: Vec<SeriesId> = self
                .lanes
                .get(&device)
                .into_iter()
                .flat_map(|lane| &lane.queue)
                .map(|turn| turn.series)
                .collect();
            for id in line {
                if self.series.get(&id).is_some_and(|it| it.plan.is_shared()) {
                    self.fail_if_abandoned(id);
                } else {
                    let message =
                        format!("the agent on {host} is cordoned: it fails at everything");
                    self.give_up(id, message);
                }
            }
        }
    }

    /// The host of a device that nobody but a cordoned agent offers, and why it is cordoned; agents that are lost do not count.
    pub(super) fn hopeless(&self, device: &str) -> Option<(String, String)> {
        let claimants = &self.lanes.get(device)?.claimants;
        let mut here = claimants
            .iter()
            .filter(|id| self.agents.get(id).is_some_and(|agent| !agent.lost));
        let first = *here.next()?;
        let cordon = self.restrictions.get(&first)?.cordon.as_ref()?;
        let host = &self.agents.get(&first)?.host.hostname;
        let reason = format!("its agent is cordoned: {cordon}");
        here.all(|id| self.is_cordoned(*id))
            .then(|| (host.clone(), reason))
    }
}
