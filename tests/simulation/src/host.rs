//! The software of the simulated hosts: the real coordinator and the real agent, each started again and again on what it left on its disk.

use std::{
    fs,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use batchstep_agent::{
    AgentError, Shutdown, config::Config, device::LockDir, simulation::Simulation,
    state_dir::StateDir,
};
use batchstep_coordinator::serve::serve_incoming;
use batchstep_core::fleet::Config as FleetConfig;
use batchstep_proto::domain::HostFacts;
use tokio::{sync::watch, time};
use tokio_util::sync::CancellationToken;

use crate::{
    chronicle::Chronicle,
    executions::{Executions, Witnessed},
    network::{self, SimulatedDialer},
    store::SimulatedStore,
};

/// A supervisor starts a process that failed again after this.
const RESTART: Duration = Duration::from_secs(1);

/// What the coordinator's host runs on.
#[derive(Clone)]
pub struct Coordinator {
    pub store: SimulatedStore,
    pub fleet: FleetConfig,
    pub chronicle: Arc<Chronicle>,
    /// Of the running process.
    pub stop: Arc<Mutex<CancellationToken>>,
}

impl Coordinator {
    /// One process, or several where it cannot start.
    pub async fn run(self) -> turmoil::Result {
        loop {
            let stop = CancellationToken::new();
            *self.stop.lock().unwrap_or_else(PoisonError::into_inner) = stop.clone();
            let served = serve_incoming(
                self.store.clone(),
                network::incoming().await?,
                stop,
                self.fleet.clone(),
            );
            match served.await {
                Ok(()) => return Ok(()),
                Err(error) => {
                    self.chronicle
                        .note(format_args!("the coordinator gives up: {error}"));
                }
            }
            time::sleep(RESTART).await;
        }
    }

    /// The signal to end.
    pub fn signal(&self) {
        self.stop
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .cancel();
    }
}

/// What an agent's host runs on.
#[derive(Clone)]
pub struct Agent {
    pub number: usize,
    /// Its disk.
    pub folder: PathBuf,
    pub part_interval: Duration,
    pub executions: Arc<Executions>,
    pub chronicle: Arc<Chronicle>,
    /// Of the running process.
    pub shutdown: Arc<Mutex<watch::Sender<Shutdown>>>,
}

impl Agent {
    /// One process.
    pub async fn run(self) -> turmoil::Result {
        let (shutdown, told) = watch::channel(Shutdown::No);
        *self.shutdown.lock().unwrap_or_else(PoisonError::into_inner) = shutdown;
        let state = StateDir::open(&self.state())?;
        let Simulation { devices, executor } =
            Simulation::load(&self.devices_file(), state.agent_id())?;
        let host = HostFacts {
            hostname: format!("host-{}", self.number),
            machine_id: format!("{:032x}", self.number + 1),
            agent_version: env!("CARGO_PKG_VERSION").to_owned(),
            ..HostFacts::default()
        };
        let config = Config {
            locks: LockDir::at(self.folder.join("locks")),
            part_interval: self.part_interval,
            ..Config::new(host, devices)
        };
        let executor = Witnessed {
            inner: executor,
            executions: Arc::clone(&self.executions),
        };
        match batchstep_agent::run(config, state, SimulatedDialer, executor, told).await {
            Ok(()) => Ok(()),
            Err(AgentError::Rejected { reason }) => {
                self.chronicle.violation(format_args!(
                    "agent {} was rejected for good: {reason}",
                    self.number
                ));
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// A signal to end.
    pub fn signal(&self, how: Shutdown) {
        let shutdown = self.shutdown.lock().unwrap_or_else(PoisonError::into_inner);
        shutdown.send_replace(how);
    }

    /// Its identity, once it has one.
    pub fn id(&self) -> Option<String> {
        let text = fs::read_to_string(self.state().join("agent_id")).ok()?;
        Some(text.trim().to_owned())
    }

    /// Where its devices are described.
    pub fn devices_file(&self) -> PathBuf {
        self.folder.join("devices.toml")
    }

    /// Files in its state directory that say that it owes the coordinator something: spooled reports and accepted attempts.
    pub fn debts(&self) -> Vec<PathBuf> {
        ["spool", "accepted"]
            .iter()
            .flat_map(|folder| files(&self.state().join(folder)))
            .collect()
    }

    /// Reports that the coordinator refused for good.
    pub fn set_aside(&self) -> Vec<PathBuf> {
        files(&self.state().join("spool").join("set-aside"))
    }

    /// Its state directory.
    pub fn state(&self) -> PathBuf {
        self.folder.join("state")
    }
}

/// Files of a folder, which need not be there.
fn files(folder: &std::path::Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let mut files: Vec<PathBuf> = paths.filter(|path| path.is_file()).collect();
    files.sort();
    files
}
