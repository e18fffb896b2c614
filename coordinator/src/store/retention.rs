//! What a store does so that it does not grow for ever: it keeps what a series says, and lets its blocks go.

use std::future::Future;

use batchstep_core::steptable::Answer;
use batchstep_proto::ids::SeriesId;
use jiff::Timestamp;

use super::{StoreError, StoredHistory};

/// The part of a [`Store`](super::Store) that compacts. Every call is a transaction of its own: between any two of them the process may end, nothing is lost,
/// and doing all of it again changes nothing.
pub trait RetentionStore: Send + Sync + 'static {
    /// Series that have blocks which nobody needs any more: those of sweeps that were over before `before` and of which nothing is out. Oldest sweep first.
    fn compactable(
        &self,
        before: Timestamp,
    ) -> impl Future<Output = Result<Vec<SeriesId>, StoreError>> + Send;

    /// What was measured of one series; `None`: there is none.
    fn history(
        &self,
        series: SeriesId,
    ) -> impl Future<Output = Result<Option<StoredHistory>, StoreError>> + Send;

    /// Keeps what a series says. From then on it is told instead of what the blocks say, so they may go. The first answer that is kept stays.
    fn keep_answer(
        &self,
        at: Timestamp,
        series: SeriesId,
        answer: &Answer,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Takes the blocks out of at most `reports` reports of a series whose answer is kept; of another nothing. The reports stay, without blocks.
    fn drop_blocks(
        &self,
        series: SeriesId,
        reports: u32,
    ) -> impl Future<Output = Result<Dropped, StoreError>> + Send;

    /// How large it is on the disk; `None` where it is not on one.
    fn size(&self) -> impl Future<Output = Result<Option<StoreSize>, StoreError>> + Send;
}

/// An answer that stands for blocks.
#[derive(Debug, Clone, PartialEq)]
pub struct KeptAnswer {
    /// Since when.
    pub at: Timestamp,
    /// What the series says.
    pub answer: Answer,
}

/// What one step of taking blocks away did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dropped {
    /// Reports that have lost their blocks.
    pub reports: u32,
    /// True when the series has no block left.
    pub complete: bool,
}

/// Room on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreSize {
    /// Of all files of the database, bytes.
    pub bytes: u64,
    /// Of these, pages that hold nothing and are used before the file grows, bytes.
    pub free_bytes: u64,
}
