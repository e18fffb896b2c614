//! `batchstep-agent`: parses the command line, sets up logs and signals, runs the agent, the inventory or the doctor, and turns errors into exit codes.

mod cli;
mod signals;

use std::{
    env,
    io::{self, Write as _},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, bail};
use batchstep_agent::{
    AgentError, Shutdown,
    config::Config,
    device::{self, Host, LockDir, SelectionError},
    doctor::{self, Report},
    enroll::{EnrollError, enroll},
    executor::ProcessExecutor,
    inventory::{Depth, Inventory, Page},
    own_workers::OwnWorkers,
    session::{DialError, TcpDialer},
    simulation::{FileError, Simulation},
    state_dir::StateDir,
    worker_path,
};
use batchstep_daemon::{
    logs,
    notify::ServiceManager,
    settings::{Settings, SettingsError},
};
use batchstep_identity::Token;
use batchstep_proto::domain::Device;
use clap::CommandFactory as _;
use cli::{Cli, Command, Doctor, DoctorFormat, Enroll, InventoryArgs, Run};
use signals::Parent;
use tokio::{sync::watch, time};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use tracing::warn;
use tracing_subscriber::{EnvFilter, filter::ParseError};

/// The command line, or a file that it names, cannot be followed.
const EXIT_USAGE: u8 = 2;
/// Something stopped the agent, or would stop trials.
const EXIT_FAILED: u8 = 3;
/// The coordinator does not want this agent again: it was revoked, for example. To start it again changes nothing before somebody acts.
const EXIT_REJECTED: u8 = 4;

/// How long a look at the host takes at most times.
const SILENCE: Duration = Duration::from_secs(3);

// One thread: the agent must cost an idle host nothing, and the parent-death signal of workers follows the thread that started them.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let (cli, settings) = match Cli::read(env::args_os()) {
        Ok(read) => read,
        Err(error) => return refuse(error),
    };
    let result = match cli.command {
        Command::Run(arguments) if arguments.file.check_config => Ok(check(&arguments, &settings)),
        Command::Run(arguments) => run(*arguments).await.map(|()| ExitCode::SUCCESS),
        Command::Enroll(arguments) => join(arguments).await.map(|()| ExitCode::SUCCESS),
        Command::Inventory(arguments) => inventory(arguments).await,
        Command::Doctor(arguments) => examine(arguments).await,
        Command::Completions { shell } => {
            clap_complete::generate(
                shell,
                &mut Cli::command(),
                "batchstep-agent",
                &mut io::stdout(),
            );
            Ok(ExitCode::SUCCESS)
        }
    };
    result.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::from(match error.downcast_ref() {
            Some(AgentError::Rejected { .. }) => EXIT_REJECTED,
            _ if stays_wrong(&error) => EXIT_USAGE,
            _ => EXIT_FAILED,
        })
    })
}

/// True of what was written wrong, and will be the next time. A GPU that is not there may come back, and an agent that is not enrolled be enrolled.
fn stays_wrong(error: &anyhow::Error) -> bool {
    let is_address = matches!(
        error.downcast_ref(),
        Some(DialError::Address(_) | DialError::PlainText(_))
    ) || matches!(error.downcast_ref(), Some(EnrollError::Address(_)));
    is_address || error.is::<FileError>() || error.is::<ParseError>()
}

/// Says why a command line cannot be followed, or prints the help that it asks for.
fn refuse(error: SettingsError) -> ExitCode {
    match error {
        SettingsError::CommandLine(error) => {
            // Where stderr is closed nobody can be told.
            let _ = error.print();
            u8::try_from(error.exit_code()).map_or(ExitCode::from(EXIT_USAGE), ExitCode::from)
        }
        other => {
            eprintln!("error: {:#}", anyhow::Error::from(other));
            ExitCode::from(EXIT_USAGE)
        }
    }
}

/// Prints the settings where they can be used, as far as that can be told without looking at the host.
fn check(arguments: &Run, settings: &Settings) -> ExitCode {
    let filter = filter(&arguments.log).map(drop);
    let dialer = match TcpDialer::new(&arguments.coordinator) {
        // Whether it is enrolled is in the state directory.
        Ok(_) | Err(DialError::NotEnrolled(_)) => Ok(()),
        Err(error) => Err(error.into()),
    };
    match filter.and(dialer) {
        Ok(()) => {
            print!("{settings}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(EXIT_USAGE)
        }
    }
}

async fn run(arguments: Run) -> anyhow::Result<()> {
    let parent = arguments
        .exit_with_parent
        .then(Parent::follow)
        .transpose()?;
    logs::start(filter(&arguments.log)?, arguments.log_format);
    let manager = ServiceManager::from_environment()?;
    let shutdown = signals::listen(parent).context("cannot listen for signals")?;
    let (heart, pulses) = manager.heart();
    tokio::spawn(manager.follow(pulses, stopping(shutdown.clone())));
    let state = StateDir::open(&arguments.state_dir)?;
    let dialer = TcpDialer::with_credentials(&arguments.coordinator, state.credentials())?;
    match &arguments.simulate {
        Some(file) => {
            let Simulation { devices, executor } = Simulation::load(file, state.agent_id())?;
            let devices = device::select(devices, &arguments.devices)?;
            let mut host = Host::read_at(&arguments.inventory.options().root);
            // It does not go for the host that it runs on, which may have an agent of its own.
            host.facts.machine_id = format!("simulated-{}", state.agent_id());
            let mut config = config(&arguments, host, devices);
            config.heart = Some(heart);
            batchstep_agent::run(config, state, dialer, executor, shutdown).await?;
        }
        None => {
            let mut stop = shutdown.clone();
            // A driver that hangs must not keep a signal waiting.
            let (mut config, executor, keeping) = tokio::select! {
                real = real(&arguments) => real?,
                _ = stop.wait_for(|wanted| *wanted != Shutdown::No) => return Ok(()),
            };
            config.heart = Some(heart);
            let _keeping = AbortOnDropHandle::new(tokio::spawn(keeping));
            batchstep_agent::run(config, state, dialer, executor, shutdown).await?;
        }
    }
    Ok(())
}

/// Trades a join token for an identity, and keeps it.
async fn join(arguments: Enroll) -> anyhow::Result<()> {
    let state = StateDir::open_for_owner(&arguments.state_dir)?;
    if let Some(credentials) = state.credentials()
        && !arguments.replace
    {
        bail!(
            "{} is that of agent {}, enrolled until {}; to give it another identity, add --replace",
            arguments.state_dir.display(),
            credentials.agent(),
            humantime::format_rfc3339_seconds(credentials.ends())
        );
    }
    let token: Token = arguments.token()?.parse()?;
    let identity = enroll(&arguments.coordinator, &token, Host::read().facts).await?;
    state.keep(&identity)?;
    println!(
        "Enrolled as agent {} until {}; the certificate is renewed by itself. Start it:\n  batchstep-agent run --coordinator {} --state-dir {}",
        identity.agent(),
        humantime::format_rfc3339_seconds(identity.validity().ends),
        arguments.coordinator,
        arguments.state_dir.display()
    );
    Ok(())
}

/// The devices of this host, what runs rounds on them, and what keeps looking at them.
async fn real(
    arguments: &Run,
) -> anyhow::Result<(Config, ProcessExecutor, impl Future<Output = ()> + use<>)> {
    let worker = worker_path::find(arguments.worker.as_deref());
    if let Err(error) = &worker {
        if arguments.worker.is_some() {
            return Err(error.clone().into());
        }
        warn!(error = %error, "There is no worker; devices are offered as not eligible.");
    }
    let own = OwnWorkers::default();
    let options = arguments.inventory.options();
    let share_gpus = options.share_gpus;
    let mut inventory = Inventory::new(options, worker.clone(), own.clone());
    let mut first = inventory.look(Depth::Full).await;
    let known = first.devices.clone();
    match device::select(first.devices, &arguments.devices) {
        Ok(devices) => first.devices = devices,
        // The GPUs may come with NVML: after a boot, a driver's upgrade, a reset.
        Err(error) if first.document.nvml.state.is_trouble() || error == SelectionError::NoGpu => {
            warn!(error = %error, "Not every device that was asked for is there; the agent waits for it.");
            first.devices = device::of_selection(known, &arguments.devices);
        }
        Err(error) => return Err(error.into()),
    }
    inventory.offer_only(arguments.devices.clone());
    let executor = ProcessExecutor::new(worker)
        .watching(inventory.nvml(), own)
        .sharing_gpus(share_gpus);
    let (snapshots, seen) = watch::channel(Arc::new(first.clone()));
    let mut config = config(arguments, inventory.host().clone(), first.devices);
    config.host.software = first.host.software;
    config.inventory = Some(seen);
    Ok((config, executor, inventory.keep(snapshots)))
}

fn config(arguments: &Run, host: Host, devices: Vec<Device>) -> Config {
    Config {
        drain_limit: arguments.drain_limit.0,
        model_room: arguments.model_cache,
        ..Config::new(host.facts, devices)
    }
}

async fn inventory(arguments: InventoryArgs) -> anyhow::Result<ExitCode> {
    let worker = worker_path::find(arguments.worker.as_deref());
    let options = arguments.host.patient_options();
    let deadline = options.nvml_deadline;
    let look = Inventory::new(options, worker, OwnWorkers::default()).look_once();
    let (snapshot, _) = telling_to_wait(look, deadline).await;
    let mut stdout = io::stdout().lock();
    let written = match arguments.format {
        DoctorFormat::Table => write!(stdout, "{}", Page(&snapshot.document)),
        DoctorFormat::Json => {
            serde_json::to_writer_pretty(&mut stdout, &snapshot.document.to_json())
                .map_err(io::Error::from)
                .and_then(|()| writeln!(stdout))
        }
    };
    written.context("cannot write the inventory")?;
    Ok(if snapshot.document.nvml.state.is_trouble() {
        ExitCode::from(EXIT_FAILED)
    } else {
        ExitCode::SUCCESS
    })
}

async fn examine(arguments: Doctor) -> anyhow::Result<ExitCode> {
    let options = arguments.host.patient_options();
    let deadline = options.nvml_deadline;
    let locks = LockDir::of_host();
    let examination = doctor::examine(
        arguments.worker.as_deref(),
        arguments.state_dir.as_deref(),
        &locks,
        options,
    );
    let report = telling_to_wait(examination, deadline).await;
    let mut stdout = io::stdout().lock();
    print(&report, arguments.format, &mut stdout).context("cannot write the report")?;
    Ok(if report.would_stop_trials() {
        ExitCode::from(EXIT_FAILED)
    } else {
        ExitCode::SUCCESS
    })
}

/// Says what is waited for where it takes long.
async fn telling_to_wait<T>(look: impl Future<Output = T>, deadline: Duration) -> T {
    tokio::pin!(look);
    match time::timeout(SILENCE, &mut look).await {
        Ok(found) => found,
        Err(_) => {
            eprintln!(
                "Waiting for the worker and for NVML, for up to {} (--nvml-deadline) ...",
                humantime::format_duration(deadline)
            );
            look.await
        }
    }
}

fn print(report: &Report, format: DoctorFormat, out: &mut impl io::Write) -> io::Result<()> {
    match format {
        DoctorFormat::Table => write!(out, "{report}"),
        DoctorFormat::Json => {
            serde_json::to_writer_pretty(&mut *out, report)?;
            writeln!(out)
        }
    }
}

fn filter(text: &str) -> anyhow::Result<EnvFilter> {
    EnvFilter::try_new(text).with_context(|| {
        format!("{text:?} is not a log filter; write a level, or target=level pairs")
    })
}

/// Set once the agent is asked to stop in any way.
fn stopping(mut shutdown: watch::Receiver<Shutdown>) -> CancellationToken {
    let stopping = CancellationToken::new();
    let set = stopping.clone();
    tokio::spawn(async move {
        if shutdown
            .wait_for(|wanted| *wanted != Shutdown::No)
            .await
            .is_ok()
        {
            set.cancel();
        }
    });
    stopping
}
