//! What the coordinator counts about its own work while it runs: commits, attempts, reports. Written by the tasks that do it, read by `/metrics`; decides nothing.

use std::time::Duration;

use batchstep_core::fleet::{AttemptState, Disposition, Record};
use prometheus_client::{
    metrics::{counter::Counter, family::Family, histogram::Histogram},
    registry::Registry,
};

/// One label with one of a few known words.
type Label = [(&'static str, &'static str); 1];

/// Upper bounds of a commit's time, seconds: a sync takes milliseconds on flash, tens of them on a disk, seconds where something is wrong.
const COMMIT_SECONDS: [f64; 12] = [
    0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0,
];

/// How an attempt ends.
const OUTCOMES: [&str; 3] = ["reported", "declined", "expired"];

/// What becomes of a report.
const DISPOSITIONS: [Disposition; 4] = [
    Disposition::Accepted,
    Disposition::Superseded,
    Disposition::Quarantined,
    Disposition::Duplicate,
];

/// Counters from the start of the process on.
#[derive(Debug)]
pub struct Meters {
    commits: Histogram,
    failures: Counter,
    assigned: Counter,
    accepted: Counter,
    ended: Family<Label, Counter>,
    reports: Family<Label, Counter>,
    compacted: Counter,
}

impl Default for Meters {
    fn default() -> Self {
        let meters = Self {
            commits: Histogram::new(COMMIT_SECONDS),
            failures: Counter::default(),
            assigned: Counter::default(),
            accepted: Counter::default(),
            ended: Family::default(),
            reports: Family::default(),
            compacted: Counter::default(),
        };
        // Told as 0 from the start: the first increase of a counter that appears with it is seen by no rate.
        for outcome in OUTCOMES {
            drop(meters.ended.get_or_create(&[("outcome", outcome)]));
        }
        for disposition in DISPOSITIONS {
            let label = [("disposition", word(disposition))];
            drop(meters.reports.get_or_create(&label));
        }
        meters
    }
}

impl Meters {
    /// Counts a transaction and what was in it.
    pub fn committed(&self, took: Duration, records: &[Record]) {
        self.commits.observe(took.as_secs_f64());
        for record in records {
            match record {
                Record::AttemptAssigned { .. } => {
                    self.assigned.inc();
                }
                Record::AttemptAccepted { .. } => {
                    self.accepted.inc();
                }
                Record::AttemptEnded { state, .. } => self.end(*state),
                Record::Report {
                    disposition,
                    report,
                    ..
                } => {
                    self.count_report(*disposition);
                    if *disposition == Disposition::Accepted && report.outcome.is_some() {
                        self.end(AttemptState::Reported);
                    }
                }
                _ => {}
            }
        }
    }

    /// Counts a transaction that was refused.
    pub fn failed(&self) {
        self.failures.inc();
    }

    /// Counts a report that was known already.
    pub fn answered_duplicate(&self) {
        self.count_report(Disposition::Duplicate);
    }

    /// Counts a series that has only its answer from now on.
    pub fn compacted(&self) {
        self.compacted.inc();
    }

    /// Shows all of it.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "batchstep_store_commit_seconds",
            "Time of a transaction of the store, from its begin to its sync",
            self.commits.clone(),
        );
        registry.register(
            "batchstep_store_commit_failures",
            "Transactions that the store refused; the state is read back after each",
            self.failures.clone(),
        );
        registry.register(
            "batchstep_attempts_assigned",
            "Rounds given to an agent",
            self.assigned.clone(),
        );
        registry.register(
            "batchstep_attempts_accepted",
            "Rounds that an agent has persisted",
            self.accepted.clone(),
        );
        registry.register(
            "batchstep_attempts_ended",
            "Attempts that ended, by how: reported, declined by the agent, or expired with it",
            self.ended.clone(),
        );
        registry.register(
            "batchstep_reports",
            "Parts of results by what became of them: accepted, superseded (kept as an extra sample), quarantined (kept, of no known attempt), duplicate",
            self.reports.clone(),
        );
        registry.register(
            "batchstep_series_compacted",
            "Series whose blocks, older than --keep-blocks, were taken away; their answers stay",
            self.compacted.clone(),
        );
    }

    fn end(&self, state: AttemptState) {
        let [reported, declined, expired] = OUTCOMES;
        let outcome = match state {
            AttemptState::Reported => reported,
            AttemptState::Declined => declined,
            AttemptState::Expired => expired,
            AttemptState::Assigned | AttemptState::Accepted => return,
        };
        self.ended.get_or_create(&[("outcome", outcome)]).inc();
    }

    fn count_report(&self, disposition: Disposition) {
        let label = [("disposition", word(disposition))];
        self.reports.get_or_create(&label).inc();
    }
}

const fn word(disposition: Disposition) -> &'static str {
    match disposition {
        Disposition::Accepted => "accepted",
        Disposition::Superseded => "superseded",
        Disposition::Quarantined => "quarantined",
        Disposition::Duplicate => "duplicate",
    }
}
