//! Models that people uploaded: content by its digest, kept beside the database, or in the process where the store is there.
//!
//! The operator service writes here and the agent service reads. A model is there whole or not at all: an upload goes into a file of its own, and only
//! when its digest is right does it get its place. Names are for people and never part of a path.

mod content;
mod error;
mod folder;
mod shelf;
mod upload;

use std::{
    path::Path,
    sync::{Arc, Mutex, MutexGuard},
};

use batchstep_proto::{
    domain::ModelUpload,
    model::{ModelDigest, ModelName},
};
use jiff::Timestamp;

pub use content::Content;
pub use error::ModelError;
pub use upload::Upload;

use content::Keep;
use folder::Folder;
use shelf::Shelf;

use super::StoreError;

/// How much of the disk models may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ModelLimits {
    /// Largest model, bytes.
    pub one: u64,
    /// All models together, bytes.
    pub all: u64,
}

impl Default for ModelLimits {
    /// 2 GiB, which a network of half a billion f32 weights fits in, and room for a dozen of those.
    fn default() -> Self {
        Self {
            one: 2 << 30,
            all: 24 << 30,
        }
    }
}

/// What is known of a model without reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredModel {
    /// Its identity.
    pub digest: ModelDigest,
    /// What its first uploader's file was called; `None` where that was lost.
    pub name: Option<ModelName>,
    /// Bytes.
    pub size: u64,
    /// When it was complete.
    pub uploaded_at: Timestamp,
}

/// What there is of a digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// All of it.
    Complete,
    /// So many bytes of an upload that broke off; 0 where nothing is known of it.
    Partial(u64),
}

/// All models. Clones share them.
#[derive(Debug, Clone)]
pub struct Models {
    shelf: Arc<Mutex<Shelf>>,
    keep: Arc<Keep>,
    limits: ModelLimits,
}

/// In the process, with the usual limits.
impl Default for Models {
    fn default() -> Self {
        Self::in_memory(ModelLimits::default())
    }
}

impl Models {
    /// In the process, for simulations and tests.
    #[must_use]
    pub fn in_memory(limits: ModelLimits) -> Self {
        Self::new(Keep::memory(), Shelf::default(), limits)
    }

    /// In a folder, which is made when it is absent. What uploads left half-done before is removed.
    ///
    /// # Errors
    /// When the folder cannot be used.
    pub(super) fn open(path: &Path, limits: ModelLimits) -> Result<Self, StoreError> {
        let unusable = |source| StoreError::Unwritable {
            path: path.into(),
            source,
        };
        let (folder, models) = Folder::open(path).map_err(unusable)?;
        Ok(Self::new(Keep::folder(folder), Shelf::of(models), limits))
    }

    fn new(keep: Keep, shelf: Shelf, limits: ModelLimits) -> Self {
        Self {
            shelf: Arc::new(Mutex::new(shelf)),
            keep: Arc::new(keep),
            limits,
        }
    }

    /// How much room there is for models.
    #[must_use]
    pub const fn limits(&self) -> ModelLimits {
        self.limits
    }

    /// What there is of a digest.
    #[must_use]
    pub fn find(&self, digest: &ModelDigest) -> Found {
        self.shelf().find(digest)
    }

    /// Every model, newest first.
    #[must_use]
    pub fn list(&self) -> Vec<StoredModel> {
        self.shelf().list()
    }

    /// Begins an upload, or goes on with one that broke off.
    ///
    /// # Errors
    /// When it is there already or comes from somebody else now, is too large, begins elsewhere than the last one ended, or cannot be written.
    pub async fn begin(&self, announced: ModelUpload) -> Result<Upload, ModelError> {
        let claim = Shelf::claim(&self.shelf, &announced, self.limits)?;
        for forgotten in &claim.forgotten {
            self.keep.discard_part(forgotten);
        }
        Upload::begin(Arc::clone(&self.keep), claim, announced).await
    }

    /// A model's content from its beginning; `None` when it is not there.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn read(&self, digest: &ModelDigest) -> Result<Option<Content>, ModelError> {
        match self.find(digest) {
            Found::Complete => self.keep.read(digest).await.map(Some),
            Found::Partial(_) => Ok(None),
        }
    }

    /// Removes a model; false when it was not there.
    ///
    /// # Errors
    /// When its file cannot be removed.
    pub fn remove(&self, digest: &ModelDigest) -> Result<bool, ModelError> {
        if self.find(digest) != Found::Complete {
            return Ok(false);
        }
        self.keep.remove(digest)?;
        self.shelf().forget(digest);
        Ok(true)
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        shelf::lock(&self.shelf)
    }
}
