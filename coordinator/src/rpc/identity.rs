//! `IdentityService`: tokens, and what is taken back.

use std::{sync::Arc, time::Duration};

use batchstep_identity::TokenKind;
use batchstep_proto::{
    domain::InvalidField,
    ids::AgentId,
    wire::{
        self, CreateTokenRequest, CreateTokenResponse, ListEnrolledRequest, ListEnrolledResponse,
        ListTokensRequest, ListTokensResponse, RevokeAgentRequest, RevokeAgentResponse,
        RevokeTokenRequest, RevokeTokenResponse, identity_service_server::IdentityService,
    },
};
use jiff::Timestamp;
use tonic::{Request, Response, Status};

use super::{id, invalid, reason};
use crate::{
    pki::{Identities, NewToken, TurnedAway},
    store::{EnrolledAgent, Store, StoredToken},
};

/// The service over who is known.
pub struct IdentityKeeper<S> {
    identities: Arc<Identities<S>>,
}

impl<S> IdentityKeeper<S> {
    /// The service.
    #[must_use]
    pub const fn new(identities: Arc<Identities<S>>) -> Self {
        Self { identities }
    }
}

#[tonic::async_trait]
impl<S: Store> IdentityService for IdentityKeeper<S> {
    async fn create_token(
        &self,
        request: Request<CreateTokenRequest>,
    ) -> Result<Response<CreateTokenResponse>, Status> {
        let request = request.into_inner();
        let kind = TokenKind::try_from(request.kind())
            .map_err(|problem| invalid(InvalidField::new("kind", problem)))?;
        let agent = request.agent_id.as_deref();
        let wanted = NewToken {
            kind,
            name: request.name,
            ttl: Duration::from_nanos(request.ttl_ns),
            uses: request.uses,
            agent: agent.map(|agent| id("agent_id", agent)).transpose()?,
        };
        let (token, stored) = self
            .identities
            .create_token(wanted, Timestamp::now())
            .await?;
        Ok(Response::new(CreateTokenResponse {
            token: token.reveal(),
            created: Some(to_wire(stored)),
        }))
    }

    async fn list_tokens(
        &self,
        _request: Request<ListTokensRequest>,
    ) -> Result<Response<ListTokensResponse>, Status> {
        let tokens = self.identities.tokens().into_iter().map(to_wire);
        Ok(Response::new(ListTokensResponse {
            tokens: tokens.collect(),
        }))
    }

    async fn revoke_token(
        &self,
        request: Request<RevokeTokenRequest>,
    ) -> Result<Response<RevokeTokenResponse>, Status> {
        let token = request.get_ref().token_id.parse().map_err(|_| {
            let problem =
                "16 hexadecimal digits are expected, as `batchstep token list` shows them";
            invalid(InvalidField::new("token_id", problem))
        })?;
        self.identities.revoke_token(token).await?;
        Ok(Response::new(RevokeTokenResponse {}))
    }

    async fn list_enrolled(
        &self,
        _request: Request<ListEnrolledRequest>,
    ) -> Result<Response<ListEnrolledResponse>, Status> {
        let agents = self.identities.enrolled().into_iter();
        let agents = agents.map(|(agent, machine_id)| {
            let refused = self.identities.refusal(agent.agent);
            enrolled_to_wire(agent, machine_id, refused)
        });
        Ok(Response::new(ListEnrolledResponse {
            agents: agents.collect(),
        }))
    }

    async fn revoke_agent(
        &self,
        request: Request<RevokeAgentRequest>,
    ) -> Result<Response<RevokeAgentResponse>, Status> {
        let request = request.into_inner();
        let agent: AgentId = id("agent_id", &request.agent_id)?;
        let why = reason("reason", request.reason)?;
        let now = Timestamp::now();
        let revoked = self.identities.revoke_agent(agent, why, now).await?;
        Ok(Response::new(RevokeAgentResponse { revoked }))
    }
}

fn enrolled_to_wire(
    agent: EnrolledAgent,
    machine_id: Option<String>,
    refused: Option<TurnedAway>,
) -> wire::EnrolledAgent {
    let (revoked_at, revoked_reason) = match agent.revoked {
        Some(revocation) => (Some(revocation.at.to_string()), revocation.reason),
        None => (None, String::new()),
    };
    let (refused_at, refused_reason) = match refused {
        Some(refused) => (Some(refused.at.to_string()), refused.reason),
        None => (None, String::new()),
    };
    wire::EnrolledAgent {
        agent_id: agent.agent.to_string(),
        hostname: agent.hostname,
        enrolled_at: agent.enrolled_at.to_string(),
        certificate_ends_at: agent.expires_at.to_string(),
        revoked_at,
        revoked_reason,
        removed: agent.removed,
        machine_id,
        refused_at,
        refused_reason,
    }
}

fn to_wire(token: StoredToken) -> wire::Token {
    wire::Token {
        id: token.id.to_string(),
        kind: wire::TokenKind::from(token.kind) as i32,
        name: token.name,
        created_at: token.created_at.to_string(),
        expires_at: token.expires_at.to_string(),
        uses: token.uses,
        used: token.used,
        revoked: token.revoked,
        agent_id: token.agent.map(|agent| agent.to_string()),
    }
}
