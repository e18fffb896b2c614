//! One attempt from its start to its final report: turns an executor's events into report parts and progress messages.

use std::{sync::Arc, time::Duration};

use batchstep_proto::{
    causes::chain,
    domain::{AttemptOutcome, Block, VisitFailure, WorkerFacts, nanos},
    limits,
    wire::{self, WorkerPhase},
    workload::ModelRef,
};
use tokio::{
    sync::{mpsc, watch},
    time::{self, Instant},
};
use tracing::{info, warn};

use crate::{
    executor::{Executor, Job, RoundEnding, RoundEvent, Stop},
    models::{Held, Models},
    outbox::Outbox,
};

/// Between two progress messages: people look at them, nothing depends on them.
const PROGRESS_STEP: Duration = Duration::from_millis(200);

/// What a runner needs besides its job.
pub(super) struct Surroundings<E> {
    pub(super) executor: Arc<E>,
    pub(super) outbox: Arc<Outbox>,
    pub(super) models: Arc<Models>,
    /// The model that the round needs.
    pub(super) wanted: Option<ModelRef>,
    pub(super) progress: mpsc::UnboundedSender<wire::AttemptProgress>,
    pub(super) part_interval: Duration,
}

/// Runs an attempt. When this resolves, its final report is in the outbox.
pub(super) async fn run<E: Executor>(
    mut job: Job,
    surroundings: Surroundings<E>,
    mut stop: watch::Receiver<Stop>,
) {
    let Surroundings {
        executor,
        outbox,
        models,
        wanted,
        progress,
        part_interval,
    } = surroundings;
    let attempt = job.attempt_id.clone();
    info!(
        attempt,
        device = job.device.id,
        workload = job.round.workload,
        visits = job.round.visits.len(),
        "A round begins."
    );
    let mut tally = Tally::new(&job);
    let held = match obtain(&models, wanted.as_ref(), &mut stop).await {
        Ok(held) => held,
        Err(ending) => {
            warn!(attempt, reason = ending.message, "A round could not begin.");
            outbox.report(tally.last(ending));
            return;
        }
    };
    job.model = held.as_ref().map(Held::path);
    let (sender, mut events) = mpsc::unbounded_channel();
    let execution = executor.execute(job, sender, stop);
    tokio::pin!(execution);
    let mut parts = time::interval_at(Instant::now() + part_interval, part_interval);
    parts.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
    let ending = loop {
        tokio::select! {
            biased;
            Some(event) = events.recv() => {
                if let Some(message) = tally.take(event) {
                    let _ = progress.send(message);
                }
            }
            ending = &mut execution => break ending,
            _ = parts.tick() => if let Some(part) = tally.part() { outbox.report(part) },
        }
    };
    while let Ok(event) = events.try_recv() {
        tally.take(event);
    }
    let (outcome, visits_done, reason) = (ending.outcome, tally.done, ending.message.clone());
    outbox.report(tally.last(ending));
    // Said when the report is in the spool: what this line tells is not lost any more.
    info!(
        attempt,
        outcome = ?outcome,
        visits_done,
        reason,
        "A round ended."
    );
}

/// Brings the model of a round to this host; the ending to report where it does not come.
async fn obtain(
    models: &Arc<Models>,
    wanted: Option<&ModelRef>,
    stop: &mut watch::Receiver<Stop>,
) -> Result<Option<Held>, RoundEnding> {
    let Some(wanted) = wanted else {
        return Ok(None);
    };
    let stopped = async {
        match stop.wait_for(|wish| *wish != Stop::No).await.as_deref() {
            Ok(Stop::Gently(reason) | Stop::AtOnce(reason)) => reason.clone(),
            // The supervisor is gone.
            Ok(Stop::No) | Err(_) => "the agent was stopped".to_owned(),
        }
    };
    tokio::select! {
        obtained = models.obtain(wanted) => obtained
            .map(Some)
            .map_err(|error| RoundEnding::new(AttemptOutcome::Refused, chain(&error))),
        reason = stopped => Err(RoundEnding::new(AttemptOutcome::Stopped, reason)),
    }
}

/// What was measured and not yet reported.
struct Tally {
    attempt_id: String,
    round_id: String,
    visits: u32,
    done: u32,
    blocks: Vec<wire::Block>,
    failures: Vec<wire::VisitFailure>,
    facts: Option<wire::WorkerFacts>,
    place: wire::WorkerProgress,
    progress_at: Option<Instant>,
    begun: Instant,
    /// Times in earlier parts, which the final one must not count again.
    reported: Times,
}

#[derive(Clone, Copy, Default)]
struct Times {
    measuring_ns: u64,
    warm_up_ns: u64,
    elapsed_ns: u64,
}

impl Times {
    fn less(self, other: Self) -> Self {
        Self {
            measuring_ns: self.measuring_ns.saturating_sub(other.measuring_ns),
            warm_up_ns: self.warm_up_ns.saturating_sub(other.warm_up_ns),
            elapsed_ns: self.elapsed_ns.saturating_sub(other.elapsed_ns),
        }
    }
}

impl Tally {
    fn new(job: &Job) -> Self {
        Self {
            attempt_id: job.attempt_id.clone(),
            round_id: job.round.round_id.clone(),
            visits: u32::try_from(job.round.visits.len()).unwrap_or(u32::MAX),
            done: 0,
            blocks: Vec::new(),
            failures: Vec::new(),
            facts: None,
            place: wire::WorkerProgress::default(),
            progress_at: None,
            begun: Instant::now(),
            reported: Times::default(),
        }
    }

    /// Takes an event; a progress message when one is due.
    fn take(&mut self, event: RoundEvent) -> Option<wire::AttemptProgress> {
        match event {
            RoundEvent::Ready(facts) => self.facts = checked::<WorkerFacts, _>("facts", facts),
            RoundEvent::Progress(place) => self.place = place,
            RoundEvent::Block(block) => {
                self.done += 1;
                self.blocks.extend(checked::<Block, _>("a block", block));
            }
            RoundEvent::Failure(mut failure) => {
                self.done += 1;
                failure.message = tidy(&failure.message);
                self.failures
                    .extend(checked::<VisitFailure, _>("a failure", failure));
            }
        }
        let now = Instant::now();
        if self
            .progress_at
            .is_some_and(|at| now.duration_since(at) < PROGRESS_STEP)
        {
            return None;
        }
        self.progress_at = Some(now);
        Some(wire::AttemptProgress {
            attempt_id: self.attempt_id.clone(),
            visits_done: self.done,
            visits_total: self.visits,
            batch_size: self.place.batch_size,
            warming_up: matches!(
                self.place.phase(),
                WorkerPhase::DeviceWarmUp | WorkerPhase::WarmUp
            ),
        })
    }

    /// A part with what is new, `None` when nothing is.
    fn part(&mut self) -> Option<wire::AttemptReport> {
        if self.blocks.is_empty() && self.failures.is_empty() {
            return None;
        }
        let times = self.times_so_far().less(self.reported);
        Some(self.report(times))
    }

    /// The final part.
    fn last(mut self, ending: RoundEnding) -> wire::AttemptReport {
        let told = ending.times.map(|times| Times {
            measuring_ns: nanos(times.measuring),
            warm_up_ns: nanos(times.warm_up),
            elapsed_ns: nanos(times.elapsed),
        });
        let times = told
            .unwrap_or_else(|| self.times_so_far())
            .less(self.reported);
        let report = self.report(times);
        wire::AttemptReport {
            r#final: true,
            outcome: ending.outcome.to_wire(),
            message: tidy(&ending.message),
            ..report
        }
    }

    /// From the blocks, for parts that have no better source.
    fn times_so_far(&self) -> Times {
        let sum =
            |of: fn(&wire::Block) -> u64| self.blocks.iter().map(of).fold(0, u64::saturating_add);
        Times {
            measuring_ns: self
                .reported
                .measuring_ns
                .saturating_add(sum(|block| block.elapsed_ns)),
            warm_up_ns: self
                .reported
                .warm_up_ns
                .saturating_add(sum(|block| block.warm_up_ns)),
            elapsed_ns: nanos(self.begun.elapsed()),
        }
    }

    fn report(&mut self, times: Times) -> wire::AttemptReport {
        self.reported = Times {
            measuring_ns: self.reported.measuring_ns + times.measuring_ns,
            warm_up_ns: self.reported.warm_up_ns + times.warm_up_ns,
            elapsed_ns: self.reported.elapsed_ns + times.elapsed_ns,
        };
        wire::AttemptReport {
            attempt_id: self.attempt_id.clone(),
            round_id: self.round_id.clone(),
            // Set by the outbox.
            part: 0,
            r#final: false,
            outcome: 0,
            message: String::new(),
            blocks: std::mem::take(&mut self.blocks),
            failures: std::mem::take(&mut self.failures),
            facts: self.facts.clone(),
            measuring_ns: times.measuring_ns,
            warm_up_ns: times.warm_up_ns,
            elapsed_ns: times.elapsed_ns,
        }
    }
}

/// Drops what the coordinator would refuse, so that one bad value does not cost the whole report.
fn checked<Checked, Wire>(what: &'static str, value: Wire) -> Option<Wire>
where
    Wire: Clone,
    Checked: TryFrom<Wire, Error: std::fmt::Display>,
{
    match Checked::try_from(value.clone()) {
        Ok(_) => Some(value),
        Err(error) => {
            warn!(error = %error, "The worker sent {what} that breaks the protocol; it is left out.");
            None
        }
    }
}

/// Text within the limits of a report: no control characters, no more than [`limits::ERROR_BYTES`].
pub(super) fn tidy(text: &str) -> String {
    let mut tidy: String = text
        .trim()
        .chars()
        .map(|c| if c.is_control() && c != '\n' { ' ' } else { c })
        .collect();
    if tidy.len() > limits::ERROR_BYTES {
        let mut end = limits::ERROR_BYTES;
        while !tidy.is_char_boundary(end) {
            end -= 1;
        }
        tidy.truncate(end);
    }
    tidy
}

#[cfg(test)]
mod tests {
    use batchstep_proto::domain::VisitRole;

    use super::*;
    use crate::{device::Host, executor::RoundTimes};

    fn tally() -> Tally {
        let round = wire::Round {
            visits: vec![wire::Visit::default(); 3],
            ..Default::default()
        };
        let device = crate::device::processors(&Host::read());
        Tally::new(&Job {
            attempt_id: "a".to_owned(),
            device,
            round,
            model: None,
        })
    }

    fn block(visit: u32) -> RoundEvent {
        RoundEvent::Block(wire::Block {
            visit,
            batch_size: 8,
            role: VisitRole::Measure.to_wire(),
            iterations: 3,
            elapsed_ns: 1000,
            warm_up_ns: 10,
            ..Default::default()
        })
    }

    #[test]
    fn parts_are_disjoint_and_their_times_add_up() {
        let mut tally = tally();
        assert!(tally.part().is_none());
        tally.take(block(0));
        tally.take(block(1));
        let part = tally.part().unwrap();
        assert_eq!(
            (part.blocks.len(), part.measuring_ns, part.warm_up_ns),
            (2, 2000, 20)
        );
        assert!(tally.part().is_none());
        tally.take(block(2));
        let last = tally.last(RoundEnding {
            outcome: AttemptOutcome::Finished,
            message: String::new(),
            times: Some(RoundTimes {
                measuring: Duration::from_nanos(3000),
                warm_up: Duration::from_nanos(500),
                elapsed: Duration::from_secs(1),
            }),
        });
        assert_eq!(
            (last.blocks.len(), last.measuring_ns, last.warm_up_ns),
            (1, 1000, 480)
        );
        assert_eq!(part.elapsed_ns + last.elapsed_ns, 1_000_000_000);
        assert!(last.r#final);
    }

    #[test]
    fn what_breaks_the_protocol_is_left_out() {
        let mut tally = tally();
        tally.take(RoundEvent::Block(wire::Block::default()));
        assert!(tally.part().is_none());
        assert_eq!(tidy(" a\u{7}b\r\nc "), "a b \nc");
        assert_eq!(tidy(&"ü".repeat(2000)).len(), limits::ERROR_BYTES);
    }
}
