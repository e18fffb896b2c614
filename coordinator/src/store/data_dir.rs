//! The data directory: made when it is absent, and held by one coordinator at a time through a lock on a file in it.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use nix::{
    errno::Errno,
    sys::statfs::{PROC_SUPER_MAGIC, SYSFS_MAGIC, statfs},
    unistd::{AccessFlags, eaccess},
};

use super::StoreError;

/// File name of the database in it.
pub const DATABASE: &str = "coordinator.db";
/// File name of the lock in it.
const LOCK: &str = "lock";
/// File name of what is written to see whether anything can be.
const PROBE: &str = "write-test";
/// What in it means nothing to anybody but the running coordinator, by path: SQLite's own files beside the database, uploads that are not
/// complete, and what commands on its host show it.
pub const TRANSIENT: [&str; 7] = [
    LOCK,
    PROBE,
    "coordinator.db-wal",
    "coordinator.db-shm",
    "coordinator.db-journal",
    "models/incoming",
    "pki/local-operator",
];

/// A data directory that this process alone uses, until it is dropped or the process ends.
#[derive(Debug)]
pub(super) struct DataDir {
    path: PathBuf,
    /// Its lock is given up by the kernel when the file is closed, so a crashed coordinator never leaves one behind.
    lock: File,
}

impl Drop for DataDir {
    /// A process that is being started at this moment still has the file open, too: closing it here would not be enough.
    fn drop(&mut self) {
        let _ = self.lock.unlock();
    }
}

impl DataDir {
    /// Makes and locks it.
    ///
    /// # Errors
    /// When it cannot be made or written, or another coordinator holds it.
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        match DirBuilder::new().recursive(true).mode(0o700).create(path) {
            Ok(()) => {}
            Err(_) if path.exists() && !path.is_dir() => {
                return Err(StoreError::NotADirectory { path: path.into() });
            }
            Err(source) => {
                return Err(StoreError::CreateDirectory {
                    path: path.into(),
                    source,
                });
            }
        }
        let unwritable = |source: io::Error| StoreError::Unwritable {
            path: path.into(),
            source,
        };
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path.join(LOCK))
            .map_err(unwritable)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(StoreError::InUse { path: path.into() });
            }
            Err(TryLockError::Error(source)) => return Err(unwritable(source)),
        }
        // An existing lock file says nothing about the directory: SQLite makes further files beside its own.
        let probe = path.join(PROBE);
        fs::write(&probe, []).map_err(unwritable)?;
        fs::remove_file(&probe).map_err(unwritable)?;
        Ok(Self {
            path: path.into(),
            lock,
        })
    }

    /// Whether there is one or could be one: false where this user may not write it, or where it would be made. Changes nothing.
    ///
    /// # Errors
    /// When nobody could: something else is in its place or above it, or nothing can be made there.
    pub(super) fn check(path: &Path) -> Result<bool, StoreError> {
        let is_there = |place: &&Path| place.symlink_metadata().is_ok();
        // Without any it is relative to where the process is.
        let place = path.ancestors().find(is_there);
        let place = place.unwrap_or(Path::new("."));
        let refused = |source: io::Error| {
            let path = path.to_owned();
            Err(if path == place {
                StoreError::Unwritable { path, source }
            } else {
                StoreError::CreateDirectory { path, source }
            })
        };
        match fs::metadata(place) {
            Ok(found) if found.is_dir() => {}
            // A link to where this user may not look, as that of a unit with a user of its own.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(false),
            _ if path == place => {
                return Err(StoreError::NotADirectory { path: path.into() });
            }
            _ => return refused(io::ErrorKind::NotADirectory.into()),
        }
        // Nothing is forbidden to root there, and nothing can be made.
        let kind = statfs(place).map(|it| it.filesystem_type());
        if kind.is_ok_and(|kind| matches!(kind, PROC_SUPER_MAGIC | SYSFS_MAGIC)) {
            return refused(io::Error::other("only the kernel makes files there"));
        }
        match eaccess(place, AccessFlags::W_OK | AccessFlags::X_OK) {
            Ok(()) => Ok(true),
            Err(Errno::EACCES | Errno::EPERM) => Ok(false),
            Err(errno) => refused(errno.into()),
        }
    }

    /// The folder of models in it.
    pub(super) fn models(&self) -> PathBuf {
        self.path.join("models")
    }

    /// The database in it.
    pub(super) fn database(&self) -> PathBuf {
        self.path.join(DATABASE)
    }
}
