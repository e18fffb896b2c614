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
use tokio::sync::Semaphore;
use tonic::{Request, Response, Status};

use super::invalid;
use crate::{
    pki::{Caller, Identities, IssuedCertificate},
    store::Store,
};

/// Enrolments that are looked at side by side: each may sign and write, and anybody may ask.
const AT_A_TIME: usize = 16;

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
}

#[tonic::async_trait]
impl<S: Store> EnrollmentService for Enrollment<S> {
    async fn enroll(
        &self,
        request: Request<EnrollRequest>,
    ) -> Result<Response<EnrollResponse>, Status> {
        let _turn = self.turns.try_acquire().map_err(|_| {
            Status::resource_exhausted("too many agents are joining at once; try again in a moment")
        })?;
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
