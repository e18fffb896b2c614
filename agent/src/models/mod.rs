//! People's own networks on this host: content that rounds name by digest, fetched from the coordinator once and kept for later rounds.
//!
//! The runner asks for a model before its round starts and holds it while the round runs. Nothing is handed out whose digest was not checked since
//! the file last changed. What is kept is bounded: least recently used goes first, and never what a round holds.

mod books;
mod fetch;
mod file;

use std::{
    collections::BTreeMap,
    io,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use batchstep_proto::{model::ModelDigest, size::Size, workload::ModelRef};
use tokio::sync::{Mutex as Turn, Notify, watch};
use tonic::{Status, transport::Channel};
use tracing::{info, warn};

use books::{Books, Room};
use file::Folder;

/// A model that a round cannot have.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ModelError {
    /// Larger than everything this host may keep.
    #[error(
        "the model {model} has {size}, more than this agent keeps in all ({room}); raise --model-cache of batchstep-agent"
    )]
    TooLarge {
        /// For people.
        model: String,
        /// Its size.
        size: Size,
        /// The limit.
        room: Size,
    },
    /// The coordinator says no, and would say it again.
    #[error("the model {model} cannot be fetched: {reason}")]
    Refused {
        /// For people.
        model: String,
        /// In the coordinator's words.
        reason: String,
    },
    /// The coordinator is there, and the transfer breaks off again and again.
    #[error(
        "the model {model} cannot be fetched: the transfer broke off {times} times in a row, the last time: {reason}"
    )]
    BrokenOff {
        /// For people.
        model: String,
        /// How often.
        times: u32,
        /// Why the last time.
        reason: String,
    },
    /// What came is something else, twice.
    #[error(
        "the model {model} cannot be fetched: what the coordinator sends is not of the digest {digest}"
    )]
    WrongContent {
        /// For people.
        model: String,
        /// As the round names it.
        digest: ModelDigest,
    },
    /// This host's disk.
    #[error(
        "the model {model} cannot be kept in {path}; make room there, or give the agent another --state-dir"
    )]
    Disk {
        /// For people.
        model: String,
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl ModelError {
    fn refused(model: &ModelRef, status: &Status) -> Self {
        Self::Refused {
            model: model.to_string(),
            reason: status.message().to_owned(),
        }
    }
}

/// All models of this host.
#[derive(Debug)]
pub(crate) struct Models {
    folder: Folder,
    room: Size,
    coordinator: watch::Receiver<Option<Channel>>,
    books: Mutex<Books>,
    /// Something is not held any more.
    released: Notify,
    /// Whose turn it is to look for a digest: the others find what the first one fetched.
    turns: Mutex<BTreeMap<ModelDigest, Arc<Turn<()>>>>,
}

/// A verified model, kept as long as this lives.
#[derive(Debug)]
pub(crate) struct Held {
    models: Arc<Models>,
    digest: ModelDigest,
}

impl Models {
    /// Opens the folder. What fetches left half-done is removed.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(crate) fn open(
        path: PathBuf,
        room: Size,
        coordinator: watch::Receiver<Option<Channel>>,
    ) -> io::Result<Self> {
        let (folder, found) = Folder::open(path)?;
        Ok(Self {
            folder,
            room,
            coordinator,
            books: Mutex::new(Books::of(found)),
            released: Notify::new(),
            turns: Mutex::default(),
        })
    }

    /// A model's verified file, fetched where it is not here. Dropping the future keeps what came for the next try.
    ///
    /// # Errors
    /// When the round cannot have it. A lost connection is none: it is waited for.
    pub(crate) async fn obtain(self: &Arc<Self>, model: &ModelRef) -> Result<Held, ModelError> {
        let digest = model.digest;
        let turn = {
            let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(turns.entry(digest).or_default())
        };
        let _turn = turn.lock().await;
        // From here on nothing of it is evicted.
        let held = Held::new(self, digest);
        if self.books().is_whole(&digest) {
            if self.is_sound(digest).await {
                return Ok(held);
            }
            warn!(%digest, model = %model, "A cached model was damaged; it is fetched again.");
            self.books().forget(&digest);
            self.folder.remove(&digest);
        }
        info!(%digest, model = %model, "A model is fetched.");
        let size = fetch::fetch(self, model).await?;
        info!(%digest, model = %model, size = size.0, "A model is here.");
        Ok(held)
    }

    /// True when the file is what it should be; content is read only where the file changed since it was last checked.
    async fn is_sound(&self, digest: ModelDigest) -> bool {
        let checked = self.books().checked(&digest);
        let folder = self.folder.clone();
        let seen = tokio::task::spawn_blocking(move || folder.check(&digest, checked)).await;
        match seen {
            Ok(Ok(Some(mark))) => {
                self.books().verified(&digest, mark);
                true
            }
            Ok(Ok(None)) | Err(_) => false,
            Ok(Err(error)) => {
                warn!(%digest, %error, "A cached model cannot be read.");
                false
            }
        }
    }

    /// Waits until there is room for `size` bytes of this model, and takes it.
    async fn make_room(&self, model: &ModelRef, size: u64) -> Result<(), ModelError> {
        loop {
            let released = self.released.notified();
            let room = self.books().make_room(model.digest, size, self.room.0);
            match room {
                Room::Made(evicted) => {
                    for digest in evicted {
                        info!(%digest, "A model that was not used for longest is removed from the cache.");
                        self.folder.remove(&digest);
                    }
                    return Ok(());
                }
                Room::Never => {
                    return Err(ModelError::TooLarge {
                        model: model.to_string(),
                        size: Size(size),
                        room: self.room,
                    });
                }
                Room::Later => released.await,
            }
        }
    }

    /// Removes the model that was not used for longest, for a disk that is full before the cache is; false where all are held.
    fn evict_one(&self) -> bool {
        let evicted = self.books().evict_one();
        if let Some(digest) = evicted {
            warn!(%digest, "The disk is full: a model is removed from the cache.");
            self.folder.remove(&digest);
        }
        evicted.is_some()
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        // Each change leaves the books whole.
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    fn new(models: &Arc<Models>, digest: ModelDigest) -> Self {
        models.books().hold(digest);
        Self {
            models: Arc::clone(models),
            digest,
        }
    }

    /// The verified file.
    pub(crate) fn path(&self) -> PathBuf {
        self.models.folder.whole(&self.digest)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.models.books().release(&self.digest);
        self.models.released.notify_waiters();
    }
}
