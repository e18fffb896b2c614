//! The fleet's inventory where it meets the store: reports are compared, committed, and only then known. Used by the services and the metrics; what a
//! document means is decided in `batchstep_core::inventory`.
//!
//! Reports are taken one at a time, because each is compared with what the ones before it left. Samples and sessions are noted in memory only, and when
//! hosts and devices were last seen is written every [`SEEN_INTERVAL`] for all of them together: ten thousand agents cost no sync of the disk each.

use std::{
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use batchstep_core::inventory::{
    Fleet, Greeting, Refused, Report, Sample, document_from, machine_id, sample_from,
};
use batchstep_proto::ids::AgentId;
use jiff::{SignedDuration, Timestamp};
use tokio::{sync::Mutex, time::MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::store::{Inventory, InventoryStore, KnownInventory, StoreError};

/// How often it is written when hosts and devices were last seen.
const SEEN_INTERVAL: Duration = Duration::from_mins(10);

/// Why a report is not taken.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// It breaks a rule.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// It cannot be kept at the moment.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The inventory of the fleet, and its store.
pub struct Inventories<S> {
    store: Arc<S>,
    fleet: RwLock<Fleet>,
    /// Held from comparing a report to knowing it.
    taking: Mutex<()>,
    changes: AtomicU64,
}

impl<S: InventoryStore> Inventories<S> {
    /// What the store knows.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn restore(store: Arc<S>) -> Result<Self, StoreError> {
        let KnownInventory {
            hosts,
            devices,
            snapshots,
        } = store.known_inventory().await?;
        let changes = store.last_inventory_change().await?;
        Ok(Self {
            fleet: RwLock::new(Fleet::restore(hosts, devices, snapshots)),
            store,
            taking: Mutex::new(()),
            changes: AtomicU64::new(changes),
        })
    }

    /// Takes an agent's report; `age` is the time since the hardware was asked.
    ///
    /// # Errors
    /// When it breaks a rule, or cannot be kept.
    pub async fn report(
        &self,
        agent: AgentId,
        inventory: Inventory,
        age: Duration,
    ) -> Result<(), ReportError> {
        let document = document_from(&inventory.document, &inventory.host, &inventory.devices)?;
        let report = Report {
            agent,
            machine_id: machine_id(&document, &inventory.host, agent),
            document,
            age,
        };
        let _taking = self.taking.lock().await;
        let observation = self.read(|fleet| fleet.observe(Timestamp::now(), report));
        if observation.is_news() {
            self.store.save_inventory(&inventory, &observation).await?;
        }
        for change in &observation.changes {
            tracing::info!(
                kind = %change.kind,
                host = change.hostname,
                uuid = change.uuid,
                field = change.field,
                before = change.before.as_ref().map(ToString::to_string),
                after = change.after.as_ref().map(ToString::to_string),
                "The inventory has changed."
            );
        }
        let news = u64::try_from(observation.changes.len()).unwrap_or(u64::MAX);
        self.changes.fetch_add(news, Ordering::Relaxed);
        self.write(|fleet| fleet.apply(observation));
        Ok(())
    }

    /// Takes a sample of live values; `age` is the time since the hardware was asked.
    ///
    /// # Errors
    /// When it breaks a rule.
    pub fn sample(&self, agent: AgentId, document: &[u8], age: Duration) -> Result<(), Refused> {
        let document = sample_from(document)?;
        let received_at = Timestamp::now();
        let sample = Sample {
            document,
            received_at,
            read_at: SignedDuration::try_from(age)
                .ok()
                .and_then(|age| received_at.checked_sub(age).ok())
                .unwrap_or(received_at),
        };
        self.write(|fleet| fleet.sample(agent, sample));
        Ok(())
    }

    /// Notes that an agent opened a stream.
    pub fn connected(&self, agent: AgentId, session: u64, greeting: Greeting) {
        self.write(|fleet| fleet.connected(agent, session, greeting, Timestamp::now()));
    }

    /// Notes that a stream has ended.
    pub fn disconnected(&self, agent: AgentId, session: u64) {
        self.write(|fleet| fleet.disconnected(agent, session, Timestamp::now()));
    }

    /// The fleet as it is now.
    pub fn fleet(&self) -> Fleet {
        self.read(Fleet::clone)
    }

    /// How many changes there ever were.
    pub fn changes(&self) -> u64 {
        self.changes.load(Ordering::Relaxed)
    }

    /// The store, for the history.
    pub fn store(&self) -> &S {
        &self.store
    }

    /// Writes now and then when hosts and devices were last seen, and once more when `stop` is set.
    pub async fn keep_seen(self: Arc<Self>, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(SEEN_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let is_over = tokio::select! {
                () = stop.cancelled() => true,
                _ = ticks.tick() => false,
            };
            self.save_seen().await;
            if is_over {
                return;
            }
        }
    }

    async fn save_seen(&self) {
        let seen = self.read(|fleet| fleet.seen(Timestamp::now()));
        if seen.is_empty() {
            return;
        }
        match self.store.save_seen(&seen).await {
            Ok(()) => self.write(|fleet| fleet.settle(&seen)),
            // The next time has everything that this one had.
            Err(error) => tracing::warn!(%error, "When hosts were last seen could not be written."),
        }
    }

    // A panic elsewhere leaves whole rows behind.
    fn read<T>(&self, look: impl FnOnce(&Fleet) -> T) -> T {
        look(&self.fleet.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write(&self, change: impl FnOnce(&mut Fleet)) {
        change(&mut self.fleet.write().unwrap_or_else(PoisonError::into_inner));
    }
}
