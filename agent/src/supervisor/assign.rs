//! Takes assignments: checks them, locks their device, puts them on record, and answers. The last step before a round may start.

use batchstep_proto::{
    causes::chain,
    domain::{Ineligibility, Round},
    ids::AttemptId,
    wire::{self, agent_message::Message as Outgoing},
};
use tracing::warn;

use super::{Supervisor, lane::Waiting, runner};
use crate::{Shutdown, device::LockError, executor::Executor};

impl<E: Executor> Supervisor<E> {
    pub(super) fn assigned(&mut self, assignment: wire::Assignment) {
        let attempt_id = match assignment.attempt_id.parse::<AttemptId>() {
            Ok(id) => id.to_string(),
            Err(error) => {
                warn!(error = %error, "An assignment without a proper attempt id was ignored.");
                return;
            }
        };
        match self.take(&attempt_id, assignment.round) {
            Ok(()) => self.tell_accepted(&attempt_id),
            Err(Refusal { code, message }) => {
                warn!(
                    attempt = attempt_id,
                    code,
                    reason = message,
                    "An attempt was declined."
                );
                self.tell(Outgoing::Declined(wire::AttemptDeclined {
                    attempt_id,
                    reason: Some(wire::Ineligibility {
                        code: code.to_owned(),
                        message: runner::tidy(&message),
                    }),
                }));
            }
        }
    }

    /// Checks an assignment, locks its device and puts it on record; `Ok` again for one that is here already.
    fn take(&mut self, attempt_id: &str, round: Option<wire::Round>) -> Result<(), Refusal> {
        if self.lanes.values().any(|lane| lane.holds(attempt_id)) || self.outbox.holds(attempt_id) {
            return Ok(());
        }
        if self.shutdown != Shutdown::No {
            return Err(Refusal::new("draining", "the agent is stopping"));
        }
        let wire_round =
            round.ok_or_else(|| Refusal::new("invalid_round", "field `round`: is missing"))?;
        let round = Round::try_from(wire_round.clone())
            .map_err(|error| Refusal::new("invalid_round", error.to_string()))?;
        let Some(lane) = self.lanes.get_mut(&round.device_id) else {
            return Err(Refusal::new(
                "unknown_device",
                format!("this agent has no device {}", round.device_id),
            ));
        };
        if let Some(reason) = lane.device.ineligible.first() {
            return Err(Refusal::new(reason.code.clone(), reason.message.clone()));
        }
        let lock = match lane.lock.take() {
            Some(lock) => lock,
            None => self.config.locks.take(&round.device_id).map_err(|error| {
                let code = match error {
                    LockError::Held { .. } => Ineligibility::DEVICE_LOCKED,
                    LockError::Io { .. } => "lock_unusable",
                };
                Refusal::new(code, chain(&error))
            })?,
        };
        let recorded = self.outbox.accept(attempt_id, &round.id.to_string());
        // Given back below when nothing else needs it.
        lane.lock = Some(lock);
        if let Err(error) = recorded {
            if lane.is_idle() {
                lane.lock = None;
            }
            return Err(Refusal::new(
                "state_dir",
                format!("the agent's state directory cannot be written: {error}"),
            ));
        }
        lane.waiting.push_back(Waiting {
            attempt_id: attempt_id.to_owned(),
            round: wire_round,
            model: round.workload.model().cloned(),
            recorded: false,
        });
        Ok(())
    }
}

/// Why an assignment is not taken.
struct Refusal {
    code: String,
    message: String,
}

impl Refusal {
    fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            code: code.into(),
            message: message.into(),
        }
    }
}
