//! The command line: flags, their environment variables and their help. Parsed by `main`; holds no behaviour.

use std::{
    ffi::OsString,
    fs::File,
    io::{self, Read as _},
    path::PathBuf,
    time::Duration,
};

use anyhow::Context as _;

use batchstep_agent::{
    config::{DRAIN_LIMIT, MODEL_ROOM},
    device::Selection,
    inventory::{Options, Root},
};
use batchstep_daemon::{
    logs,
    settings::{self, Daemon, FileArgs, Settings, SettingsError},
};
use batchstep_proto::size::Size;
use clap::{
    ArgAction, Args, CommandFactory as _, Parser, Subcommand, ValueEnum,
    builder::BoolishValueParser,
};

const EXAMPLES: &str = "\
Examples:
  # join a coordinator on this host
  batchstep-agent run --coordinator http://127.0.0.1:7847 --state-dir ~/.local/state/batchstep-agent

  # join one on another host, with a token that `batchstep token create` printed there
  batchstep-agent enroll --coordinator https://coordinator:7847 --state-dir /var/lib/batchstep-agent --token-file join-token
  batchstep-agent run --coordinator https://coordinator:7847 --state-dir /var/lib/batchstep-agent

  # offer the processors only, and name the worker
  batchstep-agent run --coordinator http://127.0.0.1:7847 --state-dir /var/lib/batchstep --devices cpu --worker ./batchstep-worker

  # as a service: flags that take a value are keys of the file, with underscores; a flag outranks its environment variable, that the file
  batchstep-agent run --config /etc/batchstep/agent.toml
  batchstep-agent run --config /etc/batchstep/agent.toml --check-config

  # devices that exist only in a file, for demonstrations and tests
  batchstep-agent run --coordinator http://127.0.0.1:7847 --state-dir simulated --simulate docs/examples/simulated.toml

  # what GPUs are here, and what would stop trials?
  batchstep-agent inventory
  batchstep-agent doctor

SIGTERM finishes the running round and leaves; a second SIGTERM, or Ctrl-C, stops it at once and keeps what was measured.

A device is measured by one process of a host at a time. The locks for that are in /tmp/batchstep-locks, or in BATCHSTEP_LOCK_DIR, which must
then be the same for all agents of the host. GPUs are read through NVML, libtorch is found by the worker: `batchstep-agent doctor` shows both.

Exit code 0: it was told to stop. 2: the command line, or a file that it names, cannot be followed. 3: something stopped it. 4: the coordinator
does not want it again; the last line says what to do.";

const DOCTOR_EXAMPLES: &str = "\
Examples:
  batchstep-agent doctor
  batchstep-agent doctor --format json | jq '.checks[] | select(.status != \"ok\")'

Exit code 0: trials can run. 3: something would stop them.";

const INVENTORY_EXAMPLES: &str = "\
Examples:
  batchstep-agent inventory
  batchstep-agent inventory --format json | jq '.gpus[] | {name, absent, ineligible}'

Every value is there, or absent with a reason: not_supported, no_permission, lost, symbol_missing or unknown. `batchstep inventory --fields` says
what each field means. The whole lab's inventory is on the coordinator: `batchstep inventory`.

Exit code 0: the host was read. 3: it has an NVIDIA driver, and NVML cannot be asked.";

/// The batchstep agent: reports this host's devices to a coordinator and measures on them.
#[derive(Debug, Parser)]
#[command(name = "batchstep-agent", version, after_help = EXAMPLES, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

impl Cli {
    /// Reads a command line, and the file that it names; the settings are those of `run`.
    ///
    /// # Errors
    /// When either cannot be followed, or help is asked for.
    pub(crate) fn read(
        arguments: impl IntoIterator<Item = OsString>,
    ) -> Result<(Self, Settings), SettingsError> {
        const RUN: Daemon = Daemon {
            subcommand: "run",
            defaults: &[],
        };
        settings::parse(Self::command(), RUN, arguments)
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the agent until it is told to stop
    #[command(after_help = EXAMPLES)]
    Run(Box<Run>),
    /// Trade a join token for an identity, once, so that the agent can reach a coordinator on another host
    #[command(after_help = ENROLL_EXAMPLES)]
    Enroll(Enroll),
    /// Say what hardware this host has, as the coordinator is told
    #[command(after_help = INVENTORY_EXAMPLES)]
    Inventory(InventoryArgs),
    /// Say what would stop trials on this host, and how to mend it
    #[command(after_help = DOCTOR_EXAMPLES)]
    Doctor(Doctor),
    /// Print completions for a shell
    #[command(
        after_help = "Example:\n  batchstep-agent completions bash > ~/.local/share/bash-completion/completions/batchstep-agent"
    )]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

const ENROLL_EXAMPLES: &str = "\
Examples:
  batchstep-agent enroll --coordinator https://coordinator:7847 --state-dir /var/lib/batchstep-agent --token-file join-token
  ssh coordinator batchstep token create --data-dir /var/lib/batchstep | batchstep-agent enroll --coordinator https://coordinator:7847 --state-dir agent

The token names the coordinator's certificate authority, so nothing is sent to anybody else. The agent makes its key itself and keeps it, with the
certificate, in identity.pem in the state directory, readable by its owner only. The certificate is renewed at half of its life while the agent runs.

Exit code 0: it is enrolled. 2: the command line cannot be followed. 3: it is not, and why.";

/// A token is a line of text.
const TOKEN_BYTES: u64 = 4096;

#[derive(Debug, Args)]
pub(crate) struct Enroll {
    /// Address of the coordinator: https://HOST:PORT
    #[arg(long, value_name = "URL", env = "BATCHSTEP_COORDINATOR")]
    pub(crate) coordinator: String,
    /// Where the agent keeps its identity; on a local disk
    #[arg(long, value_name = "DIR", env = "BATCHSTEP_STATE_DIR")]
    pub(crate) state_dir: PathBuf,
    /// File with the token [default: standard input]
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// The token itself; others on this host may see it in the list of processes
    #[arg(
        long,
        value_name = "TOKEN",
        env = "BATCHSTEP_JOIN_TOKEN",
        hide_env_values = true,
        conflicts_with = "token_file"
    )]
    token: Option<String>,
    /// Replace the identity that the state directory has
    #[arg(long)]
    pub(crate) replace: bool,
}

impl Enroll {
    /// The token, from wherever it comes.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(crate) fn token(&self) -> anyhow::Result<String> {
        if let Some(token) = &self.token {
            return Ok(token.clone());
        }
        let mut text = String::new();
        match &self.token_file {
            Some(path) => File::open(path)
                .and_then(|file| file.take(TOKEN_BYTES).read_to_string(&mut text))
                .with_context(|| format!("cannot read the token from {}", path.display()))?,
            None => io::stdin()
                .take(TOKEN_BYTES)
                .read_to_string(&mut text)
                .context("cannot read the token from standard input")?,
        };
        Ok(text)
    }
}

#[derive(Debug, Args)]
pub(crate) struct Run {
    #[command(flatten)]
    pub(crate) file: FileArgs,
    /// Address of the coordinator
    #[arg(long, value_name = "URL", env = "BATCHSTEP_COORDINATOR")]
    pub(crate) coordinator: String,
    /// Where the agent keeps its identity, undelivered reports and models; on a local disk
    #[arg(long, value_name = "DIR", env = "BATCHSTEP_STATE_DIR")]
    pub(crate) state_dir: PathBuf,
    /// The worker binary [default: the one beside the agent, else in PATH]
    #[arg(long, value_name = "PATH", env = "BATCHSTEP_WORKER")]
    pub(crate) worker: Option<PathBuf>,
    /// Devices to offer: all, cpu, gpu, or ids separated by commas
    #[arg(
        long,
        value_name = "DEVICES",
        env = "BATCHSTEP_DEVICES",
        default_value = "all"
    )]
    pub(crate) devices: Selection,
    /// Room in the state directory for networks of people's own; what was not used for longest goes first
    #[arg(
        long,
        value_name = "SIZE",
        env = "BATCHSTEP_MODEL_CACHE",
        default_value_t = MODEL_ROOM
    )]
    pub(crate) model_cache: Size,
    /// Offer the simulated devices of this file instead of the host's; no worker is needed
    #[arg(long, value_name = "FILE.toml", conflicts_with = "worker")]
    pub(crate) simulate: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) inventory: InventoryOptions,
    /// After SIGTERM, how long running rounds may take to finish
    #[arg(long, value_name = "DURATION", env = "BATCHSTEP_DRAIN_LIMIT", value_parser = duration, default_value_t = Seconds(DRAIN_LIMIT))]
    pub(crate) drain_limit: Seconds,
    /// Stop when the process that started the agent ends
    #[arg(long)]
    pub(crate) exit_with_parent: bool,
    /// What to log: error, warn, info, debug, trace, or a filter such as `batchstep_agent=debug`
    #[arg(
        long,
        value_name = "FILTER",
        env = "BATCHSTEP_LOG",
        default_value = "info"
    )]
    pub(crate) log: String,
    /// How to log, on stderr
    #[arg(
        long,
        value_name = "FORMAT",
        env = "BATCHSTEP_LOG_FORMAT",
        default_value = "text"
    )]
    pub(crate) log_format: logs::Format,
}

/// The driver may have to be loaded, and every GPU be woken.
const FIRST_LOOK: Duration = Duration::from_secs(60);

/// How the host is looked at.
#[derive(Debug, Args)]
pub(crate) struct HostArgs {
    /// Where the host's file system is, for an agent in a container that has it mounted
    #[arg(
        long,
        value_name = "DIR",
        env = "BATCHSTEP_HOST_ROOT",
        default_value = "/"
    )]
    host_root: PathBuf,
    /// How long a call into NVML may take before it counts as hung
    #[arg(
        long,
        value_name = "DURATION",
        value_parser = interval,
        help = format!("How long a call into NVML may take before it counts as hung [default: {}]", Seconds(Options::default().nvml_deadline))
    )]
    nvml_deadline: Option<Seconds>,
}

/// How often.
#[derive(Debug, Args)]
pub(crate) struct InventoryOptions {
    #[command(flatten)]
    host: HostArgs,
    /// How often temperatures, power, clocks and processes are read and sent
    #[arg(long, value_name = "DURATION", env = "BATCHSTEP_TELEMETRY_INTERVAL", value_parser = interval, default_value_t = Seconds(Options::default().telemetry_interval))]
    telemetry_interval: Seconds,
    /// How often everything is read; what changed is sent at once
    #[arg(long, value_name = "DURATION", env = "BATCHSTEP_INVENTORY_INTERVAL", value_parser = interval, default_value_t = Seconds(Options::default().full_interval))]
    inventory_interval: Seconds,
    /// Start trials also on GPUs that other processes compute on; what is measured beside them is marked as contended
    #[arg(
        long,
        env = "BATCHSTEP_SHARE_GPUS",
        action = ArgAction::Set,
        value_parser = BoolishValueParser::new(),
        num_args = 0..=1,
        require_equals = true,
        value_name = "true|false",
        default_value_t = false,
        default_missing_value = "true"
    )]
    share_gpus: bool,
}

impl HostArgs {
    pub(crate) fn options(&self) -> Options {
        Options {
            root: Root::at(self.host_root.clone()),
            nvml_deadline: self
                .nvml_deadline
                .map_or(Options::default().nvml_deadline, |deadline| deadline.0),
            ..Options::default()
        }
    }

    /// For a single look, which may have to wait until the driver has woken every GPU.
    pub(crate) fn patient_options(&self) -> Options {
        let options = self.options();
        Options {
            nvml_deadline: self.nvml_deadline.map_or(FIRST_LOOK, |deadline| deadline.0),
            ..options
        }
    }
}

impl InventoryOptions {
    pub(crate) fn options(&self) -> Options {
        Options {
            telemetry_interval: self.telemetry_interval.0,
            full_interval: self.inventory_interval.0,
            share_gpus: self.share_gpus,
            ..self.host.options()
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct InventoryArgs {
    /// How to print it
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    pub(crate) format: DoctorFormat,
    /// The worker binary, which is asked about libtorch [default: the one beside the agent, else in PATH]
    #[arg(long, value_name = "PATH", env = "BATCHSTEP_WORKER")]
    pub(crate) worker: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) host: HostArgs,
}

#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// How to print the checks
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    pub(crate) format: DoctorFormat,
    /// The worker binary [default: the one beside the agent, else in PATH]
    #[arg(long, value_name = "PATH", env = "BATCHSTEP_WORKER")]
    pub(crate) worker: Option<PathBuf>,
    /// The state directory to check
    #[arg(long, value_name = "DIR", env = "BATCHSTEP_STATE_DIR")]
    pub(crate) state_dir: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) host: HostArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum DoctorFormat {
    Table,
    Json,
}

/// A duration that prints as people write it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seconds(pub(crate) Duration);

impl std::fmt::Display for Seconds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        humantime::format_duration(self.0).fmt(f)
    }
}

/// At least as long as a look at a host with many GPUs takes.
fn interval(text: &str) -> Result<Seconds, String> {
    let Seconds(interval) = duration(text).map_err(|error| error.to_string())?;
    if interval < Duration::from_millis(100) {
        return Err("is too short; write 100ms or more".to_owned());
    }
    Ok(Seconds(interval))
}

fn duration(text: &str) -> Result<Seconds, humantime::DurationError> {
    humantime::parse_duration(text).map(Seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
