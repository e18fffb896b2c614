//! Takes TCP connections, does their TLS handshakes beside each other, and hands on those that are done. Every handshake has a deadline and every kind of
//! connection its own number of places, so that nobody who only connects keeps others out.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use rustls::{
    RootCertStore, ServerConfig,
    crypto::ring::default_provider,
    server::{NoServerSessionStorage, WebPkiClientVerifier},
    version::TLS13,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, mpsc},
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;
use tokio_stream::{Stream, wrappers::ReceiverStream};

use super::{
    Authority, PkiError, ServerCertificate,
    connection::{Connection, Peer},
};

/// From the first byte to the end of a handshake: two round trips on the worst of networks.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Handshakes under way; further ones wait in the kernel's queue. A whole fleet that comes back needs many for a moment.
const HANDSHAKES: usize = 1024;
/// Connections with an agent's certificate.
const AGENTS: usize = 32_768;
/// Connections without one: operators, monitors, agents that enrol, and whoever only tries.
const OTHERS: usize = 1024;
/// Pause after a connection could not be taken, which usually means that the process may open no more files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Connections that are done with their handshakes.
const DONE: usize = 64;

/// TLS 1.3 with the coordinator's certificate. A client may come without a certificate; one that it shows must be of the authority and in its time.
fn configuration(
    authority: &Authority,
    certificate: ServerCertificate,
) -> Result<ServerConfig, PkiError> {
    let provider = Arc::new(default_provider());
    let mut roots = RootCertStore::empty();
    roots
        .add(authority.certificate().clone())
        .map_err(PkiError::Tls)?;
    let clients = WebPkiClientVerifier::builder_with_provider(roots.into(), Arc::clone(&provider))
        .allow_unauthenticated()
        .build()
        .map_err(|error| PkiError::Tls(rustls::Error::General(error.to_string())))?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .map_err(PkiError::Tls)?
        .with_client_cert_verifier(clients)
        .with_cert_resolver(Arc::new(certificate));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    // A session that is resumed would not show its certificate again, which may have ended since.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

/// The connections of a listener. They end, and the listener is closed, when the stream is dropped.
///
/// # Errors
/// When TLS cannot be set up.
pub(crate) fn accept(
    listener: TcpListener,
    authority: &Authority,
    certificate: ServerCertificate,
) -> Result<impl Stream<Item = Result<Connection, io::Error>> + Send + use<>, PkiError> {
    let config = configuration(authority, certificate)?;
    let (done, connections) = mpsc::channel(DONE);
    let door = Arc::new(Door {
        acceptor: TlsAcceptor::from(Arc::new(config)),
        handshakes: Arc::new(Semaphore::new(HANDSHAKES)),
        agents: Arc::new(Semaphore::new(AGENTS)),
        others: Arc::new(Semaphore::new(OTHERS)),
        done,
    });
    tokio::spawn(door.keep(listener));
    Ok(ReceiverStream::new(connections))
}

struct Door {
    acceptor: TlsAcceptor,
    handshakes: Arc<Semaphore>,
    agents: Arc<Semaphore>,
    others: Arc<Semaphore>,
    done: mpsc::Sender<Result<Connection, io::Error>>,
}

impl Door {
    async fn keep(self: Arc<Self>, listener: TcpListener) {
        loop {
            // The semaphore is never closed.
            let Ok(turn) = Arc::clone(&self.handshakes).acquire_owned().await else {
                return;
            };
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = self.done.closed() => return,
            };
            match accepted {
                Ok((stream, address)) => {
                    let door = Arc::clone(&self);
                    tokio::spawn(async move {
                        door.open(stream, address).await;
                        drop(turn);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "A connection could not be taken.");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    async fn open(&self, stream: TcpStream, address: SocketAddr) {
        // Small messages that wait for nobody.
        let _ = stream.set_nodelay(true);
        let stream = match timeout(HANDSHAKE_TIMEOUT, self.acceptor.accept(stream)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                tracing::debug!(peer = %address, %error, "A TLS handshake failed.");
                return;
            }
            Err(_) => {
                tracing::debug!(peer = %address, "A TLS handshake took too long.");
                return;
            }
        };
        let peer = Peer::of(address, &stream);
        let places = match peer.agent {
            Some(_) => &self.agents,
            None => &self.others,
        };
        let Ok(place) = Arc::clone(places).try_acquire_owned() else {
            tracing::warn!(peer = %address, agent = ?peer.agent, "Too many connections are open; one more was closed.");
            return;
        };
        // Whoever serves may have stopped.
        let _ = self
            .done
            .send(Ok(Connection::new(stream, peer, place)))
            .await;
    }
}
