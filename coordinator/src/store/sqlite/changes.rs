//! The records of a commit, sorted by what they change, for `write`. Knows no SQL.

use std::collections::BTreeMap;

use batchstep_core::{
    fleet::{
        AttemptState, Disposition, Event, Record, Restriction, SeriesState, SeriesSummary,
        SweepState,
    },
    sweep::SeriesPlan,
};
use batchstep_proto::{
    domain::{AttemptReport, Round, SweepSpec},
    ids::{AgentId, AttemptId, RequestId, RoundId, SeriesId, SweepId},
};

/// What a commit changes. Insertions come before changes, so that a change finds what the same commit
/// inserts. Within a table the order of the records stays.
#[derive(Default)]
pub(super) struct Changes<'a> {
    pub sweeps: Vec<(SweepId, RequestId, &'a SweepSpec)>,
    pub series: Vec<(&'a SeriesPlan, u32)>,
    pub attempts: Vec<NewAttempt<'a>>,
    pub reports: Vec<NewReport<'a>>,
    /// Only the last state of an attempt is written.
    pub attempt_states: BTreeMap<AttemptId, AttemptChange<'a>>,
    pub rounds_ended: Vec<RoundId>,
    /// Series, device, reason.
    pub departures: Vec<(SeriesId, &'a str, &'a str)>,
    pub series_ended: Vec<SeriesEnd<'a>>,
    pub sweeps_ended: Vec<SweepEnd<'a>>,
    pub restrictions: Vec<(AgentId, &'a Restriction)>,
    pub events: Vec<&'a Event>,
}

pub(super) struct NewAttempt<'a> {
    pub attempt: AttemptId,
    pub number: u32,
    pub agent: AgentId,
    pub round: &'a Round,
}

pub(super) struct AttemptChange<'a> {
    pub state: AttemptState,
    /// `None`: as it was.
    pub message: Option<&'a str>,
}

pub(super) struct NewReport<'a> {
    pub agent: AgentId,
    pub digest: &'a [u8; 32],
    pub disposition: Disposition,
    pub report: &'a AttemptReport,
}

pub(super) struct SeriesEnd<'a> {
    pub series: SeriesId,
    pub state: SeriesState,
    pub message: &'a str,
    /// `None`: whoever reads it counts.
    pub summary: Option<SeriesSummary>,
}

pub(super) struct SweepEnd<'a> {
    pub sweep: SweepId,
    pub state: SweepState,
    pub message: &'a str,
}

impl<'a> Changes<'a> {
    pub(super) fn of(records: &'a [Record]) -> Self {
        let mut changes = Self::default();
        for record in records {
            changes.add(record);
        }
        changes
    }

    fn add(&mut self, record: &'a Record) {
        match record {
            Record::SweepSubmitted {
                sweep,
                request,
                spec,
            } => self.sweeps.push((*sweep, *request, spec)),
            Record::SeriesCreated { plan, ordinal } => self.series.push((plan, *ordinal)),
            Record::AttemptAssigned {
                attempt,
                number,
                agent,
                round,
            } => self.attempts.push(NewAttempt {
                attempt: *attempt,
                number: *number,
                agent: *agent,
                round,
            }),
            Record::AttemptAccepted { attempt } => {
                self.state(*attempt, AttemptState::Accepted, None);
            }
            Record::AttemptEnded {
                attempt,
                state,
                message,
            } => self.state(*attempt, *state, Some(message)),
            Record::Report {
                agent,
                digest,
                disposition,
                report,
            } => {
                if report.outcome.is_some() && *disposition == Disposition::Accepted {
                    self.state(
                        report.attempt,
                        AttemptState::Reported,
                        Some(&report.message),
                    );
                }
                self.reports.push(NewReport {
                    agent: *agent,
                    digest,
                    disposition: *disposition,
                    report,
                });
            }
            Record::RoundEnded { round } => self.rounds_ended.push(*round),
            Record::DeviceDeparted {
                series,
                device,
                reason,
            } => self.departures.push((*series, device, reason)),
            Record::SeriesEnded {
                series,
                state,
                message,
                summary,
            } => self.series_ended.push(SeriesEnd {
                series: *series,
                state: *state,
                message,
                summary: *summary,
            }),
            Record::SweepEnded {
                sweep,
                state,
                message,
            } => self.sweeps_ended.push(SweepEnd {
                sweep: *sweep,
                state: *state,
                message,
            }),
            Record::AgentRestricted { agent, restriction } => {
                self.restrictions.push((*agent, restriction));
            }
            Record::Event(event) => self.events.push(event),
        }
    }

    fn state(&mut self, attempt: AttemptId, state: AttemptState, message: Option<&'a str>) {
        let earlier = self.attempt_states.remove(&attempt);
        let message = message.or(earlier.and_then(|earlier| earlier.message));
        let state = AttemptChange { state, message };
        self.attempt_states.insert(attempt, state);
    }
}
