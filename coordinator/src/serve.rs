//! Runs a coordinator on a listener until it is told to stop. Called by `batchstep serve`, by `batchstep local` and by tests, which hand it their
//! store, listener and shutdown; it handles no signals and reads no configuration.

use std::{error::Error, io, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use batchstep_core::fleet::Config;
use batchstep_proto::{
    limits,
    wire::{
        FILE_DESCRIPTOR_SET, agent_service_server::AgentServiceServer,
        enrollment_service_server::EnrollmentServiceServer,
        operator_service_server::OperatorServiceServer,
    },
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
};
use tokio_stream::Stream;
use tokio_util::sync::CancellationToken;
use tonic::{
    service::Routes,
    transport::{
        Server,
        server::{Connected, TcpIncoming},
    },
};
use tonic_health::server::health_reporter;

use crate::{
    engine, http,
    inventory::Inventories,
    rpc::{Agents, Enrollment, Operators},
    store::{ModelLimits, Sqlite, Store, StoreError},
};

/// A peer that does not answer a ping within [`KEEPALIVE_TIMEOUT`] is gone; pings are sent this often.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
/// Longest wait for the answer to a ping.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest wait for calls that are under way when the coordinator stops.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);

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
        "{address} can be reached from other hosts, and this version has no TLS to protect it; listen on 127.0.0.1 or [::1] (--listen)"
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
    /// The reflection service cannot be built.
    #[error("the protocol's description is broken")]
    Reflection(#[source] tonic_reflection::server::Error),
    /// The server failed.
    #[error("the server failed")]
    Transport(#[source] tonic::transport::Error),
}

/// Listens on a loopback address.
///
/// # Errors
/// When the address can be reached from other hosts, or is taken.
pub async fn bind(address: SocketAddr) -> Result<TcpListener, ServeError> {
    refuse_open_network(address)?;
    TcpListener::bind(address)
        .await
        .map_err(|source| ServeError::Bind { address, source })
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
    config: Config,
) -> Result<(), ServeError> {
    refuse_open_network(listener.local_addr().map_err(ServeError::Listener)?)?;
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    serve_incoming(store, incoming, shutdown, config).await
}

/// The same on any stream of connections, such as those of a simulated network; what may connect is the caller's concern.
///
/// # Errors
/// When the store cannot be read, or the server fails.
pub async fn serve_incoming<I, C, E>(
    store: impl Store,
    incoming: I,
    shutdown: CancellationToken,
    config: Config,
) -> Result<(), ServeError>
where
    I: Stream<Item = Result<C, E>> + Send,
    C: AsyncRead + AsyncWrite + Connected + Unpin + Send + 'static,
    C::ConnectInfo: Clone + Send + Sync + 'static,
    E: Into<Box<dyn Error + Send + Sync>>,
{
    let store = Arc::new(store);
    let stop = CancellationToken::new();
    // However this future ends, the task ends too.
    let _stop_on_drop = stop.clone().drop_guard();
    let (engine, task) =
        engine::start(Arc::clone(&store), config, shutdown.clone(), stop.clone()).await?;
    let task = tokio::spawn(task);
    let inventories = Arc::new(Inventories::restore(Arc::clone(&store)).await?);
    let seen = tokio::spawn(Arc::clone(&inventories).keep_seen(stop.clone()));

    let (reporter, health) = health_reporter();
    reporter
        .set_serving::<AgentServiceServer<Agents<Sqlite>>>()
        .await;
    reporter
        .set_serving::<OperatorServiceServer<Operators<Sqlite>>>()
        .await;
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
        .build_v1()
        .map_err(ServeError::Reflection)?;
    let agents = Agents::new(
        engine.clone(),
        Arc::clone(&inventories),
        Arc::clone(&store),
        shutdown.clone(),
    );
    let agents = AgentServiceServer::new(agents)
        .max_decoding_message_size(limits::MESSAGE_BYTES)
        .max_encoding_message_size(limits::MESSAGE_BYTES);
    // Answers may be larger: a detailed table has every point of every row.
    let operators = Operators::new(
        engine,
        Arc::clone(&inventories),
        Arc::clone(&store),
        shutdown.clone(),
    );
    let operators =
        OperatorServiceServer::new(operators).max_decoding_message_size(limits::MESSAGE_BYTES);
    let routes = Routes::new(health)
        .add_service(reflection)
        .add_service(agents)
        .add_service(operators)
        .add_service(EnrollmentServiceServer::new(Enrollment));
    // What is no call but a plain HTTP request is answered on the same port.
    let routes = Routes::from(routes.into_axum_router().merge(http::router(inventories)));

    let server = Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .accept_http1(true)
        .add_routes(routes)
        .serve_with_incoming_shutdown(incoming, shutdown.clone().cancelled_owned());
    let overdue = async {
        shutdown.cancelled().await;
        reporter
            .set_not_serving::<AgentServiceServer<Agents<Sqlite>>>()
            .await;
        reporter
            .set_not_serving::<OperatorServiceServer<Operators<Sqlite>>>()
            .await;
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
    // The store is closed only when nobody writes any more.
    if let Err(error) = task.await {
        tracing::error!(%error, "The coordinator's task ended badly.");
    }
    if let Err(error) = seen.await {
        tracing::error!(%error, "The task that notes what was seen ended badly.");
    }
    outcome
}

fn refuse_open_network(address: SocketAddr) -> Result<(), ServeError> {
    if address.ip().is_loopback() {
        Ok(())
    } else {
        Err(ServeError::NotLoopback { address })
    }
}
