//! A store in miniature: folds records into what is on record, hands out what a restart reads of it, and compares a live state with it.

use std::collections::{BTreeMap, BTreeSet};

use batchstep_proto::{
    domain::{AttemptReport, SweepSpec},
    ids::{AgentId, AttemptId, RequestId, SeriesId, SweepId},
};

use crate::{
    fleet::{
        AttemptState, Disposition, Event, Kept, Record, Restriction, SeriesSnapshot, SeriesState,
        State, StoredAttempt, StoredRound, SweepSnapshot, SweepState,
    },
    sweep::{RoundRecord, SeriesPlan},
};

/// A sweep with all that is on record of it.
#[derive(Debug, Clone, PartialEq)]
pub struct WholeSweep {
    pub id: SweepId,
    pub request: RequestId,
    pub spec: SweepSpec,
    pub state: SweepState,
    pub series: Vec<WholeSeries>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct WholeSeries {
    pub plan: SeriesPlan,
    pub state: SeriesState,
    pub message: String,
    pub rounds: Vec<WholeRound>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct WholeRound {
    pub record: RoundRecord,
    pub ended: bool,
    pub attempts: Vec<StoredAttempt>,
}

impl WholeRound {
    fn stored(&self) -> StoredRound {
        StoredRound {
            record: self.record.clone(),
            attempts: self.attempts.clone(),
        }
    }
}

impl WholeSeries {
    fn rounds(&self, ended: bool) -> impl Iterator<Item = &WholeRound> {
        self.rounds.iter().filter(move |round| round.ended == ended)
    }

    fn blocks(&self) -> usize {
        let rounds = self.rounds.iter();
        rounds.map(|round| round.record.blocks.len()).sum()
    }

    /// What a start reads of it.
    fn snapshot(&self) -> SeriesSnapshot {
        SeriesSnapshot {
            plan: self.plan.clone(),
            state: self.state,
            message: self.message.clone(),
            rounds_done: u32::try_from(self.rounds(true).count()).unwrap(),
            open: self.rounds(false).map(WholeRound::stored).collect(),
        }
    }
}

/// What was on record of every series at some moment.
#[derive(Default)]
pub struct Histories(BTreeMap<SeriesId, WholeSeries>);

impl Histories {
    /// What is to be read of a series after a start.
    pub fn of(&self, series: SeriesId) -> Vec<StoredRound> {
        let ended = self.0[&series].rounds(true);
        ended.map(WholeRound::stored).collect()
    }
}

#[derive(Default)]
pub struct Ledger {
    pub sweeps: Vec<WholeSweep>,
    pub events: Vec<Event>,
    pub reports: Vec<(Disposition, AttemptReport)>,
    pub ended: Vec<(SweepId, SweepState, String)>,
    pub restrictions: BTreeMap<AgentId, Restriction>,
    /// Series whose rounds were found to be damaged.
    pub damaged: BTreeSet<SeriesId>,
}

pub fn is_open(attempt: &StoredAttempt) -> bool {
    matches!(
        attempt.state,
        AttemptState::Assigned | AttemptState::Accepted
    )
}

impl Ledger {
    pub fn apply(&mut self, record: Record) {
        match record {
            Record::SweepSubmitted {
                sweep,
                request,
                spec,
            } => self.sweeps.push(WholeSweep {
                id: sweep,
                request,
                spec,
                state: SweepState::Active,
                series: Vec::new(),
            }),
            Record::SeriesCreated { plan, ordinal } => {
                let sweep = self
                    .sweeps
                    .iter_mut()
                    .find(|sweep| sweep.id == plan.sweep)
                    .unwrap();
                assert_eq!(sweep.series.len(), ordinal as usize);
                sweep.series.push(WholeSeries {
                    plan,
                    state: SeriesState::Waiting,
                    message: String::new(),
                    rounds: Vec::new(),
                });
            }
            Record::AttemptAssigned {
                attempt,
                number,
                agent,
                round,
            } => {
                let series = self
                    .series_mut()
                    .find(|series| series.plan.id == round.series)
                    .unwrap();
                assert_eq!(
                    series.state,
                    SeriesState::Waiting,
                    "work for an ended series"
                );
                if series.rounds.len() == round.index as usize {
                    series.rounds.push(WholeRound {
                        record: RoundRecord::new(round.clone()),
                        ended: false,
                        attempts: Vec::new(),
                    });
                }
                let stored = &mut series.rounds[round.index as usize];
                let device = round.device_id.clone();
                assert!(
                    !series.plan.departed.contains_key(&device),
                    "work for a device that has left"
                );
                if device != stored.record.round.device_id {
                    assert!(stored.record.is_empty(), "two devices measured one round");
                    stored.record.round.device_id.clone_from(&device);
                }
                assert_eq!(stored.record.round, round, "attempts of one round differ");
                assert_eq!(stored.attempts.len(), number as usize);
                assert!(!stored.ended);
                stored.attempts.push(StoredAttempt {
                    id: attempt,
                    agent,
                    device,
                    state: AttemptState::Assigned,
                });
            }
            Record::AttemptAccepted { attempt } => {
                self.attempt(attempt).1.state = AttemptState::Accepted;
            }
            Record::AttemptEnded { attempt, state, .. } => {
                assert!(is_open(self.attempt(attempt).1), "an attempt ended twice");
                self.attempt(attempt).1.state = state;
            }
            Record::Report {
                disposition,
                report,
                ..
            } => {
                self.reports.push((disposition, report.clone()));
                if disposition == Disposition::Accepted {
                    let (record, attempt) = self.attempt(report.attempt);
                    if report.outcome.is_some() {
                        attempt.state = AttemptState::Reported;
                    }
                    record.add(report);
                }
            }
            Record::RoundEnded { round } => {
                let stored = self
                    .series_mut()
                    .flat_map(|series| &mut series.rounds)
                    .find(|stored| stored.record.round.id == round)
                    .expect("only a round on record can end");
                assert!(!stored.ended, "a round ended twice");
                assert!(!stored.attempts.iter().any(is_open));
                stored.ended = true;
            }
            Record::DeviceDeparted {
                series,
                device,
                reason,
            } => {
                let series = self.series_mut().find(|known| known.plan.id == series);
                let departed = &mut series.unwrap().plan.departed;
                let before = departed.insert(device, reason);
                assert_eq!(before, None, "a device left a series twice");
            }
            Record::SeriesEnded {
                series,
                state,
                message,
                summary,
            } => {
                let series = self
                    .series_mut()
                    .find(|known| known.plan.id == series)
                    .unwrap();
                assert_eq!(series.state, SeriesState::Waiting, "a series ended twice");
                // Who has not read what was measured before leaves it to the store to count.
                if let Some(summary) = summary {
                    assert_eq!(summary.blocks as usize, series.blocks());
                    let ended = series.rounds(true).count();
                    assert_eq!(summary.rounds_done as usize, ended);
                }
                series.state = state;
                series.message = message;
            }
            Record::SweepEnded {
                sweep,
                state,
                message,
            } => {
                let known = self
                    .sweeps
                    .iter_mut()
                    .find(|known| known.id == sweep)
                    .unwrap();
                assert_eq!(known.state, SweepState::Active, "a sweep ended twice");
                known.state = state;
                self.ended.push((sweep, state, message));
            }
            Record::AgentRestricted { agent, restriction } => {
                if restriction.drain.is_none() && restriction.cordon.is_none() {
                    self.restrictions.remove(&agent);
                } else {
                    self.restrictions.insert(agent, restriction);
                }
            }
            Record::Event(event) => self.events.push(event),
        }
    }

    fn series_mut(&mut self) -> impl Iterator<Item = &mut WholeSeries> {
        self.sweeps.iter_mut().flat_map(|sweep| &mut sweep.series)
    }

    fn attempt(&mut self, id: AttemptId) -> (&mut RoundRecord, &mut StoredAttempt) {
        self.series_mut()
            .flat_map(|series| &mut series.rounds)
            .find_map(|round| {
                let attempt = round.attempts.iter_mut().find(|attempt| attempt.id == id)?;
                Some((&mut round.record, attempt))
            })
            .expect("the attempt is on record")
    }

    pub fn attempts(&self) -> impl Iterator<Item = (&RoundRecord, &StoredAttempt)> {
        self.sweeps
            .iter()
            .flat_map(|sweep| &sweep.series)
            .flat_map(|series| &series.rounds)
            .flat_map(|round| {
                round
                    .attempts
                    .iter()
                    .map(|attempt| (&round.record, attempt))
            })
    }

    /// Blocks that count, by series.
    pub fn blocks(&self) -> Vec<usize> {
        self.sweeps
            .iter()
            .flat_map(|sweep| &sweep.series)
            .map(WholeSeries::blocks)
            .collect()
    }

    /// States of all attempts, in order.
    pub fn states(&self) -> Vec<AttemptState> {
        self.attempts().map(|(_, attempt)| attempt.state).collect()
    }

    /// What a restart begins with.
    pub fn kept(&self) -> Kept {
        let snapshot = |sweep: &WholeSweep| SweepSnapshot {
            id: sweep.id,
            request: sweep.request,
            spec: sweep.spec.clone(),
            state: sweep.state,
            series: sweep.series.iter().map(WholeSeries::snapshot).collect(),
        };
        Kept {
            sweeps: self.unsettled().map(snapshot).collect(),
            restrictions: self.restrictions.clone(),
        }
    }

    /// What is on record of every series now.
    pub fn histories(&self) -> Histories {
        let series = self.sweeps.iter().flat_map(|sweep| &sweep.series);
        Histories(series.map(|it| (it.plan.id, it.clone())).collect())
    }

    /// The sweeps a restart begins with.
    fn unsettled(&self) -> impl Iterator<Item = &WholeSweep> {
        self.sweeps.iter().filter(|sweep| {
            sweep.state == SweepState::Active
                || sweep
                    .series
                    .iter()
                    .flat_map(|series| &series.rounds)
                    .flat_map(|round| &round.attempts)
                    .any(is_open)
        })
    }

    /// True of an attempt of this agent that every coordinator must know, or wait for.
    pub fn is_of_a_sweep_that_goes_on(&self, agent: AgentId, attempt: AttemptId) -> bool {
        let series = self.unsettled().flat_map(|sweep| &sweep.series);
        series
            .filter(|series| !self.damaged.contains(&series.plan.id))
            .flat_map(|series| &series.rounds)
            .flat_map(|round| &round.attempts)
            .any(|known| known.id == attempt && known.agent == agent)
    }

    /// Fails unless a live state knows what is on record; of series that it has not read or cannot, what is new since it was made.
    pub fn check_known(&self, state: &State) {
        assert_eq!(state.restrictions, self.restrictions);
        let mut on_record: Vec<WholeSweep> = self.unsettled().cloned().collect();
        for series in on_record.iter_mut().flat_map(|sweep| &mut sweep.series) {
            let known = &state.series[&series.plan.id];
            let ended = series.rounds(true).count();
            assert_eq!(known.summary.rounds_done as usize, ended);
            let id = series.plan.id;
            if state.unread.contains(&id) || self.damaged.contains(&id) {
                let is_known = |round: &WholeRound| known.round(round.record.round.index).is_some();
                series.rounds.retain(is_known);
            }
            assert_eq!(known.summary.blocks as usize, series.blocks());
            let measuring = series.rounds.iter().map(|round| round.record.measuring);
            assert_eq!(known.summary.measuring, measuring.sum());
        }
        assert_eq!(known(state), on_record);
    }

    /// Fails when a device is given to two agents, or has more than one attempt waiting, or a block counts twice.
    pub fn check(&self) {
        let mut busy: BTreeMap<&str, Vec<AgentId>> = BTreeMap::new();
        for (record, attempt) in self.attempts().filter(|(_, attempt)| is_open(attempt)) {
            let out = busy.entry(&attempt.device).or_default();
            out.push(attempt.agent);
            assert!(
                out.len() <= 2,
                "{} attempts on {}",
                out.len(),
                record.round.device_id
            );
            assert_eq!(
                out[0], attempt.agent,
                "{} has two agents",
                record.round.device_id
            );
        }
        let mut seen = BTreeSet::new();
        for (_, report) in &self.reports {
            for block in &report.blocks {
                assert!(seen.insert(block.elapsed), "a block is on record twice");
            }
        }
    }
}

/// What a live state knows, as a store should have it.
pub fn known(state: &State) -> Vec<WholeSweep> {
    let mut sweeps: Vec<_> = state.sweeps.iter().collect();
    sweeps.sort_by_key(|(_, sweep)| sweep.sequence);
    for (_, sweep) in &sweeps {
        let series = || sweep.series.iter().map(|id| &state.series[id]);
        let going = series().filter(|series| series.over.is_none()).count();
        let attempts = series().flat_map(|series| series.tries.iter().flatten());
        let out = attempts.filter(|id| state.attempts[*id].is_open()).count();
        assert_eq!((sweep.going, sweep.out), (going, out));
    }
    sweeps
        .into_iter()
        .map(|(id, sweep)| WholeSweep {
            id: *id,
            request: sweep.request,
            spec: sweep.spec.clone(),
            state: sweep.state,
            series: sweep
                .series
                .iter()
                .map(|id| known_series(state, &state.series[id]))
                .collect(),
        })
        .collect()
}

fn known_series(state: &State, series: &crate::fleet::series::Series) -> WholeSeries {
    let (over, message) = series
        .over
        .clone()
        .unwrap_or((SeriesState::Waiting, String::new()));
    let ended = series.history.rounds.iter().map(|record| (record, true));
    let open = series.open.values().map(|record| (record, false));
    let mut rounds: Vec<_> = ended.chain(open).collect();
    rounds.sort_by_key(|(record, _)| record.round.index);
    WholeSeries {
        plan: series.plan.clone(),
        state: over,
        message,
        rounds: rounds
            .into_iter()
            .map(|(record, ended)| (record, ended, series.tries_of(record.round.index)))
            // A planned round is on record from its first attempt on.
            .filter(|(_, _, tries)| !tries.is_empty())
            .map(|(record, ended, tries)| WholeRound {
                record: record.clone(),
                ended,
                attempts: tries
                    .iter()
                    .map(|id| StoredAttempt {
                        id: *id,
                        agent: state.attempts[id].agent,
                        device: state.attempts[id].device.clone(),
                        state: state.attempts[id].state,
                    })
                    .collect(),
            })
            .collect(),
    }
}
