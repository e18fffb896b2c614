//! Where content is, and how it is read: a file, or bytes in the process. The only place that knows there are two ways.

use std::{
    collections::BTreeMap,
    io::{self, SeekFrom},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use batchstep_proto::{
    limits::MODEL_CHUNK_BYTES,
    model::{ModelDigest, ModelName},
};
use jiff::Timestamp;
use tokio::{
    fs::{File, OpenOptions},
    io::{AsyncReadExt as _, AsyncSeekExt as _, AsyncWriteExt as _},
};

use super::{ModelError, StoredModel, folder::Folder};

/// Where content is.
#[derive(Debug)]
pub(super) enum Keep {
    /// On the disk.
    Folder(Arc<Folder>),
    /// In the process.
    Memory(Arc<Mutex<Bytes>>),
}

#[derive(Debug, Default)]
pub(super) struct Bytes {
    complete: BTreeMap<ModelDigest, Arc<Vec<u8>>>,
    parts: BTreeMap<ModelDigest, Vec<u8>>,
}

/// A model's content, read piece by piece.
#[derive(Debug)]
pub struct Content {
    size: u64,
    source: Source,
}

#[derive(Debug)]
enum Source {
    File(File, PathBuf),
    Memory(Arc<Vec<u8>>, usize),
}

/// Where one model's content comes in.
#[derive(Debug)]
pub(super) enum Sink {
    File(File, Arc<Folder>, ModelDigest),
    Memory(Arc<Mutex<Bytes>>, ModelDigest),
}

impl Sink {
    /// Appends to what came.
    pub(super) async fn write(&mut self, data: &[u8]) -> Result<(), ModelError> {
        match self {
            Self::File(file, folder, digest) => {
                let written = async {
                    file.write_all(data).await?;
                    // What the count of received bytes promises must have reached the file.
                    file.flush().await
                };
                written
                    .await
                    .map_err(|source| failed("write", folder.part(digest), source))
            }
            Self::Memory(bytes, digest) => {
                lock(bytes)
                    .parts
                    .entry(*digest)
                    .or_default()
                    .extend_from_slice(data);
                Ok(())
            }
        }
    }

    /// Gives verified content its place; durable when it returns.
    pub(super) async fn keep(self, name: ModelName) -> Result<StoredModel, ModelError> {
        match self {
            Self::File(file, folder, digest) => {
                let failed = |source| failed("keep", folder.content(&digest), source);
                file.sync_all().await.map_err(failed)?;
                folder.keep(digest, &name).map_err(failed)
            }
            Self::Memory(bytes, digest) => {
                let mut bytes = lock(&bytes);
                let content = Arc::new(bytes.parts.remove(&digest).unwrap_or_default());
                let size = content.len() as u64;
                bytes.complete.insert(digest, content);
                Ok(StoredModel {
                    digest,
                    name: Some(name),
                    size,
                    uploaded_at: Timestamp::now(),
                })
            }
        }
    }
}

impl Keep {
    pub(super) fn memory() -> Self {
        Self::Memory(Arc::default())
    }

    pub(super) fn folder(folder: Folder) -> Self {
        Self::Folder(Arc::new(folder))
    }

    /// Opens the place where content comes in, cut to its first `offset` bytes.
    pub(super) async fn sink(&self, digest: ModelDigest, offset: u64) -> Result<Sink, ModelError> {
        match self {
            Self::Memory(bytes) => {
                let length = usize::try_from(offset).unwrap_or(usize::MAX);
                lock(bytes)
                    .parts
                    .entry(digest)
                    .or_default()
                    .truncate(length);
                Ok(Sink::Memory(Arc::clone(bytes), digest))
            }
            Self::Folder(folder) => {
                let path = folder.part(&digest);
                let opened = async {
                    let mut file = OpenOptions::new()
                        .create(true)
                        .truncate(false)
                        .write(true)
                        .open(&path)
                        .await?;
                    if file.metadata().await?.len() > offset {
                        file.set_len(offset).await?;
                    }
                    file.seek(SeekFrom::End(0)).await?;
                    Ok(file)
                };
                match opened.await {
                    Ok(file) => Ok(Sink::File(file, Arc::clone(folder), digest)),
                    Err(source) => Err(failed("write", path, source)),
                }
            }
        }
    }

    /// Removes what came in; a file that stays is removed at the next start.
    pub(super) fn discard_part(&self, digest: &ModelDigest) {
        match self {
            Self::Folder(folder) => {
                if let Err(error) = folder.discard_part(digest) {
                    tracing::warn!(%error, path = %folder.part(digest).display(), "What came in of a model cannot be removed.");
                }
            }
            Self::Memory(bytes) => {
                lock(bytes).parts.remove(digest);
            }
        }
    }

    pub(super) fn remove(&self, digest: &ModelDigest) -> Result<(), ModelError> {
        match self {
            Self::Folder(folder) => folder
                .remove(digest)
                .map_err(|source| failed("remove", folder.content(digest), source)),
            Self::Memory(bytes) => {
                lock(bytes).complete.remove(digest);
                Ok(())
            }
        }
    }

    /// Complete content, from its beginning.
    pub(super) async fn read(&self, digest: &ModelDigest) -> Result<Content, ModelError> {
        match self {
            Self::Folder(folder) => open(folder.content(digest)).await,
            Self::Memory(bytes) => {
                let content = lock(bytes)
                    .complete
                    .get(digest)
                    .cloned()
                    .unwrap_or_default();
                Ok(Content {
                    size: content.len() as u64,
                    source: Source::Memory(content, 0),
                })
            }
        }
    }

    /// What came in so far, from its beginning.
    pub(super) async fn read_part(&self, digest: &ModelDigest) -> Result<Content, ModelError> {
        match self {
            Self::Folder(folder) => open(folder.part(digest)).await,
            Self::Memory(bytes) => {
                let content = lock(bytes).parts.get(digest).cloned().unwrap_or_default();
                Ok(Content {
                    size: content.len() as u64,
                    source: Source::Memory(Arc::new(content), 0),
                })
            }
        }
    }
}

async fn open(path: PathBuf) -> Result<Content, ModelError> {
    let opened = async {
        let file = File::open(&path).await?;
        let size = file.metadata().await?.len();
        Ok((file, size))
    };
    match opened.await {
        Ok((file, size)) => Ok(Content {
            size,
            source: Source::File(file, path),
        }),
        Err(source) => Err(failed("read", path, source)),
    }
}

fn failed(doing: &'static str, path: PathBuf, source: io::Error) -> ModelError {
    ModelError::Disk {
        doing,
        path,
        source,
    }
}

fn lock(bytes: &Mutex<Bytes>) -> MutexGuard<'_, Bytes> {
    // Each statement leaves the maps whole.
    bytes.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Content {
    /// All of it, bytes.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Leaves out what comes before `offset`.
    ///
    /// # Errors
    /// When the disk fails.
    pub async fn skip_to(&mut self, offset: u64) -> Result<(), ModelError> {
        match &mut self.source {
            Source::File(file, path) => {
                let sought = file.seek(SeekFrom::Start(offset)).await;
                sought.map_err(|source| failed("read", path.clone(), source))?;
            }
            Source::Memory(content, at) => {
                *at = usize::try_from(offset)
                    .unwrap_or(usize::MAX)
                    .min(content.len());
            }
        }
        Ok(())
    }

    /// The next piece of at most [`MODEL_CHUNK_BYTES`]; empty at the end.
    ///
    /// # Errors
    /// When the disk fails.
    pub async fn next(&mut self) -> Result<Vec<u8>, ModelError> {
        match &mut self.source {
            Source::File(file, path) => {
                let mut data = Vec::with_capacity(MODEL_CHUNK_BYTES);
                let mut piece = file.take(MODEL_CHUNK_BYTES as u64);
                let read = piece.read_to_end(&mut data).await;
                read.map_err(|source| failed("read", path.clone(), source))?;
                Ok(data)
            }
            Source::Memory(content, at) => {
                let end = content.len().min(*at + MODEL_CHUNK_BYTES);
                let data = content[*at..end].to_vec();
                *at = end;
                Ok(data)
            }
        }
    }
}
