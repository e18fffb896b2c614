//! Who may call what: one table over the paths of all requests, asked before anything else sees them. What is not in it is refused.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Request, State},
    http::{
        StatusCode,
        header::{AUTHORIZATION, CONTENT_TYPE, WWW_AUTHENTICATE},
    },
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use batchstep_identity::{Token, TokenKind};
use batchstep_proto::ids::AgentId;
use jiff::Timestamp;
use tonic::{Code, Status};

use super::{
    Identities, Peer, PkiError,
    answer::{Lasting, TokenEnd},
};
use crate::store::Store;

/// Whose request it is. In the extensions of every request that is let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Caller {
    /// Somebody on this host, where no identity is asked for.
    Local,
    /// Somebody without an identity.
    Nobody,
    /// An agent, by its certificate.
    Agent(AgentId),
    /// An operator, by a token.
    Operator,
    /// A monitor, by a token.
    Monitor,
}

impl Caller {
    /// The caller of a request.
    ///
    /// # Errors
    /// When nobody has asked who it is: such a request is let do nothing.
    pub(crate) fn of<T>(request: &tonic::Request<T>) -> Result<Self, Status> {
        let caller = request.extensions().get().copied();
        caller.ok_or_else(|| Status::internal("the request did not come through the door"))
    }

    /// Whose certificate the call came with.
    pub(crate) const fn agent(self) -> Option<AgentId> {
        match self {
            Self::Agent(agent) => Some(agent),
            Self::Local | Self::Nobody | Self::Operator | Self::Monitor => None,
        }
    }

    /// Holds an agent to its own name; passes where no identity is asked for.
    ///
    /// # Errors
    /// When `claimed` is somebody else.
    pub(crate) fn must_be(self, claimed: AgentId) -> Result<(), Status> {
        match self {
            Self::Local => Ok(()),
            Self::Agent(agent) if agent == claimed => Ok(()),
            Self::Agent(agent) => Err(Status::permission_denied(format!(
                "the certificate is that of agent {agent}, which cannot speak for agent {claimed}"
            ))),
            Self::Nobody | Self::Operator | Self::Monitor => Err(unidentified("an agent")),
        }
    }
}

/// What a path needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Needs {
    Nothing,
    Agent,
    Operator,
    Monitor,
}

fn needs(path: &str) -> Option<Needs> {
    let service = path.strip_prefix('/')?.split('/').next()?;
    Some(match (service, path) {
        // A token is in the request itself.
        (_, "/batchstep.v1.EnrollmentService/Enroll") => Needs::Nothing,
        (_, "/batchstep.v1.EnrollmentService/Renew") => Needs::Agent,
        ("batchstep.v1.AgentService", _) => Needs::Agent,
        (
            "batchstep.v1.OperatorService"
            | "batchstep.v1.IdentityService"
            | "batchstep.v1.NightlyService",
            _,
        ) => Needs::Operator,
        ("grpc.reflection.v1.ServerReflection", _) => Needs::Operator,
        // Whether the coordinator is up says nothing about the lab.
        ("grpc.health.v1.Health", _) | (_, "/healthz") => Needs::Nothing,
        (_, "/metrics") => Needs::Monitor,
        _ => return None,
    })
}

fn permit(path: &str, caller: Caller) -> Result<(), Status> {
    if caller == Caller::Local {
        return Ok(());
    }
    let Some(needs) = needs(path) else {
        return Err(match caller {
            Caller::Nobody => unidentified("an operator"),
            _ => Status::permission_denied("there is nothing here that may be called"),
        });
    };
    match (needs, caller) {
        (Needs::Nothing, _)
        | (Needs::Agent, Caller::Agent(_))
        | (Needs::Operator | Needs::Monitor, Caller::Operator)
        | (Needs::Monitor, Caller::Monitor) => Ok(()),
        (Needs::Agent, Caller::Nobody) => Err(unidentified("an agent")),
        (Needs::Operator, Caller::Nobody) => Err(unidentified("an operator")),
        (Needs::Monitor, Caller::Nobody) => Err(unidentified("a monitor")),
        (Needs::Agent, _) => Err(Status::permission_denied("only agents may call this")),
        (Needs::Operator, _) => Err(Status::permission_denied("only operators may call this")),
        (Needs::Monitor, _) => Err(Status::permission_denied(
            "only monitors and operators may read this",
        )),
    }
}

fn unidentified(who: &str) -> Status {
    let how = match who {
        "an agent" => "enrol with `batchstep-agent enroll` and dial with https://",
        "a monitor" => {
            "send `authorization: Bearer TOKEN` with a token of `batchstep token create --monitor NAME`"
        }
        _ => {
            "give a token of `batchstep token create --operator NAME` in BATCHSTEP_TOKEN or with --token-file"
        }
    };
    Status::unauthenticated(format!("this needs the identity of {who}: {how}"))
}

/// Finds out whose request it is, and passes it on or refuses it. What a token lets in goes on for as long as the token is good.
pub(crate) async fn admit<S: Store>(
    State(identities): State<Arc<Identities<S>>>,
    mut request: Request,
    next: Next,
) -> Response {
    let known = whose(&identities, &request);
    match known.and_then(|known| permit(request.uri().path(), known.caller).map(|()| known)) {
        Ok(Known { caller, token }) => {
            request.extensions_mut().insert(caller);
            let Some(token) = token else {
                return next.run(request).await;
            };
            let mut token_end: TokenEnd =
                Box::pin(async move { identities.token_end(&token).await.into() });
            let is_call = is_call(&request);
            tokio::select! {
                biased;
                answer = next.run(request) => answer.map(|body| Lasting::until(token_end, body)),
                status = &mut token_end => refusal(is_call, status),
            }
        }
        Err(status) => {
            let peer = request.extensions().get::<Peer>().map(|peer| peer.address);
            tracing::debug!(?peer, path = request.uri().path(), code = ?status.code(), reason = status.message(), "A request was refused.");
            refusal(is_call(&request), status)
        }
    }
}

/// Who calls, and the token that says so.
struct Known {
    caller: Caller,
    token: Option<Token>,
}

impl From<Caller> for Known {
    fn from(caller: Caller) -> Self {
        Self {
            caller,
            token: None,
        }
    }
}

fn whose<S: Store>(identities: &Identities<S>, request: &Request) -> Result<Known, Status> {
    if !identities.are_required() {
        return Ok(Caller::Local.into());
    }
    if let Some(header) = request.headers().get(AUTHORIZATION) {
        let token = header
            .to_str()
            .ok()
            .and_then(|text| text.strip_prefix("Bearer "))
            .ok_or_else(|| Status::unauthenticated("write `authorization: Bearer TOKEN`"))?;
        let token = token
            .parse::<Token>()
            .map_err(|error| Status::unauthenticated(error.to_string()))?;
        let kind = identities.check(&token, Timestamp::now())?;
        let caller = match kind {
            TokenKind::Operator => Caller::Operator,
            TokenKind::Monitor => Caller::Monitor,
            TokenKind::Join => return Err(PkiError::WrongKind("a join").into()),
        };
        return Ok(Known {
            caller,
            token: Some(token),
        });
    }
    match request
        .extensions()
        .get::<Peer>()
        .and_then(|peer| peer.agent)
    {
        Some(agent) => {
            identities.welcome(agent)?;
            Ok(Caller::Agent(agent).into())
        }
        None => Ok(Caller::Nobody.into()),
    }
}

/// True for gRPC, false for a browser or a scraper.
fn is_call(request: &Request) -> bool {
    let kind = request.headers().get(CONTENT_TYPE);
    kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}

fn refusal(is_call: bool, status: Status) -> Response {
    if is_call {
        return status.into_http::<Body>();
    }
    let message = format!("{}\n", status.message());
    if status.code() == Code::Unauthenticated {
        let challenge = [(WWW_AUTHENTICATE, "Bearer")];
        (StatusCode::UNAUTHORIZED, challenge, message).into_response()
    } else {
        (StatusCode::FORBIDDEN, message).into_response()
    }
}

impl From<PkiError> for Status {
    fn from(error: PkiError) -> Self {
        let message = error.to_string();
        match error {
            PkiError::UnknownToken
            | PkiError::ExpiredToken(_)
            | PkiError::RevokedToken
            | PkiError::UsedToken => Self::unauthenticated(message),
            PkiError::WrongKind(_)
            | PkiError::RevokedAgent(_)
            | PkiError::UnknownAgent
            | PkiError::AnothersHost { .. } => Self::permission_denied(message),
            PkiError::SigningRequest(_) | PkiError::Invalid { .. } | PkiError::Time(_) => {
                Self::invalid_argument(message)
            }
            PkiError::NoAuthority | PkiError::NotEnrolledHere(_) => {
                Self::failed_precondition(message)
            }
            PkiError::NotFound { .. } => Self::not_found(message),
            PkiError::Store(_) => {
                let cause = batchstep_proto::causes::chain(&error);
                tracing::error!(error = cause, "An identity could not be recorded.");
                Self::unavailable("the coordinator cannot record this at the moment; try again")
            }
            PkiError::File { .. }
            | PkiError::Damaged { .. }
            | PkiError::Issue(_)
            | PkiError::Tls(_)
            | PkiError::NoRandomness
            | PkiError::Name(_) => {
                let cause = batchstep_proto::causes::chain(&error);
                tracing::error!(error = cause, "A certificate could not be issued.");
                Self::internal("the coordinator cannot issue this; its log says more")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every call of every service of the protocol, from its own description.
    fn calls() -> Vec<String> {
        use prost::Message as _;
        let set =
            prost_types::FileDescriptorSet::decode(batchstep_proto::wire::FILE_DESCRIPTOR_SET);
        let mut calls = Vec::new();
        for file in set.unwrap().file {
            for service in &file.service {
                for method in &service.method {
                    calls.push(format!(
                        "/{}.{}/{}",
                        file.package(),
                        service.name(),
                        method.name()
                    ));
                }
            }
        }
        calls
    }

    #[test]
    fn every_call_has_its_rule_and_nobody_may_more_than_enrol() {
        let agent = Caller::Agent(AgentId::generate());
        for call in calls() {
            let allowed = |caller| permit(&call, caller).is_ok();
            assert!(needs(&call).is_some(), "{call} has no rule");
            let open = call.ends_with("/Enroll");
            assert_eq!(allowed(Caller::Nobody), open, "{call}");
            assert_eq!(allowed(Caller::Monitor), open, "{call}");
            assert!(allowed(Caller::Local), "{call}");
            assert!(
                open || allowed(agent) != allowed(Caller::Operator),
                "{call} is for agents or for operators, never for both"
            );
        }
    }

    #[test]
    fn what_is_not_in_the_table_is_refused() {
        let operator = Caller::Operator;
        for path in [
            "/",
            "",
            "/metrics/",
            "/batchstep.v1.EnrollmentService/Other",
            "/batchstep.v1.OperatorServiceX/GetTable",
            "//batchstep.v1.OperatorService/GetTable",
        ] {
            assert!(permit(path, operator).is_err(), "{path}");
        }
        assert!(permit("/metrics", Caller::Monitor).is_ok());
        assert!(permit("/metrics", Caller::Nobody).is_err());
        assert!(permit("/healthz", Caller::Nobody).is_ok());
    }
}
