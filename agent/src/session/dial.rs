//! Opens a channel to the coordinator. A trait, so that the same agent runs over simulated networks.

use std::future::Future;

use batchstep_proto::causes::innermost;
use tonic::transport::{Channel, Endpoint};

use crate::retry;

/// A coordinator that cannot be dialled.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// The address is not one.
    #[error("{0:?} is not the address of a coordinator; write http://HOST:PORT")]
    Address(String),
    /// TLS is not part of this build.
    #[error(
        "{0:?} asks for TLS, which needs enrolment and is not part of this build; write http://HOST:PORT"
    )]
    Tls(String),
    /// Nobody answers there.
    #[error("no connection to {address}: {reason}")]
    Connect {
        /// Where.
        address: String,
        /// The innermost reason, which transport errors hide.
        reason: String,
    },
}

/// Opens channels.
pub trait Dialer: Send + Sync + 'static {
    /// One try.
    fn dial(&self) -> impl Future<Output = Result<Channel, DialError>> + Send;
}

/// Dials over TCP.
#[derive(Debug, Clone)]
pub struct TcpDialer {
    address: String,
    endpoint: Endpoint,
}

impl TcpDialer {
    /// For `http://HOST:PORT`.
    ///
    /// # Errors
    /// When the address is malformed or asks for TLS.
    pub fn new(address: &str) -> Result<Self, DialError> {
        if address.starts_with("https://") {
            return Err(DialError::Tls(address.to_owned()));
        }
        let malformed = || DialError::Address(address.to_owned());
        if !address.starts_with("http://") {
            return Err(malformed());
        }
        let endpoint = Endpoint::from_shared(address.to_owned()).map_err(|_| malformed())?;
        if endpoint.uri().port().is_none() {
            return Err(malformed());
        }
        Ok(Self {
            address: address.to_owned(),
            endpoint: with_timeouts(endpoint),
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
        self.endpoint
            .connect()
            .await
            .map_err(|error| DialError::Connect {
                address: self.address.clone(),
                reason: innermost(&error),
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            Err(DialError::Tls(_))
        ));
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
