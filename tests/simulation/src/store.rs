//! The coordinator's store in a simulation: the store in memory, which survives the coordinator, behind a disk that is slow, refuses, or fails after it
//! has written. Everything that is really written is shown to the ledger.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    ops::RangeInclusive,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use batchstep_coordinator::{
    rpc::report_key,
    store::{
        ChangesWanted, Claimed, Dropped, EnrolledAgent, IdentityStore, Inventory, InventoryStore,
        KnownInventory, Memory, Models, RetentionStore, Store, StoreError, StoreSize, StoredChange,
        StoredEvent, StoredHistory, StoredIdentities, StoredSweep, StoredToken,
    },
};
use batchstep_core::{
    fleet::{AttemptState, Disposition, Record, Restriction, StoredRound, SweepSnapshot},
    inventory::{Observation, Seen},
    steptable::Answer,
};
use batchstep_identity::TokenId;
use batchstep_proto::{
    domain::AttemptReport,
    ids::{AgentId, AttemptId, RequestId, SeriesId, SweepId},
    wire,
};
use jiff::Timestamp;
use tokio::time;

use crate::{chronicle::Chronicle, echo::Copies, ledger::SharedLedger};

/// How the disk does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Disk {
    /// Every call takes this long in each direction.
    #[default]
    Well,
    /// Nothing can be written.
    Full,
    /// Nothing can be read or written.
    Refuses,
    /// What is written is kept, and every write is answered with an error.
    FailsAfterwards,
}

/// Time of a write before and after it is on the disk: long enough that crashes fall into either.
const WRITE: Duration = Duration::from_millis(4);

/// Time of reading some histories back: long enough that agents come back and report meanwhile.
const READ: Duration = Duration::from_secs(3);

/// How attempts that lost their agent are counted.
pub const EXPIRED: &str = "attempts expired";

/// Clones share one store.
#[derive(Clone)]
pub struct SimulatedStore {
    memory: Memory,
    disk: Arc<Mutex<Disk>>,
    ledger: SharedLedger,
    chronicle: Arc<Chronicle>,
    copies: Copies,
}

impl SimulatedStore {
    /// An empty store on a disk that does well.
    pub fn new(chronicle: Arc<Chronicle>, ledger: SharedLedger, copies: Copies) -> Self {
        Self {
            memory: Memory::new(),
            disk: Arc::default(),
            ledger,
            chronicle,
            copies,
        }
    }

    /// What is on record, without the disk.
    pub const fn memory(&self) -> &Memory {
        &self.memory
    }

    /// Changes how the disk does.
    pub fn set_disk(&self, disk: Disk) {
        *self.disk.lock().unwrap_or_else(PoisonError::into_inner) = disk;
    }

    fn disk(&self) -> Disk {
        *self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn readable(&self) -> Result<&Memory, StoreError> {
        match self.disk() {
            Disk::Refuses => Err(broken()),
            Disk::Well | Disk::Full | Disk::FailsAfterwards => Ok(&self.memory),
        }
    }

    fn writable(&self) -> Result<&Memory, StoreError> {
        match self.disk() {
            Disk::Full | Disk::Refuses => Err(broken()),
            Disk::Well | Disk::FailsAfterwards => Ok(&self.memory),
        }
    }

    fn show(&self, records: &[Record]) {
        for record in records {
            self.note(record);
            if let Record::Report {
                agent,
                digest,
                report,
                ..
            } = record
            {
                self.copy(*agent, *digest, report);
            }
        }
        self.ledger.lock().apply(records);
    }

    fn note(&self, record: &Record) {
        let line = match record {
            Record::SweepSubmitted { sweep, .. } => format!("sweep {sweep} submitted"),
            Record::SeriesCreated { plan, .. } => {
                format!("series {} of {} on {}", plan.id, plan.sweep, plan.device.id)
            }
            Record::AttemptAssigned { attempt, round, .. } => format!(
                "attempt {attempt} at round {} of {} assigned",
                round.index, round.series
            ),
            Record::AttemptAccepted { attempt } => format!("attempt {attempt} accepted"),
            Record::AttemptEnded {
                attempt,
                state,
                message,
            } => {
                if *state == AttemptState::Expired {
                    self.chronicle.count(EXPIRED);
                }
                format!("attempt {attempt} ended: {state:?}, {message}")
            }
            Record::Report {
                disposition,
                report,
                ..
            } => {
                self.chronicle.count(&format!(
                    "reports {}",
                    format!("{disposition:?}").to_lowercase()
                ));
                format!(
                    "report {} of attempt {}: {disposition:?}, {} blocks, {:?} {}",
                    report.part,
                    report.attempt,
                    report.blocks.len(),
                    report.outcome,
                    report.message
                )
            }
            Record::RoundEnded { round } => format!("round {round} ended"),
            Record::DeviceDeparted {
                series,
                device,
                reason,
            } => format!("device {device} left series {series}: {reason}"),
            Record::SeriesEnded {
                series,
                state,
                message,
                ..
            } => format!("series {series} ended: {state:?}, {message}"),
            Record::SweepEnded { sweep, state, .. } => format!("sweep {sweep} ended: {state:?}"),
            Record::AgentRestricted { agent, restriction } => {
                format!("agent {agent}: {restriction:?}")
            }
            Record::Event(_) => return,
        };
        self.chronicle.note(line);
    }

    /// Hands a report over for being sent again.
    fn copy(&self, agent: AgentId, digest: [u8; 32], report: &AttemptReport) {
        let report: wire::AttemptReport = report.clone().into();
        let told = AttemptReport::digest(&report);
        if report_key(agent, &told) != digest {
            self.chronicle.violation(format_args!(
                "the digest of report {} of attempt {} does not fit what is on record",
                report.part, report.attempt_id
            ));
        }
        self.copies.add(wire::ReportAttemptRequest {
            agent_id: agent.to_string(),
            digest: told.to_vec(),
            report: Some(report),
        });
    }
}

/// What may be well again, unlike a value that was damaged.
fn broken() -> StoreError {
    StoreError::Unwritable {
        path: "disk".into(),
        source: io::Error::other("the simulation broke it"),
    }
}

impl Store for SimulatedStore {
    type Nightly = Memory;

    fn nightly(&self) -> &Memory {
        self.memory.nightly()
    }

    async fn commit(&self, at: Timestamp, records: &[Record]) -> Result<Vec<u64>, StoreError> {
        time::sleep(WRITE).await;
        let seqs = self.writable()?.commit(at, records).await;
        match &seqs {
            Ok(_) => self.show(records),
            Err(error) => self
                .chronicle
                .violation(format_args!("the store was handed nonsense: {error}")),
        }
        time::sleep(WRITE).await;
        match self.disk() {
            Disk::FailsAfterwards => Err(broken()),
            Disk::Well | Disk::Full | Disk::Refuses => seqs,
        }
    }

    async fn open_sweeps(&self) -> Result<Vec<SweepSnapshot>, StoreError> {
        self.readable()?.open_sweeps().await
    }

    async fn ended_rounds(
        &self,
        sweep: SweepId,
        ordinals: RangeInclusive<u32>,
    ) -> Result<BTreeMap<SeriesId, Vec<StoredRound>>, StoreError> {
        time::sleep(READ).await;
        self.readable()?.ended_rounds(sweep, ordinals).await
    }

    async fn sweeps(&self) -> Result<Vec<StoredSweep>, StoreError> {
        self.readable()?.sweeps().await
    }

    async fn sweep(&self, sweep: SweepId) -> Result<Option<StoredSweep>, StoreError> {
        self.readable()?.sweep(sweep).await
    }

    async fn histories(&self, sweep: Option<SweepId>) -> Result<Vec<StoredHistory>, StoreError> {
        self.readable()?.histories(sweep).await
    }

    async fn find_request(&self, request: RequestId) -> Result<Option<SweepId>, StoreError> {
        self.readable()?.find_request(request).await
    }

    async fn report_known(
        &self,
        attempt: AttemptId,
        digest: &[u8; 32],
    ) -> Result<Option<Disposition>, StoreError> {
        let known = self.readable()?.report_known(attempt, digest).await?;
        if known.is_some() {
            self.chronicle.count("reports again");
        }
        Ok(known)
    }

    async fn events_after(
        &self,
        seq: u64,
        sweep: Option<SweepId>,
        limit: u32,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        self.readable()?.events_after(seq, sweep, limit).await
    }

    async fn restrictions(&self) -> Result<BTreeMap<AgentId, Restriction>, StoreError> {
        self.readable()?.restrictions().await
    }

    async fn last_seq(&self) -> Result<u64, StoreError> {
        self.readable()?.last_seq().await
    }

    fn models(&self) -> &Models {
        self.memory.models()
    }
}

impl RetentionStore for SimulatedStore {
    async fn compactable(&self, before: Timestamp) -> Result<Vec<SeriesId>, StoreError> {
        self.readable()?.compactable(before).await
    }

    async fn history(&self, series: SeriesId) -> Result<Option<StoredHistory>, StoreError> {
        self.readable()?.history(series).await
    }

    async fn keep_answer(
        &self,
        at: Timestamp,
        series: SeriesId,
        answer: &Answer,
    ) -> Result<(), StoreError> {
        self.writable()?.keep_answer(at, series, answer).await
    }

    async fn drop_blocks(&self, series: SeriesId, reports: u32) -> Result<Dropped, StoreError> {
        self.writable()?.drop_blocks(series, reports).await
    }

    async fn size(&self) -> Result<Option<StoreSize>, StoreError> {
        self.readable()?.size().await
    }
}

impl IdentityStore for SimulatedStore {
    async fn identities(&self) -> Result<StoredIdentities, StoreError> {
        self.readable()?.identities().await
    }

    async fn save_token(&self, token: &StoredToken) -> Result<(), StoreError> {
        self.writable()?.save_token(token).await
    }

    async fn save_agent(
        &self,
        agent: &EnrolledAgent,
        joined_with: Option<&StoredToken>,
    ) -> Result<(), StoreError> {
        self.writable()?.save_agent(agent, joined_with).await
    }

    async fn save_claims(
        &self,
        agent: AgentId,
        claims: &BTreeSet<Claimed>,
    ) -> Result<(), StoreError> {
        self.writable()?.save_claims(agent, claims).await
    }

    async fn remove_tokens(&self, tokens: &[TokenId]) -> Result<(), StoreError> {
        self.writable()?.remove_tokens(tokens).await
    }
}

impl InventoryStore for SimulatedStore {
    async fn save_inventory(
        &self,
        inventory: &Inventory,
        observation: &Observation,
    ) -> Result<(), StoreError> {
        self.writable()?
            .save_inventory(inventory, observation)
            .await
    }

    async fn inventory(&self, agent: AgentId) -> Result<Option<Inventory>, StoreError> {
        self.readable()?.inventory(agent).await
    }

    async fn known_inventory(&self) -> Result<KnownInventory, StoreError> {
        self.readable()?.known_inventory().await
    }

    async fn save_seen(&self, seen: &Seen) -> Result<(), StoreError> {
        self.writable()?.save_seen(seen).await
    }

    async fn inventory_changes(
        &self,
        wanted: &ChangesWanted,
    ) -> Result<Vec<StoredChange>, StoreError> {
        self.readable()?.inventory_changes(wanted).await
    }

    async fn last_inventory_change(&self) -> Result<u64, StoreError> {
        self.readable()?.last_inventory_change().await
    }
}
