//! A TLS connection after its handshake, and who is at its other end.

use std::{
    future::Future as _,
    io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use batchstep_identity::agent_of;
use batchstep_proto::ids::AgentId;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::OwnedSemaphorePermit,
    time::{Sleep, sleep},
};
use tokio_rustls::server::TlsStream;
use tonic::transport::server::Connected;

/// Length of HTTP/2's preface; the first line of an HTTP/1.1 request with its `Host` is longer. HTTP does not know a peer's protocol before, so none of
/// its own timeouts runs yet.
const PREFACE_BYTES: usize = 24;
/// From the handshake to the end of the preface; a client sends it with its first packet.
const PREFACE_TIMEOUT: Duration = Duration::from_secs(10);

/// Who is at the other end of a connection. In the extensions of its requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// Where it dials from.
    pub address: SocketAddr,
    /// The agent, by the certificate that it showed and proved.
    pub agent: Option<AgentId>,
}

impl Peer {
    /// Of a connection whose handshake is done: its certificate, where it showed one, is verified.
    pub(super) fn of(address: SocketAddr, stream: &TlsStream<TcpStream>) -> Self {
        let certificates = stream.get_ref().1.peer_certificates();
        let leaf = certificates.and_then(|chain| chain.first());
        Self {
            address,
            agent: leaf.and_then(|leaf| agent_of(leaf)),
        }
    }
}

/// An open connection. Ends with an error when its peer does not begin to speak HTTP in time.
pub(crate) struct Connection {
    stream: TlsStream<TcpStream>,
    peer: Peer,
    /// Set until the preface is read.
    preface: Option<Preface>,
    /// Its place among the connections that may be open.
    _place: OwnedSemaphorePermit,
}

struct Preface {
    missing: usize,
    deadline: Pin<Box<Sleep>>,
}

impl Connection {
    pub(super) fn new(
        stream: TlsStream<TcpStream>,
        peer: Peer,
        place: OwnedSemaphorePermit,
    ) -> Self {
        Self {
            stream,
            peer,
            preface: Some(Preface {
                missing: PREFACE_BYTES,
                deadline: Box::pin(sleep(PREFACE_TIMEOUT)),
            }),
            _place: place,
        }
    }
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buffer.filled().len();
        let read = Pin::new(&mut this.stream).poll_read(context, buffer);
        if let Some(preface) = &mut this.preface {
            let taken = buffer.filled().len() - before;
            preface.missing = preface.missing.saturating_sub(taken);
            if preface.missing == 0 {
                this.preface = None;
            } else if preface.deadline.as_mut().poll(context).is_ready() {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
        }
        read
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
