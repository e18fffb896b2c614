//! `EnrollmentService`: how agents get an identity, and a new certificate for it. The one service that somebody without an identity may call.

use std::{sync::Arc, time::Duration};

use batchstep_identity::Token;
use batchstep_proto::{
    domain::{HostFacts, InvalidField, nanos},
    wire::{
        EnrollRequest, EnrollResponse, RenewRequest, RenewResponse,
        enrollment_service_server::EnrollmentService,
    },
};
use jiff::Timestamp;
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::timeout,
};
use tonic::{Request, Response, Status};

use super::invalid;
use crate::{
    pki::{Caller, Identities, IssuedCertificate},
    store::Store,
};

/// Enrolments that are carried out side by side: each signs and writes.
const AT_A_TIME: usize = 16;
/// Longest wait for a turn; agents are as patient with one answer (`RENEWAL_TIMEOUT` there is 30 s), and try again after it.
const TURN_TIMEOUT: Duration = Duration::from_secs(10);

/// The service over who is known.
pub struct Enrollment<S> {
    identities: Arc<Identities<S>>,
    turns: Semaphore,
}

impl<S> Enrollment<S> {
    /// The service.
    #[must_use]
    pub const fn new(identities: Arc<Identities<S>>) -> Self {
        Self {
            identities,
            turns: Semaphore::const_new(AT_A_TIME),
        }
    }

    /// One of the places at the door, while it is held.
    async fn turn(&self) -> Result<SemaphorePermit<'_>, Status> {
        let turn = timeout(TURN_TIMEOUT, self.turns.acquire()).await;
        turn.ok().and_then(Result::ok).ok_or_else(|| {
            Status::resource_exhausted("too many agents are joining at once; try again in a moment")
        })
    }
}

#[tonic::async_trait]
impl<S: Store> EnrollmentService for Enrollment<S> {
    async fn enroll(
        &self,
        request: Request<EnrollRequest>,
    ) -> Result<Response<EnrollResponse>, Status> {
        let request = request.into_inner();
        let token: Token =
            request
                .join_token
                .parse()
                .map_err(|error: batchstep_identity::TokenError| {
                    invalid(InvalidField::new("join_token", error.to_string()))
                })?;
        let host = request
            .host
            .ok_or_else(|| invalid(InvalidField::new("host", "is missing")))?;
        let host = HostFacts::try_from(host).map_err(invalid)?;
        // Whoever has no good token does not keep others waiting.
        self.identities.check(&token, Timestamp::now())?;
        let _turn = self.turn().await?;
        let now = Timestamp::now();
        let (agent, issued) = self
            .identities
            .enroll(&token, &request.signing_request, host.hostname, now)
            .await?;
        Ok(Response::new(EnrollResponse {
            agent_id: agent.to_string(),
            valid_for_ns: valid_for(&issued, now),
            certificate_chain: chain(issued),
            ca_certificate: self.identities.authority_certificate()?.to_vec(),
        }))
    }

    async fn renew(
        &self,
        request: Request<RenewRequest>,
    ) -> Result<Response<RenewResponse>, Status> {
        let Caller::Agent(agent) = Caller::of(&request)? else {
            return Err(Status::failed_precondition(
                "certificates are renewed over TLS, with the one that there is",
            ));
        };
        let now = Timestamp::now();
        let signing_request = request.into_inner().signing_request;
        let issued = self.identities.renew(agent, &signing_request, now).await?;
        Ok(Response::new(RenewResponse {
            valid_for_ns: valid_for(&issued, now),
            certificate_chain: chain(issued),
            ca_certificate: self.identities.authority_certificate()?.to_vec(),
        }))
    }
}

fn chain(issued: IssuedCertificate) -> Vec<Vec<u8>> {
    let certificates = issued.chain.into_iter();
    certificates
        .map(|certificate| certificate.to_vec())
        .collect()
}

fn valid_for(issued: &IssuedCertificate, now: Timestamp) -> u64 {
    let rest = issued.expires_at.duration_since(now);
    nanos(Duration::try_from(rest).unwrap_or_default())
}
