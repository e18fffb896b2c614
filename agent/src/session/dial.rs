//! Opens a channel to the coordinator. A trait, so that the same agent runs over simulated networks.

use std::{future::Future, time::SystemTime};

use batchstep_identity::{TlsConnector, is_this_host};
use batchstep_proto::causes::innermost;
use rustls::ClientConfig;
use tonic::transport::{Channel, Endpoint};

use crate::{credentials::Credentials, retry};

/// A coordinator that cannot be dialled.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// The address is not one.
    #[error(
        "{0:?} is not the address of a coordinator; write http://HOST:PORT or https://HOST:PORT"
    )]
    Address(String),
    /// What it says would be read by others, and nobody would be known.
    #[error(
        "{0} is on another host, where everything is TLS; write https://HOST:PORT, and enrol this agent there with `batchstep-agent enroll`"
    )]
    PlainText(String),
    /// The agent has nothing to prove its identity with.
    #[error(
        "{0} serves enrolled agents only, and this one is not; make a token with `batchstep token create` there, and enrol with `batchstep-agent enroll --coordinator {0}`, this --state-dir and --token-file FILE"
    )]
    NotEnrolled(String),
    /// The agent's certificate has ended, by the clock of this host.
    #[error(
        "this agent's certificate ended at {ended}, and by the clock of this host it is {now}; if that is wrong (`date`), set it, and the agent goes on by itself; else stop the agent and enrol it again: make a token with `batchstep token create --agent {agent}`, and use it with `batchstep-agent enroll --replace`"
    )]
    Expired {
        /// Whose.
        agent: String,
        /// When, RFC 3339.
        ended: String,
        /// What the clock says, RFC 3339.
        now: String,
    },
    /// TLS cannot be set up.
    #[error("the agent's key and certificate cannot be used: {0}")]
    Credentials(rustls::Error),
    /// Nobody answers there.
    #[error("no connection to {address}: {reason}")]
    Connect {
        /// Where.
        address: String,
        /// The innermost reason, which transport errors hide.
        reason: String,
    },
}

impl DialError {
    /// True where trying again cannot help. A certificate that has ended is good again once a wrong clock is set, as after a boot without a battery.
    #[must_use]
    pub const fn is_final(&self) -> bool {
        !matches!(self, Self::Connect { .. } | Self::Expired { .. })
    }
}

/// Opens channels.
pub trait Dialer: Send + Sync + 'static {
    /// One try.
    fn dial(&self) -> impl Future<Output = Result<Channel, DialError>> + Send;

    /// What to look at where a channel opens and breaks before the other end has said a word.
    fn hint(&self) -> Option<&'static str> {
        None
    }
}

/// Dials over TCP.
#[derive(Debug, Clone)]
pub struct TcpDialer {
    address: String,
    endpoint: Endpoint,
    /// For TLS.
    credentials: Option<Credentials>,
}

impl TcpDialer {
    /// For `http://HOST:PORT`.
    ///
    /// # Errors
    /// When the address is malformed or asks for TLS.
    pub fn new(address: &str) -> Result<Self, DialError> {
        Self::with_credentials(address, None)
    }

    /// The same, and `https://HOST:PORT` with the credentials of an enrolled agent.
    ///
    /// # Errors
    /// When the address is malformed, or asks for TLS and there are no credentials.
    pub fn with_credentials(
        address: &str,
        credentials: Option<&Credentials>,
    ) -> Result<Self, DialError> {
        let malformed = || DialError::Address(address.to_owned());
        let endpoint = Endpoint::from_shared(address.to_owned()).map_err(|_| malformed())?;
        if endpoint.uri().port().is_none() {
            return Err(malformed());
        }
        let credentials = match endpoint.uri().scheme_str() {
            Some("http") if endpoint.uri().host().is_some_and(is_this_host) => None,
            Some("http") => return Err(DialError::PlainText(address.to_owned())),
            Some("https") => {
                let not_enrolled = || DialError::NotEnrolled(address.to_owned());
                Some(credentials.ok_or_else(not_enrolled)?.clone())
            }
            _ => return Err(malformed()),
        };
        Ok(Self {
            address: address.to_owned(),
            endpoint: with_timeouts(endpoint),
            credentials,
        })
    }
}

/// The keepalive and timeouts every channel of an agent has.
#[must_use]
pub fn with_timeouts(endpoint: Endpoint) -> Endpoint {
    endpoint
        .connect_timeout(retry::CONNECT_TIMEOUT)
        .http2_keep_alive_interval(retry::KEEPALIVE)
        .keep_alive_timeout(retry::KEEPALIVE)
        .keep_alive_while_idle(true)
        .tcp_nodelay(true)
}

impl Dialer for TcpDialer {
    async fn dial(&self) -> Result<Channel, DialError> {
        let credentials = self.credentials.as_ref();
        let tls = credentials.map(|credentials| client_config(credentials, SystemTime::now()));
        connect(&self.address, &self.endpoint, tls.transpose()?).await
    }

    fn hint(&self) -> Option<&'static str> {
        let is_plain = self.credentials.is_none();
        is_plain.then_some(
            "if the coordinator serves TLS there, write https:// and enrol this agent with `batchstep-agent enroll`",
        )
    }
}

/// One try to reach `address`, over TLS where that is set up.
pub(crate) async fn connect(
    address: &str,
    endpoint: &Endpoint,
    tls: Option<ClientConfig>,
) -> Result<Channel, DialError> {
    let dialled = match tls {
        None => endpoint.connect().await,
        Some(config) => {
            let connector = TlsConnector::new(config);
            endpoint.connect_with_connector(connector).await
        }
    };
    dialled.map_err(|error| DialError::Connect {
        address: address.to_owned(),
        reason: innermost(&error),
    })
}

fn client_config(credentials: &Credentials, now: SystemTime) -> Result<ClientConfig, DialError> {
    let identity = credentials.current();
    let ended = identity.validity().ends;
    // The coordinator would only break the connection off.
    if ended < now {
        return Err(DialError::Expired {
            agent: identity.agent().to_string(),
            ended: humantime::format_rfc3339_seconds(ended).to_string(),
            now: humantime::format_rfc3339_seconds(now).to_string(),
        });
    }
    identity.client_config().map_err(DialError::Credentials)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::credentials::tests::issued;

    #[test]
    fn addresses_are_checked_before_the_first_dial() {
        assert!(TcpDialer::new("http://127.0.0.1:7847").is_ok());
        for address in [
            "127.0.0.1:7847",
            "http://",
            "http://host",
            "ftp://host:1",
            "",
            "http://a b:1",
        ] {
            let error = TcpDialer::new(address).unwrap_err();
            assert!(
                error.to_string().contains("http://HOST:PORT"),
                "{address}: {error}"
            );
        }
        assert!(matches!(
            TcpDialer::new("https://host:1"),
            Err(DialError::NotEnrolled(_))
        ));
    }

    #[test]
    fn a_certificate_that_ended_is_good_again_once_the_clock_is_set() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("identity.pem");
        let begins = SystemTime::UNIX_EPOCH + Duration::from_secs(2_000_000_000);
        let ends = begins + Duration::from_secs(1000);
        Credentials::write(&path, &issued(begins, ends)).unwrap();
        let credentials = Credentials::read(&path).unwrap().unwrap();
        let error = client_config(&credentials, ends + Duration::from_secs(1)).unwrap_err();
        assert!(!error.is_final(), "{error}");
        let told = error.to_string();
        for part in [
            "ended at 2033-05-18T03:50:00Z",
            "it is 2033-05-18T03:50:01Z",
            "`date`",
            "enroll --replace",
        ] {
            assert!(told.contains(part), "{part}: {told}");
        }
        assert!(client_config(&credentials, begins).is_ok());
    }

    #[tokio::test]
    async fn a_refused_connection_says_so() {
        // Bound and not listening any more.
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let error = TcpDialer::new(&format!("http://127.0.0.1:{port}"))
            .unwrap()
            .dial()
            .await
            .unwrap_err();
        assert!(error.to_string().contains("refused"), "{error}");
    }
}
