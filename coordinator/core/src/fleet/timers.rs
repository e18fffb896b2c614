//! Timers: when to look at an agent, an attempt or a device again. They are lazy: a timer that fires looks whether what it waits for is due by
//! now, and is set again when it is not, so that the many messages that only prove life cost nothing here.

use std::{collections::BTreeSet, time::Duration};

use batchstep_proto::ids::{AgentId, AttemptId, SweepId};

use super::{State, absent::Cause, attempts::Standing};

/// What to look at.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// Whether it is lost, or forgotten.
    Agent(AgentId),
    /// Whether it is over its time.
    Attempt(AttemptId),
    /// Whether its pause is over.
    Lane(String),
    /// Whether its window opens or closes.
    Sweep(SweepId),
}

/// Timers by time.
pub(super) type Timers = BTreeSet<(Duration, Timer)>;

impl State {
    /// When the next timer is due, on the clock of `handle`; earlier ticks change nothing.
    #[must_use]
    pub fn next_tick(&self) -> Option<Duration> {
        self.timers.first().map(|(at, _)| *at)
    }

    pub(super) fn fire_timers(&mut self) {
        while self.timers.first().is_some_and(|(at, _)| *at <= self.now) {
            match self.timers.pop_first() {
                Some((_, Timer::Agent(id))) => self.look_at_agent(id),
                Some((_, Timer::Attempt(id))) => self.look_at_attempt(id),
                Some((_, Timer::Lane(device))) => {
                    self.dirty.insert(device);
                }
                Some((_, Timer::Sweep(id))) => self.look_at_gate(id),
                None => {}
            }
        }
    }

    fn look_at_agent(&mut self, id: AgentId) {
        let Some(agent) = self.agents.get(&id) else {
            return;
        };
        let silence = self.now.saturating_sub(agent.heard);
        let lost_at = agent.heard + agent.interval * self.config.lost_intervals;
        let forget_at = lost_at + self.config.forget_after;
        if !agent.lost && self.now < lost_at {
            self.timers.insert((lost_at, Timer::Agent(id)));
        } else if self.now < forget_at {
            if !agent.lost {
                self.lose_agent(id);
            }
            self.timers.insert((forget_at, Timer::Agent(id)));
        } else {
            if !agent.lost {
                self.lose_agent(id);
            }
            self.forget_agent(id, Cause::Forgotten { silence });
        }
    }

    fn look_at_attempt(&mut self, id: AttemptId) {
        let Some(attempt) = self.attempts.get_mut(&id) else {
            return;
        };
        let Some(deadline) = attempt.deadline() else {
            return;
        };
        if self.now < deadline {
            self.timers.insert((deadline, Timer::Attempt(id)));
            return;
        }
        match self.agents.get(&attempt.agent) {
            None => self.expire(id, "its agent did not come back after a restart"),
            // Without a stream its agent's lease decides, not the attempt's time.
            Some(agent) if agent.session.is_none() => {
                let wait = agent.interval * self.config.lost_intervals;
                self.set_deadline(id, wait);
            }
            Some(_) => match attempt.standing() {
                Standing::Running => self.stop(id, true, "it is far over its time limit"),
                Standing::Offered => {
                    self.stop(id, true, "it was not accepted in time");
                    self.expire(id, "its agent did not accept it in time");
                }
                Standing::Stopping => self.expire(id, "its agent did not report it when stopped"),
                Standing::Over => {}
            },
        }
    }
}
