//! What a person, or an agent's own record of failure, holds against giving it work: drained, cordoned. Kept in the store, so that neither side's restart
//! takes it back.

use std::collections::BTreeSet;

use batchstep_proto::{
    ids::{AgentId, SeriesId},
    wire,
    workload::WorkloadSpec,
};

use super::{
    Answer, Enrolled, Record, Refusal, ReplyKey, State, ToAgent,
    absent::{Cause, Gone},
};

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

    /// For its agent.
    fn reason(&self) -> Option<String> {
        match (&self.drain, &self.cordon) {
            (Some(reason), _) if reason.is_empty() => Some("drained".to_owned()),
            (Some(reason), _) => Some(format!("drained: {reason}")),
            (None, Some(reason)) => Some(format!("cordoned: {reason}")),
            (None, None) => None,
        }
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
    /// Drains an agent for a reason, or, without one, gives it work again.
    pub(super) fn drain(
        &mut self,
        reply: ReplyKey,
        id: AgentId,
        reason: Option<String>,
        enrolled: Option<&Enrolled>,
    ) {
        if !self.is_listed(id) && enrolled.is_none() {
            self.reply(reply, Answer::Refused(no_such_agent(id)));
            return;
        }
        let mut restriction = self.restrictions.get(&id).cloned().unwrap_or_default();
        if let Some(enrolled) = enrolled
            && restriction.hostname.is_empty()
        {
            restriction.hostname.clone_from(&enrolled.hostname);
        }
        let drains = reason.is_some();
        restriction.drain = reason;
        if !drains {
            restriction.cordon = None;
            self.failing.remove(&id);
        }
        self.restrict(id, restriction);
        // To take it back needs no message: an agent takes whatever it is given.
        if drains {
            self.tell_restriction(id);
        }
        self.reply(reply, Answer::Drained);
    }

    /// True of an agent that has connected since the coordinator started, or is restricted.
    fn is_listed(&self, id: AgentId) -> bool {
        self.agents.contains_key(&id) || self.restrictions.contains_key(&id)
    }

    /// Tells an agent that gets no work to finish what runs and to give back what waits, if it can be told; else it is told after its next hello.
    pub(super) fn tell_restriction(&mut self, id: AgentId) {
        let session = self.agents.get(&id).and_then(|agent| agent.session);
        let reason = self.restrictions.get(&id).and_then(Restriction::reason);
        if let (Some(session), Some(reason)) = (session, reason) {
            self.send(session, ToAgent::Drain { reason });
        }
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

    /// Takes an agent off the list for good. What only it could run fails, or, where it is replaced, waits for another agent with its devices.
    pub(super) fn remove(
        &mut self,
        reply: ReplyKey,
        id: AgentId,
        replaced: bool,
        enrolled: Option<Enrolled>,
    ) {
        let agent = self.agents.get(&id);
        if let Some(agent) = agent.filter(|agent| agent.session.is_some()) {
            let host = &agent.host.hostname;
            let message = format!(
                "the agent {id} on {host} is connected; stop it first, or drain it and leave it on the list"
            );
            self.reply(reply, Answer::Refused(Refusal::Conflict(message)));
            return;
        }
        let left = self.left_by(id);
        if !self.is_listed(id) && enrolled.is_none() && left.is_empty() {
            self.reply(reply, Answer::Refused(no_such_agent(id)));
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
        let enrolled = enrolled.unwrap_or_default();
        let mut devices = self.devices_of(id);
        devices.extend(left);
        devices.extend(enrolled.devices);
        let cause = Cause::Removed { replaced };
        self.forget_agent(id, cause);
        let removed = Gone {
            agent: id,
            hostname: enrolled.hostname,
            cause,
        };
        self.note_removal(&removed, &devices);
        let (failed, waiting) = self.fail_hopeless_series(&devices);
        if !replaced {
            self.depart_for_good(&devices);
        }
        self.reply(reply, Answer::Removed { failed, waiting });
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
        self.tell_restriction(agent);
        self.fail_hopeless_series(&self.devices_of(agent));
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
}

fn no_such_agent(id: AgentId) -> Refusal {
    Refusal::NotFound(format!("no agent {id}"))
}
