//! Models as files: `models/HEX.pt` is complete, `models/HEX.name` is what people call it, `models/incoming/HEX` is coming in.
//!
//! A crash leaves nothing half-done in its place: content is synced before it is renamed, and `incoming` is emptied at every start.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use batchstep_proto::model::{ModelDigest, ModelName};
use jiff::Timestamp;

use super::StoredModel;

/// Ending of complete content.
const CONTENT: &str = "pt";
/// Ending of a name.
const NAME: &str = "name";

/// The folder.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
}

impl Folder {
    /// Makes it where there is none, cleans up what uploads left, and lists what is complete.
    pub(super) fn open(path: &Path) -> io::Result<(Self, Vec<StoredModel>)> {
        let folder = Self { path: path.into() };
        let incoming = folder.incoming();
        match fs::remove_dir_all(&incoming) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => fs::create_dir_all(&incoming)?,
        }
        let mut models = Vec::new();
        for entry in fs::read_dir(path)? {
            let file = entry?.path();
            let stem = file.file_stem().and_then(|stem| stem.to_str());
            let Some(Ok(digest)) = stem.map(ModelDigest::from_hex) else {
                continue;
            };
            if file.extension().is_some_and(|ending| ending == CONTENT) {
                models.push(folder.describe(digest)?);
            } else if !folder.content(&digest).exists() {
                // A name whose content never came.
                fs::remove_file(&file)?;
            }
        }
        Ok((folder, models))
    }

    fn describe(&self, digest: ModelDigest) -> io::Result<StoredModel> {
        let about = fs::metadata(self.content(&digest))?;
        let name = fs::read_to_string(self.name(&digest)).ok();
        Ok(StoredModel {
            digest,
            name: name.and_then(|name| name.parse().ok()),
            size: about.len(),
            uploaded_at: about
                .modified()
                .and_then(|at| Timestamp::try_from(at).map_err(io::Error::other))?,
        })
    }

    /// Where a model's content is.
    pub(super) fn content(&self, digest: &ModelDigest) -> PathBuf {
        self.path.join(digest.hex()).with_extension(CONTENT)
    }

    /// Where it comes in.
    pub(super) fn part(&self, digest: &ModelDigest) -> PathBuf {
        self.incoming().join(digest.hex())
    }

    fn name(&self, digest: &ModelDigest) -> PathBuf {
        self.path.join(digest.hex()).with_extension(NAME)
    }

    fn incoming(&self) -> PathBuf {
        self.path.join("incoming")
    }

    /// Gives content that is complete, verified and synced its place; durable when it returns.
    pub(super) fn keep(&self, digest: ModelDigest, name: &ModelName) -> io::Result<StoredModel> {
        // The name first: a content without name is listed by its digest, a name without content is removed at the next start.
        fs::write(self.name(&digest), name.as_str())?;
        fs::rename(self.part(&digest), self.content(&digest))?;
        File::open(&self.path)?.sync_all()?;
        self.describe(digest)
    }

    /// Removes a model.
    pub(super) fn remove(&self, digest: &ModelDigest) -> io::Result<()> {
        for path in [self.content(digest), self.name(digest)] {
            gone(fs::remove_file(path))?;
        }
        Ok(())
    }

    /// Removes what came in of a model.
    pub(super) fn discard_part(&self, digest: &ModelDigest) -> io::Result<()> {
        gone(fs::remove_file(self.part(digest)))
    }
}

/// A file that is not there is as good as removed.
fn gone(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
