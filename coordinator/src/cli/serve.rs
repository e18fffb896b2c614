//! `batchstep serve`: the coordinator as a daemon. Opens, binds, tells the service manager, waits for a signal, drains; the work itself is in `crate::serve`.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, Result};
use batchstep_daemon::{
    logs,
    notify::ServiceManager,
    settings::{FileArgs, Settings},
};
use clap::{ArgAction, Args};
use tokio_util::sync::CancellationToken;

use super::{
    Exit, args::ModelArgs, descriptors, exit, fleet_args::FleetArgs, judge_args::JudgeArgs,
    signals::Interrupts, tell_args::TellArgs, text,
};
use crate::{
    nightly::{self, Clock},
    pki::{self, Authority, LocalOperator, PKI_DIRECTORY},
    retention::KeepBlocks,
    serve::{self, ServeError, Tls},
    store::{DATABASE, Sqlite},
};

/// An agent needs some seconds to notice that half of it is over.
const LIFETIME_MIN: Duration = Duration::from_secs(10);
/// No key is meant to be kept for longer.
const LIFETIME_MAX: Duration = Duration::from_secs(10 * 366 * 86_400);

/// Names a file with the time that nights are kept by.
const NIGHTS_CLOCK_VARIABLE: &str = "BATCHSTEP_NIGHTS_CLOCK";

/// Flags of `batchstep serve`.
#[derive(Debug, Args)]
#[command(
    after_help = "SIGINT or SIGTERM ends it: sessions are told, what is committed stays, and sweeps go on at the next start. A second one ends it at
once.

On a loopback address it serves plain text to everybody on this host, unless --tls is given. On any other address it serves TLS and asks everybody who
they are: agents by the certificate that `batchstep-agent enroll` brings, operators by a token. Its certificate authority is made at the first start, in
pki/ in the data directory.

Every flag that takes a value is also a key of the file that --config names, with underscores: --data-dir is data_dir. A flag outranks its environment
variable, that the file, that the default. --help shows the fleet's intervals, too.

Examples:
  batchstep serve --data-dir ./data
  batchstep serve --data-dir /var/lib/batchstep --listen 0.0.0.0:7847
  batchstep serve --config /etc/batchstep/coordinator.toml --check-config
  batchstep token create --data-dir /var/lib/batchstep | ssh gpu-host batchstep-agent enroll --coordinator https://coordinator:7847 --state-dir agent"
)]
pub(super) struct Options {
    #[command(flatten)]
    pub(super) file: FileArgs,
    /// Where the database and models are kept; made when missing.
    #[arg(long, value_name = "DIR", env = "BATCHSTEP_DATA_DIR")]
    data_dir: PathBuf,
    /// Address and port to listen on.
    #[arg(
        long,
        value_name = "ADDR",
        env = "BATCHSTEP_LISTEN",
        default_value = "127.0.0.1:7847"
    )]
    listen: SocketAddr,
    #[command(flatten)]
    models: ModelArgs,
    /// How long the timed blocks of sweeps that are over are kept, or forever; after that only their answers and a summary for each batch size are left.
    #[arg(
        long,
        value_name = "TIME",
        env = "BATCHSTEP_KEEP_BLOCKS",
        default_value_t = KeepBlocks::default()
    )]
    keep_blocks: KeepBlocks,
    #[command(flatten)]
    tls: TlsArgs,
    /// How to log, on stderr.
    #[arg(
        long,
        value_name = "FORMAT",
        env = "BATCHSTEP_LOG_FORMAT",
        default_value = "text"
    )]
    pub(super) log_format: logs::Format,
    #[command(flatten)]
    fleet: FleetArgs,
    #[command(flatten)]
    judge: JudgeArgs,
    #[command(flatten)]
    tell: TellArgs,
}

/// How others know the coordinator, and it them.
#[derive(Debug, Args)]
#[command(next_help_heading = "TLS")]
struct TlsArgs {
    /// Serve TLS on a loopback address as well. By itself it is served on all others, where it cannot be left out.
    #[arg(
        long,
        env = "BATCHSTEP_TLS",
        action = ArgAction::Set,
        value_parser = tls_where,
        num_args = 0..=1,
        require_equals = true,
        value_name = "auto|true|false",
        default_value = "auto",
        default_missing_value = "true"
    )]
    tls: TlsWhere,
    /// Further host names and addresses in the coordinator's certificate, separated by commas, for curl, Prometheus and browsers; batchstep itself needs none.
    #[arg(
        long,
        value_name = "NAMES",
        env = "BATCHSTEP_TLS_NAMES",
        default_value = "",
        hide_default_value = true
    )]
    tls_names: String,
    /// How long an agent's certificate is good; agents renew theirs at half of that.
    #[arg(long, value_name = "TIME", env = "BATCHSTEP_CERTIFICATE_LIFETIME", default_value = "90d", value_parser = lifetime)]
    certificate_lifetime: Duration,
}

/// On which addresses TLS is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TlsWhere {
    /// On those that other hosts reach.
    Auto,
    Everywhere,
    Nowhere,
}

fn tls_where(text: &str) -> Result<TlsWhere, String> {
    match text.to_ascii_lowercase().as_str() {
        "auto" => Ok(TlsWhere::Auto),
        "true" | "t" | "yes" | "y" | "on" | "1" => Ok(TlsWhere::Everywhere),
        "false" | "f" | "no" | "n" | "off" | "0" => Ok(TlsWhere::Nowhere),
        _ => Err("write auto, true or false".to_owned()),
    }
}

impl TlsArgs {
    /// Settings for a coordinator on this address, unless it serves plain text.
    ///
    /// # Errors
    /// When TLS shall be left out where it cannot be, or a name cannot be in a certificate.
    fn settings(self, listen: SocketAddr, data_dir: &Path) -> Result<Option<Tls>> {
        let is_open = !listen.ip().is_loopback();
        match self.tls {
            TlsWhere::Nowhere if is_open => {
                let error = ServeError::NotLoopback { address: listen };
                return Err(exit::usage(format!("--tls=false, and {error}")));
            }
            TlsWhere::Auto | TlsWhere::Nowhere if !is_open => return Ok(None),
            TlsWhere::Auto | TlsWhere::Everywhere | TlsWhere::Nowhere => {}
        }
        let given = self.tls_names.split(',').map(str::trim);
        let mut names: Vec<String> = given
            .filter(|name| !name.is_empty())
            .map(ToOwned::to_owned)
            .collect();
        pki::check_names(&names)
            .map_err(|error| exit::usage(format!("{error}; see --tls-names")))?;
        let host = nix::unistd::gethostname()
            .ok()
            .and_then(|name| name.into_string().ok());
        // A host may call itself what no certificate can.
        names.extend(host.filter(|name| {
            let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
            !name.is_empty() && name.chars().all(plain)
        }));
        Ok(Some(Tls {
            data_dir: data_dir.to_owned(),
            names,
            certificate_lifetime: self.certificate_lifetime,
        }))
    }
}

fn lifetime(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(time) if (LIFETIME_MIN..=LIFETIME_MAX).contains(&time) => Ok(time),
        Ok(_) => Err("must lie between 10s and 10 years; write a time such as 30d".to_owned()),
        Err(error) => Err(format!("{error}; write a time such as 30d")),
    }
}

/// Serves until a signal.
///
/// # Errors
/// When the data directory cannot be used, the port is taken, or serving fails.
pub(super) async fn run(options: Options, settings: &Settings) -> Result<Exit> {
    let fleet = options.fleet.config()?;
    let policy = options.judge.policy()?;
    if options.file.check_config {
        check(options).await?;
        text::print(settings.to_string().as_bytes())?;
        return Ok(Exit::Done);
    }
    let tls = options.tls.settings(options.listen, &options.data_dir)?;
    let telling = options.tell.read()?;
    let manager = ServiceManager::from_environment()?;
    let mut interrupts = Interrupts::catch()?;
    descriptors::raise_limit();
    let listener = serve::bind_for_tls(options.listen)?;
    let address = listener
        .local_addr()
        .context("cannot tell the address that is listened on")?;
    let store = serve::open_store(&options.data_dir, options.models.limits()).await?;
    tracing::info!(%address, data_dir = %options.data_dir.display(), "The coordinator listens.");
    let settings = serve::Settings {
        fleet,
        nightly: nightly::Settings {
            policy,
            clock: nights_clock(),
            channels: telling.channels,
            public_url: telling.public_url,
            ..nightly::Settings::default()
        },
        keep_blocks: options.keep_blocks,
    };
    let shutdown = CancellationToken::new();
    let stop = shutdown.clone();
    tokio::spawn(async move {
        let by_hand = interrupts.next().await;
        let signal = if by_hand { "SIGINT" } else { "SIGTERM" };
        tracing::info!(
            signal,
            "The coordinator stops; a second signal ends it at once."
        );
        stop.cancel();
        interrupts.exit_at_next();
    });
    let (heart, pulses) = manager.heart();
    tokio::spawn(manager.follow(pulses, shutdown.clone()));
    match tls {
        None => {
            // What a coordinator that was killed has left would send commands to where nobody listens.
            LocalOperator::remove(&options.data_dir);
            serve::serve_monitored(store, listener, shutdown, settings, heart).await?;
        }
        Some(tls) => {
            serve::serve_tls(store, listener, shutdown, settings, heart, tls).await?;
        }
    }
    tracing::info!("The coordinator has stopped.");
    Ok(Exit::Done)
}

/// What time it is for nights: tests have nights by the minute.
fn nights_clock() -> Clock {
    match std::env::var_os(NIGHTS_CLOCK_VARIABLE) {
        None => Clock::Wall,
        Some(path) => {
            let path = PathBuf::from(path);
            tracing::warn!(path = %path.display(), "Nights are kept by the time in a file, and not by the clock of this host.");
            Clock::File {
                path,
                last: Arc::default(),
            }
        }
    }
}

/// Looks at what the settings name, without making anything or listening: whoever looks may be another user than the one who serves, so what they may
/// not read or write is told and is no fault.
async fn check(options: Options) -> Result<()> {
    let data_dir = options.data_dir;
    let tls = options.tls.settings(options.listen, &data_dir)?;
    let mut unread = Vec::new();
    options.tell.check(&mut unread)?;
    if !Sqlite::check_place(&data_dir)? {
        eprintln!(
            "The data directory {} cannot be written or made by this user, and must be by the one who serves.",
            data_dir.display()
        );
    }
    if !Sqlite::check_directory(&data_dir).await? {
        unread.push(data_dir.join(DATABASE));
    }
    if tls.is_some() {
        let folder = data_dir.join(PKI_DIRECTORY);
        if !Authority::check(&folder).map_err(ServeError::Pki)? {
            unread.push(folder);
        }
    }
    for path in unread {
        eprintln!(
            "{} cannot be read by this user, and was not looked at.",
            path.display()
        );
    }
    Ok(())
}
