//! Why agents were last turned away at their hello, for whoever asks why one gets no work. Noted by the service for agents. In memory only, and one for each
//! agent that is on record at most.

use batchstep_proto::{ids::AgentId, limits};
use jiff::Timestamp;

use super::Identities;

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TurnedAway {
    pub at: Timestamp,
    /// As the agent was told.
    pub reason: String,
}

impl<S> Identities<S> {
    /// Notes that an agent was turned away for a reason that stands until somebody does something about it.
    pub(crate) fn note_refusal(&self, agent: AgentId, reason: &str, now: Timestamp) {
        let mut known = self.known();
        if !known.agents.contains_key(&agent) {
            return;
        }
        let end = reason.floor_char_boundary(limits::ERROR_BYTES);
        let reason = reason[..end].replace(char::is_control, " ");
        known.refusals.insert(agent, TurnedAway { at: now, reason });
    }

    /// Notes that an agent has a session.
    pub(crate) fn note_welcome(&self, agent: AgentId) {
        self.known().refusals.remove(&agent);
    }

    /// Why an agent was last turned away; `None`: it has been welcome since, or has not tried since the coordinator started.
    pub(crate) fn refusal(&self, agent: AgentId) -> Option<TurnedAway> {
        self.known().refusals.get(&agent).cloned()
    }
}
