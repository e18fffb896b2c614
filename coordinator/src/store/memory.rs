//! The store in the process, for simulations and tests: no threads, no files, the same behaviour as [`Sqlite`](super::Sqlite).
//!
//! Clones share one store, so a coordinator can be stopped and another one started on what it left.

mod identity;
mod inventory;
mod nightly;
mod read;
mod retention;

use std::{
    collections::BTreeMap,
    ops::RangeInclusive,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use batchstep_core::{
    fleet::{
        AttemptState, Disposition, Record, Restriction, SeriesSnapshot, SeriesState, SeriesSummary,
        StoredAttempt, StoredRound, SweepSnapshot, SweepState,
    },
    sweep::SeriesPlan,
};
use batchstep_proto::{
    domain::{AttemptReport, Round, SweepSpec},
    ids::{AgentId, AttemptId, RequestId, RoundId, SeriesId, SweepId},
};
use jiff::Timestamp;

use super::{Models, Store, StoreError, StoredEvent, StoredHistory, StoredSweep};

/// A store that ends with the process.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    tables: Arc<Mutex<Tables>>,
    models: Models,
}

#[derive(Debug, Clone, Default)]
struct Tables {
    /// In order of submission.
    sweeps: Vec<Sweep>,
    /// By sweep and ordinal.
    series: BTreeMap<(SweepId, u32), Series>,
    /// By series and index.
    rounds: BTreeMap<(SeriesId, u32), StoredRoundRow>,
    /// In order of arrival.
    reports: Vec<StoredReport>,
    events: Vec<StoredEvent>,
    restrictions: BTreeMap<AgentId, Restriction>,
    inventory: inventory::Tables,
    identity: identity::Tables,
    nightly: nightly::Tables,
    retention: retention::Tables,
}

#[derive(Debug, Clone)]
struct Sweep {
    id: SweepId,
    request: RequestId,
    spec: SweepSpec,
    state: SweepState,
    message: String,
    submitted_at: Timestamp,
    finished_at: Option<Timestamp>,
}

#[derive(Debug, Clone)]
struct Series {
    plan: SeriesPlan,
    state: SeriesState,
    message: String,
    summary: Option<SeriesSummary>,
}

#[derive(Debug, Clone)]
struct StoredRoundRow {
    round: Round,
    ended: bool,
    /// By number.
    attempts: BTreeMap<u32, StoredAttempt>,
}

#[derive(Debug, Clone)]
struct StoredReport {
    digest: [u8; 32],
    disposition: Disposition,
    report: AttemptReport,
}

impl Memory {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn tables(&self) -> MutexGuard<'_, Tables> {
        // A commit replaces the tables only when it is complete, so a panic elsewhere leaves them consistent.
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tables {
    fn apply(&mut self, at: Timestamp, record: &Record) -> Result<Option<u64>, StoreError> {
        match record.clone() {
            Record::SweepSubmitted {
                sweep,
                request,
                spec,
            } => {
                if self
                    .sweeps
                    .iter()
                    .any(|known| known.id == sweep || known.request == request)
                {
                    return Err(conflict("sweep", &sweep));
                }
                self.sweeps.push(Sweep {
                    id: sweep,
                    request,
                    spec,
                    state: SweepState::Active,
                    message: String::new(),
                    submitted_at: at,
                    finished_at: None,
                });
            }
            Record::SeriesCreated { plan, ordinal } => {
                self.sweep(plan.sweep)?;
                let key = (plan.sweep, ordinal);
                if self.series.contains_key(&key) {
                    return Err(conflict("series", &plan.id));
                }
                self.series.insert(
                    key,
                    Series {
                        plan,
                        state: SeriesState::Waiting,
                        message: String::new(),
                        summary: None,
                    },
                );
            }
            Record::AttemptAssigned {
                attempt,
                number,
                agent,
                round,
            } => {
                self.series_mut(round.series)?;
                let device = round.device_id.clone();
                let row = self
                    .rounds
                    .entry((round.series, round.index))
                    .or_insert_with(|| StoredRoundRow {
                        round,
                        ended: false,
                        attempts: BTreeMap::new(),
                    });
                // The latest attempt is the one that counts.
                row.round.device_id.clone_from(&device);
                if row.attempts.contains_key(&number) {
                    return Err(conflict("attempt", &attempt));
                }
                row.attempts.insert(
                    number,
                    StoredAttempt {
                        id: attempt,
                        agent,
                        device,
                        state: AttemptState::Assigned,
                    },
                );
            }
            Record::AttemptAccepted { attempt } => {
                self.attempt(attempt)?.state = AttemptState::Accepted;
            }
            Record::AttemptEnded { attempt, state, .. } => self.attempt(attempt)?.state = state,
            Record::Report {
                digest,
                disposition,
                report,
                ..
            } => {
                if self.known(report.attempt, &digest).is_some() {
                    return Err(conflict("report of attempt", &report.attempt));
                }
                if report.outcome.is_some() && disposition == Disposition::Accepted {
                    self.attempt(report.attempt)?.state = AttemptState::Reported;
                }
                self.reports.push(StoredReport {
                    digest,
                    disposition,
                    report,
                });
            }
            Record::RoundEnded { round } => self.round(round)?.ended = true,
            Record::DeviceDeparted {
                series,
                device,
                reason,
            } => {
                let departed = &mut self.series_mut(series)?.plan.departed;
                departed.insert(device, reason);
            }
            Record::SeriesEnded {
                series,
                state,
                message,
                summary,
            } => {
                let row = self.series_mut(series)?;
                row.state = state;
                row.message = message;
                row.summary = summary;
            }
            Record::SweepEnded {
                sweep,
                state,
                message,
            } => {
                let row = self.sweep(sweep)?;
                row.state = state;
                row.message = message;
                row.finished_at = Some(at);
            }
            Record::AgentRestricted { agent, restriction } => {
                if restriction.is_lifted() {
                    self.restrictions.remove(&agent);
                } else {
                    self.restrictions.insert(agent, restriction);
                }
            }
            Record::Event(event) => {
                let seq = self.events.last().map_or(0, |event| event.seq) + 1;
                self.events.push(StoredEvent { seq, at, event });
                return Ok(Some(seq));
            }
        }
        Ok(None)
    }

    fn sweep(&mut self, id: SweepId) -> Result<&mut Sweep, StoreError> {
        let found = self.sweeps.iter_mut().find(|sweep| sweep.id == id);
        found.ok_or_else(|| dangling("sweep", &id))
    }

    fn series_mut(&mut self, id: SeriesId) -> Result<&mut Series, StoreError> {
        let found = self.series.values_mut().find(|series| series.plan.id == id);
        found.ok_or_else(|| dangling("series", &id))
    }

    fn round(&mut self, id: RoundId) -> Result<&mut StoredRoundRow, StoreError> {
        let found = self.rounds.values_mut().find(|row| row.round.id == id);
        found.ok_or_else(|| dangling("round", &id))
    }

    fn attempt(&mut self, id: AttemptId) -> Result<&mut StoredAttempt, StoreError> {
        let mut attempts = self
            .rounds
            .values_mut()
            .flat_map(|row| row.attempts.values_mut());
        attempts
            .find(|attempt| attempt.id == id)
            .ok_or_else(|| dangling("attempt", &id))
    }

    fn known(&self, attempt: AttemptId, digest: &[u8; 32]) -> Option<Disposition> {
        self.reports
            .iter()
            .find(|known| known.report.attempt == attempt && known.digest == *digest)
            .map(|known| known.disposition)
    }

    fn series_of(&self, sweep: SweepId) -> impl Iterator<Item = &Series> {
        self.series
            .range((sweep, 0)..=(sweep, u32::MAX))
            .map(|(_, series)| series)
    }

    /// True while an attempt of the sweep may still run somewhere.
    fn is_out(&self, sweep: SweepId) -> bool {
        let mut rounds = self.rounds.values().filter(|row| row.round.sweep == sweep);
        rounds.any(|row| {
            row.attempts.values().any(|attempt| {
                matches!(
                    attempt.state,
                    AttemptState::Assigned | AttemptState::Accepted
                )
            })
        })
    }
}

impl Store for Memory {
    type Nightly = Self;

    async fn commit(&self, at: Timestamp, records: &[Record]) -> Result<Vec<u64>, StoreError> {
        let mut tables = self.tables();
        let mut next = tables.clone();
        let mut seqs = Vec::new();
        for record in records {
            seqs.extend(next.apply(at, record)?);
        }
        *tables = next;
        Ok(seqs)
    }

    async fn open_sweeps(&self) -> Result<Vec<SweepSnapshot>, StoreError> {
        let tables = self.tables();
        let open = tables
            .sweeps
            .iter()
            .filter(|sweep| sweep.state == SweepState::Active || tables.is_out(sweep.id));
        Ok(open
            .map(|sweep| SweepSnapshot {
                id: sweep.id,
                request: sweep.request,
                spec: sweep.spec.clone(),
                state: sweep.state,
                series: tables
                    .series_of(sweep.id)
                    .map(|series| SeriesSnapshot {
                        plan: series.plan.clone(),
                        state: series.state,
                        message: series.message.clone(),
                        rounds_done: tables.summary(series.plan.id).rounds_done,
                        open: tables.stored_rounds(series.plan.id, false),
                    })
                    .collect(),
            })
            .collect())
    }

    async fn ended_rounds(
        &self,
        sweep: SweepId,
        ordinals: RangeInclusive<u32>,
    ) -> Result<BTreeMap<SeriesId, Vec<StoredRound>>, StoreError> {
        let tables = self.tables();
        let (first, last) = ordinals.into_inner();
        let series = tables.series.range((sweep, first)..=(sweep, last));
        let ids = series.map(|(_, series)| series.plan.id);
        Ok(ids.map(|id| (id, tables.stored_rounds(id, true))).collect())
    }

    async fn sweeps(&self) -> Result<Vec<StoredSweep>, StoreError> {
        let tables = self.tables();
        let newest_first = tables.sweeps.iter().rev();
        Ok(newest_first
            .map(|sweep| tables.stored_sweep(sweep))
            .collect())
    }

    async fn sweep(&self, sweep: SweepId) -> Result<Option<StoredSweep>, StoreError> {
        let tables = self.tables();
        let found = tables.sweeps.iter().find(|known| known.id == sweep);
        Ok(found.map(|sweep| tables.stored_sweep(sweep)))
    }

    async fn histories(&self, sweep: Option<SweepId>) -> Result<Vec<StoredHistory>, StoreError> {
        let tables = self.tables();
        Ok(tables
            .sweeps
            .iter()
            .filter(|known| sweep.is_none_or(|sweep| known.id == sweep))
            .flat_map(|known| tables.series_of(known.id))
            .map(|series| tables.history(series))
            .collect())
    }

    async fn find_request(&self, request: RequestId) -> Result<Option<SweepId>, StoreError> {
        let tables = self.tables();
        let found = tables.sweeps.iter().find(|sweep| sweep.request == request);
        Ok(found.map(|sweep| sweep.id))
    }

    async fn report_known(
        &self,
        attempt: AttemptId,
        digest: &[u8; 32],
    ) -> Result<Option<Disposition>, StoreError> {
        Ok(self.tables().known(attempt, digest))
    }

    async fn events_after(
        &self,
        seq: u64,
        sweep: Option<SweepId>,
        limit: u32,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        Ok(self
            .tables()
            .events
            .iter()
            .filter(|event| event.seq > seq)
            .filter(|event| sweep.is_none() || event.event.sweep == sweep)
            .take(limit as usize)
            .cloned()
            .collect())
    }

    async fn restrictions(&self) -> Result<BTreeMap<AgentId, Restriction>, StoreError> {
        Ok(self.tables().restrictions.clone())
    }

    async fn last_seq(&self) -> Result<u64, StoreError> {
        Ok(self.tables().events.last().map_or(0, |event| event.seq))
    }

    fn models(&self) -> &Models {
        &self.models
    }

    fn nightly(&self) -> &Self {
        self
    }
}

fn dangling(noun: &str, id: &impl ToString) -> StoreError {
    StoreError::Dangling {
        what: format!("{noun} {}", id.to_string()),
    }
}

fn conflict(noun: &str, id: &impl ToString) -> StoreError {
    StoreError::Conflict {
        what: format!("{noun} {}", id.to_string()),
    }
}
