//! What the state machine decided and the store does not have yet. Filled and committed by the task only.
//!
//! That everything else waits for the commit is the shape of these types, not a rule that others must keep: the effects of a [`Batch`] can be had
//! from a [`Committed`] alone, and that comes from a commit alone.

use batchstep_core::fleet::{Effect, Record};
use jiff::Timestamp;
use tokio::time::Instant;

use super::live::LiveEvent;
use crate::{
    meters::Meters,
    store::{Store, StoreError},
};

/// The effects of several inputs, in order.
#[derive(Default)]
pub(super) struct Batch {
    records: Vec<Record>,
    rest: Vec<Rest>,
}

/// What follows the commit.
#[expect(
    clippy::large_enum_variant,
    reason = "it lives until the next commit; most are effects"
)]
enum Rest {
    /// Show the next event among the records.
    Journalled,
    Effect(Effect),
}

/// One thing to do, now that what it rests on is on record.
pub(super) enum Deed {
    /// Show watchers an event that the journal has.
    Show(LiveEvent),
    /// Carry this out. Never [`Effect::Persist`].
    CarryOut(Effect),
}

/// Effects whose records the store has.
pub(super) struct Committed {
    /// When they were recorded.
    pub at: Timestamp,
    /// In order.
    pub deeds: Vec<Deed>,
}

impl Batch {
    /// Adds what one input led to.
    pub(super) fn add(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Persist(record) => {
                    if matches!(*record, Record::Event(_)) {
                        self.rest.push(Rest::Journalled);
                    }
                    self.records.push(*record);
                }
                effect => self.rest.push(Rest::Effect(effect)),
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty() && self.rest.is_empty()
    }

    /// Commits all records in one transaction.
    ///
    /// # Errors
    /// When the store cannot: then nothing of the batch is on record, and nothing of it may be done.
    pub(super) async fn commit(
        self,
        store: &impl Store,
        meters: &Meters,
    ) -> Result<Committed, StoreError> {
        let at = Timestamp::now();
        let seqs = if self.records.is_empty() {
            Vec::new()
        } else {
            let begun = Instant::now();
            let seqs = store.commit(at, &self.records).await?;
            meters.committed(begun.elapsed(), &self.records);
            seqs
        };
        let mut journalled = seqs
            .into_iter()
            .zip(self.records.into_iter().filter_map(|record| match record {
                Record::Event(event) => Some(event),
                _ => None,
            }))
            .map(|(seq, event)| Deed::Show(LiveEvent { seq, at, event }));
        let deeds = self
            .rest
            .into_iter()
            .filter_map(|rest| match rest {
                Rest::Journalled => journalled.next(),
                Rest::Effect(effect) => Some(Deed::CarryOut(effect)),
            })
            .collect();
        Ok(Committed { at, deeds })
    }
}
