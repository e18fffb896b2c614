//! TLS: whom it trusts, by which name, and that nothing is sent to anybody else.

use batchstep_tell::{
    Address, Cause, Channel, Config, Failure, Limits, Persistence, Secret, deliver,
};

use crate::{
    GENEROUS, SECRET, SHORT, assert_failure_hides,
    authority::Authority,
    channel,
    http_server::{Act, Receiver},
    messages::digest,
};

const OK: &str = "HTTP/1.1 204 No Content\r\n\r\n";

fn webhook(receiver: &Receiver, authority: &Authority, limits: Limits) -> Channel {
    let port = receiver.address.port();
    let url = format!("https://localhost:{port}/{SECRET}");
    channel(Config {
        webhook: Some(Address::secret(&Secret::new(url)).unwrap()),
        authorities: Some(authority.file()),
        limits,
        ..Config::default()
    })
}

/// A delivery that must fail before anything was sent.
async fn refused(receiver: &Receiver, authority: &Authority) -> Failure {
    let channel = webhook(receiver, authority, GENEROUS);
    let failure = deliver(&channel, &digest()).await.unwrap_err();
    assert_failure_hides(&failure);
    assert!(matches!(failure.cause, Cause::Tls(_)), "{failure:?}");
    // Certificates are renewed.
    assert_ne!(failure.persistence(), Persistence::Permanent);
    assert!(receiver.requests().is_empty());
    failure
}

#[tokio::test]
async fn an_authority_of_the_labs_own_is_trusted() {
    let authority = Authority::new();
    let tls = Some(authority.acceptor("localhost"));
    let receiver = Receiver::start([Act::Answer(OK)], tls).await;
    let receipt = deliver(&webhook(&receiver, &authority, GENEROUS), &digest()).await;
    assert_eq!(receipt.unwrap().status, 204);
    assert_eq!(receiver.requests().len(), 1);
}

#[tokio::test]
async fn another_authority_is_not() {
    let tls = Some(Authority::new().acceptor("localhost"));
    let receiver = Receiver::start([Act::Answer(OK)], tls).await;
    let failure = refused(&receiver, &Authority::new()).await;
    assert!(failure.line().contains("certificate"), "{}", failure.line());
}

#[tokio::test]
async fn nor_another_name() {
    let authority = Authority::new();
    let tls = Some(authority.acceptor("elsewhere.example"));
    let receiver = Receiver::start([Act::Answer(OK)], tls).await;
    refused(&receiver, &authority).await;
}

#[tokio::test]
async fn who_speaks_no_tls_gets_nothing() {
    let authority = Authority::new();
    let receiver = Receiver::start([Act::Answer(OK)], None).await;
    // It waits for the end of a request that is none.
    let failure = deliver(&webhook(&receiver, &authority, SHORT), &digest()).await;
    let failure = failure.unwrap_err();
    assert_failure_hides(&failure);
    assert!(matches!(failure.cause, Cause::Timeout(_)), "{failure:?}");
    assert!(receiver.requests().is_empty());
}
