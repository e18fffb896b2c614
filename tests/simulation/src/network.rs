//! Connections of the simulated network in the shapes that tonic wants: a channel to the coordinator, and the stream of what it accepts.

use std::{
    io,
    net::Ipv4Addr,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use batchstep_agent::session::{DialError, Dialer, with_timeouts};
use futures_util::{Stream, stream};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tonic::transport::{Channel, Endpoint, Error, server::Connected};
use tower::service_fn;
use turmoil::net::{TcpListener, TcpStream};

/// Name of the coordinator's host.
pub const COORDINATOR: &str = "coordinator";
const PORT: u16 = 7847;
/// For the operators, who have no timeouts of their own.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection that the coordinator has accepted.
pub struct Accepted(TcpStream);

impl Connected for Accepted {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

impl AsyncRead for Accepted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for Accepted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

/// What the coordinator's host accepts from here on.
///
/// # Errors
/// When the port is taken.
pub async fn incoming() -> io::Result<impl Stream<Item = io::Result<Accepted>> + Send> {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, PORT)).await?;
    Ok(stream::unfold(listener, |listener| async move {
        let accepted = listener.accept().await;
        Some((accepted.map(|(stream, _)| Accepted(stream)), listener))
    }))
}

/// Dials the coordinator as the agent's own dialer does, timeouts included.
#[derive(Debug, Clone, Copy)]
pub struct SimulatedDialer;

impl Dialer for SimulatedDialer {
    async fn dial(&self) -> Result<Channel, DialError> {
        connect(with_timeouts(endpoint()))
            .await
            .map_err(|error| DialError::Connect {
                address: COORDINATOR.to_owned(),
                reason: batchstep_proto::causes::innermost(&error),
            })
    }
}

/// An operator's channel.
///
/// # Errors
/// When the coordinator cannot be reached.
pub async fn dial() -> Result<Channel, Error> {
    connect(endpoint().connect_timeout(CONNECT_TIMEOUT)).await
}

fn endpoint() -> Endpoint {
    Endpoint::from_static("http://coordinator:7847")
}

async fn connect(endpoint: Endpoint) -> Result<Channel, Error> {
    endpoint
        .connect_with_connector(service_fn(|_| async {
            TcpStream::connect((COORDINATOR, PORT))
                .await
                .map(TokioIo::new)
        }))
        .await
}
