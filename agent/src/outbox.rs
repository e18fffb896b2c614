//! What the agent owes the coordinator: attempts it accepted and reports without a receipt. The supervisor and the runners put in, the
//! reporter takes out. It must never let a report be sent before it is on disk while the disk works.

use std::{
    io,
    sync::{Mutex, MutexGuard, PoisonError},
};

use batchstep_proto::{domain::AttemptOutcome, wire};
use tokio::sync::Notify;
use tracing::{error, warn};

use crate::{
    ledger::{Entry, Ledger},
    spool::{Spool, Summary},
    state_dir::StateDir,
};

/// Shared by all tasks of an agent.
#[derive(Debug)]
pub(crate) struct Outbox {
    books: Mutex<Books>,
    /// A report was put in.
    changed: Notify,
    /// A report was taken out.
    taken: Notify,
}

#[derive(Debug)]
struct Books {
    spool: Spool,
    ledger: Ledger,
}

impl Outbox {
    /// Opens spool and ledger. Attempts that an earlier process left unfinished are reported as stopped: a measurement is never resumed, and that this
    /// agent ended says nothing about the batch size that was in work.
    pub(crate) fn open(state: &StateDir) -> io::Result<Self> {
        let outbox = Self {
            books: Mutex::new(Books {
                spool: Spool::open(&state.spool())?,
                ledger: Ledger::open(&state.accepted())?,
            }),
            changed: Notify::new(),
            taken: Notify::new(),
        };
        outbox.close_unfinished();
        Ok(outbox)
    }

    fn close_unfinished(&self) {
        let mut books = self.books();
        let entries: Vec<Entry> = books.ledger.entries().cloned().collect();
        for entry in entries {
            let parts = || {
                books
                    .spool
                    .waiting()
                    .filter(|summary| summary.attempt_id == entry.attempt_id)
            };
            if parts().any(|summary| summary.last) {
                books.ledger.forget(&entry.attempt_id);
                continue;
            }
            let spooled = parts().map(|summary| summary.part + 1).max().unwrap_or(0);
            warn!(
                attempt = entry.attempt_id,
                "An earlier process of this agent left an attempt unfinished; it is reported as stopped."
            );
            let report = wire::AttemptReport {
                attempt_id: entry.attempt_id,
                round_id: entry.round_id,
                part: entry.next_part.max(spooled),
                r#final: true,
                outcome: AttemptOutcome::Stopped.to_wire(),
                message: "the agent was restarted while this attempt was open; what it had reported is kept"
                    .to_owned(),
                ..Default::default()
            };
            books.push(report);
        }
    }

    /// Puts an accepted attempt on record, before the acceptance is sent.
    pub(crate) fn accept(&self, attempt_id: &str, round_id: &str) -> io::Result<()> {
        let mut books = self.books();
        let recorded = books.ledger.record(Entry {
            attempt_id: attempt_id.to_owned(),
            round_id: round_id.to_owned(),
            next_part: 0,
        });
        if recorded.is_err() {
            books.ledger.forget(attempt_id);
        }
        recorded
    }

    /// Queues a report; its part number is set here, so that parts are counted in one place.
    pub(crate) fn report(&self, mut report: wire::AttemptReport) {
        let mut books = self.books();
        report.part = books
            .ledger
            .get(&report.attempt_id)
            .map_or(0, |entry| entry.next_part);
        books.push(report);
        drop(books);
        self.changed.notify_one();
    }

    /// The oldest report without a receipt.
    pub(crate) fn front(&self) -> Option<(Summary, wire::AttemptReport)> {
        self.books().spool.front()
    }

    /// After a receipt, whatever its disposition.
    pub(crate) fn delivered(&self, summary: &Summary) {
        let mut books = self.books();
        books.spool.delivered(summary);
        if summary.last {
            books.ledger.forget(&summary.attempt_id);
        }
        self.taken.notify_waiters();
    }

    /// After an answer that no retry will change.
    pub(crate) fn refused(&self, summary: &Summary, why: &str) {
        let mut books = self.books();
        books.spool.refused(summary, why);
        if summary.last {
            books.ledger.forget(&summary.attempt_id);
        }
        self.taken.notify_waiters();
    }

    /// Tries again to write what the disk refused; true while something is still only in memory.
    pub(crate) fn write_pending(&self) -> bool {
        let mut books = self.books();
        for summary in books.spool.write_pending() {
            if summary.last {
                books.ledger.forget(&summary.attempt_id);
            }
        }
        books.spool.has_pending()
    }

    /// True when a report of this attempt waits.
    pub(crate) fn holds(&self, attempt_id: &str) -> bool {
        self.books()
            .spool
            .waiting()
            .any(|summary| summary.attempt_id == attempt_id)
    }

    /// Every attempt with a waiting report that is not among `open`, for the hello.
    pub(crate) fn spooled(&self, open: &[wire::HeldAttempt]) -> Vec<String> {
        let mut attempts: Vec<String> = self
            .books()
            .spool
            .waiting()
            .map(|summary| summary.attempt_id.clone())
            .filter(|attempt_id| open.iter().all(|held| held.attempt_id != *attempt_id))
            .collect();
        attempts.sort();
        attempts.dedup();
        attempts
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.books().spool.is_empty()
    }

    /// Resolves when every report has left.
    pub(crate) async fn emptied(&self) {
        loop {
            let taken = self.taken.notified();
            if self.is_empty() {
                return;
            }
            taken.await;
        }
    }

    /// Resolves when a report was queued since the last call.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        // The books are consistent after every statement that can panic.
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Books {
    /// Spools first and counts second: a crash in between is repaired from the spool, and nothing is sent before both are done.
    fn push(&mut self, report: wire::AttemptReport) {
        let (attempt_id, round_id) = (report.attempt_id.clone(), report.round_id.clone());
        let (part, last) = (report.part, report.r#final);
        let on_disk = self.spool.push(report);
        if last && on_disk {
            self.ledger.forget(&attempt_id);
        } else if self.ledger.get(&attempt_id).is_some() {
            let entry = Entry {
                attempt_id,
                round_id,
                next_part: part + 1,
            };
            if let Err(error) = self.ledger.record(entry) {
                error!(error = %error, "The part number of an attempt could not be recorded.");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(attempt: &str, last: bool) -> wire::AttemptReport {
        wire::AttemptReport {
            attempt_id: attempt.to_owned(),
            round_id: "round".to_owned(),
            r#final: last,
            ..Default::default()
        }
    }

    #[test]
    fn an_attempt_left_open_is_reported_stopped_after_its_parts() {
        let directory = tempfile::tempdir().unwrap();
        let state = StateDir::open(directory.path()).unwrap();
        let outbox = Outbox::open(&state).unwrap();
        for attempt in ["open", "sent", "done"] {
            outbox.accept(attempt, "round").unwrap();
        }
        outbox.report(part("sent", false));
        let (summary, _) = outbox.front().unwrap();
        outbox.delivered(&summary);
        outbox.report(part("done", false));
        outbox.report(part("done", true));
        drop(outbox);

        let outbox = Outbox::open(&state).unwrap();
        let mut seen = Vec::new();
        while let Some((summary, report)) = outbox.front() {
            outbox.delivered(&summary);
            seen.push((report.attempt_id, report.part, report.outcome));
        }
        let stopped = AttemptOutcome::Stopped.to_wire();
        assert_eq!(
            seen,
            [
                ("done".to_owned(), 0, 0),
                ("done".to_owned(), 1, 0),
                ("open".to_owned(), 0, stopped),
                ("sent".to_owned(), 1, stopped),
            ]
        );
        assert!(Outbox::open(&state).unwrap().is_empty());
    }
}
