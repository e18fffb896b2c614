//! Runs a coordinator on a listener until it is told to stop. Called by `batchstep serve`, by `batchstep local` and by tests, which hand it their
//! store, listener and shutdown; it handles no signals and reads no configuration.

mod settings;

use std::{
    error::Error,
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    path::Path,
    sync::Arc,
    time::Duration,
};

use axum::middleware;
use batchstep_core::fleet::Config;
use batchstep_daemon::Heart;
use batchstep_proto::{
    limits,
    wire::{
        FILE_DESCRIPTOR_SET, agent_service_server::AgentServiceServer,
        enrollment_service_server::EnrollmentServiceServer,
        identity_service_server::IdentityServiceServer,
        nightly_service_server::NightlyServiceServer,
        operator_service_server::OperatorServiceServer,
    },
};
use jiff::Timestamp;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpSocket},
};
use tokio_stream::Stream;
use tokio_util::sync::CancellationToken;
use tonic::{
    server::NamedService as _,
    service::Routes,
    transport::{
        Server,
        server::{Connected, TcpIncoming},
    },
};
use tonic_health::{
    ServingStatus,
    server::{HealthReporter, health_reporter},
};

use crate::{
    engine,
    health::{self, Health},
    http,
    inventory::Inventories,
    meters::Meters,
    nightly::Nightly,
    pki::{self, Authority, Identities, LocalOperator, PKI_DIRECTORY, PkiError, ServerCertificate},
    retention,
    rpc::{Agents, Enrollment, IdentityKeeper, Nights, Operators},
    store::{ModelLimits, Sqlite, Store, StoreError},
};

pub use settings::{Settings, Tls};

/// A peer that does not answer a ping within [`KEEPALIVE_TIMEOUT`] is gone; pings are sent this often.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
/// Longest wait for the answer to a ping.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// Calls that one connection may have under way: an agent has a handful, a command one.
const CALLS_PER_CONNECTION: u32 = 128;
/// Largest request for an identity, in bytes: anybody may send one.
const ENROLLMENT_BYTES: usize = 64 << 10;
/// Connections that may wait for the coordinator to take them: a part of a fleet that comes back. The kernel may allow fewer.
const BACKLOG: u32 = 4096;
/// Longest wait for calls that are under way when the coordinator stops.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest wait after that for the tasks that write: as long as the store waits for the lock of another process, and a little more.
const LAST_WRITES_TIMEOUT: Duration = Duration::from_secs(7);

/// Why a coordinator cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address cannot be listened on.
    #[error(
        "cannot listen on {address}; is another coordinator running? choose another address with --listen"
    )]
    Bind {
        /// Where.
        address: SocketAddr,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Others could reach it, unencrypted and without identity.
    #[error(
        "{address} can be reached from other hosts, where plain text is not served: everybody could read it and nobody would be known; serve TLS, or listen on 127.0.0.1 or [::1] (--listen)"
    )]
    NotLoopback {
        /// Where.
        address: SocketAddr,
    },
    /// The listener has no address.
    #[error("cannot tell the address that is listened on")]
    Listener(#[source] io::Error),
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Identities or TLS cannot be set up.
    #[error(transparent)]
    Pki(#[from] PkiError),
    /// The reflection service cannot be built.
    #[error("the protocol's description is broken")]
    Reflection(#[source] tonic_reflection::server::Error),
    /// The server failed.
    #[error("the server failed")]
    Transport(#[source] tonic::transport::Error),
}

/// Listens on a loopback address, for plain text.
///
/// # Errors
/// When the address can be reached from other hosts, or is taken.
pub fn bind(address: SocketAddr) -> Result<TcpListener, ServeError> {
    refuse_open_network(address)?;
    bind_for_tls(address)
}

/// Listens on any address, for [`serve_tls`].
///
/// # Errors
/// When the address is taken, or not one of this host.
pub fn bind_for_tls(address: SocketAddr) -> Result<TcpListener, ServeError> {
    let listen = || {
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4()?,
            SocketAddr::V6(_) => TcpSocket::new_v6()?,
        };
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    listen().map_err(|source| ServeError::Bind { address, source })
}

/// Opens the store in a data directory, which is made when it is absent, with room for models within `models`.
///
/// # Errors
/// When the directory cannot be used, another coordinator uses it, or a newer batchstep wrote it.
pub async fn open_store(data_dir: &Path, models: ModelLimits) -> Result<Sqlite, StoreError> {
    Sqlite::open_with(data_dir, models).await
}

/// Serves until `shutdown` is set, then tells agents and watchers, waits a bounded time for calls under way, and returns.
///
/// # Errors
/// When the listener is open to other hosts, the store cannot be read, or the server fails.
pub async fn serve(
    store: impl Store,
    listener: TcpListener,
    shutdown: CancellationToken,
) -> Result<(), ServeError> {
    serve_with(store, listener, shutdown, Config::default()).await
}

/// The same with other intervals and limits of the fleet.
///
/// # Errors
/// As [`serve`].
pub async fn serve_with(
    store: impl Store,
    listener: TcpListener,
    shutdown: CancellationToken,
    settings: impl Into<Settings>,
) -> Result<(), ServeError> {
    serve_monitored(store, listener, shutdown, settings, Heart::unheard()).await
}

/// The same, and `heart` beats while the coordinator is well: for a service manager.
///
/// # Errors
/// As [`serve`].
pub async fn serve_monitored(
    store: impl Store,
    listener: TcpListener,
    shutdown: CancellationToken,
    settings: impl Into<Settings>,
    heart: Heart,
) -> Result<(), ServeError> {
    refuse_open_network(listener.local_addr().map_err(ServeError::Listener)?)?;
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    serve_unguarded(store, incoming, shutdown, settings.into(), heart, None).await
}

/// The same over TLS, with an identity asked of everybody; and a credential left in the data directory for commands on this host.
///
/// # Errors
/// When the certificate authority cannot be used, a name cannot be in a certificate, the store cannot be read, or the server fails.
pub async fn serve_tls(
    store: impl Store,
    listener: TcpListener,
    shutdown: CancellationToken,
    settings: impl Into<Settings>,
    heart: Heart,
    tls: Tls,
) -> Result<(), ServeError> {
    let address = listener.local_addr().map_err(ServeError::Listener)?;
    let now = Timestamp::now();
    let authority = Authority::open(&tls.data_dir.join(PKI_DIRECTORY), now)?;
    let authority = Arc::new(authority);
    let store = Arc::new(store);
    let known = Identities::guarded(
        Arc::clone(&store),
        Arc::clone(&authority),
        tls.certificate_lifetime,
    );
    let identities = Arc::new(known.await?);
    let mut names = tls.names;
    names.extend(["localhost", "127.0.0.1", "::1"].map(str::to_owned));
    if !address.ip().is_unspecified() {
        names.push(address.ip().to_string());
    }
    let certificate = ServerCertificate::new(Arc::clone(&authority), names, now)?;
    let incoming = pki::accept(listener, &authority, certificate)?;
    let local = LocalOperator {
        url: local_url(address),
        token: identities.local_operator(now)?.reveal(),
    };
    local.write(&tls.data_dir)?;
    tracing::info!(%address, authority = %authority.fingerprint(), "The coordinator serves TLS.");
    let settings = settings.into();
    let outcome = serve_identified(store, identities, incoming, shutdown, settings, heart).await;
    LocalOperator::remove(&tls.data_dir);
    outcome
}

/// Where a command on this host dials a coordinator that listens on `address`.
fn local_url(address: SocketAddr) -> String {
    let mut address = address;
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    format!("https://{address}")
}

/// The same as [`serve`], for a coordinator that lives as long as a command on its data directory: tokens can be made for when it serves TLS.
///
/// # Errors
/// As [`serve`], and when the certificate authority cannot be used.
pub async fn serve_with_authority(
    store: impl Store,
    listener: TcpListener,
    shutdown: CancellationToken,
    data_dir: &Path,
) -> Result<(), ServeError> {
    refuse_open_network(listener.local_addr().map_err(ServeError::Listener)?)?;
    let authority = Authority::open(&data_dir.join(PKI_DIRECTORY), Timestamp::now())?;
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let (settings, heart) = (Settings::unattended(), Heart::unheard());
    serve_unguarded(store, incoming, shutdown, settings, heart, Some(authority)).await
}

/// The same as [`serve_with`] on any stream of connections, such as those of a simulated network; what may connect is the caller's concern, and nobody
/// is asked who they are.
///
/// # Errors
/// When the store cannot be read, or the server fails.
pub async fn serve_incoming<I, C, E>(
    store: impl Store,
    incoming: I,
    shutdown: CancellationToken,
    settings: impl Into<Settings>,
) -> Result<(), ServeError>
where
    I: Stream<Item = Result<C, E>> + Send,
    C: AsyncRead + AsyncWrite + Connected + Unpin + Send + 'static,
    C::ConnectInfo: Clone + Send + Sync + 'static,
    E: Into<Box<dyn Error + Send + Sync>>,
{
    let settings = settings.into();
    serve_unguarded(store, incoming, shutdown, settings, Heart::unheard(), None).await
}

/// Asks nobody who they are.
async fn serve_unguarded<I, C, E>(
    store: impl Store,
    incoming: I,
    shutdown: CancellationToken,
    settings: Settings,
    heart: Heart,
    authority: Option<Authority>,
) -> Result<(), ServeError>
where
    I: Stream<Item = Result<C, E>> + Send,
    C: AsyncRead + AsyncWrite + Connected + Unpin + Send + 'static,
    C::ConnectInfo: Clone + Send + Sync + 'static,
    E: Into<Box<dyn Error + Send + Sync>>,
{
    let store = Arc::new(store);
    let identities = Identities::unguarded(Arc::clone(&store), authority).await?;
    serve_identified(
        store,
        Arc::new(identities),
        incoming,
        shutdown,
        settings,
        heart,
    )
    .await
}

async fn serve_identified<S, I, C, E>(
    store: Arc<S>,
    identities: Arc<Identities<S>>,
    incoming: I,
    shutdown: CancellationToken,
    settings: Settings,
    heart: Heart,
) -> Result<(), ServeError>
where
    S: Store,
    I: Stream<Item = Result<C, E>> + Send,
    C: AsyncRead + AsyncWrite + Connected + Unpin + Send + 'static,
    C::ConnectInfo: Clone + Send + Sync + 'static,
    E: Into<Box<dyn Error + Send + Sync>>,
{
    let stop = CancellationToken::new();
    // However this future ends, the task ends too.
    let _stop_on_drop = stop.clone().drop_guard();
    let meters = Arc::new(Meters::default());
    let (engine, task) = engine::start(
        Arc::clone(&store),
        settings.fleet,
        Arc::clone(&meters),
        shutdown.clone(),
        stop.clone(),
    )
    .await?;
    let task = tokio::spawn(task);
    let inventories = Arc::new(Inventories::restore(Arc::clone(&store)).await?);
    let seen = tokio::spawn(Arc::clone(&inventories).keep_seen(stop.clone()));
    let pruning = tokio::spawn(Arc::clone(&identities).keep_pruned(stop.clone()));
    let compacting = retention::keep_compacted(
        Arc::clone(&store),
        settings.keep_blocks,
        Arc::clone(&meters),
        stop.clone(),
    );
    let compacting = tokio::spawn(compacting);

    let (health, looking) = health::watch(
        engine.clone(),
        Arc::clone(&store),
        heart,
        shutdown.clone(),
        stop.clone(),
    );
    let looking = tokio::spawn(looking);
    let (reporter, health_service) = health_reporter();
    let telling = tokio::spawn(tell_clients(health.clone(), reporter));
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
        .build_v1()
        .map_err(ServeError::Reflection)?;
    let agents = Agents::new(
        engine.clone(),
        Arc::clone(&inventories),
        Arc::clone(&identities),
        Arc::clone(&store),
        shutdown.clone(),
    );
    let agents = AgentServiceServer::new(agents)
        .max_decoding_message_size(limits::MESSAGE_BYTES)
        .max_encoding_message_size(limits::MESSAGE_BYTES);
    let nightly = Nightly::restore(
        Arc::clone(&store),
        engine.clone(),
        Arc::clone(&inventories),
        settings.nightly,
    );
    let nightly = Arc::new(nightly.await?);
    let told = tokio::spawn(Arc::clone(nightly.teller()).run(stop.clone()));
    let keeping = tokio::spawn(Arc::clone(&nightly).run(stop.clone()));
    let nights = NightlyServiceServer::new(Nights::new(Arc::clone(&nightly), Arc::clone(&store)))
        .max_decoding_message_size(limits::MESSAGE_BYTES);
    // Answers may be larger: a detailed table has every point of every row.
    let operators = Operators::new(
        engine,
        Arc::clone(&inventories),
        Arc::clone(&identities),
        Arc::clone(&store),
        shutdown.clone(),
    );
    let operators =
        OperatorServiceServer::new(operators).max_decoding_message_size(limits::MESSAGE_BYTES);
    let enrollment = EnrollmentServiceServer::new(Enrollment::new(Arc::clone(&identities)))
        .max_decoding_message_size(ENROLLMENT_BYTES);
    let keeper = IdentityServiceServer::new(IdentityKeeper::new(Arc::clone(&identities)));
    let routes = Routes::new(health_service)
        .add_service(reflection)
        .add_service(agents)
        .add_service(operators)
        .add_service(nights)
        .add_service(keeper)
        .add_service(enrollment);
    // What is no call but a plain HTTP request is answered on the same port.
    let routes =
        routes
            .into_axum_router()
            .merge(http::router(inventories, nightly, health, meters, store));
    // Outermost, and around what is not found as well: nothing is reached that does not come through here.
    let door = middleware::from_fn_with_state(identities, pki::admit::<S>);
    let routes = Routes::from(routes.layer(door));

    let server = Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .max_concurrent_streams(Some(CALLS_PER_CONNECTION))
        .accept_http1(true)
        .add_routes(routes)
        .serve_with_incoming_shutdown(incoming, shutdown.clone().cancelled_owned());
    let overdue = async {
        shutdown.cancelled().await;
        tokio::time::sleep(SHUTDOWN_TIMEOUT).await;
    };
    let outcome = tokio::select! {
        outcome = server => outcome.map_err(ServeError::Transport),
        () = overdue => {
            tracing::warn!(timeout = ?SHUTDOWN_TIMEOUT, "Calls that did not end in time are cut off.");
            Ok(())
        }
    };
    stop.cancel();
    // The store is closed only when nobody writes any more, or a disk that hangs lets nobody end.
    let tasks = [
        compacting, keeping, told, task, seen, pruning, looking, telling,
    ];
    let ended = tokio::time::timeout(LAST_WRITES_TIMEOUT, async {
        for task in tasks {
            if let Err(error) = task.await {
                tracing::error!(%error, "A task of the coordinator ended badly.");
            }
        }
    });
    if ended.await.is_err() {
        tracing::warn!(timeout = ?LAST_WRITES_TIMEOUT, "Writes that did not end in time are given up; what was acknowledged is kept.");
    }
    outcome
}

/// Keeps the health service, as a whole and for each service that can be unwell, at what is known.
async fn tell_clients(mut health: Health, reporter: HealthReporter) {
    loop {
        let verdict = health.verdict();
        let status = if verdict.is_ok() {
            ServingStatus::Serving
        } else {
            ServingStatus::NotServing
        };
        for service in [
            "",
            AgentServiceServer::<Agents<Sqlite>>::NAME,
            OperatorServiceServer::<Operators<Sqlite>>::NAME,
        ] {
            reporter.set_service_status(service, status).await;
        }
        if !health.changed().await {
            return;
        }
    }
}

fn refuse_open_network(address: SocketAddr) -> Result<(), ServeError> {
    if address.ip().is_loopback() {
        Ok(())
    } else {
        Err(ServeError::NotLoopback { address })
    }
}
