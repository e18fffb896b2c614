//! The time that nights are kept by.

use std::{fs, path::PathBuf};

use jiff::Timestamp;

/// Where the time comes from.
#[derive(Debug, Clone, Default)]
pub enum Clock {
    /// This host.
    #[default]
    Wall,
    /// A file with one time in RFC 3339, read whenever it is asked: tests run thirty nights within minutes, and let clocks jump.
    File(PathBuf),
}

impl Clock {
    /// The time now. A file that cannot be read stands still.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        match self {
            Self::Wall => Timestamp::now(),
            Self::File(path) => {
                let text = fs::read_to_string(path).ok();
                let time = text.and_then(|text| text.trim().parse().ok());
                time.unwrap_or_else(|| {
                    tracing::warn!(path = %path.display(), "The clock of the nights cannot be read; it stands at the beginning of 1970.");
                    Timestamp::UNIX_EPOCH
                })
            }
        }
    }
}
