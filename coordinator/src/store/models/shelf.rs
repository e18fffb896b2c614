//! What is there and what is coming: the books over the models, without their content. Pure; shared by uploads behind a lock.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use batchstep_proto::{domain::ModelUpload, model::ModelDigest};

use super::{Found, ModelError, ModelLimits, StoredModel};

/// The books.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    complete: BTreeMap<ModelDigest, StoredModel>,
    partial: BTreeMap<ModelDigest, Partial>,
}

/// An upload that is not complete.
#[derive(Debug, Clone, Copy)]
struct Partial {
    /// Bytes that are there.
    received: u64,
    /// Bytes it is going to have.
    size: u64,
    /// It comes in now.
    running: bool,
}

/// The right to bring in one digest. Dropping it without [`Claim::settle`] leaves what came for an upload that goes on.
#[derive(Debug)]
pub(super) struct Claim {
    shelf: Arc<Mutex<Shelf>>,
    digest: ModelDigest,
    /// Broken uploads that made room for this one: their content is to be discarded.
    pub(super) forgotten: Vec<ModelDigest>,
    settled: bool,
}

/// What becomes of an upload.
pub(super) enum Settlement {
    /// It is complete.
    Kept(StoredModel),
    /// Nothing of it is kept.
    Discarded,
}

pub(super) fn lock(shelf: &Mutex<Shelf>) -> MutexGuard<'_, Shelf> {
    // Each change leaves the books whole.
    shelf.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shelf {
    pub(super) fn of(models: Vec<StoredModel>) -> Self {
        Self {
            complete: models
                .into_iter()
                .map(|model| (model.digest, model))
                .collect(),
            partial: BTreeMap::new(),
        }
    }

    pub(super) fn find(&self, digest: &ModelDigest) -> Found {
        if self.complete.contains_key(digest) {
            Found::Complete
        } else {
            Found::Partial(
                self.partial
                    .get(digest)
                    .map_or(0, |partial| partial.received),
            )
        }
    }

    pub(super) fn list(&self) -> Vec<StoredModel> {
        let mut models: Vec<StoredModel> = self.complete.values().cloned().collect();
        models.sort_by_key(|model| std::cmp::Reverse(model.uploaded_at));
        models
    }

    pub(super) fn forget(&mut self, digest: &ModelDigest) {
        self.complete.remove(digest);
    }

    /// Reserves the room for an upload, at the cost of broken ones where it is short.
    pub(super) fn claim(
        shelf: &Arc<Mutex<Self>>,
        announced: &ModelUpload,
        limits: ModelLimits,
    ) -> Result<Claim, ModelError> {
        let mut books = lock(shelf);
        let digest = announced.digest;
        if books.complete.contains_key(&digest) {
            return Err(ModelError::Complete { digest });
        }
        let before = books.partial.get(&digest).copied();
        if before.is_some_and(|partial| partial.running) {
            return Err(ModelError::Busy { digest });
        }
        if announced.size > limits.one {
            return Err(ModelError::TooLarge {
                name: announced.name.clone(),
                size: announced.size,
                limit: limits.one,
            });
        }
        let received = before.map_or(0, |partial| partial.received);
        // From the beginning is always right: what was there is written over.
        if announced.offset != 0 && announced.offset != received {
            return Err(ModelError::WrongOffset {
                offset: announced.offset,
                received,
            });
        }
        let forgotten = books.make_room(announced, limits)?;
        books.partial.insert(
            digest,
            Partial {
                received: announced.offset,
                size: announced.size,
                running: true,
            },
        );
        drop(books);
        Ok(Claim {
            shelf: Arc::clone(shelf),
            digest,
            forgotten,
            settled: false,
        })
    }

    fn make_room(
        &mut self,
        announced: &ModelUpload,
        limits: ModelLimits,
    ) -> Result<Vec<ModelDigest>, ModelError> {
        let kept: u64 = self.complete.values().map(|model| model.size).sum();
        let others = |shelf: &Self| -> u64 {
            let others = shelf.partial.iter();
            let others = others.filter(|(digest, _)| **digest != announced.digest);
            others.map(|(_, partial)| partial.size).sum()
        };
        let fits = |taken: u64| taken.saturating_add(announced.size) <= limits.all;
        let mut forgotten = Vec::new();
        if !fits(kept + others(self)) {
            self.partial.retain(|digest, partial| {
                let stays = partial.running || *digest == announced.digest;
                if !stays {
                    forgotten.push(*digest);
                }
                stays
            });
        }
        let taken = kept + others(self);
        if fits(taken) {
            Ok(forgotten)
        } else {
            Err(ModelError::NoRoom {
                name: announced.name.clone(),
                size: announced.size,
                left: limits.all.saturating_sub(taken),
                limit: limits.all,
            })
        }
    }
}

impl Claim {
    /// Counts bytes that are written.
    pub(super) fn received(&self, bytes: u64) {
        if let Some(partial) = lock(&self.shelf).partial.get_mut(&self.digest) {
            partial.received += bytes;
        }
    }

    /// Ends the upload.
    pub(super) fn settle(mut self, settlement: Settlement) {
        self.settled = true;
        let mut books = lock(&self.shelf);
        books.partial.remove(&self.digest);
        if let Settlement::Kept(model) = settlement {
            books.complete.insert(self.digest, model);
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if self.settled {
            return;
        }
        if let Some(partial) = lock(&self.shelf).partial.get_mut(&self.digest) {
            partial.running = false;
        }
    }
}
