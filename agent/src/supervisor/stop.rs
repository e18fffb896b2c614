//! Ends things early: one attempt on the coordinator's word, everything at a shutdown. What was measured is always reported.

use batchstep_proto::{domain::AttemptOutcome, wire};
use tokio::time::{Duration, Instant};
use tracing::{debug, info};

use super::{Supervisor, runner};
use crate::{
    Shutdown,
    executor::{Executor, Stop},
};

/// Killed workers are gone within this, or the agent leaves without their last words.
const KILL_LIMIT: Duration = Duration::from_millis(500);

impl<E: Executor> Supervisor<E> {
    pub(super) fn stop_attempt(&mut self, attempt_id: &str, wish: Stop) {
        for lane in self.lanes.values_mut() {
            if let Some(running) = lane.runs(attempt_id) {
                running.stop.send_replace(wish);
                return;
            }
            if let Some(waiting) = lane.remove_waiting(attempt_id) {
                let (Stop::Gently(reason) | Stop::AtOnce(reason)) = wish else {
                    return;
                };
                self.outbox.report(unstarted(
                    attempt_id,
                    &waiting.round.round_id,
                    AttemptOutcome::Stopped,
                    &reason,
                ));
                return;
            }
        }
        debug!(
            attempt = attempt_id,
            "An attempt that is not here was to be stopped."
        );
    }

    pub(super) fn stop_running(&self, wish: impl Fn() -> Stop) {
        for running in self.lanes.values().filter_map(|lane| lane.running.as_ref()) {
            running.stop.send_replace(wish());
        }
    }

    pub(super) fn give_back_waiting(&mut self, reason: &str) {
        for lane in self.lanes.values_mut() {
            for waiting in lane.waiting.drain(..) {
                self.outbox.report(unstarted(
                    &waiting.attempt_id,
                    &waiting.round.round_id,
                    AttemptOutcome::Stopped,
                    reason,
                ));
            }
        }
    }

    /// Goes on to a later phase of the shutdown, never back.
    pub(super) fn shut_down(&mut self, wanted: Shutdown, reason: &str) {
        if wanted <= self.shutdown {
            return;
        }
        self.shutdown = wanted;
        self.draining.send_replace(true);
        self.give_back_waiting(reason);
        let limit = match wanted {
            Shutdown::Now => {
                self.stop_running(|| Stop::AtOnce(reason.to_owned()));
                KILL_LIMIT
            }
            Shutdown::No | Shutdown::Drain => {
                info!(
                    running = self.rounds.len(),
                    limit_s = self.config.drain_limit.as_secs(),
                    "Draining: running rounds are finished, no new ones are started."
                );
                self.config.drain_limit
            }
        };
        self.leave_by = Some(Instant::now() + limit);
    }
}

/// The final report of an attempt that measured nothing more.
pub(super) fn unstarted(
    attempt_id: &str,
    round_id: &str,
    outcome: AttemptOutcome,
    reason: &str,
) -> wire::AttemptReport {
    wire::AttemptReport {
        attempt_id: attempt_id.to_owned(),
        round_id: round_id.to_owned(),
        r#final: true,
        outcome: outcome.to_wire(),
        message: runner::tidy(reason),
        ..Default::default()
    }
}
