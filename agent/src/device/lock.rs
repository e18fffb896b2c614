//! One measuring process per device and host: an advisory lock on a file per device, in a folder that all users of the host share.
//!
//! Two measurements at a time would both be void. The kernel gives a lock back when its holder dies, however it dies.

use std::{
    env,
    fs::{self, File, Permissions, TryLockError},
    io,
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

/// Where locks are when nothing else is said. Services with a private `/tmp` need `BATCHSTEP_LOCK_DIR` to share it.
const DEFAULT: &str = "/tmp/batchstep-locks";

/// A device that cannot be taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process measures on it.
    #[error(
        "another process on this host measures on {device_id} (lock file {path}); wait for it or stop it"
    )]
    Held {
        /// The device.
        device_id: String,
        /// Its lock file.
        path: PathBuf,
    },
    /// The lock file cannot be opened.
    #[error(
        "the lock file {path} cannot be used; make its folder writable, or name another for all agents of this host with BATCHSTEP_LOCK_DIR"
    )]
    Io {
        /// The lock file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// The folder of lock files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockDir(PathBuf);

/// A device that is this process's own as long as the value lives.
#[derive(Debug)]
pub struct DeviceLock {
    file: File,
}

impl Drop for DeviceLock {
    /// Closing the file is not enough: a child that is just being started still has it open, until it becomes another program.
    fn drop(&mut self) {
        let _ = self.file.unlock();
    }
}

impl LockDir {
    /// In a folder of its own; tests and private fleets use this.
    #[must_use]
    pub fn at(path: PathBuf) -> Self {
        Self(path)
    }

    /// `BATCHSTEP_LOCK_DIR`, else one folder for the whole host.
    #[must_use]
    pub fn of_host() -> Self {
        Self(env::var_os("BATCHSTEP_LOCK_DIR").map_or_else(|| DEFAULT.into(), PathBuf::from))
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Takes a device.
    ///
    /// # Errors
    /// When another process has it, and when the lock file cannot be opened.
    pub fn take(&self, device_id: &str) -> Result<DeviceLock, LockError> {
        let name: String = device_id
            .chars()
            .map(|c| {
                if c.is_ascii_alphanumeric() || c == '-' {
                    c
                } else {
                    '_'
                }
            })
            .collect();
        let path = self.0.join(name);
        let failed = |source| LockError::Io {
            path: path.clone(),
            source,
        };
        let file = self.open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(DeviceLock { file }),
            Err(TryLockError::WouldBlock) => Err(LockError::Held {
                device_id: device_id.to_owned(),
                path,
            }),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }

    /// Opens for reading where the file exists, which is enough for a lock and works for files of other users.
    fn open(&self, path: &Path) -> io::Result<File> {
        let existing = || {
            File::options()
                .read(true)
                .custom_flags(libc::O_NOFOLLOW)
                .open(path)
        };
        match existing() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            other => return other,
        }
        if !self.0.exists() {
            fs::create_dir_all(&self.0)?;
            // As /tmp: everyone may add, nobody may remove what is another's. Another process may have been first.
            let _ = fs::set_permissions(&self.0, Permissions::from_mode(0o1777));
        }
        match File::options().write(true).create_new(true).open(path) {
            Ok(file) => {
                file.set_permissions(Permissions::from_mode(0o644))?;
                Ok(file)
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => existing(),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_taken_once_and_given_back() {
        let directory = tempfile::tempdir().unwrap();
        let locks = LockDir::at(directory.path().join("locks"));
        let first = locks.take("GPU-1/../x").unwrap();
        let error = locks.take("GPU-1/../x").unwrap_err();
        assert!(error.to_string().contains("GPU-1/../x"), "{error}");
        let other = locks.take("GPU-2").unwrap();
        drop(first);
        locks.take("GPU-1/../x").unwrap();
        drop(other);
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let locks = LockDir::at(file.path().join("locks"));
        assert!(matches!(locks.take("CPU"), Err(LockError::Io { .. })));
    }
}
