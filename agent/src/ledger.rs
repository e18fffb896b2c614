//! Attempts that were accepted and are not finished, one file each, so that a restarted agent can say what became of them.
//!
//! Used by the outbox alone. An entry is written before the acceptance is sent and removed once the final report is on disk.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use prost::Message;
use tracing::warn;

use crate::durable;

/// Ending of an entry's file.
const SUFFIX: &str = ".accepted";

/// One accepted attempt, as it lies on disk.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Entry {
    #[prost(string, tag = "1")]
    pub(crate) attempt_id: String,
    #[prost(string, tag = "2")]
    pub(crate) round_id: String,
    /// Number of the next report part.
    #[prost(uint32, tag = "3")]
    pub(crate) next_part: u32,
}

/// All accepted and unfinished attempts.
#[derive(Debug)]
pub(crate) struct Ledger {
    directory: PathBuf,
    entries: BTreeMap<String, Entry>,
}

impl Ledger {
    /// Opens a ledger and reads what an earlier process left.
    pub(crate) fn open(directory: &Path) -> io::Result<Self> {
        fs::create_dir_all(directory)?;
        durable::sweep(directory)?;
        let mut entries = BTreeMap::new();
        for file in fs::read_dir(directory)? {
            let path = file?.path();
            match Entry::decode(fs::read(&path)?.as_slice()) {
                Ok(entry) if !entry.attempt_id.is_empty() => {
                    entries.insert(entry.attempt_id.clone(), entry);
                }
                _ => {
                    warn!(path = %path.display(), "A damaged record of an accepted attempt was removed; its lease will run out.");
                    durable::remove(&path)?;
                }
            }
        }
        Ok(Self {
            directory: directory.to_owned(),
            entries,
        })
    }

    /// Puts an attempt on record, or its next part number.
    pub(crate) fn record(&mut self, entry: Entry) -> io::Result<()> {
        let written = durable::write(&self.path(&entry.attempt_id), &entry.encode_to_vec());
        self.entries.insert(entry.attempt_id.clone(), entry);
        written
    }

    /// Strikes an attempt out.
    pub(crate) fn forget(&mut self, attempt_id: &str) {
        if self.entries.remove(attempt_id).is_some()
            && let Err(error) = durable::remove(&self.path(attempt_id))
        {
            warn!(attempt = attempt_id, error = %error, "The record of a finished attempt could not be removed.");
        }
    }

    pub(crate) fn get(&self, attempt_id: &str) -> Option<&Entry> {
        self.entries.get(attempt_id)
    }

    pub(crate) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values()
    }

    fn path(&self, attempt_id: &str) -> PathBuf {
        self.directory.join(format!("{attempt_id}{SUFFIX}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_survive_a_restart_and_damaged_ones_do_not_stop_it() {
        let directory = tempfile::tempdir().unwrap();
        let entry = |attempt: &str, next_part| Entry {
            attempt_id: attempt.to_owned(),
            round_id: "r".to_owned(),
            next_part,
        };
        let mut ledger = Ledger::open(directory.path()).unwrap();
        ledger.record(entry("a", 0)).unwrap();
        ledger.record(entry("b", 0)).unwrap();
        ledger.record(entry("b", 3)).unwrap();
        ledger.forget("a");
        fs::write(directory.path().join("c.accepted"), [0xff, 0xff]).unwrap();
        let reopened = Ledger::open(directory.path()).unwrap();
        assert_eq!(
            reopened.entries().cloned().collect::<Vec<_>>(),
            [entry("b", 3)]
        );
        assert_eq!(reopened.get("a"), None);
    }
}
