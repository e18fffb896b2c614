//! One model on its way in. It is hashed as it comes, and gets its place only when length and digest are as announced.

use std::sync::Arc;

use batchstep_proto::{
    domain::ModelUpload,
    model::{ModelDigest, ModelHasher},
};

use super::{
    ModelError,
    content::{Keep, Sink},
    shelf::{Claim, Settlement},
};

/// A model on its way in. Dropped before its end, what came stays until the next start, for an upload that goes on.
#[derive(Debug)]
pub struct Upload {
    keep: Arc<Keep>,
    claim: Claim,
    announced: ModelUpload,
    hasher: ModelHasher,
    received: u64,
    sink: Sink,
}

impl Upload {
    pub(super) async fn begin(
        keep: Arc<Keep>,
        claim: Claim,
        announced: ModelUpload,
    ) -> Result<Self, ModelError> {
        let sink = match keep.sink(announced.digest, announced.offset).await {
            Ok(sink) => sink,
            Err(error) => return Err(discard(&keep, claim, &announced.digest, error)),
        };
        let mut hasher = ModelHasher::default();
        if announced.offset > 0 {
            match hash_part(&keep, &announced.digest, &mut hasher).await {
                Ok(length) if length == announced.offset => {}
                // Somebody else removed it: the upload begins anew.
                Ok(received) => {
                    let offset = announced.offset;
                    let error = ModelError::WrongOffset { offset, received };
                    return Err(discard(&keep, claim, &announced.digest, error));
                }
                Err(error) => return Err(discard(&keep, claim, &announced.digest, error)),
            }
        }
        Ok(Self {
            keep,
            claim,
            received: announced.offset,
            announced,
            hasher,
            sink,
        })
    }

    /// Takes the next piece.
    ///
    /// # Errors
    /// When there is more than announced, and when the disk fails: nothing is kept then.
    pub async fn write(mut self, data: &[u8]) -> Result<Self, ModelError> {
        let digest = self.announced.digest;
        let received = self.received.saturating_add(data.len() as u64);
        let written = if received > self.announced.size {
            Err(ModelError::TooLong {
                name: self.announced.name.clone(),
                size: self.announced.size,
            })
        } else {
            self.sink.write(data).await
        };
        if let Err(error) = written {
            return Err(discard(&self.keep, self.claim, &digest, error));
        }
        self.hasher.update(data);
        self.received = received;
        self.claim.received(data.len() as u64);
        Ok(self)
    }

    /// Verifies what came and gives it its place; durable when it returns.
    ///
    /// # Errors
    /// When something is missing; and when it is not what was announced, or the disk fails: nothing is kept then.
    pub async fn finish(self) -> Result<(), ModelError> {
        let ModelUpload { digest, size, .. } = self.announced;
        if self.received < size {
            // What came stays, as if the connection had broken.
            return Err(ModelError::Incomplete {
                name: self.announced.name,
                received: self.received,
                size,
            });
        }
        let found = self.hasher.finish();
        let kept = if found == digest {
            self.sink.keep(self.announced.name).await
        } else {
            Err(ModelError::WrongDigest {
                name: self.announced.name,
                announced: digest,
                found,
            })
        };
        match kept {
            Ok(model) => {
                self.claim.settle(Settlement::Kept(model));
                Ok(())
            }
            Err(error) => Err(discard(&self.keep, self.claim, &digest, error)),
        }
    }
}

fn discard(keep: &Keep, claim: Claim, digest: &ModelDigest, error: ModelError) -> ModelError {
    keep.discard_part(digest);
    claim.settle(Settlement::Discarded);
    error
}

/// Hashes what came before; its length.
async fn hash_part(
    keep: &Keep,
    digest: &ModelDigest,
    hasher: &mut ModelHasher,
) -> Result<u64, ModelError> {
    let mut part = keep.read_part(digest).await?;
    let mut length = 0;
    loop {
        let data = part.next().await?;
        if data.is_empty() {
            return Ok(length);
        }
        length += data.len() as u64;
        hasher.update(&data);
    }
}
