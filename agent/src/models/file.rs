//! Models as files: `HEX.pt` is whole, `HEX.part` is on its way. Names come from digests alone.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::SystemTime,
};

use batchstep_proto::{
    limits::MODEL_CHUNK_BYTES,
    model::{ModelDigest, ModelHasher},
};
use tracing::warn;

use crate::durable;

/// Ending of a whole model.
const WHOLE: &str = "pt";
/// Ending of one on its way.
const PART: &str = "part";

/// How a file was: changes whenever its content does, by whatever hand, short of one that sets the clock back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    inode: (u64, u64),
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Mark {
    fn of(file: &File) -> io::Result<Self> {
        let about = file.metadata()?;
        Ok(Self {
            inode: (about.dev(), about.ino()),
            length: about.len(),
            modified: (about.mtime(), about.mtime_nsec()),
            changed: (about.ctime(), about.ctime_nsec()),
        })
    }
}

/// The folder.
#[derive(Debug, Clone)]
pub(super) struct Folder {
    path: PathBuf,
}

impl Folder {
    /// Lists the models in it, the least recently used first, and removes what is half-done.
    pub(super) fn open(path: PathBuf) -> io::Result<(Self, Vec<(ModelDigest, u64)>)> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&path)? {
            let file = entry?.path();
            let stem = file.file_stem().and_then(|stem| stem.to_str());
            let Some(Ok(digest)) = stem.map(ModelDigest::from_hex) else {
                continue;
            };
            if file.extension().is_some_and(|ending| ending == WHOLE) {
                let about = fs::metadata(&file)?;
                found.push((about.modified()?, digest, about.len()));
            } else {
                durable::remove(&file)?;
            }
        }
        found.sort();
        let found = found.into_iter().map(|(_, digest, size)| (digest, size));
        Ok((Self { path }, found.collect()))
    }

    /// Where all of it is.
    pub(super) fn whole(&self, digest: &ModelDigest) -> PathBuf {
        self.path.join(digest.hex()).with_extension(WHOLE)
    }

    /// Where it comes in.
    pub(super) fn part(&self, digest: &ModelDigest) -> PathBuf {
        self.path.join(digest.hex()).with_extension(PART)
    }

    /// Gives a verified part its place; durable when it returns.
    pub(super) fn keep(&self, digest: &ModelDigest) -> io::Result<Mark> {
        let whole = self.whole(digest);
        durable::rename(&self.part(digest), &whole)?;
        Mark::of(&File::open(&whole)?)
    }

    /// Removes what there is of it.
    pub(super) fn remove(&self, digest: &ModelDigest) {
        for path in [self.whole(digest), self.part(digest)] {
            if let Err(error) = durable::remove(&path) {
                warn!(path = %path.display(), %error, "A model cannot be removed.");
            }
        }
    }

    /// Checks a whole model's digest, without reading it where it is as it was when `checked`; notes that it is used. `None`: it is damaged.
    pub(super) fn check(
        &self,
        digest: &ModelDigest,
        checked: Option<Mark>,
    ) -> io::Result<Option<Mark>> {
        let path = self.whole(digest);
        let mut file = File::open(&path)?;
        if checked != Some(Mark::of(&file)?) && hash(&mut file)?.0 != *digest {
            return Ok(None);
        }
        // The order of use survives a restart of the agent.
        let noted = File::options().append(true).open(&path);
        if let Ok(noted) = noted {
            let _ = noted.set_modified(SystemTime::now());
        }
        Mark::of(&file).map(Some)
    }

    /// The folder itself.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

/// The digest so far and the length of a file from where it stands.
pub(super) fn hash(file: &mut File) -> io::Result<(ModelDigest, u64)> {
    let (hasher, length) = hash_on(file)?;
    Ok((hasher.finish(), length))
}

/// The same, for content that goes on.
pub(super) fn hash_on(file: &mut File) -> io::Result<(ModelHasher, u64)> {
    let mut buffer = vec![0; MODEL_CHUNK_BYTES];
    let (mut hasher, mut length) = (ModelHasher::default(), 0);
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok((hasher, length)),
            Ok(read) => {
                hasher.update(&buffer[..read]);
                length += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
