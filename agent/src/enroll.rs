//! Trades a join token for an identity. Used by `batchstep-agent enroll` only, once in the life of a state directory.

use batchstep_identity::{Fingerprint, Token, TokenKind, client_config};
use batchstep_proto::{
    domain::HostFacts,
    wire::{EnrollRequest, EnrollResponse, enrollment_service_client::EnrollmentServiceClient},
};
use tokio::time::{self, Instant};
use tonic::{
    Code, Status,
    transport::{Channel, Endpoint},
};

use crate::{
    credentials::{CredentialsError, Identity, NewKey},
    retry,
    session::{DialError, connect, with_timeouts},
};

/// An enrolment that came to nothing. The token may be tried again unless the coordinator says that it was used.
#[derive(Debug, thiserror::Error)]
pub enum EnrollError {
    /// The address is not one of a coordinator that serves TLS.
    #[error(
        "{0:?} cannot be enrolled with; write https://HOST:PORT, as of `batchstep serve --listen`"
    )]
    Address(String),
    /// A token of another kind.
    #[error("this is {0} token; a join token of `batchstep token create` is needed")]
    NotToJoin(&'static str),
    /// TLS cannot be set up.
    #[error("cannot set up TLS")]
    Tls(#[source] rustls::Error),
    /// Nobody answers, or somebody else than the coordinator that made the token.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// The coordinator refuses.
    #[error("the coordinator refuses: {}", .0.message())]
    Refused(Status),
    /// It takes too long.
    #[error("the coordinator does not answer in time")]
    Silent,
    /// The identity cannot be made or is not what was asked for.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
}

/// Asks the coordinator at `address` for an identity. Nothing is sent before the coordinator has proved that it has the authority that the token
/// names; the key never leaves this process but to the state directory.
///
/// # Errors
/// When the coordinator cannot be reached, is another one, or refuses.
pub async fn enroll(
    address: &str,
    token: &Token,
    host: HostFacts,
) -> Result<Identity, EnrollError> {
    match token.kind {
        TokenKind::Join => {}
        TokenKind::Operator => return Err(EnrollError::NotToJoin("an operator")),
        TokenKind::Monitor => return Err(EnrollError::NotToJoin("a monitor")),
    }
    let endpoint = with_timeouts(endpoint(address)?);
    let config = client_config(token.authority, None).map_err(EnrollError::Tls)?;
    let channel = connect(address, &endpoint, Some(config)).await?;
    let key = NewKey::generate()?;
    let request = EnrollRequest {
        join_token: token.reveal(),
        signing_request: key.signing_request.clone(),
        host: Some(host.into()),
    };
    let answer = ask(channel, request).await?;
    if Fingerprint::of(&answer.ca_certificate) != token.authority {
        let problem = "it comes with another authority than the token's".to_owned();
        return Err(CredentialsError::Unfitting(problem).into());
    }
    Ok(key.with(answer.certificate_chain, answer.ca_certificate)?)
}

/// Asks until there is an answer, where too many others are asking at the same time: the rack that is switched on at once.
async fn ask(channel: Channel, request: EnrollRequest) -> Result<EnrollResponse, EnrollError> {
    let mut client = EnrollmentServiceClient::new(channel);
    let begun = Instant::now();
    let mut backoff = retry::Backoff::default();
    loop {
        let answer = time::timeout(retry::RENEWAL_TIMEOUT, client.enroll(request.clone()))
            .await
            .map_err(|_| EnrollError::Silent)?;
        let refusal = match answer {
            Ok(answer) => return Ok(answer.into_inner()),
            Err(refusal) => refusal,
        };
        // Nothing else is sure to have used nothing of the token.
        let may_ask_again = refusal.code() == Code::ResourceExhausted;
        if !may_ask_again || begun.elapsed() > retry::ENROLMENT_PATIENCE {
            return Err(EnrollError::Refused(refusal));
        }
        tracing::info!(
            reason = refusal.message(),
            "The coordinator has no time for this agent yet; it asks again."
        );
        time::sleep(backoff.next(begun.elapsed(), true, retry::random())).await;
    }
}

fn endpoint(address: &str) -> Result<Endpoint, EnrollError> {
    let malformed = || EnrollError::Address(address.to_owned());
    let endpoint = Endpoint::from_shared(address.to_owned()).map_err(|_| malformed())?;
    let is_tls = endpoint.uri().scheme_str() == Some("https");
    if is_tls && endpoint.uri().port().is_some() {
        Ok(endpoint)
    } else {
        Err(malformed())
    }
}
