//! The coordinator's end of an agent's stream, and how messages to agents are put on the wire. Used by the task only; never waits.

use batchstep_core::fleet::{ToAgent, Verdict};
use batchstep_proto::{
    domain::nanos,
    wire::{self, attempt_verdict, coordinator_message::Message},
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tonic::Status;

/// A stream to one agent. Dropping it ends the stream.
pub(super) struct Outbound {
    messages: mpsc::Sender<Result<wire::CoordinatorMessage, Status>>,
    ended: CancellationToken,
    protocol: u32,
}

/// The agent reads too slowly, or its stream is gone.
pub(super) struct NotTaken;

impl Outbound {
    pub(super) const fn new(
        messages: mpsc::Sender<Result<wire::CoordinatorMessage, Status>>,
        ended: CancellationToken,
        protocol: u32,
    ) -> Self {
        Self {
            messages,
            ended,
            protocol,
        }
    }

    pub(super) fn send(&self, message: ToAgent) -> Result<(), NotTaken> {
        self.put(to_wire(message, self.protocol))
    }

    /// Says why and ends the stream, without waiting for the agent to read it.
    pub(super) fn close(self, reason: String, permanent: bool) {
        // A stream that takes no more messages ends without its reason.
        let _ = self.put(Message::Closing(wire::Closing { reason, permanent }));
    }

    fn put(&self, message: Message) -> Result<(), NotTaken> {
        let message = wire::CoordinatorMessage {
            message: Some(message),
        };
        self.messages.try_send(Ok(message)).map_err(|_| NotTaken)
    }
}

impl Drop for Outbound {
    fn drop(&mut self) {
        self.ended.cancel();
    }
}

fn to_wire(message: ToAgent, protocol: u32) -> Message {
    match message {
        ToAgent::Welcome {
            incarnation,
            heartbeat_interval,
            lease,
            offline_budget,
            verdicts,
        } => Message::Welcome(wire::Welcome {
            protocol,
            incarnation,
            heartbeat_interval_ns: nanos(heartbeat_interval),
            lease_ns: nanos(lease),
            offline_budget_ns: nanos(offline_budget),
            verdicts: verdicts
                .into_iter()
                .map(|(attempt, verdict)| wire::AttemptVerdict {
                    attempt_id: attempt.to_string(),
                    verdict: match verdict {
                        Verdict::Keep => attempt_verdict::Verdict::Keep,
                        Verdict::Stop => attempt_verdict::Verdict::Stop,
                    } as i32,
                })
                .collect(),
            coordinator_version: env!("CARGO_PKG_VERSION").to_owned(),
        }),
        ToAgent::Assign {
            attempt,
            round,
            prefetched,
        } => Message::Assignment(wire::Assignment {
            attempt_id: attempt.to_string(),
            round: Some((*round).into()),
            prefetched,
        }),
        ToAgent::Recorded(attempt) => Message::Recorded(wire::AcceptanceRecorded {
            attempt_id: attempt.to_string(),
        }),
        ToAgent::Stop {
            attempt,
            at_once,
            reason,
        } => Message::Stop(wire::StopAttempt {
            attempt_id: attempt.to_string(),
            at_once,
            reason,
        }),
        ToAgent::Drain { reason } => Message::Drain(wire::Drain { reason }),
        ToAgent::HeartbeatAck(sequence) => Message::HeartbeatAck(wire::HeartbeatAck { sequence }),
    }
}
