//! What the coordinator keeps: sweeps, series, rounds, attempts, every report, the journal, the inventories and people's models.
//!
//! [`Store`] is what the rest of the coordinator asks, with [`InventoryStore`] as the part about hosts and their GPUs, [`NightlyStore`] as the part about scheduled
//! sweeps, [`IdentityStore`] as the part about who may ask and [`RetentionStore`] as the part that lets old blocks go; [`Sqlite`] keeps it in a data directory and [`Memory`] in the process, for simulations and
//! tests. One suite of contract tests runs against both. A store decides nothing: the fleet's state machine says what is recorded.

mod data_dir;
mod error;
mod identity;
mod inventory;
mod memory;
mod models;
mod nightly;
mod retention;
mod sqlite;

use std::{borrow::Cow, collections::BTreeMap, future::Future, ops::RangeInclusive};

use batchstep_core::{
    fleet::{
        Disposition, Event, Record, Restriction, SeriesState, SeriesSummary, StoredRound,
        SweepSnapshot, SweepState,
    },
    steptable::{Answer, SeriesResult},
    sweep::{History, SeriesPlan},
};
use batchstep_proto::{
    domain::SweepSpec,
    ids::{AgentId, AttemptId, RequestId, SeriesId, SweepId},
};
use jiff::Timestamp;

pub use data_dir::{DATABASE, TRANSIENT};
pub use error::StoreError;
pub use identity::{
    Claimed, EnrolledAgent, IdentityStore, Revocation, StoredIdentities, StoredToken,
};
pub use inventory::{ChangesWanted, Inventory, InventoryStore, KnownInventory, StoredChange};
pub use memory::Memory;
pub use models::{Content, Found, ModelError, ModelLimits, Models, StoredModel, Upload};
pub use nightly::{
    Acknowledgement, AlarmsWanted, BookKind, MessageProgress, MessageState, NewAction, NightState,
    NightlyRecord, NightlyStore, NightsWanted, StoredAction, StoredAlarm, StoredBook,
    StoredMessage, StoredNight, StoredNightSeries, StoredSchedule,
};
pub use retention::{Dropped, KeptAnswer, RetentionStore, StoreSize};
pub use sqlite::Sqlite;

/// The coordinator's memory. Every method is safe to call from several tasks; what a finished [`Store::commit`] wrote survives a crash.
pub trait Store: InventoryStore + IdentityStore + RetentionStore {
    /// The part about scheduled sweeps.
    type Nightly: NightlyStore;

    /// The part about scheduled sweeps.
    fn nightly(&self) -> &Self::Nightly;

    /// Writes all of it or nothing, and answers with the sequence numbers of the [`Record::Event`]s among it, in order.
    fn commit(
        &self,
        at: Timestamp,
        records: &[Record],
    ) -> impl Future<Output = Result<Vec<u64>, StoreError>> + Send;

    /// Every sweep that is not over, and every other one with an attempt that is still out, with the rounds that are not over: what the state machine begins with,
    /// which takes as long as there are series and such rounds, however much was measured. In the order of submission.
    fn open_sweeps(&self) -> impl Future<Output = Result<Vec<SweepSnapshot>, StoreError>> + Send;

    /// The rounds that are over of the series of a sweep with these ordinals, ascending by index; series without one may be left out.
    fn ended_rounds(
        &self,
        sweep: SweepId,
        ordinals: RangeInclusive<u32>,
    ) -> impl Future<Output = Result<BTreeMap<SeriesId, Vec<StoredRound>>, StoreError>> + Send;

    /// Every sweep, newest first.
    fn sweeps(&self) -> impl Future<Output = Result<Vec<StoredSweep>, StoreError>> + Send;

    /// One sweep.
    fn sweep(
        &self,
        sweep: SweepId,
    ) -> impl Future<Output = Result<Option<StoredSweep>, StoreError>> + Send;

    /// What was measured so far, of one sweep or of all, in order of sweep and series.
    fn histories(
        &self,
        sweep: Option<SweepId>,
    ) -> impl Future<Output = Result<Vec<StoredHistory>, StoreError>> + Send;

    /// The sweep that a submission made, if it was made before.
    fn find_request(
        &self,
        request: RequestId,
    ) -> impl Future<Output = Result<Option<SweepId>, StoreError>> + Send;

    /// What became of a report, if it was stored before.
    fn report_known(
        &self,
        attempt: AttemptId,
        digest: &[u8; 32],
    ) -> impl Future<Output = Result<Option<Disposition>, StoreError>> + Send;

    /// At most `limit` entries of the journal after `seq`, ascending; only those of `sweep` where it is given.
    fn events_after(
        &self,
        seq: u64,
        sweep: Option<SweepId>,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<StoredEvent>, StoreError>> + Send;

    /// The largest sequence number of the journal; 0 when it is empty.
    fn last_seq(&self) -> impl Future<Output = Result<u64, StoreError>> + Send;

    /// Agents that get no work, and why.
    fn restrictions(
        &self,
    ) -> impl Future<Output = Result<BTreeMap<AgentId, Restriction>, StoreError>> + Send;

    /// The models that people uploaded.
    fn models(&self) -> &Models;

    /// Writes what means nothing, as durably as a commit: whether the store can keep anything now. By default an empty commit.
    fn probe(&self) -> impl Future<Output = Result<(), StoreError>> + Send {
        async { self.commit(Timestamp::now(), &[]).await.map(drop) }
    }
}

/// A sweep, for lists and details.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredSweep {
    /// Its id.
    pub id: SweepId,
    /// What was asked for.
    pub spec: SweepSpec,
    /// Where it is.
    pub state: SweepState,
    /// Why it is over, for people.
    pub message: String,
    /// When it was asked for.
    pub submitted_at: Timestamp,
    /// When it was over.
    pub finished_at: Option<Timestamp>,
    /// By ordinal.
    pub series: Vec<StoredSeries>,
}

/// A series, for lists and details.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredSeries {
    /// What it measures.
    pub plan: SeriesPlan,
    /// [`SeriesState::Waiting`] unless it is over.
    pub state: SeriesState,
    /// Why it is over, for people.
    pub message: String,
    /// What it came to, or has come to so far.
    pub summary: SeriesSummary,
}

/// What was measured of a series.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredHistory {
    /// What it measures.
    pub plan: SeriesPlan,
    /// [`SeriesState::Waiting`] unless it is over.
    pub state: SeriesState,
    /// Why it is over, for people.
    pub message: String,
    /// Its rounds up to the last one that is over or has a block; none where an answer was kept instead.
    pub history: History,
    /// For each round, whose block each of its blocks is: `attempts[round][block]`.
    pub attempts: Vec<Vec<AttemptId>>,
    /// What stands for its blocks, which are compacted.
    pub kept: Option<KeptAnswer>,
}

impl StoredHistory {
    /// What the series says: as it was kept, or else judged now, which is work for a processor.
    #[must_use]
    pub fn answer(&self) -> Cow<'_, Answer> {
        match &self.kept {
            Some(kept) => Cow::Borrowed(&kept.answer),
            None => Cow::Owned(Answer::of(&SeriesResult {
                plan: &self.plan,
                history: &self.history,
                finished: !matches!(self.state, SeriesState::Waiting | SeriesState::Running),
                cancelled: self.state == SeriesState::Cancelled,
                message: (!self.message.is_empty()).then_some(self.message.as_str()),
            })),
        }
    }
}

/// An entry of the journal.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredEvent {
    /// Grows; never used twice.
    pub seq: u64,
    /// When it happened.
    pub at: Timestamp,
    /// What happened.
    pub event: Event,
}

/// A round with the attempt behind each of its blocks, as both stores read it back.
struct ReadRound {
    stored: StoredRound,
    /// It is over.
    ended: bool,
    block_attempts: Vec<AttemptId>,
}

/// The part of a series' rounds that belongs to its history, unless an answer was kept instead.
fn history(
    series: StoredSeries,
    mut rounds: Vec<ReadRound>,
    kept: Option<KeptAnswer>,
) -> StoredHistory {
    if kept.is_some() {
        rounds.clear();
    }
    let last = rounds
        .iter()
        .rposition(|round| round.ended || !round.stored.record.blocks.is_empty());
    rounds.truncate(last.map_or(0, |last| last + 1));
    let (rounds, attempts) = rounds
        .into_iter()
        .map(|round| (round.stored.record, round.block_attempts))
        .unzip();
    StoredHistory {
        plan: series.plan,
        state: series.state,
        message: series.message,
        history: History { rounds },
        attempts,
        kept,
    }
}
