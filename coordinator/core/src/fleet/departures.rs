//! Departures: devices that take no further part in a series which they share, each by a limit of its own, so that a broken host neither ends the series
//! for the others nor keeps a round from them.
//!
//! Called where an attempt has ended without a result, and where a worker has told its software. What is counted is on record with the attempts, and a
//! departure is on record itself, so that a restart takes nobody back.

use std::time::Duration;

use batchstep_proto::{
    domain::AttemptOutcome,
    ids::{AttemptId, SeriesId},
    wire,
};

use super::{AttemptState, Config, Record, State, attempts::Attempt, series::Series};
use crate::sweep::{RoundRecord, SeriesPlan, odd_software};

/// Rounds in a row whose worker died or was over time without a single block, before their device leaves a shared series: as many as end a series of its own.
const BROKEN_LIMIT: u32 = 3;

/// What an attempt that is over tells of its device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sign {
    /// It measures.
    Measured,
    // The others brought nothing.
    Refused,
    Declined,
    Stopped,
    Broken,
}

/// Which limit the faults of a device in a row have reached, for people; `None`: none of them.
fn excess(faults: &[Sign], config: &Config, plan: &SeriesPlan) -> Option<String> {
    let count = |wanted| {
        let of_kind = faults.iter().filter(|fault| **fault == wanted).count();
        u32::try_from(of_kind).unwrap_or(u32::MAX)
    };
    let (refused, declined) = (count(Sign::Refused), count(Sign::Declined));
    let (stopped, broken) = (count(Sign::Stopped), count(Sign::Broken));
    // Whoever asked for idle devices has asked to wait.
    let waits = plan.spec.scheduling.idle_only;
    if refused >= config.refused_limit {
        Some(format!("refused {refused} times in a row"))
    } else if declined >= config.declined_limit {
        Some(format!("declined {declined} times in a row"))
    } else if !waits && stopped >= config.stopped_limit {
        Some(format!(
            "stopped {stopped} times in a row with nothing measured"
        ))
    } else if plan.is_shared() && broken >= BROKEN_LIMIT {
        // The series of a single device is ended by its planner.
        Some(format!(
            "{broken} rounds in a row ended without a single block"
        ))
    } else {
        None
    }
}

impl State {
    /// Looks whether a device has failed too often at a series, the last time with `message`: then it leaves it, or ends it where nobody else is left. True:
    /// the series is over.
    pub(super) fn look_at_failures(&mut self, id: SeriesId, device: &str, message: &str) -> bool {
        // What an unread series has measured may have ended the row; the next failure after the reading is judged with it.
        let readable = self.series.get(&id).filter(|_| !self.unread.contains(&id));
        let excess = readable.and_then(|series| {
            let faults = self.faults(series, device);
            excess(&faults, &self.config, &series.plan)
        });
        if let Some(excess) = excess {
            self.depart(id, device, format!("{excess}: {message}"));
        }
        let series = self.series.get(&id);
        series.is_none_or(|series| series.over.is_some())
    }

    /// The faults of a device since it last measured something of a series. Attempts from before the coordinator started are taken in the order of their rounds.
    fn faults(&self, series: &Series, device: &str) -> Vec<Sign> {
        let mut course: Vec<(Duration, u32, usize, Sign)> = Vec::new();
        let rounds = (0_u32..).zip(&series.tries);
        for (index, tries) in rounds {
            let Some(record) = series.round(index) else {
                continue;
            };
            // Attempts report in their order, each once: only the latest attempt of a round, or one that nobody came after, may end it late.
            let mut outcomes = record.outcomes.iter();
            let attempts = tries.iter().filter_map(|id| self.attempts.get(id));
            for (number, attempt) in attempts.enumerate() {
                let outcome = match attempt.state {
                    AttemptState::Reported => outcomes.next().map(|(outcome, _)| *outcome),
                    _ => None,
                };
                if attempt.device == device
                    && let Some(sign) = sign(attempt, outcome, record)
                {
                    course.push((attempt.given, index, number, sign));
                }
            }
        }
        course.sort_unstable_by_key(|(given, index, number, _)| (*given, *index, *number));
        let latest_first = course.into_iter().rev();
        let signs = latest_first.map(|(.., sign)| sign);
        signs.take_while(|sign| *sign != Sign::Measured).collect()
    }

    /// Takes the devices off a shared series whose workers have told other software than those of the others: what they measure belongs to another answer.
    pub(super) fn look_at_software(&mut self, id: SeriesId) {
        // Of an unread series those who told theirs before are not known.
        let is_open = |it: &&Series| it.over.is_none() && !self.unread.contains(&id);
        let Some(series) = self.series.get(&id).filter(is_open) else {
            return;
        };
        let rounds = series.history.rounds.iter().chain(series.open.values());
        let odd = odd_software(&series.plan, rounds, |device| {
            self.obstacle(device).is_none()
        });
        for (device, reason) in &odd {
            self.depart(id, device, reason.clone());
        }
        if !odd.is_empty() {
            self.reconsider(id);
        }
    }

    /// Takes a device off a series for good, and ends the series where no other is left.
    pub(super) fn depart(&mut self, id: SeriesId, device: &str, reason: String) {
        let Some(series) = self.series.get_mut(&id).filter(|it| it.over.is_none()) else {
            return;
        };
        if !series.plan.is_shared() {
            self.give_up(id, reason);
            return;
        }
        let departed = &mut series.plan.departed;
        if departed.contains_key(device) {
            return;
        }
        departed.insert(device.to_owned(), reason.clone());
        let (turn, sweep) = (series.turn, series.plan.sweep);
        let hostname = series.plan.places().find(|(place, _)| *place == device);
        let hostname = hostname.map(|(_, host)| host.to_owned());
        self.persist(Record::DeviceDeparted {
            series: id,
            device: device.to_owned(),
            reason: reason.clone(),
        });
        let event = wire::event::Kind::DeviceDeparted(wire::DeviceDeparted {
            series_id: id.to_string(),
            device_id: device.to_owned(),
            hostname: hostname.unwrap_or_default(),
            reason,
        });
        self.journal(Some(sweep), event);
        let lane = self.lane(device);
        lane.leave(&turn);
        // What it still has of the series goes to the others.
        let out = lane.out.clone();
        let out = out.into_iter().filter(|attempt| {
            let attempt = self.attempts.get(attempt);
            attempt.is_some_and(|attempt| attempt.series == id && !attempt.stopping)
        });
        for attempt in out.collect::<Vec<_>>() {
            let reason = "its device takes no further part in the series";
            self.stop(attempt, false, reason);
        }
        self.fail_if_abandoned(id);
    }

    /// True when an attempt's device takes no further part in its series.
    pub(super) fn has_departed(&self, id: AttemptId) -> bool {
        self.attempts.get(&id).is_some_and(|attempt| {
            let series = self.series.get(&attempt.series);
            series.is_some_and(|series| series.plan.departed.contains_key(&attempt.device))
        })
    }
}

/// What an attempt tells of its device; `None`: nothing. `outcome` is that of one that has reported.
fn sign(attempt: &Attempt, outcome: Option<AttemptOutcome>, record: &RoundRecord) -> Option<Sign> {
    match (attempt.state, outcome) {
        (AttemptState::Declined, _) => (!attempt.excused).then_some(Sign::Declined),
        (_, Some(AttemptOutcome::Refused)) => Some(Sign::Refused),
        _ if !record.is_empty() && record.round.device_id == attempt.device => Some(Sign::Measured),
        (_, Some(AttemptOutcome::Stopped)) => Some(Sign::Stopped),
        (_, Some(AttemptOutcome::Broken | AttemptOutcome::TimedOut)) => Some(Sign::Broken),
        _ => None,
    }
}
