//! A store that fails and waits to order, in front of another one.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::RangeInclusive,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use batchstep_coordinator::store::{
    ChangesWanted, Claimed, Dropped, EnrolledAgent, IdentityStore, Inventory, InventoryStore,
    KnownInventory, Memory, Models, RetentionStore, Store, StoreError, StoreSize, StoredChange,
    StoredEvent, StoredHistory, StoredIdentities, StoredSweep, StoredToken,
};
use batchstep_core::{
    fleet::{Disposition, Record, Restriction, StoredRound, SweepSnapshot},
    inventory::{Observation, Seen},
    steptable::Answer,
};
use batchstep_identity::TokenId;
use batchstep_proto::ids::{AgentId, AttemptId, RequestId, SeriesId, SweepId};
use jiff::Timestamp;
use tokio::sync::Mutex;

/// Makes the error of a call that fails.
pub type Failure = fn() -> StoreError;

/// A store whose disk is full, and whose commits, journal and histories wait, as long as the test says so.
pub struct Scripted<S = Memory> {
    store: Arc<S>,
    pub full: Arc<AtomicBool>,
    /// Commits that were asked for, each with its records.
    pub commits: Arc<std::sync::Mutex<Vec<Vec<Record>>>>,
    pub before_commit: Arc<Mutex<()>>,
    /// Readings of histories that were asked for, each with the ordinals of its series.
    pub readings: Arc<std::sync::Mutex<Vec<RangeInclusive<u32>>>>,
    pub before_reading: Arc<Mutex<()>>,
    /// How reading a history fails, by the ordinal of its series.
    pub damage: Arc<std::sync::Mutex<BTreeMap<u32, Failure>>>,
    /// Pages of the journal that were asked for.
    pub pages: Arc<AtomicUsize>,
    pub before_page: Arc<Mutex<()>>,
    pub after_page: Arc<Mutex<()>>,
}

impl Default for Scripted {
    fn default() -> Self {
        Self::over(Memory::new())
    }
}

impl<S> Clone for Scripted<S> {
    fn clone(&self) -> Self {
        Self {
            store: Arc::clone(&self.store),
            full: Arc::clone(&self.full),
            commits: Arc::clone(&self.commits),
            before_commit: Arc::clone(&self.before_commit),
            readings: Arc::clone(&self.readings),
            before_reading: Arc::clone(&self.before_reading),
            damage: Arc::clone(&self.damage),
            pages: Arc::clone(&self.pages),
            before_page: Arc::clone(&self.before_page),
            after_page: Arc::clone(&self.after_page),
        }
    }
}

impl<S> Scripted<S> {
    /// In front of `store`.
    pub fn over(store: S) -> Self {
        Self {
            store: Arc::new(store),
            full: Arc::default(),
            commits: Arc::default(),
            before_commit: Arc::default(),
            readings: Arc::default(),
            before_reading: Arc::default(),
            damage: Arc::default(),
            pages: Arc::default(),
            before_page: Arc::default(),
            after_page: Arc::default(),
        }
    }
}

impl<S: Store> Store for Scripted<S> {
    type Nightly = S::Nightly;

    fn nightly(&self) -> &S::Nightly {
        self.store.nightly()
    }

    async fn commit(&self, at: Timestamp, records: &[Record]) -> Result<Vec<u64>, StoreError> {
        self.commits.lock().unwrap().push(records.to_vec());
        drop(self.before_commit.lock().await);
        if self.full.load(Ordering::SeqCst) {
            return Err(StoreError::Dangling {
                what: "anything: the disk is full".to_owned(),
            });
        }
        self.store.commit(at, records).await
    }

    async fn open_sweeps(&self) -> Result<Vec<SweepSnapshot>, StoreError> {
        self.store.open_sweeps().await
    }

    async fn ended_rounds(
        &self,
        sweep: SweepId,
        ordinals: RangeInclusive<u32>,
    ) -> Result<BTreeMap<SeriesId, Vec<StoredRound>>, StoreError> {
        self.readings.lock().unwrap().push(ordinals.clone());
        drop(self.before_reading.lock().await);
        let damage = self
            .damage
            .lock()
            .unwrap()
            .range(ordinals.clone())
            .next()
            .map(|(_, error)| error());
        match damage {
            Some(error) => Err(error),
            None => self.store.ended_rounds(sweep, ordinals).await,
        }
    }

    async fn sweeps(&self) -> Result<Vec<StoredSweep>, StoreError> {
        self.store.sweeps().await
    }

    async fn sweep(&self, sweep: SweepId) -> Result<Option<StoredSweep>, StoreError> {
        self.store.sweep(sweep).await
    }

    async fn histories(&self, sweep: Option<SweepId>) -> Result<Vec<StoredHistory>, StoreError> {
        self.store.histories(sweep).await
    }

    async fn find_request(&self, request: RequestId) -> Result<Option<SweepId>, StoreError> {
        self.store.find_request(request).await
    }

    async fn report_known(
        &self,
        attempt: AttemptId,
        digest: &[u8; 32],
    ) -> Result<Option<Disposition>, StoreError> {
        self.store.report_known(attempt, digest).await
    }

    async fn events_after(
        &self,
        seq: u64,
        sweep: Option<SweepId>,
        limit: u32,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        let asked = |pages: &AtomicUsize| pages.fetch_add(1, Ordering::SeqCst);
        if self.before_page.try_lock().is_err() {
            asked(&self.pages);
            drop(self.before_page.lock().await);
        }
        let page = self.store.events_after(seq, sweep, limit).await;
        if self.after_page.try_lock().is_err() {
            asked(&self.pages);
            drop(self.after_page.lock().await);
        }
        page
    }

    async fn restrictions(&self) -> Result<BTreeMap<AgentId, Restriction>, StoreError> {
        self.store.restrictions().await
    }

    async fn last_seq(&self) -> Result<u64, StoreError> {
        self.store.last_seq().await
    }

    fn models(&self) -> &Models {
        self.store.models()
    }
}

impl<S: Store> InventoryStore for Scripted<S> {
    async fn save_inventory(
        &self,
        inventory: &Inventory,
        observation: &Observation,
    ) -> Result<(), StoreError> {
        self.store.save_inventory(inventory, observation).await
    }

    async fn inventory(&self, agent: AgentId) -> Result<Option<Inventory>, StoreError> {
        self.store.inventory(agent).await
    }

    async fn known_inventory(&self) -> Result<KnownInventory, StoreError> {
        self.store.known_inventory().await
    }

    async fn save_seen(&self, seen: &Seen) -> Result<(), StoreError> {
        self.store.save_seen(seen).await
    }

    async fn inventory_changes(
        &self,
        wanted: &ChangesWanted,
    ) -> Result<Vec<StoredChange>, StoreError> {
        self.store.inventory_changes(wanted).await
    }

    async fn last_inventory_change(&self) -> Result<u64, StoreError> {
        self.store.last_inventory_change().await
    }
}

impl<S: Store> RetentionStore for Scripted<S> {
    async fn compactable(&self, before: Timestamp) -> Result<Vec<SeriesId>, StoreError> {
        self.store.compactable(before).await
    }

    async fn history(&self, series: SeriesId) -> Result<Option<StoredHistory>, StoreError> {
        self.store.history(series).await
    }

    async fn keep_answer(
        &self,
        at: Timestamp,
        series: SeriesId,
        answer: &Answer,
    ) -> Result<(), StoreError> {
        self.store.keep_answer(at, series, answer).await
    }

    async fn drop_blocks(&self, series: SeriesId, reports: u32) -> Result<Dropped, StoreError> {
        self.store.drop_blocks(series, reports).await
    }

    async fn size(&self) -> Result<Option<StoreSize>, StoreError> {
        self.store.size().await
    }
}

impl<S: Store> IdentityStore for Scripted<S> {
    async fn identities(&self) -> Result<StoredIdentities, StoreError> {
        self.store.identities().await
    }

    async fn save_token(&self, token: &StoredToken) -> Result<(), StoreError> {
        self.store.save_token(token).await
    }

    async fn save_agent(
        &self,
        agent: &EnrolledAgent,
        joined_with: Option<&StoredToken>,
    ) -> Result<(), StoreError> {
        self.store.save_agent(agent, joined_with).await
    }

    async fn save_claims(
        &self,
        agent: AgentId,
        claims: &BTreeSet<Claimed>,
    ) -> Result<(), StoreError> {
        self.store.save_claims(agent, claims).await
    }

    async fn remove_tokens(&self, tokens: &[TokenId]) -> Result<(), StoreError> {
        self.store.remove_tokens(tokens).await
    }
}
