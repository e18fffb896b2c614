//! The files of the authority in the data directory: written whole or not at all, and readable by their owner only where they hold a secret.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use super::PkiError;

/// The folder of the authority in a data directory.
pub const PKI_DIRECTORY: &str = "pki";
/// The file, in that folder, with what a command on the same host needs to ask a running coordinator.
pub const LOCAL_OPERATOR: &str = "local-operator";

/// For the owner only.
pub(super) const PRIVATE: u32 = 0o600;
/// For everybody.
pub(super) const PUBLIC: u32 = 0o644;

/// How a command that can read the data directory reaches the coordinator that runs on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalOperator {
    /// Where it listens, as a URL.
    pub url: String,
    /// A token for operators, as a line; it ends with the coordinator's process.
    pub token: String,
}

impl LocalOperator {
    /// What the coordinator on this data directory left there; `None` when it left nothing.
    ///
    /// # Errors
    /// When the file cannot be read, which others than its owner cannot.
    pub fn read(data_dir: &Path) -> Result<Option<Self>, PkiError> {
        let path = Self::path(data_dir);
        match fs::read_to_string(&path) {
            Ok(text) => {
                let mut lines = text.lines();
                let (url, token) = (lines.next(), lines.next());
                Ok(url.zip(token).map(|(url, token)| Self {
                    url: url.to_owned(),
                    token: token.to_owned(),
                }))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(PkiError::File { path, source }),
        }
    }

    /// Leaves it there.
    pub(crate) fn write(&self, data_dir: &Path) -> Result<(), PkiError> {
        let text = format!("{}\n{}\n", self.url, self.token);
        replace(&Self::path(data_dir), text.as_bytes(), PRIVATE)
    }

    /// Takes it away. One that stays names a coordinator that is gone: its token is worth nothing.
    pub(crate) fn remove(data_dir: &Path) {
        let path = Self::path(data_dir);
        if let Err(error) = fs::remove_file(&path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(path = %path.display(), %error, "The credential of local operators could not be removed; it is worth nothing any more.");
        }
    }

    fn path(data_dir: &Path) -> PathBuf {
        data_dir.join(PKI_DIRECTORY).join(LOCAL_OPERATOR)
    }
}

/// Makes a folder that only its owner can enter.
pub(super) fn make_private_folder(path: &Path) -> Result<(), PkiError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|source| PkiError::File {
        path: path.to_owned(),
        source,
    })
}

/// Writes a file beside its name, flushes it, and renames it: a crash leaves the old one or the new one.
pub(super) fn replace(path: &Path, bytes: &[u8], mode: u32) -> Result<(), PkiError> {
    let unfinished = path.with_extension("tmp");
    let written = || {
        // A leftover of a crash may have another mode.
        match fs::remove_file(&unfinished) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new()
            .create_new(true)
            .write(true)
            .mode(mode)
            .open(&unfinished)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&unfinished, path)?;
        path.parent()
            .map_or(Ok(()), |folder| File::open(folder)?.sync_all())
    };
    written().map_err(|source| PkiError::File {
        path: path.to_owned(),
        source,
    })
}
