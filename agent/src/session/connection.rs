//! One connection from its hello to its end. Called by the line's loop only.

use std::{error::Error as _, time::Duration};

use batchstep_proto::{
    causes::innermost,
    version::SUPPORTED,
    wire::{self, agent_message::Message as Outgoing, coordinator_message::Message as Incoming},
};
use tokio::{
    sync::{mpsc, oneshot},
    time::{self, Instant},
};
use tokio_stream::{StreamExt as _, wrappers::UnboundedReceiverStream};
use tonic::{Code, Status, Streaming, transport::Channel};
use tracing::info;

use super::{Line, LineEvent};
use crate::{
    client,
    retry::{self, Backoff},
};

/// How a connection ended.
pub(super) enum End {
    Lost(String),
    /// The transport broke before a word was heard, which may be nobody's fault, or say that two do not speak the same.
    Broken(String),
    Rejected(String),
}

/// A connection that is over.
pub(super) struct Run {
    pub(super) welcomed: bool,
    pub(super) end: End,
}

impl Run {
    fn before_welcome(end: End) -> Self {
        Self {
            welcomed: false,
            end,
        }
    }

    fn unheard(why: impl Into<String>) -> Self {
        Self::before_welcome(End::Lost(why.into()))
    }
}

/// Says hello on a fresh channel and passes messages until the line ends.
pub(super) async fn serve(channel: Channel, line: &Line, backoff: &mut Backoff) -> Run {
    let (ask, hello) = oneshot::channel();
    let asked = line.events.send(LineEvent::HelloWanted(ask)).await;
    let (Ok(()), Ok(hello)) = (asked, hello.await) else {
        return Run::unheard("the agent is stopping");
    };
    let (outbound, queue) = mpsc::unbounded_channel::<Outgoing>();
    // The queue is this function's own until the request is sent.
    let _ = outbound.send(Outgoing::Hello(hello));
    let requests = UnboundedReceiverStream::new(queue).map(|message| wire::AgentMessage {
        message: Some(message),
    });
    let mut client = client::over(channel.clone());
    let opened = time::timeout(retry::WELCOME_TIMEOUT, async {
        let mut inbound = client.session(requests).await?.into_inner();
        let first = inbound.next().await.transpose()?;
        Ok::<_, Status>((inbound, first.and_then(|first| first.message)))
    });
    let (inbound, welcome) = match opened.await {
        Err(_) => return Run::unheard("no welcome in time"),
        // Somebody has decided that; dialling again would not change it.
        Ok(Err(status)) if status.code() == Code::PermissionDenied => {
            return Run::before_welcome(End::Rejected(status.message().to_owned()));
        }
        Ok(Err(status)) if status.source().is_some() => {
            return Run::before_welcome(End::Broken(status_text(&status)));
        }
        Ok(Err(status)) => return Run::unheard(status_text(&status)),
        Ok(Ok((inbound, Some(Incoming::Welcome(welcome))))) => (inbound, welcome),
        Ok(Ok((_, Some(Incoming::Closing(closing))))) => {
            return Run::before_welcome(closed(closing));
        }
        Ok(Ok(_)) => return Run::unheard("the coordinator's first message is not a welcome"),
    };
    if !SUPPORTED.contains(&welcome.protocol) {
        return Run::unheard(format!(
            "the coordinator chose protocol {}, this agent speaks {} to {}; update the older of the two",
            welcome.protocol,
            SUPPORTED.start(),
            SUPPORTED.end()
        ));
    }
    info!(
        coordinator_version = welcome.coordinator_version,
        incarnation = welcome.incarnation,
        "Connected."
    );
    let beat = Duration::from_nanos(welcome.heartbeat_interval_ns).max(Duration::from_millis(100));
    line.channel.send_replace(Some(channel));
    let connected = LineEvent::Connected {
        welcome,
        outbound: outbound.clone(),
    };
    if line.events.send(connected).await.is_err() {
        return Run::unheard("the agent is stopping");
    }
    let end = pass(inbound, outbound, line, beat, backoff).await;
    Run {
        welcomed: true,
        end,
    }
}

/// Messages and heartbeats.
async fn pass(
    mut inbound: Streaming<wire::CoordinatorMessage>,
    outbound: mpsc::UnboundedSender<Outgoing>,
    line: &Line,
    beat: Duration,
    backoff: &mut Backoff,
) -> End {
    let mut draining = line.draining.clone();
    draining.mark_unchanged();
    let mut sequence = 0_u64;
    let mut acknowledged = 0_u64;
    let mut next_beat = Instant::now() + spread(beat);
    loop {
        tokio::select! {
            message = inbound.next() => {
                let message = match message {
                    None => return End::Lost("the coordinator ended the session".to_owned()),
                    Some(Err(status)) => return End::Lost(status_text(&status)),
                    Some(Ok(message)) => message.message,
                };
                match message {
                    None | Some(Incoming::Welcome(_)) => {}
                    Some(Incoming::HeartbeatAck(ack)) => {
                        acknowledged = acknowledged.max(ack.sequence);
                        backoff.reset();
                    }
                    Some(Incoming::Closing(closing)) => return closed(closing),
                    Some(message) => {
                        backoff.reset();
                        if line.events.send(LineEvent::Message(Box::new(message))).await.is_err() {
                            return End::Lost("the agent is stopping".to_owned());
                        }
                    }
                }
                continue;
            }
            () = time::sleep_until(next_beat) => {}
            Ok(()) = draining.changed() => {}
            () = line.leaving.cancelled() => {
                // Ends the stream in order; the coordinator answers by ending its own.
                drop(outbound);
                while let Some(Ok(_)) = inbound.next().await {}
                return End::Lost("the agent is stopping".to_owned());
            }
        }
        if sequence - acknowledged.min(sequence) >= u64::from(retry::UNANSWERED_HEARTBEATS) {
            return End::Lost("the coordinator does not answer heartbeats".to_owned());
        }
        sequence += 1;
        next_beat = Instant::now() + spread(beat);
        let heartbeat = wire::Heartbeat {
            sequence,
            draining: *draining.borrow_and_update(),
            changed: Vec::new(),
        };
        if outbound.send(Outgoing::Heartbeat(heartbeat)).is_err() {
            return End::Lost("the stream to the coordinator is closed".to_owned());
        }
    }
}

/// Heartbeats of many agents must not march in step.
fn spread(beat: Duration) -> Duration {
    beat.mul_f64(1.0 - retry::random() / 10.0)
}

fn closed(closing: wire::Closing) -> End {
    if closing.permanent {
        End::Rejected(closing.reason)
    } else {
        End::Lost(closing.reason)
    }
}

fn status_text(status: &Status) -> String {
    // A broken transport says why in its causes only, such as a certificate that the coordinator does not take.
    match status.source() {
        Some(cause) => format!("{}: {}", status.message(), innermost(cause)),
        None => format!("{}: {}", status.code(), status.message()),
    }
}
