//! The agent's line to its coordinator: dials, says hello, passes messages both ways, and dials again when the line is lost.
//!
//! It carries wake-ups only: nothing here may be needed to survive a lost connection. The supervisor decides what the messages mean.

mod connection;
mod dial;

use std::sync::Arc;

use batchstep_proto::wire;
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{self, Instant},
};
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;
use tracing::{info, warn};

pub(crate) use dial::connect;
pub use dial::{DialError, Dialer, TcpDialer, with_timeouts};

use crate::retry::{self, Backoff};
use connection::End;

/// What the supervisor hears from the line.
pub(crate) enum LineEvent {
    /// A hello is about to be said: what is true now?
    HelloWanted(oneshot::Sender<wire::AgentHello>),
    /// The coordinator has welcomed this agent.
    Connected {
        welcome: wire::Welcome,
        outbound: mpsc::UnboundedSender<wire::agent_message::Message>,
    },
    /// The coordinator says something.
    Message(Box<wire::coordinator_message::Message>),
    /// The line is lost; another try follows.
    Disconnected,
    /// The coordinator does not want this agent again.
    Rejected(String),
}

/// The line's ends in the rest of the agent.
pub(crate) struct Line {
    pub(crate) events: mpsc::Sender<LineEvent>,
    /// The open channel, for unary calls.
    pub(crate) channel: watch::Sender<Option<Channel>>,
    /// True while this process takes no new work.
    pub(crate) draining: watch::Receiver<bool>,
    /// The agent leaves: say goodbye properly.
    pub(crate) leaving: CancellationToken,
}

/// Keeps a line open until the coordinator rejects this agent or its task is dropped.
pub(crate) async fn keep(dialer: Arc<impl Dialer>, line: Line) {
    let mut backoff = Backoff::default();
    let mut welcomed = false;
    let mut lost_at = Instant::now();
    // An outage is logged once when it begins and once when it ends.
    let mut told = false;
    // Nobody but somebody on this host can mend that, so it is told within an outage, too.
    let mut told_expired = false;
    loop {
        let mut has_expired = false;
        let why = match dialer.dial().await {
            Ok(channel) => {
                let run = connection::serve(channel, &line, &mut backoff).await;
                line.channel.send_replace(None);
                if run.welcomed {
                    welcomed = true;
                    lost_at = Instant::now();
                    told = false;
                    told_expired = false;
                    if line.leaving.is_cancelled() {
                        return;
                    }
                    let _ = line.events.send(LineEvent::Disconnected).await;
                }
                match run.end {
                    End::Lost(why) => why,
                    End::Broken(why) => match dialer.hint() {
                        Some(hint) if !welcomed => format!("{why}; {hint}"),
                        _ => why,
                    },
                    End::Rejected(why) => {
                        let _ = line.events.send(LineEvent::Rejected(why)).await;
                        return;
                    }
                }
            }
            Err(error) if error.is_final() => {
                let _ = line
                    .events
                    .send(LineEvent::Rejected(error.to_string()))
                    .await;
                return;
            }
            Err(error) => {
                has_expired = matches!(error, DialError::Expired { .. });
                error.to_string()
            }
        };
        let outage = lost_at.elapsed();
        let wait = backoff.next(outage, welcomed, retry::random());
        let was_told = if has_expired { told_expired } else { told };
        if was_told || (!welcomed && outage < retry::START_PHASE) {
            tracing::debug!(
                reason = why,
                retry_in_ms = wait.as_millis(),
                "The coordinator was not reached."
            );
        } else if welcomed && !has_expired {
            info!(
                reason = why,
                "The connection to the coordinator was lost; trying again until it is back."
            );
            told = true;
        } else {
            warn!(
                reason = why,
                "The coordinator was not reached; trying again until it is."
            );
            told = true;
            told_expired |= has_expired;
        }
        time::sleep(wait).await;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Has nothing to show for itself, and says how often it tried.
    struct Expired(mpsc::UnboundedSender<()>);

    impl Dialer for Expired {
        async fn dial(&self) -> Result<Channel, DialError> {
            let _ = self.0.send(());
            Err(DialError::Expired {
                agent: "0190d3a0-0000-7000-8000-00000000000a".to_owned(),
                ended: "2033-05-18T03:50:00Z".to_owned(),
                now: "2033-05-18T03:50:01Z".to_owned(),
            })
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_certificate_that_ended_is_tried_again_and_does_not_end_the_agent() {
        let (events, mut heard) = mpsc::channel(8);
        let (channel, _channel) = watch::channel(None);
        let (_draining, draining) = watch::channel(false);
        let (tried, mut tries) = mpsc::unbounded_channel();
        let line = Line {
            events,
            channel,
            draining,
            leaving: CancellationToken::new(),
        };
        let keeping = tokio::spawn(keep(Arc::new(Expired(tried)), line));
        time::sleep(Duration::from_secs(3600)).await;
        assert!(!keeping.is_finished() && heard.try_recv().is_err());
        let mut count = 0;
        while tries.try_recv().is_ok() {
            count += 1;
        }
        // 20 quick ones in the first second, then as seldom as for any coordinator that is away.
        assert!((40..1000).contains(&count), "{count}");
        keeping.abort();
    }
}
