//! When somebody who was let in is good no longer: calls that go on for long wait for this beside what they do.

use std::{future::pending, time::Duration};

use batchstep_identity::Token;
use batchstep_proto::ids::AgentId;
use jiff::Timestamp;
use tokio::time::sleep;

use super::Identities;
use crate::{pki::PkiError, store::Store};

/// Longest sleep towards the end of a token, which is due by a clock that may be set meanwhile.
const CLOCK_LOOK: Duration = Duration::from_secs(60);

impl<S: Store> Identities<S> {
    /// Ends when a token that was good is so no longer, with the reason.
    pub(crate) async fn token_end(&self, token: &Token) -> PkiError {
        let mut revocations = self.revocations.subscribe();
        loop {
            let now = Timestamp::now();
            let left = match self.good(token, now) {
                Ok(stored) => stored.expires_at.duration_since(now),
                Err(reason) => return reason,
            };
            let left = Duration::try_from(left).unwrap_or_default();
            tokio::select! {
                // The sender lives as long as `self`.
                _ = revocations.changed() => {}
                () = sleep(left.min(CLOCK_LOOK)) => {}
            }
        }
    }

    /// Ends when an agent is revoked; never where nobody is asked who they are. It must have been welcome.
    pub(crate) async fn revoked(&self, agent: AgentId) {
        if !self.required {
            return pending().await;
        }
        let mut revocations = self.revocations.subscribe();
        while self.welcome(agent).is_ok() {
            // The sender lives as long as `self`.
            if revocations.changed().await.is_err() {
                return;
            }
        }
    }
}
