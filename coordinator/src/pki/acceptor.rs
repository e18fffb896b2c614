//! Takes TCP connections, does their TLS handshakes beside each other, and hands on those that are done. Every handshake has a deadline and every kind of
//! connection its own number of places, so that nobody who only connects keeps others out: a handshake that stalls gives way to the next connection when
//! there is no place left.

use std::{collections::VecDeque, io, net::SocketAddr, sync::Arc, time::Duration};

use rustls::{
    RootCertStore, ServerConfig,
    crypto::ring::default_provider,
    server::{NoServerSessionStorage, WebPkiClientVerifier},
    version::TLS13,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    task::AbortHandle,
    time::{Instant, sleep, timeout},
};
use tokio_rustls::TlsAcceptor;
use tokio_stream::{Stream, wrappers::ReceiverStream};

use super::{
    Authority, PkiError, ServerCertificate,
    connection::{Connection, Peer},
};

/// From the first byte to the end of a handshake: two round trips on the worst of networks.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Handshakes under way. A whole fleet that comes back needs many for a moment.
const HANDSHAKES: usize = 1024;
/// What every handshake has at least, however many wait behind it in the kernel's queue: several round trips.
const UNDISTURBED: Duration = Duration::from_millis(500);
/// While a fleet comes back handshakes end all the time. Where none has ended for so long, those under way wait for peers that say nothing.
const STANDSTILL: Duration = Duration::from_millis(50);
/// Handshakes that gave way are told of once in so long.
const CROWDED_EVERY: Duration = Duration::from_secs(60);
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
        agents: Arc::new(Semaphore::new(AGENTS)),
        others: Arc::new(Semaphore::new(OTHERS)),
        done,
    });
    tokio::spawn(door.keep(listener));
    Ok(ReceiverStream::new(connections))
}

/// The places of handshakes, and the handshakes that have one or had, the oldest first.
struct Handshakes {
    places: Arc<Semaphore>,
    begun: VecDeque<(Instant, AbortHandle)>,
    /// When it was last said that some gave way.
    told: Option<Instant>,
}

impl Handshakes {
    fn new(most: usize) -> Self {
        Self {
            places: Arc::new(Semaphore::new(most)),
            begun: VecDeque::new(),
            told: None,
        }
    }

    /// Waits for a place. When none comes free, the handshakes that have had their time give theirs.
    async fn place(&mut self) -> Option<OwnedSemaphorePermit> {
        loop {
            let place = Arc::clone(&self.places).acquire_owned();
            if let Ok(place) = timeout(STANDSTILL, place).await {
                // The semaphore is never closed.
                return place.ok();
            }
            self.begun.retain(|(_, task)| !task.is_finished());
            let old = |(began, _): &(Instant, _)| began.elapsed() >= UNDISTURBED;
            let stalled = self.begun.partition_point(old);
            for (_, task) in self.begun.drain(..stalled) {
                task.abort();
            }
            if stalled > 0 && self.told.is_none_or(|told| told.elapsed() >= CROWDED_EVERY) {
                self.told = Some(Instant::now());
                tracing::warn!(
                    handshakes = stalled,
                    "All places for TLS handshakes are taken by peers that say nothing; the oldest handshakes are given up for new connections."
                );
            }
        }
    }

    fn began(&mut self, task: AbortHandle) {
        while self.begun.front().is_some_and(|(_, it)| it.is_finished()) {
            self.begun.pop_front();
        }
        self.begun.push_back((Instant::now(), task));
    }
}

struct Door {
    acceptor: TlsAcceptor,
    agents: Arc<Semaphore>,
    others: Arc<Semaphore>,
    done: mpsc::Sender<Result<Connection, io::Error>>,
}

impl Door {
    async fn keep(self: Arc<Self>, listener: TcpListener) {
        let mut handshakes = Handshakes::new(HANDSHAKES);
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = self.done.closed() => return,
            };
            match accepted {
                Ok((stream, address)) => {
                    let Some(place) = handshakes.place().await else {
                        return;
                    };
                    let door = Arc::clone(&self);
                    let task = tokio::spawn(async move {
                        door.open(stream, address).await;
                        drop(place);
                    });
                    handshakes.began(task.abort_handle());
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

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    #[tokio::test]
    async fn handshakes_that_stall_give_way_and_only_after_their_time() {
        let mut handshakes = Handshakes::new(3);
        let start = Instant::now();
        let mut tasks = Vec::new();
        for _ in 0..5 {
            let place = handshakes.place().await.unwrap();
            let task = tokio::spawn(async move {
                pending::<()>().await;
                drop(place);
            });
            handshakes.began(task.abort_handle());
            tasks.push(task);
        }
        assert!(start.elapsed() >= UNDISTURBED, "{:?}", start.elapsed());
        for task in tasks.drain(..3) {
            assert!(task.await.unwrap_err().is_cancelled());
        }
        assert!(tasks.iter().all(|task| !task.is_finished()));
    }

    #[tokio::test]
    async fn handshakes_that_end_leave_their_places() {
        let mut handshakes = Handshakes::new(3);
        for _ in 0..100 {
            let place = handshakes.place().await.unwrap();
            let task = tokio::spawn(async move { drop(place) });
            handshakes.began(task.abort_handle());
            task.await.unwrap();
        }
        assert!(
            handshakes.begun.len() <= 1,
            "those that are over are forgotten"
        );
    }
}
