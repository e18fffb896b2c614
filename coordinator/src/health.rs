//! Whether the coordinator can do its work: its task answers, and its store keeps what is written. Looked at by one task, a few times a minute; told to load
//! balancers by `/healthz`, to gRPC clients by the health service, and to the service manager by the [`Heart`]. All of them say the same.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use batchstep_core::fleet::Census;
use batchstep_daemon::{Heart, Pulse};
use batchstep_proto::{causes::chain, wire::AgentState};
use tokio::{
    sync::watch,
    time::{self, MissedTickBehavior},
};
use tokio_util::sync::CancellationToken;

use crate::{engine::Engine, engine::EngineError, store::Store};

/// How often health is looked at, unless the service manager wants to know more often. Each look costs the disk one sync.
const INTERVAL: Duration = Duration::from_secs(5);
/// Longest wait for the task's answer. The longest thing it does is one commit, which gives up after 5 s.
const ENGINE_LIMIT: Duration = Duration::from_secs(10);
/// Longest wait for a write: as long as the store itself waits for the lock of another process, and a little more.
const STORE_LIMIT: Duration = Duration::from_secs(7);

/// Why the coordinator cannot do its work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ailment {
    /// Nothing is known yet.
    Starting,
    /// It was told to end.
    Stopping,
    /// The task does not answer.
    Silent,
    /// A commit failed, and the state could not be read back yet.
    NoState,
    /// The store takes nothing: why.
    Store(String),
}

impl fmt::Display for Ailment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Starting => f.write_str("the coordinator is starting"),
            Self::Stopping => f.write_str("the coordinator is stopping"),
            Self::Silent => write!(
                f,
                "the coordinator's task has not answered for {ENGINE_LIMIT:?}; see its log"
            ),
            Self::NoState => {
                f.write_str("the store failed and cannot be read back yet; see the log")
            }
            Self::Store(why) => write!(f, "the store takes no writes: {why}"),
        }
    }
}

/// The newest verdict. Clones share it.
#[derive(Debug, Clone)]
pub struct Health {
    verdicts: watch::Receiver<Result<Census, Ailment>>,
    shutdown: CancellationToken,
    since: Instant,
}

impl Health {
    /// What is known now.
    ///
    /// # Errors
    /// When the coordinator cannot do its work, or is about to end.
    pub fn verdict(&self) -> Result<Census, Ailment> {
        if self.shutdown.is_cancelled() {
            return Err(Ailment::Stopping);
        }
        self.verdicts.borrow().clone()
    }

    /// Time since the coordinator started.
    #[must_use]
    pub fn uptime(&self) -> Duration {
        self.since.elapsed()
    }

    /// Waits until something may have changed; false when nothing will any more.
    pub async fn changed(&mut self) -> bool {
        if self.shutdown.is_cancelled() {
            return false;
        }
        tokio::select! {
            () = self.shutdown.cancelled() => true,
            changed = self.verdicts.changed() => changed.is_ok(),
        }
    }
}

/// The task that looks, and where its verdicts are heard. It ends when `stop` is set.
pub fn watch<S: Store>(
    engine: Engine,
    store: Arc<S>,
    heart: Heart,
    shutdown: CancellationToken,
    stop: CancellationToken,
) -> (Health, impl Future<Output = ()> + Send) {
    let (told, verdicts) = watch::channel(Err(Ailment::Starting));
    let health = Health {
        verdicts,
        shutdown,
        since: Instant::now(),
    };
    let doctor = Doctor {
        engine,
        store,
        heart,
        told,
        health: health.clone(),
    };
    let looking = async move {
        tokio::select! {
            () = doctor.look_again_and_again() => {}
            () = stop.cancelled() => {}
        }
    };
    (health, looking)
}

struct Doctor<S> {
    engine: Engine,
    store: Arc<S>,
    heart: Heart,
    told: watch::Sender<Result<Census, Ailment>>,
    health: Health,
}

impl<S: Store> Doctor<S> {
    async fn look_again_and_again(&self) {
        let mut looks = time::interval(self.heart.interval().min(INTERVAL));
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            let verdict = self.look().await;
            self.tell(verdict);
        }
    }

    async fn look(&self) -> Result<Census, Ailment> {
        let census = match time::timeout(ENGINE_LIMIT, self.engine.census()).await {
            Err(_) => return Err(Ailment::Silent),
            Ok(Err(EngineError::Stopping)) => return Err(Ailment::Stopping),
            Ok(Err(_)) => return Err(Ailment::NoState),
            Ok(Ok(census)) => census,
        };
        let store = Arc::clone(&self.store);
        // A task of its own, and never given up: a transaction that is abandoned half-way would keep its lock.
        let mut probe = tokio::spawn(async move { store.probe().await });
        loop {
            match time::timeout(STORE_LIMIT, &mut probe).await {
                Ok(Ok(Ok(()))) => return Ok(census),
                Ok(Ok(Err(error))) => return Err(Ailment::Store(chain(&error))),
                Ok(Err(error)) => return Err(Ailment::Store(error.to_string())),
                Err(_) => {
                    let why = format!("no answer within {STORE_LIMIT:?}");
                    self.tell(Err(Ailment::Store(why)));
                }
            }
        }
    }

    fn tell(&self, verdict: Result<Census, Ailment>) {
        match (&verdict, &*self.told.borrow()) {
            (Err(now), Err(before)) if now == before => {}
            (Err(Ailment::Stopping), _) | (Ok(_), Ok(_) | Err(Ailment::Starting)) => {}
            (Err(now), _) => {
                tracing::error!(reason = %now, "The coordinator cannot do its work.");
            }
            (Ok(_), Err(_)) => tracing::info!("The coordinator can do its work again."),
        }
        let _ = self.told.send_replace(verdict);
        // What is said while stopping is that it stops, whatever was found.
        let (is_well, status) = match self.health.verdict() {
            Ok(census) => (true, status(&census)),
            Err(Ailment::Stopping) => (true, Ailment::Stopping.to_string()),
            Err(ailment) => (false, ailment.to_string()),
        };
        self.heart.beat(Pulse { is_well, status });
    }
}

fn status(census: &Census) -> String {
    let known: usize = census.agents.values().sum();
    let online = census.agents.get(&AgentState::Online).unwrap_or(&0);
    format!(
        "Sweeps active: {}; agents online: {online} of {known}; rounds out: {}.",
        census.active_sweeps, census.open_attempts
    )
}
