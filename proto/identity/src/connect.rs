//! Opens TLS connections for gRPC channels. Used by the agent and by the command line; tonic's own TLS knows no pinned authority.

use std::{
    future::Future,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, InvalidMessage, pki_types::ServerName};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tonic::codegen::{Service, http::Uri};

/// A connection that could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The address has no host, or one that is no name.
    #[error("{0} has no host that can be dialled")]
    Host(Uri),
    /// Nothing listens there, or the network does not reach it.
    #[error(transparent)]
    Tcp(io::Error),
    /// There is somebody who does not speak TLS.
    #[error(
        "what answers there does not speak TLS; if it is a coordinator that serves plain text on this host, write http://"
    )]
    NotTls,
    /// There is somebody, but not the coordinator.
    #[error(transparent)]
    Tls(io::Error),
}

/// Opens TLS connections with one configuration; for [`connect_with_connector`](tonic::transport::Endpoint::connect_with_connector).
#[derive(Debug, Clone)]
pub struct TlsConnector(Arc<ClientConfig>);

type Connecting =
    Pin<Box<dyn Future<Output = Result<TokioIo<TlsStream<TcpStream>>, ConnectError>> + Send>>;

impl TlsConnector {
    /// With this configuration, usually of [`client_config`](crate::client_config).
    #[must_use]
    pub fn new(config: ClientConfig) -> Self {
        Self(Arc::new(config))
    }
}

impl Service<Uri> for TlsConnector {
    type Response = TokioIo<TlsStream<TcpStream>>;
    type Error = ConnectError;
    type Future = Connecting;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, address: Uri) -> Connecting {
        let connector = tokio_rustls::TlsConnector::from(Arc::clone(&self.0));
        Box::pin(async move {
            let no_host = || ConnectError::Host(address.clone());
            let host = address.host().ok_or_else(no_host)?;
            let bare = host.trim_start_matches('[').trim_end_matches(']');
            let name = ServerName::try_from(bare.to_owned()).map_err(|_| no_host())?;
            let port = address.port_u16().unwrap_or(443);
            let stream = TcpStream::connect((bare, port))
                .await
                .map_err(ConnectError::Tcp)?;
            stream.set_nodelay(true).map_err(ConnectError::Tcp)?;
            let stream = connector.connect(name, stream).await.map_err(failed)?;
            Ok(TokioIo::new(stream))
        })
    }
}

/// What a handshake that failed tells.
fn failed(error: io::Error) -> ConnectError {
    let cause = error.get_ref();
    let cause = cause.and_then(|cause| cause.downcast_ref::<rustls::Error>());
    match cause {
        Some(rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType)) => {
            ConnectError::NotTls
        }
        _ => ConnectError::Tls(error),
    }
}
