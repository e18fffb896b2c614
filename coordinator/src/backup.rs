//! Backups of a data directory: made while a coordinator writes to it, and turned into a new one. A backup is a folder with the layout of a data directory: the
//! database as it was at one moment, and every other file but those that only a running coordinator needs. Called by the command line.
//!
//! A folder under its final name is complete: it is made under another name, synced, and then renamed.

use std::{
    ffi::OsString,
    fs::{self, DirBuilder, File},
    io::{self, Read as _},
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use batchstep_proto::model::{ModelDigest, ModelHasher};

use crate::store::{DATABASE, Sqlite, StoreError, TRANSIENT};

/// Read at a time of a file whose content is checked.
const CHUNK_BYTES: usize = 1 << 20;

/// Why there is no backup, or nothing made from it.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// It is no data directory, nor a backup of one.
    #[error(
        "{path} holds no {DATABASE}; give the data directory of a coordinator, or a backup of one"
    )]
    NoDatabase {
        /// Where.
        path: PathBuf,
    },
    /// Something is there already.
    #[error("{path} exists, and nothing is ever overwritten; choose another place, or remove it")]
    Exists {
        /// Where.
        path: PathBuf,
    },
    /// It would be a part of what it is a copy of.
    #[error("{path} is within the data directory {data_dir}; choose a place outside of it")]
    Inside {
        /// Where.
        path: PathBuf,
        /// What is to be copied.
        data_dir: PathBuf,
    },
    /// A file cannot be copied.
    #[error("cannot copy {from} to {to}")]
    Copy {
        /// From.
        from: PathBuf,
        /// To.
        to: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A place cannot be written or read.
    #[error("cannot use {path}")]
    Unusable {
        /// Where.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A model's content is not what its name says.
    #[error(
        "the model {path} is damaged; use another backup, or remove the file and upload the model again"
    )]
    DamagedModel {
        /// The file.
        path: PathBuf,
    },
    /// The database cannot be copied, or is damaged.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What was copied.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Copied {
    /// The database among them.
    pub files: u64,
    /// All together.
    pub bytes: u64,
}

/// Copies the data directory of a coordinator, which may be running, to a new folder.
///
/// # Errors
/// When one cannot be read or the other not be written; then nothing is there under its name.
pub async fn make(data_dir: &Path, to: &Path) -> Result<Copied, BackupError> {
    find_database(data_dir)?;
    refuse_inside(data_dir, to)?;
    let target = Target::new(to)?;
    let copy = target.path.join(DATABASE);
    // The database first: what it speaks of was there before, and is copied after.
    Sqlite::copy(&data_dir.join(DATABASE), &copy).await?;
    Sqlite::check(&copy).await?;
    let mut copied = Copied::default();
    copied.count(&copy)?;
    copied.copy_folder(data_dir, &target.path, Path::new(""))?;
    target.finish()?;
    Ok(copied)
}

/// Makes a data directory from a backup that is whole.
///
/// # Errors
/// When the backup is damaged or newer than this build, and when there is anything at `data_dir`.
pub async fn restore(from: &Path, data_dir: &Path) -> Result<Copied, BackupError> {
    find_database(from)?;
    Sqlite::check(&from.join(DATABASE)).await?;
    check_models(&from.join("models"))?;
    let target = Target::new(data_dir)?;
    let mut copied = Copied::default();
    copied.copy_file(&from.join(DATABASE), &target.path.join(DATABASE))?;
    copied.copy_folder(from, &target.path, Path::new(""))?;
    target.finish()?;
    Ok(copied)
}

/// A copy within what is copied would have no end.
fn refuse_inside(data_dir: &Path, to: &Path) -> Result<(), BackupError> {
    let unusable = |source| BackupError::Unusable {
        path: data_dir.into(),
        source,
    };
    let data_dir = fs::canonicalize(data_dir).map_err(unusable)?;
    // The nearest folder above it that exists: what lies between is made.
    let place = std::path::absolute(to).map_err(unusable)?;
    let above = place.ancestors().find_map(|it| fs::canonicalize(it).ok());
    if above.is_some_and(|above| above.starts_with(&data_dir)) {
        return Err(BackupError::Inside {
            path: to.into(),
            data_dir,
        });
    }
    Ok(())
}

fn find_database(folder: &Path) -> Result<(), BackupError> {
    if folder.join(DATABASE).is_file() {
        Ok(())
    } else {
        Err(BackupError::NoDatabase {
            path: folder.into(),
        })
    }
}

/// A folder that is coming into being. Removed again unless it is finished.
struct Target {
    path: PathBuf,
    name: PathBuf,
    is_finished: bool,
}

impl Target {
    fn new(name: &Path) -> Result<Self, BackupError> {
        let unusable = |path: &Path| {
            let path = path.to_owned();
            move |source| BackupError::Unusable { path, source }
        };
        // Without the slash that a shell puts behind the name of a folder.
        let name = &name.components().collect::<PathBuf>();
        // A service manager may have made the folder, or a link to it.
        let name = match fs::read_dir(name).map(|mut entries| entries.next().is_none()) {
            Ok(true) => fs::canonicalize(name).map_err(unusable(name))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => name.to_owned(),
            Ok(false) | Err(_) => return Err(BackupError::Exists { path: name.into() }),
        };
        let mut partial = OsString::from(&name);
        partial.push(".partial");
        let path = PathBuf::from(partial);
        if path.exists() {
            return Err(BackupError::Exists { path });
        }
        // It holds people's results and, beside them, keys.
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&path)
            .map_err(unusable(&path))?;
        Ok(Self {
            path,
            name,
            is_finished: false,
        })
    }

    fn finish(mut self) -> Result<(), BackupError> {
        let unusable = |source| BackupError::Unusable {
            path: self.name.clone(),
            source,
        };
        sync_folder(&self.path).map_err(unusable)?;
        fs::rename(&self.path, &self.name).map_err(unusable)?;
        let parent = self.name.parent().filter(|it| !it.as_os_str().is_empty());
        sync_folder(parent.unwrap_or(Path::new("."))).map_err(unusable)?;
        self.is_finished = true;
        Ok(())
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        if !self.is_finished {
            // Whoever failed has said why; what stays behind is refused next time.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

impl Copied {
    /// Copies everything below `from/below` but the database and what is transient.
    fn copy_folder(&mut self, from: &Path, to: &Path, below: &Path) -> Result<(), BackupError> {
        let folder = from.join(below);
        let unusable = |source| BackupError::Unusable {
            path: folder.clone(),
            source,
        };
        for entry in fs::read_dir(&folder).map_err(unusable)? {
            let entry = entry.map_err(unusable)?;
            let place = below.join(entry.file_name());
            let kind = entry.file_type().map_err(unusable)?;
            if place == Path::new(DATABASE) || TRANSIENT.iter().any(|it| place == Path::new(it)) {
                continue;
            }
            if kind.is_dir() {
                let path = to.join(&place);
                DirBuilder::new()
                    .mode(0o700)
                    .create(&path)
                    .map_err(|source| BackupError::Unusable { path, source })?;
                self.copy_folder(from, to, &place)?;
            } else if kind.is_file() {
                self.copy_file(&from.join(&place), &to.join(&place))?;
            }
        }
        sync_folder(&to.join(below)).map_err(unusable)
    }

    fn copy_file(&mut self, from: &Path, to: &Path) -> Result<(), BackupError> {
        match fs::copy(from, to) {
            Ok(_) => self.count(to),
            // A model that was removed meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound && !from.exists() => Ok(()),
            Err(source) => Err(BackupError::Copy {
                from: from.into(),
                to: to.into(),
                source,
            }),
        }
    }

    /// Counts a file that is there, once it is on the disk.
    fn count(&mut self, path: &Path) -> Result<(), BackupError> {
        let synced = File::open(path).and_then(|file| {
            file.sync_all()?;
            file.metadata()
        });
        let about = synced.map_err(|source| BackupError::Unusable {
            path: path.into(),
            source,
        })?;
        self.files += 1;
        self.bytes += about.len();
        Ok(())
    }
}

fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Whether every model is what its name says.
fn check_models(folder: &Path) -> Result<(), BackupError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(_) if !folder.exists() => return Ok(()),
        Err(source) => {
            let path = folder.into();
            return Err(BackupError::Unusable { path, source });
        }
    };
    for path in entries.flatten().map(|entry| entry.path()) {
        let stem = path.file_stem().and_then(|stem| stem.to_str());
        let is_content = path.extension().is_some_and(|ending| ending == "pt");
        let (Some(Ok(named)), true) = (stem.map(ModelDigest::from_hex), is_content) else {
            continue;
        };
        let found = digest(&path).map_err(|source| BackupError::Unusable {
            path: path.clone(),
            source,
        })?;
        if found != named {
            return Err(BackupError::DamagedModel { path });
        }
    }
    Ok(())
}

fn digest(path: &Path) -> io::Result<ModelDigest> {
    let mut file = File::open(path)?;
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut digest = ModelHasher::default();
    loop {
        match file.read(&mut chunk)? {
            0 => return Ok(digest.finish()),
            read => digest.update(&chunk[..read]),
        }
    }
}
