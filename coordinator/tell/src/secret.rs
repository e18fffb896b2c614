//! Texts that must not be seen: passwords, and addresses that are passwords. Read from files and the environment, handed to a connection, and shown nowhere.

use std::{env, fmt, fs, io::Read as _, os::unix::fs::MetadataExt as _, path::Path, path::PathBuf};

use serde::{Serialize, Serializer};

/// A file of secrets holds one line.
const SIZE_MAX: u64 = 8 * 1024;
/// Readable by others, or writable by anybody but the owner.
const TOO_OPEN: u32 = 0o026;
/// What is shown in a secret's place.
const HIDDEN: &str = "(secret)";

/// A text that is never shown: not by `Debug`, not by `Display`, not in anything serialised.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps a text from being shown.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// Reads the one line of a file that others cannot read.
    ///
    /// The owner's group may read it: that is how a file of root's is shared with a service, and what files of systemd's `LoadCredential=` look like.
    ///
    /// # Errors
    /// When the file cannot be read, is open to others, or does not hold one line.
    pub fn from_file(path: &Path) -> Result<Self, SecretError> {
        let unreadable = |source| SecretError::Unreadable {
            path: path.to_owned(),
            source,
        };
        let mut file = fs::File::open(path).map_err(unreadable)?;
        let mode = file.metadata().map_err(unreadable)?.mode() & 0o7777;
        if mode & TOO_OPEN != 0 {
            return Err(SecretError::Open {
                path: path.to_owned(),
                mode,
            });
        }
        let mut text = String::new();
        let read = file.by_ref().take(SIZE_MAX + 1).read_to_string(&mut text);
        read.map_err(unreadable)?;
        let line = text.trim();
        if line.is_empty() || line.contains(char::is_control) || text.len() as u64 > SIZE_MAX {
            return Err(SecretError::Content {
                path: path.to_owned(),
            });
        }
        Ok(Self(line.to_owned()))
    }

    /// Reads an environment variable; `None`: it is not set, or empty.
    ///
    /// # Errors
    /// When it holds something else than text.
    pub fn from_variable(name: &str) -> Result<Option<Self>, SecretError> {
        match env::var(name) {
            Ok(text) if text.trim().is_empty() => Ok(None),
            Ok(text) => Ok(Some(Self(text.trim().to_owned()))),
            Err(env::VarError::NotPresent) => Ok(None),
            // The error itself repeats the value.
            Err(env::VarError::NotUnicode(_)) => Err(SecretError::Variable(name.to_owned())),
        }
    }

    /// The text itself, for the one who needs it: nothing that is made of it may be shown.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(HIDDEN)
    }
}

/// A file or variable that gives no secret.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// It is not there, or not for this user.
    #[error("cannot read {}", .path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// Others know it already, or can change it.
    #[error(
        "{} holds a secret and has mode {mode:04o}: others can read or change it; run `chmod o-rwx,g-w {}`",
        .path.display(),
        .path.display()
    )]
    Open {
        /// Which.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// An environment variable that is no text.
    #[error("the environment variable {0} is no text (UTF-8)")]
    Variable(String),
    /// It is empty, or something else.
    #[error("{} must hold the secret in one line, and nothing else", .path.display())]
    Content {
        /// Which.
        path: PathBuf,
    },
}

#[cfg(test)]
mod tests {
    use std::{fs::Permissions, os::unix::fs::PermissionsExt as _};

    use super::*;

    fn file(content: &[u8], mode: u32) -> (tempfile::TempDir, PathBuf) {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("secret");
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        (home, path)
    }

    #[test]
    fn nothing_shows_a_secret() {
        let secret = Secret::new("hunter2".to_owned());
        let shown = [
            format!("{secret}"),
            format!("{secret:?}"),
            format!("{:#?}", Some(&secret)),
            serde_json::to_string(&secret).unwrap(),
        ];
        for text in shown {
            assert!(text.contains(HIDDEN) && !text.contains("hunter"), "{text}");
        }
    }

    #[test]
    fn a_file_is_read_without_the_blanks_around_its_line() {
        for mode in [0o400, 0o600, 0o440, 0o640] {
            let (_home, path) = file(b" hunter2\r\n", mode);
            assert_eq!(Secret::from_file(&path).unwrap().expose(), "hunter2");
        }
    }

    #[test]
    fn a_file_that_others_can_read_or_change_is_refused_with_the_remedy() {
        for mode in [0o644, 0o604, 0o602, 0o620, 0o660] {
            let (_home, path) = file(b"hunter2", mode);
            let error = Secret::from_file(&path).unwrap_err().to_string();
            assert!(error.contains("chmod o-rwx,g-w"), "{error}");
            assert!(error.contains(&format!("{mode:04o}")), "{error}");
        }
    }

    #[test]
    fn what_is_no_line_is_refused_and_not_shown() {
        let long = vec![b'x'; 9000];
        for content in [
            &b""[..],
            b" \n",
            b"hunter2\nhunter3\n",
            b"hunt\0er",
            &long,
            b"hunt\xff",
        ] {
            let (_home, path) = file(content, 0o600);
            let error = format!("{:?}", Secret::from_file(&path).unwrap_err());
            assert!(!error.contains("hunter"), "{error}");
        }
        let missing = Secret::from_file(Path::new("/nowhere/secret")).unwrap_err();
        assert!(missing.to_string().contains("/nowhere/secret"));
    }
}
