//! How a command reaches its coordinator: over the network, or by running one in this process on a data directory. Also how the coordinator's
//! refusals read. Called by every client command; sends no request itself.

use std::{error::Error, path::Path, time::Duration};

use anyhow::{Context as _, Result, anyhow};
use batchstep_identity::{
    ConnectError, TlsConnector, Token, TokenKind, client_config, is_this_host,
};
use batchstep_proto::{
    causes::{self, innermost},
    wire::{
        identity_service_client::IdentityServiceClient,
        nightly_service_client::NightlyServiceClient,
        operator_service_client::OperatorServiceClient,
    },
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::{
    Code, Request, Status,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Channel, Endpoint},
};

use super::{args::CoordinatorArgs, exit};
use crate::{
    pki::LocalOperator,
    serve::{self, Settings},
    store::{DATABASE, ModelLimits, StoreError},
};

/// The operator's side of a coordinator.
pub(super) type Client = OperatorServiceClient<Line>;
/// The part of it about schedules, nights and alarms.
pub(super) type Nights = NightlyServiceClient<Line>;
/// A channel that shows who asks.
pub(super) type Line = InterceptedService<Channel, Bearer>;

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
    /// The same for tokens and revocations.
    pub(super) identity: IdentityServiceClient<Line>,
    /// The same for schedules, nights and alarms.
    pub(super) nightly: Nights,
    embedded: Option<Embedded>,
}

impl Connection {
    /// Reaches the coordinator that the flags name.
    ///
    /// # Errors
    /// When nothing answers there, or the data directory cannot be used.
    pub(super) async fn open(args: &CoordinatorArgs) -> Result<Self> {
        Self::open_as(args, Authority::None).await
    }

    /// The same for commands about identities, which need the certificate authority of a data directory too.
    ///
    /// # Errors
    /// As [`Connection::open`].
    pub(super) async fn open_with_authority(args: &CoordinatorArgs) -> Result<Self> {
        Self::open_as(args, Authority::Opened).await
    }

    async fn open_as(args: &CoordinatorArgs, authority: Authority) -> Result<Self> {
        let Some(data_dir) = &args.data_dir else {
            let token = args.token()?;
            return Ok(Self::over(line(&args.coordinator, token).await?, None));
        };
        check_data_dir(data_dir)?;
        match Embedded::start_as(data_dir, ModelLimits::default(), authority).await {
            Ok(embedded) => {
                let line = line(embedded.url(), None).await?;
                Ok(Self::over(line, Some(embedded)))
            }
            // A coordinator that serves TLS there takes whoever can read its files for an operator.
            Err(error) if is_in_use(&error) => match LocalOperator::read(data_dir)? {
                Some(local) => {
                    let token = local.token.parse::<Token>()?;
                    Ok(Self::over(line(&local.url, Some(token)).await?, None))
                }
                None => Err(error),
            },
            Err(error) => Err(error),
        }
    }

    fn over(line: Line, embedded: Option<Embedded>) -> Self {
        Self {
            client: OperatorServiceClient::new(line.clone())
                .max_decoding_message_size(ANSWER_BYTES),
            nightly: NightlyServiceClient::new(line.clone())
                .max_decoding_message_size(ANSWER_BYTES),
            identity: IdentityServiceClient::new(line),
            embedded,
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
        Self::start_as(data_dir, models, Authority::None).await
    }

    async fn start_as(data_dir: &Path, models: ModelLimits, authority: Authority) -> Result<Self> {
        let store = serve::open_store(data_dir, models).await?;
        let listener = serve::bind(([127, 0, 0, 1], 0).into())?;
        let address = listener
            .local_addr()
            .context("cannot tell the address of the embedded coordinator")?;
        let shutdown = CancellationToken::new();
        let stop = shutdown.clone();
        let data_dir = data_dir.to_owned();
        let task = tokio::spawn(async move {
            let served = match authority {
                Authority::None => {
                    serve::serve_with(store, listener, stop, Settings::unattended()).await
                }
                Authority::Opened => {
                    serve::serve_with_authority(store, listener, stop, &data_dir).await
                }
            };
            served.context("the embedded coordinator failed")
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

/// Whether an embedded coordinator can make tokens.
#[derive(Debug, Clone, Copy)]
enum Authority {
    /// It cannot, and makes no certificate authority.
    None,
    /// It can.
    Opened,
}

fn is_in_use(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(StoreError::InUse { .. }))
}

/// Shows an operator's token with every request, where there is one.
#[derive(Debug, Clone)]
pub(super) struct Bearer(Option<MetadataValue<Ascii>>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(token) = &self.0 {
            request
                .metadata_mut()
                .insert("authorization", token.clone());
        }
        Ok(request)
    }
}

impl Bearer {
    fn of(token: &Token) -> Result<Self> {
        let mut value: MetadataValue<Ascii> = format!("Bearer {}", token.reveal())
            .parse()
            .context("a token is ASCII")?;
        value.set_sensitive(true);
        Ok(Self(Some(value)))
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

/// Dials a coordinator of this process.
///
/// # Errors
/// When the URL is none, or nothing answers.
pub(super) async fn connect(url: &str) -> Result<Client> {
    let line = line(url, None).await?;
    Ok(OperatorServiceClient::new(line).max_decoding_message_size(ANSWER_BYTES))
}

/// Dials a coordinator: over plain text without a token, or over TLS with one, which also says whose certificate is to be trusted.
async fn line(url: &str, token: Option<Token>) -> Result<Line> {
    let endpoint = Endpoint::from_shared(url.to_owned())
        .map_err(|error| exit::usage(format!("{url:?} is not a URL: {error}")))?
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true);
    let (channel, bearer) = match endpoint.uri().scheme_str() {
        // A token is for whoever proves to be the coordinator; plain text proves nothing.
        Some("http") if endpoint.uri().host().is_some_and(is_this_host) => {
            (endpoint.connect().await, Bearer(None))
        }
        Some("http") => {
            return Err(exit::usage(format!(
                "{url} is on another host, where everything is TLS; write https://HOST:PORT and give an operator's token with --token-file"
            )));
        }
        Some("https") => {
            let token = token.ok_or_else(|| {
                exit::usage(format!(
                    "{url} asks who you are: put an operator's token into BATCHSTEP_TOKEN or name its file with --token-file; `batchstep token create --operator NAME --data-dir DIR` makes one where the coordinator runs"
                ))
            })?;
            if token.kind != TokenKind::Operator {
                return Err(exit::usage(format!(
                    "an operator's token is needed, and this one is to {}",
                    token.kind.word()
                )));
            }
            let config = client_config(token.authority, None).context("cannot set up TLS")?;
            let connected = endpoint.connect_with_connector(TlsConnector::new(config));
            (connected.await, Bearer::of(&token)?)
        }
        _ => {
            return Err(exit::usage(format!(
                "the coordinator's URL {url:?} must begin with http:// or https://, as in http://127.0.0.1:7847"
            )));
        }
    };
    let channel = channel.map_err(|error| {
        let cause = innermost(&error);
        let is_plain = |cause: &(dyn Error + 'static)| matches!(cause.downcast_ref(), Some(ConnectError::NotTls));
        if causes::all(&error).any(is_plain) {
            return exit::usage(format!("{url} cannot be asked: {cause}"));
        }
        anyhow!(
            "no coordinator answers at {url} ({cause}); start one with `batchstep serve`, or name another with --coordinator URL or --data-dir DIR"
        )
    })?;
    Ok(InterceptedService::new(channel, bearer))
}

/// What a refusal means for the person who asked.
pub(super) fn refusal(status: Status) -> anyhow::Error {
    let message = if status.message().is_empty() {
        status.code().description().to_owned()
    } else {
        status.message().to_owned()
    };
    match status.code() {
        Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::FailedPrecondition
        | Code::Unauthenticated
        | Code::PermissionDenied => exit::usage(format!("the coordinator refuses: {message}")),
        Code::Unavailable => anyhow!(
            "the coordinator does not answer any more ({message}); see whether `batchstep serve` still runs"
        ),
        Code::Unimplemented => anyhow!(
            "the coordinator does not know this request; it may be older than this batchstep ({})",
            env!("CARGO_PKG_VERSION")
        ),
        // The first bytes of an answer over TLS are none of HTTP/2.
        Code::Unknown | Code::Internal if message.contains("h2 protocol error") => anyhow!(
            "what answers there does not speak plain text ({message}); if it serves TLS, write https:// and give a token with --token-file, or name its data directory with --data-dir"
        ),
        // A broken transport says why in its causes only; so does a coordinator that hangs up on plain text.
        Code::Unknown if status.source().is_some() => anyhow!(
            "the connection broke ({}); see whether `batchstep serve` still runs; if it serves TLS, write https:// and give a token with --token-file, or name its data directory with --data-dir",
            status.source().map(innermost).unwrap_or_default()
        ),
        _ => anyhow!("the coordinator could not answer: {message}"),
    }
}
