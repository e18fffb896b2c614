//! Reports: what of an attempt's result counts, and what is only kept. Nothing an agent measured is thrown away; nothing counts twice; an agent
//! can add to its own attempts only.

use std::collections::BTreeSet;

use batchstep_proto::{
    domain::{AttemptOutcome, AttemptReport, Round},
    ids::{AgentId, AttemptId, SeriesId},
};

use super::{
    Answer, AttemptState, Disposition, Record, Refusal, ReplyKey, State, lanes::PauseCause,
};
use crate::sweep::RoundRecord;

impl State {
    /// True when every stored part of this attempt is known here, so that the store need not be asked whether it has one: the attempt was
    /// assigned since the state was made, and its sweep is not forgotten.
    #[must_use]
    pub fn knows_parts_of(&self, attempt: AttemptId) -> bool {
        let attempt = self.attempts.get(&attempt);
        attempt.is_some_and(|attempt| !attempt.restored)
    }

    pub(super) fn report(
        &mut self,
        reply: ReplyKey,
        agent: AgentId,
        report: AttemptReport,
        digest: [u8; 32],
    ) {
        self.heard_of(agent);
        let disposition = match self.judge(agent, &report, &digest) {
            Ok(disposition) => disposition,
            Err(refusal) => {
                self.reply(reply, Answer::Refused(refusal));
                return;
            }
        };
        if disposition != Disposition::Duplicate {
            self.persist(Record::Report {
                agent,
                digest,
                disposition,
                report: report.clone(),
            });
        }
        self.reply(reply, Answer::Reported(disposition));
        if let Some(attempt) = self.attempts.get_mut(&report.attempt) {
            attempt.digests.insert(digest);
        }
        if disposition == Disposition::Accepted {
            self.count(report);
        }
    }

    /// What a report is worth.
    fn judge(
        &self,
        agent: AgentId,
        report: &AttemptReport,
        digest: &[u8; 32],
    ) -> Result<Disposition, Refusal> {
        let Some(attempt) = self.attempts.get(&report.attempt) else {
            return Ok(Disposition::Quarantined);
        };
        if attempt.digests.contains(digest) {
            return Ok(Disposition::Duplicate);
        }
        let Some(record) = self
            .series
            .get(&attempt.series)
            .and_then(|series| series.round(attempt.round))
            .filter(|_| attempt.agent == agent)
        else {
            return Ok(Disposition::Quarantined);
        };
        check(report, &record.round)?;
        let counts = match attempt.state {
            AttemptState::Assigned | AttemptState::Accepted => true,
            // Parts may overtake each other, but an attempt ends once, and a round is of one device.
            AttemptState::Reported => report.outcome.is_none() && !self.is_taken(report.attempt),
            // Given up too early, and nobody has its round: the result is as good as any.
            AttemptState::Expired => {
                self.is_latest(report.attempt) || self.may_complete(report.attempt)
            }
            AttemptState::Declined => false,
        };
        Ok(if counts {
            Disposition::Accepted
        } else {
            Disposition::Superseded
        })
    }

    /// Adds an accepted report to its round, and ends what it ends.
    fn count(&mut self, report: AttemptReport) {
        let id = report.attempt;
        let Some(attempt) = self.attempts.get(&id) else {
            return;
        };
        let (series_id, index, device) = (attempt.series, attempt.round, attempt.device.clone());
        let (agent, was_called_back) = (attempt.agent, attempt.stopping);
        let was_given_up = attempt.state == AttemptState::Expired;
        let end = report
            .outcome
            .map(|outcome| (outcome, report.message.clone()));
        let measured = !(report.blocks.is_empty() && report.failures.is_empty());
        let blocks = u32::try_from(report.blocks.len()).unwrap_or(u32::MAX);
        let (measuring, elapsed) = (report.measuring, report.elapsed);
        let tells_software = report.facts.is_some();
        let Some(series) = self.series.get_mut(&series_id) else {
            return;
        };
        series.summary.blocks = series.summary.blocks.saturating_add(blocks);
        series.summary.measuring = series.summary.measuring.saturating_add(measuring);
        // Its round has ended before, as when an attempt's end overtakes a part of it.
        let is_late = !series.open.contains_key(&index);
        if let Some(record) = series.round_mut(index) {
            record.add(report);
        }
        let sweep = series.plan.sweep;
        // What fails on one of several devices is for another to try.
        let record = series.round(index).filter(|_| series.plan.is_shared());
        let error = record.and_then(only_error);
        if is_late {
            self.look_at_budget(series_id);
        }
        self.lane(&device).charge(sweep, elapsed, end.is_some());
        if measured {
            self.lane(&device).back_off = None;
            if error.is_none() {
                self.lane(&device).pauses.remove(&series_id);
            }
            self.note_success(agent);
        }
        let Some((outcome, message)) = end else {
            if tells_software {
                self.look_at_software(series_id);
            }
            if was_given_up {
                self.end_late_remnants(series_id);
            }
            return;
        };
        self.release(id, AttemptState::Reported);
        if self.close_out(series_id, index) {
            return;
        }
        if let Some(error) = error.filter(|_| !self.has_departed(id)) {
            self.pause(series_id, &device, PauseCause::Failure, &error);
        }
        let is_empty = !measured && self.is_round_empty(series_id, index);
        // What waits at an agent that gets no work comes back.
        let was_called_back = was_called_back
            || outcome == AttemptOutcome::Stopped && self.restrictions.contains_key(&agent);
        // What it was told to stop is no failure, nor what it gave back.
        let has_failed = is_empty && !was_called_back && outcome != AttemptOutcome::Stopped;
        let fails_at_everything = has_failed && self.note_failure(agent, series_id);
        if outcome == AttemptOutcome::Refused {
            self.refused(series_id, &device, was_called_back, &message);
        } else {
            if is_empty && !was_called_back {
                // Somebody came. Whoever did not ask for an idle device goes on beside them.
                if outcome == AttemptOutcome::Stopped && self.waits_for_idle(series_id) {
                    self.pause(series_id, &device, PauseCause::InUse, &message);
                } else {
                    self.back_off(&device, &message);
                }
            }
            // What a device brings after it has left says nothing of the round.
            let gives_back = outcome == AttemptOutcome::Stopped || self.has_departed(id);
            if is_empty && gives_back {
                self.stopped(series_id, &device, was_called_back, &message);
            } else {
                self.round_reported(series_id, index, outcome, &message);
            }
        }
        if tells_software {
            self.look_at_software(series_id);
        }
        if fails_at_everything {
            self.cordon(agent, &message);
        }
    }

    /// A round came back before anything was found out: it waits for another attempt, if it is still wanted.
    fn stopped(&mut self, series: SeriesId, device: &str, was_called_back: bool, message: &str) {
        // Something may end its agent again and again, which may be this very round.
        if was_called_back || !self.look_at_failures(series, device, message) {
            self.reconsider(series);
        }
    }

    /// True where nothing may run while somebody else computes on the device.
    fn waits_for_idle(&self, series: SeriesId) -> bool {
        let series = self.series.get(&series);
        series.is_none_or(|series| series.plan.spec.scheduling.idle_only)
    }

    fn refused(&mut self, series: SeriesId, device: &str, was_called_back: bool, message: &str) {
        if self.look_at_failures(series, device, message) {
            return;
        }
        if !was_called_back {
            self.back_off(device, message);
        }
        self.reconsider(series);
    }

    fn is_round_empty(&self, series: SeriesId, round: u32) -> bool {
        self.series
            .get(&series)
            .and_then(|series| series.open.get(&round))
            .is_some_and(RoundRecord::is_empty)
    }
}

/// The last error of a round in which visits failed in themselves, and nothing else was found out.
fn only_error(record: &RoundRecord) -> Option<String> {
    let mut failures = record.failures.iter();
    let nothing_else =
        record.blocks.is_empty() && failures.all(|failure| !failure.kind.bounds_the_sweep());
    let last = record.failures.last().filter(|_| nothing_else)?;
    Some(last.message.clone())
}

/// Checks that a report is of this round: each visit at most once, with the batch size and role it was asked for.
fn check(report: &AttemptReport, round: &Round) -> Result<(), Refusal> {
    let invalid = |message: String| Err(Refusal::Invalid(message));
    if report.round != round.id {
        return invalid(format!(
            "report.round_id: attempt {} is of round {}, not {}",
            report.attempt, round.id, report.round
        ));
    }
    let blocks = report.blocks.iter().map(|block| {
        (
            "report.blocks",
            block.visit,
            block.batch_size,
            Some(block.role),
        )
    });
    let failures = report
        .failures
        .iter()
        .map(|failure| ("report.failures", failure.visit, failure.batch_size, None));
    let mut seen = BTreeSet::new();
    for (field, visit, batch_size, role) in blocks.chain(failures) {
        let Some(asked) = round.visits.get(visit as usize) else {
            return invalid(format!(
                "{field}: visit {visit} is not one of the round's {}",
                round.visits.len()
            ));
        };
        if asked.batch_size != batch_size {
            return invalid(format!(
                "{field}: visit {visit} is of batch size {}, not {batch_size}",
                asked.batch_size
            ));
        }
        if role.is_some_and(|role| role != asked.role) {
            return invalid(format!("{field}: visit {visit} is a {} visit", asked.role));
        }
        if !seen.insert(visit) {
            return invalid(format!("{field}: visit {visit} is reported twice"));
        }
    }
    Ok(())
}
