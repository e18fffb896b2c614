//! What people do to agents: drain them, give them work again, take them off the list. Asked by the service for operators; which agents there are is known
//! by the fleet and by who is enrolled together, and the fleet decides.

use std::collections::BTreeSet;

use batchstep_core::fleet::{Refusal, shortened};
use batchstep_proto::{
    ids::AgentId,
    wire::{DrainAgentRequest, DrainAgentResponse, RemoveAgentRequest, RemoveAgentResponse},
};
use tonic::Status;

use super::{id, reason};
use crate::{
    engine::{Engine, EngineError, Removed},
    pki::{Identities, Removal},
    store::Store,
};

/// Drains an agent, or gives it work again.
///
/// # Errors
/// When there is no such agent, it was revoked, or it cannot be recorded.
pub(super) async fn drain<S: Store>(
    engine: &Engine,
    identities: &Identities<S>,
    request: DrainAgentRequest,
) -> Result<DrainAgentResponse, Status> {
    let agent: AgentId = id("agent_id", &request.agent_id)?;
    let why = reason("reason", request.reason)?;
    if request.drain && identities.is_revoked(agent) {
        return Err(Status::failed_precondition(format!(
            "the agent {agent} was revoked: it gets no work anyway"
        )));
    }
    let enrolled = identities.enrolment(agent);
    match engine.drain(agent, request.drain, why, enrolled).await {
        Ok(()) => Ok(DrainAgentResponse {}),
        Err(error) => Err(refusal(error, agent, engine, identities).await),
    }
}

/// Takes an agent off the list, in the fleet first: what refuses it there leaves its host and devices its own.
///
/// # Errors
/// When there is no such agent, it is connected, or it cannot be recorded.
pub(super) async fn remove<S: Store>(
    engine: &Engine,
    identities: &Identities<S>,
    request: &RemoveAgentRequest,
) -> Result<RemoveAgentResponse, Status> {
    let agent: AgentId = id("agent_id", &request.agent_id)?;
    let enrolled = identities.enrolment(agent);
    let Removed { failed, waiting } = match engine.remove(agent, request.replaced, enrolled).await {
        Ok(removed) => removed,
        Err(error) => return Err(refusal(error, agent, engine, identities).await),
    };
    // It may say hello between the two, and is no removed one then. A coordinator that cannot tell stops, or lost its state and all sessions with it.
    let is_back = async { engine.is_here(agent).await.unwrap_or(false) };
    if identities.remove_agent(agent, is_back).await? == Removal::IsBack {
        return Err(Status::failed_precondition(format!(
            "the agent {agent} came back while it was removed; stop it, then remove it again"
        )));
    }
    tracing::info!(%agent, failed, waiting, "An agent was removed; series that only it could run have failed, or wait for its devices.");
    let count = |series| u32::try_from(series).unwrap_or(u32::MAX);
    Ok(RemoveAgentResponse {
        series_failed: count(failed),
        series_waiting: count(waiting),
    })
}

/// The status for what the fleet refuses; where there is no such agent it names those that `batchstep agents list` shows.
async fn refusal<S: Store>(
    error: EngineError,
    agent: AgentId,
    engine: &Engine,
    identities: &Identities<S>,
) -> Status {
    if !matches!(error, EngineError::Refused(Refusal::NotFound(_))) {
        return error.into();
    }
    let known = match engine.agents().await {
        Ok(known) => known,
        Err(error) => return error.into(),
    };
    let known = known.into_iter().map(|agent| agent.agent_id);
    let mut listed: BTreeSet<String> = known.collect();
    for (enrolled, _) in identities.enrolled() {
        if enrolled.revoked.is_some() {
            listed.remove(&enrolled.agent.to_string());
        } else if !enrolled.removed {
            listed.insert(enrolled.agent.to_string());
        }
    }
    let listed: Vec<String> = listed.into_iter().collect();
    Status::not_found(if listed.is_empty() {
        format!(
            "no agent {agent}; none is enrolled, and none has connected since the coordinator started"
        )
    } else {
        format!("no agent {agent}; known: {}", shortened(&listed))
    })
}
