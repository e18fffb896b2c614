//! One POST on a connection of its own: no pool, no redirect, no proxy.

use std::{pin::pin, sync::Arc};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http_body_util::{BodyExt as _, Full};
use hyper::{
    Request, Response, StatusCode,
    body::{Bytes, Incoming},
    client::conn::http1,
    header::{self, HeaderMap, HeaderName, HeaderValue},
};
use hyper_util::rt::TokioIo;
use jiff::{SignedDuration, fmt::rfc2822};
use rustls::ClientConfig;

use super::wire::Wire;
use crate::{address::Address, channel::Limits, failure::Cause};

/// By this name receivers of several kinds know a copy.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const USER_AGENT: &str = concat!("batchstep/", env!("CARGO_PKG_VERSION"));
/// Header lines of an answer that are read, bytes.
const HEAD_MAX: usize = 16 * 1024;
/// Bytes of a refusal that are looked at, and the longest word that is shown of it.
const WORD_MAX: usize = 40;

/// Sends a body, and tells the status of success.
pub(super) async fn post(
    address: &Address,
    tls: Option<&Arc<ClientConfig>>,
    limits: &Limits,
    key: &str,
    body: Vec<u8>,
) -> Result<u16, Cause> {
    let request = request(address, key, body).map_err(|error| Cause::Compose(Box::new(error)))?;
    let mut wire = Wire::dial(address.host(), address.port(), limits.connect).await?;
    if address.is_tls()
        && let Some(name) = address.server_name()
    {
        wire = wire.encrypt(tls, name).await?;
    }
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(HEAD_MAX)
        .handshake(TokioIo::new(wire))
        .await
        .map_err(Cause::Http)?;
    let mut exchange = pin!(async move {
        let response = sender.send_request(request).await.map_err(Cause::Http)?;
        outcome(response, address).await
    });
    tokio::select! {
        biased;
        done = &mut exchange => done,
        // The other side has closed: whatever it answered before is there, and so is its failure.
        _ = connection => exchange.await,
    }
}

fn request(
    address: &Address,
    key: &str,
    body: Vec<u8>,
) -> Result<Request<Full<Bytes>>, hyper::http::Error> {
    let mut request = Request::post(address.target())
        .header(header::HOST, address.place())
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::USER_AGENT, USER_AGENT)
        .header(header::CONNECTION, "close")
        .header(IDEMPOTENCY_KEY, key);
    if let Some((user, password)) = address.credentials() {
        let both = STANDARD.encode([&user[..], b":", &password[..]].concat());
        let mut value = HeaderValue::try_from(format!("Basic {both}"))?;
        value.set_sensitive(true);
        request = request.header(header::AUTHORIZATION, value);
    }
    request.body(Full::from(body))
}

/// What an answer says. Of a success nothing is read but its status.
async fn outcome(response: Response<Incoming>, address: &Address) -> Result<u16, Cause> {
    let status = response.status();
    if status.is_success() {
        return Ok(status.as_u16());
    }
    if status.is_redirection() {
        return Err(Cause::Redirect {
            status: status.as_u16(),
        });
    }
    let retry_after = match status {
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
            retry_after(response.headers())
        }
        _ => None,
    };
    let word = word(response.into_body())
        .await
        .filter(|word| !address.contains(word));
    Err(Cause::Status {
        status: status.as_u16(),
        word,
        retry_after,
    })
}

/// The answer, where it is one short word: Slack says so what it did not like. Anything longer might repeat what it was sent.
async fn word(mut body: Incoming) -> Option<String> {
    let mut read = Vec::new();
    while let Some(Ok(frame)) = body.frame().await {
        read.extend_from_slice(frame.data_ref()?);
        if read.len() > WORD_MAX {
            return None;
        }
    }
    let word = String::from_utf8(read).ok()?;
    let word = word.trim();
    let is_word = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
    (!word.is_empty() && word.bytes().all(is_word)).then(|| word.to_owned())
}

/// Seconds, or a date: then by the answer's own clock, since ours may be another.
fn retry_after(headers: &HeaderMap) -> Option<SignedDuration> {
    let text = |name| headers.get(name)?.to_str().ok();
    let wait = text(header::RETRY_AFTER)?;
    if let Ok(seconds) = wait.parse::<u32>() {
        return Some(SignedDuration::from_secs(seconds.into()));
    }
    let [until, now] =
        [wait, text(header::DATE)?].map(|date| Some(rfc2822::parse(date).ok()?.timestamp()));
    Some(until?.duration_since(now?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receiver_may_ask_for_time_in_seconds_or_by_a_date() {
        let of = |pairs: &[(HeaderName, &'static str)]| {
            let pairs = pairs.iter().cloned();
            let pairs = pairs.map(|(name, value)| (name, HeaderValue::from_static(value)));
            retry_after(&pairs.collect()).map(|wait| wait.as_secs())
        };
        let date = (header::DATE, "Thu, 26 Nov 2026 02:00:00 GMT");
        assert_eq!(of(&[(header::RETRY_AFTER, "120")]), Some(120));
        let until = (header::RETRY_AFTER, "Thu, 26 Nov 2026 02:05:00 GMT");
        assert_eq!(of(&[until.clone(), date.clone()]), Some(300));
        assert_eq!(of(&[until]), None);
        for odd in ["", "-5", "soon", "99999999999999999999"] {
            assert_eq!(
                of(&[(header::RETRY_AFTER, odd), date.clone()]),
                None,
                "{odd}"
            );
        }
    }
}
