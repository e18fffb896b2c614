//! Reports without a receipt, in the order in which they were made, on disk as far as the disk takes them. Used by the outbox alone.
//!
//! A file holds the SHA-256 of the encoded report and then the report. It must never lose a report that was handed in: what cannot be
//! written stays in memory and is written later, and what cannot be read is set aside, not deleted.

use std::{
    collections::VecDeque,
    fs, io,
    path::{Path, PathBuf},
};

use batchstep_proto::{domain::AttemptReport, wire};
use prost::Message as _;
use tracing::{error, warn};

use crate::durable;

/// Ending of a spooled report's file.
const SUFFIX: &str = ".report";
/// Bytes of the SHA-256 in front of a report.
const DIGEST_BYTES: usize = 32;

/// What is known of a report without reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Summary {
    pub(crate) attempt_id: String,
    pub(crate) part: u32,
    pub(crate) last: bool,
}

impl Summary {
    fn of(report: &wire::AttemptReport) -> Self {
        Self {
            attempt_id: report.attempt_id.clone(),
            part: report.part,
            last: report.r#final,
        }
    }
}

#[derive(Debug)]
struct Entry {
    summary: Summary,
    path: PathBuf,
    /// Only while it could not be written.
    unwritten: Option<wire::AttemptReport>,
}

/// The queue of undelivered reports.
#[derive(Debug)]
pub(crate) struct Spool {
    directory: PathBuf,
    entries: VecDeque<Entry>,
    next_number: u64,
}

impl Spool {
    /// Opens a spool and finds what earlier processes left in it.
    pub(crate) fn open(directory: &Path) -> io::Result<Self> {
        fs::create_dir_all(directory)?;
        durable::sweep(directory)?;
        let mut files: Vec<(u64, PathBuf)> = Vec::new();
        for entry in fs::read_dir(directory)? {
            let path = entry?.path();
            let number = path
                .file_name()
                .and_then(|name| name.to_str())
                .and_then(|name| name.strip_suffix(SUFFIX))
                .and_then(|name| name.split('-').next())
                .and_then(|digits| u64::from_str_radix(digits, 16).ok());
            if let Some(number) = number {
                files.push((number, path));
            }
        }
        files.sort();
        let mut spool = Self {
            directory: directory.to_owned(),
            entries: VecDeque::new(),
            next_number: files.last().map_or(0, |(number, _)| number + 1),
        };
        for (_, path) in files {
            match read(&path) {
                Ok(report) => spool.entries.push_back(Entry {
                    summary: Summary::of(&report),
                    path,
                    unwritten: None,
                }),
                Err(error) => spool.set_aside(&path, &error),
            }
        }
        Ok(spool)
    }

    /// Queues a report; true when it is on disk, false when it is in memory until the disk takes it.
    pub(crate) fn push(&mut self, report: wire::AttemptReport) -> bool {
        let path = self.directory.join(format!(
            "{:016x}-{}-{:05}{SUFFIX}",
            self.next_number, report.attempt_id, report.part
        ));
        self.next_number += 1;
        let written = write(&path, &report);
        if let Err(error) = &written {
            error!(
                path = %path.display(),
                error = %error,
                "A report could not be written to the spool; it is kept in memory and written when the disk takes it."
            );
        }
        let on_disk = written.is_ok();
        self.entries.push_back(Entry {
            summary: Summary::of(&report),
            path,
            unwritten: (!on_disk).then_some(report),
        });
        on_disk
    }

    /// The oldest report; files that turn out damaged are set aside on the way.
    pub(crate) fn front(&mut self) -> Option<(Summary, wire::AttemptReport)> {
        loop {
            let entry = self.entries.front()?;
            if let Some(report) = &entry.unwritten {
                return Some((entry.summary.clone(), report.clone()));
            }
            match read(&entry.path) {
                Ok(report) => return Some((entry.summary.clone(), report)),
                Err(error) => {
                    let entry = self.entries.pop_front()?;
                    self.set_aside(&entry.path, &error);
                }
            }
        }
    }

    /// Forgets a report that has a receipt.
    pub(crate) fn delivered(&mut self, summary: &Summary) {
        if let Some(entry) = self.take(summary)
            && let Err(error) = durable::remove(&entry.path)
        {
            warn!(
                path = %entry.path.display(),
                error = %error,
                "A delivered report could not be removed; it will be sent again after a restart, which does no harm."
            );
        }
    }

    /// Keeps a report that the coordinator will never take, out of the queue.
    pub(crate) fn refused(&mut self, summary: &Summary, why: &str) {
        if let Some(entry) = self.take(summary) {
            self.set_aside(&entry.path, why);
        }
    }

    /// Tries again to write what is only in memory; gives back what reached the disk.
    pub(crate) fn write_pending(&mut self) -> Vec<Summary> {
        let mut written = Vec::new();
        for entry in &mut self.entries {
            if let Some(report) = &entry.unwritten
                && write(&entry.path, report).is_ok()
            {
                entry.unwritten = None;
                written.push(entry.summary.clone());
            }
        }
        written
    }

    /// True while something is only in memory.
    pub(crate) fn has_pending(&self) -> bool {
        self.entries.iter().any(|entry| entry.unwritten.is_some())
    }

    /// What waits, oldest first.
    pub(crate) fn waiting(&self) -> impl Iterator<Item = &Summary> {
        self.entries.iter().map(|entry| &entry.summary)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn take(&mut self, summary: &Summary) -> Option<Entry> {
        let position = self
            .entries
            .iter()
            .position(|entry| entry.summary == *summary)?;
        self.entries.remove(position)
    }

    fn set_aside(&self, path: &Path, why: &str) {
        let directory = self.directory.join("set-aside");
        let target = directory.join(path.file_name().unwrap_or_default());
        let moved = fs::create_dir_all(&directory).and_then(|()| fs::rename(path, &target));
        match moved {
            Ok(()) => error!(
                path = %target.display(),
                reason = why,
                "A spooled report cannot be delivered and was set aside."
            ),
            Err(error) => error!(
                path = %path.display(),
                reason = why,
                error = %error,
                "A spooled report cannot be delivered and could not be set aside."
            ),
        }
    }
}

fn write(path: &Path, report: &wire::AttemptReport) -> io::Result<()> {
    let mut bytes = AttemptReport::digest(report).to_vec();
    bytes.extend_from_slice(&report.encode_to_vec());
    durable::write(path, &bytes)
}

fn read(path: &Path) -> Result<wire::AttemptReport, String> {
    let bytes = fs::read(path).map_err(|error| format!("it cannot be read: {error}"))?;
    let (digest, body) = bytes
        .split_first_chunk::<DIGEST_BYTES>()
        .ok_or("it is truncated")?;
    let report =
        wire::AttemptReport::decode(body).map_err(|error| format!("it is damaged: {error}"))?;
    if AttemptReport::digest(&report) == *digest {
        Ok(report)
    } else {
        Err("it is damaged: the digest does not fit".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(attempt: &str, part: u32) -> wire::AttemptReport {
        wire::AttemptReport {
            attempt_id: attempt.to_owned(),
            part,
            message: format!("{attempt} {part}"),
            ..Default::default()
        }
    }

    fn drain(spool: &mut Spool) -> Vec<wire::AttemptReport> {
        let mut reports = Vec::new();
        while let Some((summary, report)) = spool.front() {
            spool.delivered(&summary);
            reports.push(report);
        }
        reports
    }

    #[test]
    fn reports_survive_a_restart_in_their_order() {
        let directory = tempfile::tempdir().unwrap();
        let mut spool = Spool::open(directory.path()).unwrap();
        let reports = [report("b", 0), report("a", 0), report("b", 1)];
        for report in &reports {
            assert!(spool.push(report.clone()));
        }
        let (first, _) = spool.front().unwrap();
        spool.delivered(&first);
        let mut reopened = Spool::open(directory.path()).unwrap();
        reopened.push(report("c", 0));
        assert_eq!(
            drain(&mut reopened),
            [report("a", 0), report("b", 1), report("c", 0)]
        );
        assert!(Spool::open(directory.path()).unwrap().is_empty());
    }

    #[test]
    fn damaged_files_are_set_aside_and_the_rest_is_delivered() {
        let directory = tempfile::tempdir().unwrap();
        let mut spool = Spool::open(directory.path()).unwrap();
        for part in 0..4 {
            spool.push(report("a", part));
        }
        let mut files: Vec<PathBuf> = fs::read_dir(directory.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        files.sort();
        fs::write(&files[0], b"short").unwrap();
        let mut bytes = fs::read(&files[2]).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(&files[2], bytes).unwrap();
        fs::write(directory.path().join("notes.txt"), b"not a report").unwrap();

        let mut reopened = Spool::open(directory.path()).unwrap();
        assert_eq!(drain(&mut reopened), [report("a", 1), report("a", 3)]);
        assert_eq!(
            fs::read_dir(directory.path().join("set-aside"))
                .unwrap()
                .count(),
            2
        );
    }

    #[test]
    fn what_the_disk_refuses_stays_in_memory_until_it_is_taken() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("spool");
        let mut spool = Spool::open(&path).unwrap();
        fs::remove_dir(&path).unwrap();
        assert!(!spool.push(report("a", 0)));
        assert!(spool.has_pending());
        assert_eq!(spool.front().unwrap().1, report("a", 0));
        assert!(spool.write_pending().is_empty());
        fs::create_dir(&path).unwrap();
        assert_eq!(spool.write_pending().len(), 1);
        assert!(!spool.has_pending());
        assert_eq!(drain(&mut Spool::open(&path).unwrap()), [report("a", 0)]);
    }
}
