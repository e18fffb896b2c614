//! Answers that need no decision of the state machine. Used by the task only.

use batchstep_core::fleet::{Answer, Refusal};
use batchstep_proto::{causes::chain, domain::SweepSpec, ids::SweepId};

use super::{EngineError, Reply};
use crate::store::{Store, StoreError};

/// Answers a request that is on record: with its sweep, unless it asks for another one now.
pub(super) async fn submitted_before(
    store: &impl Store,
    known: SweepId,
    spec: &SweepSpec,
    reply: Reply,
) {
    match store.sweep(known).await {
        Ok(Some(stored)) if stored.spec != *spec => {
            let refusal = Refusal::Invalid(format!(
                "field `request_id`: it submitted sweep {known} with another spec before; every new sweep needs an id of its own"
            ));
            respond(reply, Ok(Answer::Refused(refusal)));
        }
        Ok(_) => respond(reply, Ok(Answer::Submitted(known))),
        Err(error) => unreadable(&error, reply),
    }
}

pub(super) fn respond(reply: Reply, answer: Result<Answer, EngineError>) {
    // A caller that hung up asks again: every call is idempotent.
    let _ = reply.send(answer);
}

pub(super) fn unreadable(error: &StoreError, reply: Reply) {
    tracing::error!(error = chain(error), "The store cannot be read.");
    respond(reply, Err(EngineError::StoreFailed));
}
