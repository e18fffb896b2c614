//! The rules that every commit of the coordinator must keep, whatever happens around it: checked as records arrive, and the sums for the end.
//!
//! Fed by the store of the simulation with what was really written. It shares no code with the state machine whose records it checks.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Display,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use batchstep_core::fleet::{AttemptState, Disposition, Record, SeriesState, SweepState};
use batchstep_proto::{
    domain::AttemptReport,
    ids::{AgentId, AttemptId, RoundId, SeriesId, SweepId},
    wire,
};

use crate::chronicle::Chronicle;

/// An attempt as its records tell it.
#[derive(Debug)]
pub struct Attempt {
    pub agent: AgentId,
    pub device: String,
    pub round: RoundId,
    pub series: SeriesId,
    pub state: AttemptState,
    /// The agent's acceptance was on record at some time.
    pub accepted: bool,
}

impl Attempt {
    fn is_open(&self) -> bool {
        matches!(self.state, AttemptState::Assigned | AttemptState::Accepted)
    }
}

/// The ledger of a simulation, for everyone who asks.
#[derive(Debug, Clone)]
pub struct SharedLedger(Arc<Mutex<Ledger>>);

impl SharedLedger {
    /// Nothing is on record.
    pub fn new(chronicle: Arc<Chronicle>) -> Self {
        Self(Arc::new(Mutex::new(Ledger::new(chronicle))))
    }

    /// The ledger itself.
    pub fn lock(&self) -> MutexGuard<'_, Ledger> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Everything on record.
#[derive(Debug)]
pub struct Ledger {
    chronicle: Arc<Chronicle>,
    pub sweeps: BTreeMap<SweepId, SweepState>,
    pub series: BTreeMap<SeriesId, (SweepId, SeriesState)>,
    pub attempts: BTreeMap<AttemptId, Attempt>,
    pub ended_rounds: BTreeSet<RoundId>,
    /// Devices that take no further part in a series.
    departed: BTreeSet<(SeriesId, String)>,
    pub reports: Vec<(Disposition, AttemptReport)>,
    keys: BTreeSet<(AttemptId, [u8; 32])>,
    /// Visits on record, each of one attempt at most once.
    visits: BTreeSet<(AttemptId, u32)>,
    /// Blocks that count, by series.
    blocks: BTreeMap<SeriesId, u32>,
    /// Agents that get no work; true of those that have connected since.
    restricted: BTreeMap<AgentId, bool>,
}

impl Ledger {
    fn new(chronicle: Arc<Chronicle>) -> Self {
        Self {
            chronicle,
            sweeps: BTreeMap::new(),
            series: BTreeMap::new(),
            attempts: BTreeMap::new(),
            ended_rounds: BTreeSet::new(),
            departed: BTreeSet::new(),
            reports: Vec::new(),
            keys: BTreeSet::new(),
            visits: BTreeSet::new(),
            blocks: BTreeMap::new(),
            restricted: BTreeMap::new(),
        }
    }

    /// True of an agent that must begin nothing: it was restricted, and has said hello since.
    pub fn must_rest(&self, agent: AgentId) -> bool {
        self.restricted.get(&agent) == Some(&true)
    }

    /// Takes one commit.
    pub fn apply(&mut self, records: &[Record]) {
        for record in records {
            self.take(record);
        }
        self.one_line_per_device();
        for round in &self.ended_rounds {
            let mut attempts = self.attempts.values();
            if attempts.any(|attempt| attempt.round == *round && attempt.is_open()) {
                self.broken(format_args!(
                    "round {round} ended with an attempt still out"
                ));
            }
        }
    }

    fn take(&mut self, record: &Record) {
        match record {
            Record::SweepSubmitted { sweep, .. } => {
                if self.sweeps.insert(*sweep, SweepState::Active).is_some() {
                    self.broken(format_args!("sweep {sweep} was submitted twice"));
                }
            }
            Record::SeriesCreated { plan, .. } => {
                let series = (plan.sweep, SeriesState::Waiting);
                if self.series.insert(plan.id, series).is_some() {
                    self.broken(format_args!("series {} was created twice", plan.id));
                }
            }
            Record::AttemptAssigned {
                attempt,
                agent,
                round,
                ..
            } => {
                if self.ended_rounds.contains(&round.id) {
                    self.broken(format_args!("attempt {attempt} is of a round that is over"));
                }
                let place = (round.series, round.device_id.clone());
                if self.departed.contains(&place) {
                    self.broken(format_args!(
                        "attempt {attempt} is for a device that has left its series"
                    ));
                }
                if self
                    .series
                    .get(&round.series)
                    .is_none_or(|(_, state)| *state != SeriesState::Waiting)
                {
                    self.broken(format_args!(
                        "attempt {attempt} is of a series that is over"
                    ));
                }
                let assigned = Attempt {
                    agent: *agent,
                    device: round.device_id.clone(),
                    round: round.id,
                    series: round.series,
                    state: AttemptState::Assigned,
                    accepted: false,
                };
                if self.attempts.insert(*attempt, assigned).is_some() {
                    self.broken(format_args!("attempt {attempt} was assigned twice"));
                }
            }
            Record::AttemptAccepted { attempt } => self.with(*attempt, |attempt| {
                attempt.state = AttemptState::Accepted;
                attempt.accepted = true;
            }),
            Record::AttemptEnded { attempt, state, .. } => self.end(*attempt, *state),
            Record::Report {
                digest,
                disposition,
                report,
                ..
            } => self.report(*digest, *disposition, report),
            Record::RoundEnded { round } => {
                if !self.ended_rounds.insert(*round) {
                    self.broken(format_args!("round {round} ended twice"));
                }
            }
            Record::SeriesEnded {
                series,
                state,
                summary,
                ..
            } => {
                let counted = self.blocks.get(series).copied().unwrap_or(0);
                // Without a summary it ended before the coordinator had read it back, and the store counts.
                if let Some(summary) = summary.filter(|it| it.blocks != counted) {
                    self.broken(format_args!(
                        "series {series} ended with {} blocks, and {counted} are on record",
                        summary.blocks
                    ));
                }
                match self.series.get_mut(series) {
                    Some((_, known)) if *known == SeriesState::Waiting => *known = *state,
                    _ => self.broken(format_args!("series {series} ended twice")),
                }
            }
            Record::SweepEnded { sweep, state, .. } => match self.sweeps.get_mut(sweep) {
                Some(known) if *known == SweepState::Active => *known = *state,
                _ => self.broken(format_args!("sweep {sweep} ended twice")),
            },
            Record::DeviceDeparted { series, device, .. } => {
                if !self.departed.insert((*series, device.clone())) {
                    self.broken(format_args!("device {device} left series {series} twice"));
                }
            }
            Record::AgentRestricted { agent, restriction } => {
                if restriction.is_lifted() {
                    self.restricted.remove(agent);
                } else {
                    self.restricted.entry(*agent).or_insert(false);
                }
            }
            Record::Event(event) => {
                if let wire::event::Kind::AgentConnected(connected) = &event.kind
                    && let Ok(agent) = connected.agent_id.parse()
                    && let Some(has_connected) = self.restricted.get_mut(&agent)
                {
                    *has_connected = true;
                    self.chronicle.count("restricted agents said hello");
                }
            }
        }
    }

    fn report(&mut self, digest: [u8; 32], disposition: Disposition, report: &AttemptReport) {
        if !self.keys.insert((report.attempt, digest)) {
            self.broken(format_args!(
                "a report of attempt {} is on record twice",
                report.attempt
            ));
        }
        let visits = report
            .blocks
            .iter()
            .map(|block| block.visit)
            .chain(report.failures.iter().map(|failure| failure.visit));
        for visit in visits {
            if !self.visits.insert((report.attempt, visit)) {
                self.broken(format_args!(
                    "visit {visit} of attempt {} is on record twice",
                    report.attempt
                ));
            }
        }
        if disposition == Disposition::Accepted
            && let Some(series) = self.attempts.get(&report.attempt).map(|known| known.series)
        {
            let blocks = u32::try_from(report.blocks.len()).unwrap_or(u32::MAX);
            *self.blocks.entry(series).or_default() += blocks;
            if report.outcome.is_some() {
                self.end(report.attempt, AttemptState::Reported);
            }
        }
        self.reports.push((disposition, report.clone()));
    }

    /// An expired attempt may still report; nothing else ends twice.
    fn end(&mut self, id: AttemptId, state: AttemptState) {
        let before = self.attempts.get(&id).map(|attempt| attempt.state);
        let adopted = before == Some(AttemptState::Expired) && state == AttemptState::Reported;
        if !adopted
            && !matches!(
                before,
                Some(AttemptState::Assigned | AttemptState::Accepted)
            )
        {
            self.broken(format_args!(
                "attempt {id} ended twice: {before:?}, then {state:?}"
            ));
        }
        self.with(id, |attempt| attempt.state = state);
    }

    fn with(&mut self, id: AttemptId, change: impl FnOnce(&mut Attempt)) {
        match self.attempts.get_mut(&id) {
            Some(attempt) => change(attempt),
            None => self.broken(format_args!("attempt {id} is not on record")),
        }
    }

    /// One that runs and one that waits behind it, both at the same agent; that they do not run at a time is seen on the devices.
    fn one_line_per_device(&self) {
        let mut busy: BTreeMap<&str, Vec<AgentId>> = BTreeMap::new();
        for attempt in self.attempts.values().filter(|attempt| attempt.is_open()) {
            busy.entry(&attempt.device).or_default().push(attempt.agent);
        }
        for (device, agents) in busy {
            if agents.len() > 2 || agents.iter().any(|agent| *agent != agents[0]) {
                self.broken(format_args!(
                    "{} attempts are out for {device} at a time, of {agents:?}",
                    agents.len()
                ));
            }
        }
    }

    fn broken(&self, rule: impl Display) {
        self.chronicle.violation(rule);
    }
}

#[cfg(test)]
mod tests {
    use batchstep_core::fleet::{Event, Restriction};
    use batchstep_proto::ids::BootId;

    use super::*;

    #[test]
    fn an_agent_must_rest_from_its_first_hello_after_a_restriction_until_that_is_lifted() {
        let shared = SharedLedger::new(Arc::default());
        let agent = AgentId::generate();
        let restricted = |drain: Option<&str>| Record::AgentRestricted {
            agent,
            restriction: Restriction {
                drain: drain.map(ToOwned::to_owned),
                ..Restriction::default()
            },
        };
        let connected = Record::Event(Event {
            sweep: None,
            kind: wire::event::Kind::AgentConnected(wire::AgentConnected {
                agent_id: agent.to_string(),
                hostname: String::new(),
            }),
        });
        for (record, must_rest) in [
            (&connected, false),
            (&restricted(Some("fans")), false),
            (&connected, true),
            (&restricted(Some("still")), true),
            (&restricted(None), false),
            (&connected, false),
        ] {
            let mut ledger = shared.lock();
            ledger.apply(std::slice::from_ref(record));
            assert_eq!(ledger.must_rest(agent), must_rest, "{record:?}");
        }
    }

    fn ended(sweep: SweepId) -> Record {
        Record::SweepEnded {
            sweep,
            state: SweepState::Done,
            message: String::new(),
        }
    }

    #[test]
    fn what_ends_twice_or_is_not_on_record_breaks_a_rule() {
        let chronicle = Arc::new(Chronicle::default());
        let shared = SharedLedger::new(Arc::clone(&chronicle));
        let sweep = SweepId::from_uuid(*BootId::generate().as_uuid());
        shared.lock().sweeps.insert(sweep, SweepState::Active);
        shared.lock().apply(&[ended(sweep)]);
        assert_eq!(chronicle.violations(), [""; 0]);
        shared.lock().apply(&[ended(sweep)]);
        let attempt = AttemptId::from_uuid(*sweep.as_uuid());
        shared.lock().apply(&[Record::AttemptAccepted { attempt }]);
        assert_eq!(
            chronicle.violations(),
            [
                format!("sweep {sweep} ended twice"),
                format!("attempt {attempt} is not on record")
            ]
        );
    }
}
