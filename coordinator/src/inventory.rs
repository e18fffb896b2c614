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
use jiff::Timestamp;
use tokio::{sync::Mutex, time::MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::store::{Inventory, InventoryStore, KnownInventory, StoreError};

/// How often it is written when hosts and devices were last seen.
const SEEN_INTERVAL: Duration = Duration::from_mins(10);

/// Why a report is not taken.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// It cannot be kept at the moment.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The coordinator ends.
    #[error("the coordinator is stopping; report again when it is back")]
    Stopping,
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
            fleet: RwLock::new(Fleet::restore(Timestamp::now(), hosts, devices, snapshots)),
            store,
            taking: Mutex::new(()),
            changes: AtomicU64::new(changes),
        })
    }

    /// Reads what an agent reports; `age` is the time since the hardware was asked.
    ///
    /// # Errors
    /// When it breaks a rule.
    pub fn read_report(
        agent: AgentId,
        inventory: &Inventory,
        age: Duration,
    ) -> Result<Report, Refused> {
        let document = document_from(&inventory.document, &inventory.host, &inventory.devices)?;
        Ok(Report {
            agent,
            machine_id: machine_id(&document, &inventory.host, agent),
            document,
            age,
        })
    }

    /// Takes a report, with the message that it was read from. Once begun it is finished, also when nobody waits for the answer any
    /// more: what is committed and not known would be committed again as news.
    ///
    /// # Errors
    /// When it cannot be kept.
    pub async fn report(
        self: &Arc<Self>,
        inventory: Inventory,
        report: Report,
    ) -> Result<(), ReportError> {
        let this = Arc::clone(self);
        let taken = tokio::spawn(async move { this.take(&inventory, report).await });
        match taken.await {
            Ok(taken) => Ok(taken?),
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => Err(ReportError::Stopping),
            },
        }
    }

    /// Compares a report with what is known, commits what is new, and only then knows it.
    async fn take(&self, inventory: &Inventory, report: Report) -> Result<(), StoreError> {
        let _taking = self.taking.lock().await;
        let observation = self.read(|fleet| fleet.observe(Timestamp::now(), report));
        if observation.is_news() {
            self.store.save_inventory(inventory, &observation).await?;
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
        let sample = Sample::new(document, Timestamp::now(), age);
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use batchstep_core::inventory::{Observation, Seen, Wanted};
    use batchstep_proto::domain::HostFacts;

    use super::*;
    use crate::store::{ChangesWanted, Memory, StoredChange};

    /// A store that commits, and answers only when it is told to.
    struct Slow {
        memory: Memory,
        answers: AtomicBool,
    }

    impl InventoryStore for Slow {
        async fn save_inventory(
            &self,
            inventory: &Inventory,
            observation: &Observation,
        ) -> Result<(), StoreError> {
            self.memory.save_inventory(inventory, observation).await?;
            while !self.answers.load(Ordering::Relaxed) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            Ok(())
        }

        async fn inventory(&self, agent: AgentId) -> Result<Option<Inventory>, StoreError> {
            self.memory.inventory(agent).await
        }

        async fn known_inventory(&self) -> Result<KnownInventory, StoreError> {
            self.memory.known_inventory().await
        }

        async fn save_seen(&self, seen: &Seen) -> Result<(), StoreError> {
            InventoryStore::save_seen(&self.memory, seen).await
        }

        async fn inventory_changes(
            &self,
            wanted: &ChangesWanted,
        ) -> Result<Vec<StoredChange>, StoreError> {
            self.memory.inventory_changes(wanted).await
        }

        async fn last_inventory_change(&self) -> Result<u64, StoreError> {
            self.memory.last_inventory_change().await
        }
    }

    #[tokio::test]
    async fn a_report_that_nobody_waits_for_any_more_is_known_once_it_is_kept() {
        let store = Arc::new(Slow {
            memory: Memory::new(),
            answers: AtomicBool::new(false),
        });
        let inventories = Arc::new(Inventories::restore(Arc::clone(&store)).await.unwrap());
        let inventory = Inventory {
            host: HostFacts {
                hostname: "node1".to_owned(),
                machine_id: "m-node1".to_owned(),
                ..HostFacts::default()
            },
            devices: Vec::new(),
            document: Vec::new(),
            digest: Vec::new(),
        };
        let agent: AgentId = "00000000-0000-7000-8000-000000000001".parse().unwrap();
        let read = Inventories::<Slow>::read_report(agent, &inventory, Duration::ZERO).unwrap();
        let report = inventories.report(inventory.clone(), read.clone());
        let waited = tokio::time::timeout(Duration::from_millis(100), report).await;
        assert!(waited.is_err(), "the caller gives up while it is written");
        assert_eq!(store.last_inventory_change().await.unwrap(), 1);

        store.answers.store(true, Ordering::Relaxed);
        // Waits its turn behind the first, and finds nothing new.
        let again = inventories.report(inventory, read);
        again.await.unwrap();
        assert_eq!(store.last_inventory_change().await.unwrap(), 1);
        assert_eq!(inventories.changes(), 1);
        let fleet = inventories.fleet();
        assert_eq!(fleet.hosts(Timestamp::now(), &Wanted::default()).count(), 1);
    }
}
