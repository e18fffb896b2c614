//! Attempts: one try of one agent at one round, from its offer to its end. Reports have their own file.

use std::{collections::BTreeSet, time::Duration};

use batchstep_proto::{
    domain::{Ineligibility, nanos},
    ids::{AgentId, AttemptId, SeriesId},
    wire,
};

use super::{
    AttemptState, Effect, Event, Progress, Record, SessionKey, State, ToAgent,
    lanes::{BackOff, PauseCause},
    timers::Timer,
};

/// One try at a round.
#[derive(Debug, Clone)]
pub(super) struct Attempt {
    pub series: SeriesId,
    /// Index of its round.
    pub round: u32,
    /// The device it has, or waits for behind another attempt.
    pub device: String,
    pub agent: AgentId,
    pub state: AttemptState,
    /// When it was given out; zero where that was before the coordinator started.
    pub given: Duration,
    /// It was told to stop.
    pub stopping: bool,
    /// It was declined because another batchstep has the device, or before the coordinator started, when nothing tells why: no failure of the series.
    pub excused: bool,
    /// When it is overdue, while it is open.
    pub due: Duration,
    /// It is older than this state, and so may be some of its parts.
    pub restored: bool,
    /// SHA-256 of the parts stored since the coordinator started, whoever sent them.
    pub digests: BTreeSet<[u8; 32]>,
}

/// Where an attempt is, as far as its agent must be told something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// Sent, not accepted.
    Offered,
    /// Accepted.
    Running,
    /// Told to stop, not reported.
    Stopping,
    /// Closed in whatever way.
    Over,
}

impl Attempt {
    pub const fn standing(&self) -> Standing {
        match self.state {
            AttemptState::Assigned | AttemptState::Accepted if self.stopping => Standing::Stopping,
            AttemptState::Assigned => Standing::Offered,
            AttemptState::Accepted => Standing::Running,
            AttemptState::Reported | AttemptState::Declined | AttemptState::Expired => {
                Standing::Over
            }
        }
    }

    pub fn is_open(&self) -> bool {
        self.standing() != Standing::Over
    }

    pub fn deadline(&self) -> Option<Duration> {
        self.is_open().then_some(self.due)
    }
}

impl State {
    pub(super) fn accepted(&mut self, session: SessionKey, id: AttemptId) {
        let Some(agent) = self.heard_on(session) else {
            return;
        };
        let attempt = self
            .attempts
            .get(&id)
            .filter(|attempt| attempt.agent == agent);
        match attempt.map_or(Standing::Over, Attempt::standing) {
            Standing::Offered => {
                self.record_acceptance(id);
                self.send(session, ToAgent::Recorded(id));
            }
            Standing::Running => self.send(session, ToAgent::Recorded(id)),
            Standing::Stopping | Standing::Over => self.send(
                session,
                ToAgent::Stop {
                    attempt: id,
                    at_once: true,
                    reason: "the attempt is not wanted any more".to_owned(),
                },
            ),
        }
    }

    pub(super) fn declined(&mut self, session: SessionKey, id: AttemptId, reason: &Ineligibility) {
        let Some(agent) = self.heard_on(session) else {
            return;
        };
        let Some(attempt) = self
            .attempts
            .get(&id)
            .filter(|attempt| attempt.agent == agent && attempt.is_open())
        else {
            return;
        };
        let (series, round, device) = (attempt.series, attempt.round, attempt.device.clone());
        self.end_attempt(id, AttemptState::Declined, &reason.message);
        if self.close_out(series, round) {
            return;
        }
        if reason.code == Ineligibility::DEVICE_LOCKED {
            if let Some(attempt) = self.attempts.get_mut(&id) {
                attempt.excused = true;
            }
            let why = format!("another batchstep measures on it: {}", reason.message);
            self.back_off(&device, &why);
            self.reconsider(series);
            return;
        }
        if !self.look_at_failures(series, &device, &reason.message) {
            self.back_off(&device, &reason.message);
            self.reconsider(series);
        }
    }

    pub(super) fn progress(&mut self, session: SessionKey, progress: Progress) {
        let Some(agent) = self.heard_on(session) else {
            return;
        };
        let Some(attempt) = self
            .attempts
            .get(&progress.attempt)
            .filter(|attempt| attempt.agent == agent && attempt.is_open())
        else {
            return;
        };
        let Some(series) = self.series.get(&attempt.series) else {
            return;
        };
        let event = Event {
            sweep: Some(series.plan.sweep),
            kind: wire::event::Kind::Progress(wire::RoundProgress {
                series_id: attempt.series.to_string(),
                round: attempt.round,
                visits_done: progress.visits_done,
                visits_total: progress.visits_total,
                batch_size: progress.batch_size,
                warming_up: progress.warming_up,
                remaining_ns: nanos(series.remaining),
            }),
        };
        self.out.push(Effect::Show(event));
    }

    /// Ends an attempt whose agent is gone or has lost it; its round waits for the next.
    pub(super) fn expire(&mut self, id: AttemptId, message: &str) {
        let Some(attempt) = self.attempts.get(&id) else {
            return;
        };
        let (series, round) = (attempt.series, attempt.round);
        self.end_attempt(id, AttemptState::Expired, message);
        if !self.close_out(series, round) {
            self.reconsider(series);
        }
    }

    fn end_attempt(&mut self, id: AttemptId, state: AttemptState, message: &str) {
        self.release(id, state);
        self.persist(Record::AttemptEnded {
            attempt: id,
            state,
            message: message.to_owned(),
        });
    }

    /// Notes that an attempt is told to stop now, and is to be reported soon.
    pub(super) fn call_back(&mut self, id: AttemptId) {
        if let Some(attempt) = self.attempts.get_mut(&id) {
            attempt.stopping = true;
        }
        self.set_deadline(id, self.config.stop_limit);
    }

    /// Tells an attempt's agent to stop it, if it can be told; else a hello will.
    pub(super) fn stop(&mut self, id: AttemptId, at_once: bool, reason: &str) {
        let Some(attempt) = self.attempts.get_mut(&id) else {
            return;
        };
        attempt.stopping = true;
        let session = self
            .agents
            .get(&attempt.agent)
            .and_then(|agent| agent.session);
        if let Some(session) = session {
            self.send(
                session,
                ToAgent::Stop {
                    attempt: id,
                    at_once,
                    reason: reason.to_owned(),
                },
            );
            self.set_deadline(id, self.config.stop_limit);
        }
    }

    /// Gives an attempt its device, or the place behind the one that has it.
    pub(super) fn occupy(&mut self, id: AttemptId) {
        let Some(attempt) = self.attempts.get(&id) else {
            return;
        };
        let (agent, series) = (attempt.agent, attempt.series);
        let device = attempt.device.clone();
        self.lane(&device).out.push(id);
        self.open.entry(agent).or_default().insert(id);
        if let Some(sweep) = self.sweep_of(series) {
            sweep.out += 1;
        }
    }

    /// Takes its device from an attempt that is over; the one behind it has its time from now on.
    pub(super) fn release(&mut self, id: AttemptId, state: AttemptState) {
        let Some(attempt) = self.attempts.get_mut(&id) else {
            return;
        };
        // One that had expired is reported all the same.
        let was_open = attempt.is_open();
        attempt.state = state;
        let series = attempt.series;
        let device = attempt.device.clone();
        if let Some(open) = self.open.get_mut(&attempt.agent) {
            open.remove(&id);
            if open.is_empty() {
                self.open.remove(&attempt.agent);
            }
        }
        if was_open && let Some(sweep) = self.sweep_of(series) {
            sweep.out -= 1;
        }
        let Some(lane) = self.lanes.get_mut(&device) else {
            return;
        };
        lane.out.retain(|out| *out != id);
        let next = lane.out.first().copied();
        if let Some(next) = next
            && self
                .attempts
                .get(&next)
                .is_some_and(|next| next.standing() == Standing::Running)
        {
            self.set_deadline(next, self.running_limit(next));
        }
        self.dirty.insert(device);
    }

    /// True when an expired attempt could take up its round again: nobody else has its round, its device has room beside its own
    /// agent's only, and its sweep is within its window.
    pub(super) fn is_free_for(&self, id: AttemptId) -> bool {
        let Some(attempt) = self.attempts.get(&id) else {
            return false;
        };
        let is_own = |other: &AttemptId| {
            self.attempts
                .get(other)
                .is_some_and(|other| other.agent == attempt.agent)
        };
        let is_open = self
            .series
            .get(&attempt.series)
            .is_some_and(|series| self.closed_gate(series.plan.sweep).is_none());
        self.is_latest(id)
            && is_open
            && !self.has_departed(id)
            && self
                .lanes
                .get(&attempt.device)
                .is_some_and(|lane| lane.has_room() && lane.out.iter().all(is_own))
    }

    /// True for the last attempt of a round that is wanted and not over.
    pub(super) fn is_latest(&self, id: AttemptId) -> bool {
        self.attempts.get(&id).is_some_and(|attempt| {
            self.series.get(&attempt.series).is_some_and(|series| {
                series.over.is_none()
                    && series.open.contains_key(&attempt.round)
                    && series.tries_of(attempt.round).last() == Some(&id)
            })
        })
    }

    /// Pauses a device.
    pub(super) fn back_off(&mut self, device: &str, reason: &str) {
        let lane = self.lanes.get(device);
        let before = lane.and_then(|lane| lane.back_off.as_ref());
        let pause = self.longer_pause(before, PauseCause::Failure, reason);
        self.set_timer(pause.until, Timer::Lane(device.to_owned()));
        self.lane(device).back_off = Some(pause);
    }

    /// Pauses a series on a device; others may have that meanwhile, and owe it nothing for that.
    pub(super) fn pause(&mut self, id: SeriesId, device: &str, cause: PauseCause, reason: &str) {
        let Some(series) = self.series.get(&id) else {
            return;
        };
        let (sweep, priority) = (series.plan.sweep, series.turn.priority);
        let lane = self.lanes.get(device);
        let before = lane.and_then(|lane| lane.pauses.get(&id));
        let pause = self.longer_pause(before, cause, reason);
        self.set_timer(pause.until, Timer::Lane(device.to_owned()));
        if let Some(lane) = self.lanes.get(device) {
            let least = self.least_share(lane, sweep, priority);
            self.lane(device).catch_up(sweep, least);
        }
        self.lane(device).pauses.insert(id, pause);
    }

    /// The pause after one more attempt than the pause before was for.
    fn longer_pause(&self, before: Option<&BackOff>, cause: PauseCause, reason: &str) -> BackOff {
        let attempts = before.map_or(0, |pause| pause.attempts).saturating_add(1);
        BackOff {
            cause,
            attempts,
            until: self.now + self.config.back_off(attempts),
            reason: reason.to_owned(),
        }
    }

    /// How long an accepted attempt may take before it counts as stuck, with all that is before it on its device.
    pub(super) fn limit_in_line(&self, id: AttemptId) -> Duration {
        let line = self
            .attempts
            .get(&id)
            .and_then(|attempt| self.lanes.get(&attempt.device))
            .map_or(&[][..], |lane| lane.out.as_slice());
        line.iter()
            .take_while(|before| **before != id)
            .chain([&id])
            .map(|one| self.running_limit(*one))
            .fold(Duration::ZERO, Duration::saturating_add)
    }

    /// How long an attempt may take from its start on before it counts as stuck.
    fn running_limit(&self, id: AttemptId) -> Duration {
        let limit = self
            .attempts
            .get(&id)
            .and_then(|attempt| {
                let series = self.series.get(&attempt.series)?;
                series.open.get(&attempt.round)
            })
            .map_or(Duration::ZERO, |record| record.round.time_limit);
        limit.saturating_mul(2).saturating_add(self.config.overtime)
    }

    /// Makes an open attempt overdue after `wait` from now.
    pub(super) fn set_deadline(&mut self, id: AttemptId, wait: Duration) {
        let due = self.now.saturating_add(wait);
        if let Some(attempt) = self.attempts.get_mut(&id) {
            attempt.due = due;
            self.set_timer(due, Timer::Attempt(id));
        }
    }
}
