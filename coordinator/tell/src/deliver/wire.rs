//! A connection to a receiver, in the clear or in TLS, of which only so much is read: who answers without end is cut off.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use lettre::transport::smtp::client::AsyncTokioStream;
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, lookup_host},
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::failure::Cause;

/// All that is read of a receiver's answers: what they say fits into a few hundred bytes.
const READ_MAX: usize = 64 * 1024;
/// Addresses of one name that are tried.
const ADDRESSES_MAX: usize = 4;

/// The connection.
#[derive(Debug)]
pub(super) struct Wire {
    stream: Stream,
    /// What the next reader finds before anything of the stream.
    ahead: &'static [u8],
    /// Bytes that may still be read.
    left: usize,
}

#[derive(Debug)]
enum Stream {
    Clear(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Wire {
    /// Connects to the first address of a name that answers in time.
    pub(super) async fn dial(host: &str, port: u16, patience: Duration) -> Result<Self, Cause> {
        let addresses = lookup_host((host, port)).await.map_err(Cause::Dial)?;
        let mut error = io::Error::new(io::ErrorKind::NotFound, "its name has no address");
        for address in addresses.take(ADDRESSES_MAX) {
            match timeout(patience, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => {
                    // Costs latency only where it fails.
                    stream.set_nodelay(true).ok();
                    let stream = Stream::Clear(stream);
                    return Ok(Self {
                        stream,
                        ahead: &[],
                        left: READ_MAX,
                    });
                }
                Ok(Err(failed)) => error = failed,
                Err(_) => error = io::ErrorKind::TimedOut.into(),
            }
        }
        Err(Cause::Dial(error))
    }

    /// The same connection in TLS, with who is called so.
    pub(super) async fn encrypt(
        self,
        config: Option<&Arc<ClientConfig>>,
        name: ServerName<'static>,
    ) -> Result<Self, Cause> {
        let (Stream::Clear(stream), Some(config)) = (self.stream, config) else {
            return Err(Cause::Tls(io::Error::other(
                "TLS is not set up for this connection",
            )));
        };
        let connector = TlsConnector::from(Arc::clone(config));
        let stream = connector.connect(name, stream).await.map_err(Cause::Tls)?;
        Ok(Self {
            stream: Stream::Tls(Box::new(stream)),
            ahead: &[],
            left: READ_MAX,
        })
    }

    /// Puts something before what the other side sends.
    pub(super) fn ahead(mut self, bytes: &'static [u8]) -> Self {
        self.ahead = bytes;
        self
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let wire = self.get_mut();
        if !wire.ahead.is_empty() {
            let (now, later) = wire
                .ahead
                .split_at(wire.ahead.len().min(buffer.remaining()));
            buffer.put_slice(now);
            wire.ahead = later;
            return Poll::Ready(Ok(()));
        }
        if wire.left == 0 {
            let error = io::Error::new(io::ErrorKind::InvalidData, "it answers without end");
            return Poll::Ready(Err(error));
        }
        let before = buffer.filled().len();
        let polled = match &mut wire.stream {
            Stream::Clear(stream) => Pin::new(stream).poll_read(context, buffer),
            Stream::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        };
        wire.left = wire.left.saturating_sub(buffer.filled().len() - before);
        polled
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().stream {
            Stream::Clear(stream) => Pin::new(stream).poll_write(context, bytes),
            Stream::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            Stream::Clear(stream) => Pin::new(stream).poll_flush(context),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            Stream::Clear(stream) => Pin::new(stream).poll_shutdown(context),
            Stream::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

impl AsyncTokioStream for Wire {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        match &self.stream {
            Stream::Clear(stream) => stream.peer_addr(),
            Stream::Tls(stream) => stream.get_ref().0.peer_addr(),
        }
    }
}
