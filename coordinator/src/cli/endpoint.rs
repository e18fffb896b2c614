//! How a command reaches its coordinator: over the network, or by running one in this process on a data directory. Also how the coordinator's
//! refusals read. Called by every client command; sends no request itself.

use std::{path::Path, time::Duration};

use anyhow::{Context as _, Result, anyhow};
use batchstep_proto::{causes::innermost, wire::operator_service_client::OperatorServiceClient};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::{
    Code, Status,
    transport::{Channel, Endpoint},
};

use super::{args::CoordinatorArgs, exit};
use crate::{
    serve,
    store::{DATABASE, ModelLimits},
};

/// The operator's side of a coordinator.
pub(super) type Client = OperatorServiceClient<Channel>;

/// Longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest wait for an embedded coordinator to stop by itself.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);
/// Largest answer: a detailed table of many rows is larger than a message between agents and the coordinator.
const ANSWER_BYTES: usize = 256 << 20;

/// A coordinator that can be asked.
pub(super) struct Connection {
    /// Where requests go.
    pub(super) client: Client,
    embedded: Option<Embedded>,
}

impl Connection {
    /// Reaches the coordinator that the flags name.
    ///
    /// # Errors
    /// When nothing answers there, or the data directory cannot be used.
    pub(super) async fn open(args: &CoordinatorArgs) -> Result<Self> {
        match &args.data_dir {
            None => Ok(Self {
                client: connect(&args.coordinator).await?,
                embedded: None,
            }),
            Some(data_dir) => {
                check_data_dir(data_dir)?;
                let embedded = Embedded::start(data_dir, ModelLimits::default()).await?;
                Ok(Self {
                    client: connect(embedded.url()).await?,
                    embedded: Some(embedded),
                })
            }
        }
    }

    /// True when the coordinator ends with this command: no agent will come.
    pub(super) fn is_embedded(&self) -> bool {
        self.embedded.is_some()
    }

    /// Ends the embedded coordinator, if there is one.
    ///
    /// # Errors
    /// When it ended badly.
    pub(super) async fn close(self) -> Result<()> {
        match self.embedded {
            Some(embedded) => embedded.stop().await,
            None => Ok(()),
        }
    }
}

/// A coordinator in this process, on a free port of the loopback interface.
pub(super) struct Embedded {
    url: String,
    shutdown: CancellationToken,
    task: JoinHandle<Result<()>>,
}

impl Embedded {
    /// Opens the data directory, which is made when missing, and serves it, with room for models within `models`.
    ///
    /// # Errors
    /// When the directory cannot be used or no port is free.
    pub(super) async fn start(data_dir: &Path, models: ModelLimits) -> Result<Self> {
        let store = serve::open_store(data_dir, models).await?;
        let listener = serve::bind(([127, 0, 0, 1], 0).into()).await?;
        let address = listener
            .local_addr()
            .context("cannot tell the address of the embedded coordinator")?;
        let shutdown = CancellationToken::new();
        let stop = shutdown.clone();
        let task = tokio::spawn(async move {
            serve::serve(store, listener, stop)
                .await
                .context("the embedded coordinator failed")
        });
        Ok(Self {
            url: format!("http://{address}"),
            shutdown,
            task,
        })
    }

    /// Where agents and clients dial.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Ends it, within a bound.
    ///
    /// # Errors
    /// When it failed while serving.
    pub(super) async fn stop(self) -> Result<()> {
        self.shutdown.cancel();
        match tokio::time::timeout(STOP_TIMEOUT, self.task).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(error)) => Err(error).context("the embedded coordinator stopped unexpectedly"),
            // What matters is committed; a session that does not end in time ends with the process.
            Err(_) => Ok(()),
        }
    }
}

/// A mistyped path must not become an empty database, nor a folder of other things a data directory.
fn check_data_dir(data_dir: &Path) -> Result<()> {
    let place = data_dir.display();
    let problem = if !data_dir.exists() {
        format!("there is no data directory {place}")
    } else if data_dir.join(DATABASE).exists()
        || std::fs::read_dir(data_dir).is_ok_and(|mut entries| entries.next().is_none())
    {
        return Ok(());
    } else {
        format!("{place} is no data directory: it holds no {DATABASE}")
    };
    Err(exit::usage(format!(
        "{problem}; give the one of `batchstep local` or `batchstep serve`"
    )))
}

/// Dials a coordinator.
///
/// # Errors
/// When the URL is none, or nothing answers.
pub(super) async fn connect(url: &str) -> Result<Client> {
    if !url.starts_with("http://") {
        return Err(exit::usage(format!(
            "the coordinator's URL {url:?} must begin with http://, as in http://127.0.0.1:7847"
        )));
    }
    let endpoint = Endpoint::from_shared(url.to_owned())
        .map_err(|error| exit::usage(format!("{url:?} is not a URL: {error}")))?
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true);
    let channel = endpoint.connect().await.map_err(|error| {
        let cause = innermost(&error);
        anyhow!(
            "no coordinator answers at {url} ({cause}); start one with `batchstep serve`, or name another with --coordinator URL or --data-dir DIR"
        )
    })?;
    Ok(OperatorServiceClient::new(channel).max_decoding_message_size(ANSWER_BYTES))
}

/// What a refusal means for the person who asked.
pub(super) fn refusal(status: Status) -> anyhow::Error {
    let message = if status.message().is_empty() {
        status.code().description().to_owned()
    } else {
        status.message().to_owned()
    };
    match status.code() {
        Code::InvalidArgument | Code::NotFound | Code::FailedPrecondition => {
            exit::usage(format!("the coordinator refuses: {message}"))
        }
        Code::Unavailable => anyhow!(
            "the coordinator does not answer any more ({message}); see whether `batchstep serve` still runs"
        ),
        Code::Unimplemented => anyhow!(
            "the coordinator does not know this request; it may be older than this batchstep ({})",
            env!("CARGO_PKG_VERSION")
        ),
        _ => anyhow!("the coordinator could not answer: {message}"),
    }
}
