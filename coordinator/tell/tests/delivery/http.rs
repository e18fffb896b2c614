//! Webhooks and Slack.

use batchstep_tell::{
    Address, Cause, Channel, Config, Failure, Limits, Persistence, Secret, deliver,
};
use jiff::SignedDuration;
use tokio::net::TcpSocket;

use crate::{
    GENEROUS, SECRET, SHORT, assert_failure_hides, assert_hidden, channel,
    http_server::{Act, Receiver},
    messages::digest,
};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

fn webhook(receiver: &Receiver, limits: Limits) -> Channel {
    let url = format!(
        "http://robot:{SECRET}@{}/in/{SECRET}?t={SECRET}",
        receiver.address
    );
    channel(Config {
        webhook: Some(Address::secret(&Secret::new(url)).unwrap()),
        limits,
        ..Config::default()
    })
}

fn slack(receiver: &Receiver) -> Channel {
    let url = format!("http://{}/services/{SECRET}", receiver.address);
    channel(Config {
        slack: Some(Address::secret(&Secret::new(url)).unwrap()),
        limits: GENEROUS,
        ..Config::default()
    })
}

/// What becomes of one delivery to a receiver that acts so.
async fn failure(act: Act, limits: Limits) -> Failure {
    let receiver = Receiver::start([act], None).await;
    let channel = webhook(&receiver, limits);
    let failure = deliver(&channel, &digest()).await.unwrap_err();
    assert_failure_hides(&failure);
    assert_eq!(failure.place, receiver.address.to_string());
    failure
}

fn temporary(failure: &Failure) -> Option<SignedDuration> {
    match failure.persistence() {
        Persistence::Temporary { retry_after } => retry_after,
        Persistence::Permanent => panic!("{failure:?} should be temporary"),
    }
}

#[tokio::test]
async fn a_webhook_is_sent_the_digest_with_its_key() {
    let receiver = Receiver::start([Act::Answer(OK)], None).await;
    let digest = digest();
    let receipt = deliver(&webhook(&receiver, GENEROUS), &digest)
        .await
        .unwrap();
    assert_eq!(receipt.status, 200);
    assert_hidden(&format!("{receipt:?}"));
    let requests = receiver.requests();
    let (head, body) = requests[0].split_once("\r\n\r\n").unwrap();
    let head = head.to_ascii_lowercase();
    assert!(head.starts_with("post /in/hunter2?t=hunter2 http/1.1\r\n"));
    assert!(head.contains(&format!("\r\nidempotency-key: {}\r\n", digest.key())));
    assert!(head.contains("\r\ncontent-type: application/json\r\n"));
    // robot:hunter2
    assert!(head.contains("\r\nauthorization: basic cm9ib3q6ahvudgvymg==\r\n"));
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(body["schema_version"], 1);
    assert_eq!(body["messages"][0]["kind"], "missing_host");
    assert_eq!(body["messages"][0]["dedup_key"], "fleet/gpu-07/20/missing");
}

#[tokio::test]
async fn slack_is_sent_blocks() {
    let receiver = Receiver::start([Act::Answer(OK)], None).await;
    deliver(&slack(&receiver), &digest()).await.unwrap();
    let requests = receiver.requests();
    let (head, body) = requests[0].split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("POST /services/hunter2 HTTP/1.1\r\n"));
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(body["blocks"][0]["type"], "header");
    assert_eq!(body["text"], "Host missing: gpu-07");
}

#[tokio::test]
async fn the_same_digest_has_the_same_key_at_every_try() {
    let broken = Act::Answer("HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n");
    let receiver = Receiver::start([broken, Act::Answer(OK)], None).await;
    let channel = webhook(&receiver, GENEROUS);
    let failed = deliver(&channel, &digest()).await.unwrap_err();
    assert_eq!(temporary(&failed), None);
    deliver(&channel, &digest()).await.unwrap();
    let requests = receiver.requests();
    assert_eq!(requests.len(), 2);
    assert_eq!(requests[0], requests[1]);
}

#[tokio::test]
async fn nobody_listens() {
    // Bound and not listening: nobody else gets the port meanwhile.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let url = format!("http://{}/{SECRET}", socket.local_addr().unwrap());
    let channel = channel(Config {
        webhook: Some(Address::secret(&Secret::new(url)).unwrap()),
        limits: GENEROUS,
        ..Config::default()
    });
    let failure = deliver(&channel, &digest()).await.unwrap_err();
    assert!(matches!(failure.cause, Cause::Dial(_)), "{failure:?}");
    assert_eq!(temporary(&failure), None);
    assert_failure_hides(&failure);
    assert!(failure.line().contains("refused"), "{}", failure.line());
}

#[tokio::test]
async fn who_never_answers_is_not_waited_for() {
    let failure = failure(Act::Hang, SHORT).await;
    assert!(matches!(failure.cause, Cause::Timeout(_)), "{failure:?}");
    assert_eq!(temporary(&failure), None);
}

#[tokio::test]
async fn who_asks_for_time_gets_it() {
    let busy = Act::Answer("HTTP/1.1 429 No\r\nRetry-After: 90\r\nContent-Length: 0\r\n\r\n");
    let failure = failure(busy, GENEROUS).await;
    assert_eq!(temporary(&failure), Some(SignedDuration::from_secs(90)));
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let away =
        "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:9/hunter2\r\nContent-Length: 0\r\n\r\n";
    let failure = failure(Act::Answer(away), GENEROUS).await;
    assert!(
        matches!(failure.cause, Cause::Redirect { status: 302 }),
        "{failure:?}"
    );
    assert_eq!(failure.persistence(), Persistence::Permanent);
}

#[tokio::test]
async fn who_breaks_off_before_the_answer_is_tried_again() {
    for part in ["", "HTTP/1.1 2", "HTTP/1.1 200 OK\r\nContent-Le"] {
        let failure = failure(Act::Answer(part), GENEROUS).await;
        assert_eq!(temporary(&failure), None, "{part}: {failure:?}");
        assert!(
            matches!(failure.cause, Cause::Http(_)),
            "{part}: {failure:?}"
        );
    }
}

#[tokio::test]
async fn who_has_taken_it_may_break_off_or_talk_on() {
    let broken = Act::Answer("HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\nhalf");
    let endless = Act::Endless("HTTP/1.1 202 OK\r\nContent-Length: 99999999999\r\n\r\n.");
    for act in [broken, endless] {
        let receiver = Receiver::start([act], None).await;
        let receipt = deliver(&webhook(&receiver, GENEROUS), &digest()).await;
        assert!(receipt.is_ok(), "{receipt:?}");
    }
}

#[tokio::test]
async fn who_talks_without_end_is_cut_off() {
    let heads = Act::Endless("HTTP/1.1 200 OK\r\nX: a");
    assert_eq!(temporary(&failure(heads, GENEROUS).await), None);
    let refusal = "HTTP/1.1 500 Oh\r\nContent-Length: 99999999999\r\n\r\na";
    let failed = failure(Act::Endless(refusal), GENEROUS).await;
    assert!(
        matches!(
            failed.cause,
            Cause::Status {
                status: 500,
                word: None,
                ..
            }
        ),
        "{failed:?}"
    );
    let garbage = failure(Act::Endless("220 mail.lab ESMTP\r\n"), GENEROUS).await;
    assert_eq!(temporary(&garbage), None);
}

#[tokio::test]
async fn of_a_refusal_one_word_is_shown_and_nothing_that_repeats_what_was_sent() {
    let word = "HTTP/1.1 400 Bad\r\nContent-Length: 14\r\n\r\ninvalid_blocks";
    let receiver = Receiver::start([Act::Answer(word)], None).await;
    let failed = deliver(&slack(&receiver), &digest()).await.unwrap_err();
    let line = failed.line();
    assert!(line.starts_with("slack could not deliver to 127.0.0.1:"));
    assert!(
        line.ends_with(": it answered 400 (invalid_blocks)"),
        "{line}"
    );
    assert_eq!(failed.persistence(), Persistence::Permanent);

    // failure() looks for the secret.
    let repeated = failure(Act::Repeat, GENEROUS).await;
    assert!(repeated.line().ends_with("it answered 400"), "{repeated:?}");
    let part = "HTTP/1.1 404 No\r\nContent-Length: 6\r\n\r\nhunter";
    let part = failure(Act::Answer(part), GENEROUS).await;
    assert!(part.line().ends_with("it answered 404"), "{part:?}");
    assert_eq!(part.persistence(), Persistence::Permanent);
}
