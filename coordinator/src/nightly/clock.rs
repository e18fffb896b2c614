//! The time that nights are kept by.

use std::{
    fs,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use jiff::Timestamp;

/// Where the time comes from.
#[derive(Debug, Clone, Default)]
pub enum Clock {
    /// This host.
    #[default]
    Wall,
    /// A file with one time in RFC 3339, read whenever it is asked: tests run thirty nights within minutes, and let clocks jump.
    File {
        /// The file.
        path: PathBuf,
        /// What it said last, milliseconds since 1970.
        last: Arc<AtomicI64>,
    },
}

impl Clock {
    /// The time now. A clock whose file cannot be read stands still.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        match self {
            Self::Wall => Timestamp::now(),
            Self::File { path, last } => {
                let text = fs::read_to_string(path).ok();
                if let Some(time) = text.and_then(|text| text.trim().parse::<Timestamp>().ok()) {
                    last.store(time.as_millisecond(), Ordering::Relaxed);
                }
                let last = last.load(Ordering::Relaxed);
                Timestamp::from_millisecond(last).unwrap_or(Timestamp::UNIX_EPOCH)
            }
        }
    }
}
