//! Delivery: one digest to one channel, once, in bounded time. When to try, and when again, is the outbox's.

mod http;
mod mail;
mod wire;

use std::time::Duration;

use crate::{
    Digest,
    channel::{Channel, ChannelName, Place},
    failure::{Cause, Failure},
    render,
};

/// A digest that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// By which channel.
    pub channel: ChannelName,
    /// At which host.
    pub place: String,
    /// The status of the answer: HTTP's, or SMTP's.
    pub status: u16,
}

/// Delivers a digest.
///
/// Copies are possible where the connection breaks between the receiver's decision and its answer: they carry the same key, as `Idempotency-Key` or in `Message-ID`.
///
/// # Errors
/// When it was not taken, or that is not known.
pub async fn deliver(channel: &Channel, digest: &Digest) -> Result<Receipt, Failure> {
    let status = attempt(channel, digest).await;
    let (channel, place) = (channel.name.clone(), channel.place());
    match status {
        Ok(status) => Ok(Receipt {
            channel,
            place,
            status,
        }),
        Err(cause) => Err(Failure {
            channel,
            place,
            cause,
        }),
    }
}

async fn attempt(channel: &Channel, digest: &Digest) -> Result<u16, Cause> {
    let Channel { place, limits, .. } = channel;
    let tls = channel.tls.as_ref();
    let compose = |error: serde_json::Error| Cause::Compose(Box::new(error));
    match place {
        Place::Webhook(address) => {
            let body = render::webhook(digest).map_err(compose)?;
            let posted = http::post(address, tls, limits, digest.key(), body);
            within(limits.whole, posted).await
        }
        Place::Slack(address) => {
            let body = serde_json::to_vec(&render::slack(digest)).map_err(compose)?;
            let posted = http::post(address, tls, limits, digest.key(), body);
            within(limits.whole, posted).await
        }
        Place::Mail(mail) => {
            let sent = mail::send(mail, tls, limits, digest);
            let taken = within(limits.whole, sent).await?;
            // Outside of the limit: it was taken, however the conversation ends.
            Ok(taken.leave().await)
        }
    }
}

async fn within<T>(
    limit: Duration,
    attempt: impl Future<Output = Result<T, Cause>>,
) -> Result<T, Cause> {
    match tokio::time::timeout(limit, attempt).await {
        Ok(outcome) => outcome,
        Err(_) => Err(Cause::Timeout(limit)),
    }
}
