//! Connections that never become a request.

use std::{io, sync::Arc, time::Duration};

use batchstep_identity::client_config;
use batchstep_proto::wire::{self, operator_service_client::OperatorServiceClient};
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_rustls::client::TlsStream;
use tonic::transport::Channel;

use crate::{guarded::Guarded, support::soon};

/// HTTP/2's preface with empty settings.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// Reads until the other end closes; an error is as good an end.
async fn closed(what: &str, stream: &mut (impl AsyncRead + Unpin)) -> Vec<u8> {
    let mut heard = Vec::new();
    let _ = soon(what, stream.read_to_end(&mut heard)).await;
    heard
}

/// A handshake without a certificate, and nothing after it.
async fn shaken(coordinator: &Guarded, protocol: &[u8]) -> TlsStream<TcpStream> {
    let mut config = client_config(coordinator.operator.authority, None).unwrap();
    config.alpn_protocols = vec![protocol.to_vec()];
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let stream = TcpStream::connect(coordinator.address).await.unwrap();
    let name = ServerName::try_from("127.0.0.1").unwrap();
    soon("a handshake", connector.connect(name, stream))
        .await
        .unwrap()
}

/// Sends the same bytes again and again, a little at a time, until nobody takes them.
async fn dribble(stream: impl AsyncWrite + Unpin, bytes: &[u8]) -> io::Error {
    let mut stream = stream;
    loop {
        for byte in bytes.chunks(1) {
            if let Err(error) = stream.write_all(byte).await {
                return error;
            }
            if let Err(error) = stream.flush().await {
                return error;
            }
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    }
}

#[tokio::test]
async fn what_is_not_tls_is_closed() {
    let coordinator = Guarded::start().await;
    for bytes in [
        &[0xff; 4096][..],
        b"GET /metrics HTTP/1.1\r\nHost: coordinator\r\n\r\n",
        PREFACE,
        // A handshake record that is longer than one may be.
        b"\x16\x03\x01\xff\xff",
        // One that holds no hello.
        b"\x16\x03\x01\x00\x05hello",
    ] {
        let mut stream = TcpStream::connect(coordinator.address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        let heard = closed("garbage to be turned away", &mut stream).await;
        assert!(heard.len() < 64, "an alert at most: {heard:?}");
        coordinator.serves_others().await;
    }
    let plain = Channel::from_shared(format!("http://{}", coordinator.address));
    if let Ok(channel) = soon("plain text", plain.unwrap().connect()).await {
        let mut operators = OperatorServiceClient::new(channel);
        let asked = operators.list_sweeps(wire::ListSweepsRequest {}).await;
        assert!(asked.is_err(), "plain text was answered");
    }
    coordinator.serves_others().await;
    coordinator.stop().await;
}

#[tokio::test]
async fn handshakes_that_stall_keep_nobody_out_and_end() {
    let coordinator = Guarded::start().await;
    let mut stalled = Vec::new();
    for number in 0..200 {
        let mut stream = TcpStream::connect(coordinator.address).await.unwrap();
        if number % 2 == 0 {
            // The beginning of a hello.
            stream.write_all(b"\x16\x03\x01\x02\x00\x01").await.unwrap();
        }
        stalled.push(stream);
    }
    coordinator.serves_others().await;
    for stream in &mut stalled {
        closed("a stalled handshake to end", stream).await;
    }
    coordinator.serves_others().await;
    coordinator.stop().await;
}

#[tokio::test]
async fn connections_that_say_nothing_after_the_handshake_end() {
    let coordinator = Guarded::start().await;
    let mut silent = shaken(&coordinator, b"h2").await;
    let slow = shaken(&coordinator, b"h2").await;
    coordinator.serves_others().await;
    tokio::join!(
        closed("a silent connection to end", &mut silent),
        // Slower than its deadline: 24 bytes of which one comes every 0.3 s would take 7 s, so repeat none of them.
        soon("a slow preface to end", dribble(slow, b"PRI * HTTP")),
    );
    coordinator.serves_others().await;
    coordinator.stop().await;
}

#[tokio::test]
async fn requests_that_never_end_their_headers_are_cut_off() {
    let coordinator = Guarded::start().await;
    let mut second = shaken(&coordinator, b"h2").await;
    second.write_all(PREFACE).await.unwrap();
    // Headers of stream 1 that are to be continued, of which one byte of a thousand ever comes.
    second
        .write_all(b"\0\x03\xe8\x01\0\0\0\0\x01\x82")
        .await
        .unwrap();
    second.flush().await.unwrap();
    let mut first = shaken(&coordinator, b"http/1.1").await;
    first
        .write_all(b"GET /metrics HTTP/1.1\r\nHost: coordinator\r\nX-Slow: ")
        .await
        .unwrap();
    first.flush().await.unwrap();
    coordinator.serves_others().await;
    tokio::join!(
        closed("HTTP/2 headers to be cut off", &mut second),
        closed("HTTP/1.1 headers to be cut off", &mut first),
    );
    coordinator.serves_others().await;
    coordinator.stop().await;
}

/// A plain HTTP request, with a token or without one, and all of its answer.
async fn get(coordinator: &Guarded, path: &str, token: Option<&str>) -> String {
    let mut stream = shaken(coordinator, b"http/1.1").await;
    let shown = token.map_or(String::new(), |token| {
        format!("Authorization: Bearer {token}\r\n")
    });
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: coordinator\r\n{shown}Connection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let answer = closed("an answer", &mut stream).await;
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn metrics_are_for_monitors_and_operators() {
    let coordinator = Guarded::start().await;
    let named = wire::CreateTokenRequest {
        kind: wire::TokenKind::Monitor as i32,
        name: "prometheus".to_owned(),
        uses: 0,
        ..crate::guarded::join()
    };
    let monitor = coordinator.token(named).await;
    let operator = coordinator.operator.reveal();
    let join = coordinator.join_token().await;
    for (token, expected) in [
        (Some(monitor.as_str()), "200"),
        (Some(&operator), "200"),
        (Some(&join), "403"),
        (Some("nonsense"), "401"),
        (None, "401"),
    ] {
        let answer = get(&coordinator, "/metrics", token).await;
        let line = format!("HTTP/1.1 {expected} ");
        assert!(answer.starts_with(&line), "{token:?}: {answer}");
    }
    coordinator.stop().await;
}

#[tokio::test]
async fn figures_of_the_lab_are_not_for_everybody() {
    let coordinator = Guarded::start().await;
    let operator = coordinator.operator.reveal();
    let known = soon("the coordinator to be well", async {
        loop {
            let answer = get(&coordinator, "/healthz", Some(&operator)).await;
            if answer.starts_with("HTTP/1.1 200 ") {
                break answer;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    assert!(known.contains("\"active_sweeps\":0"), "{known}");
    let unknown = get(&coordinator, "/healthz", None).await;
    let body = unknown.split("\r\n\r\n").nth(1);
    assert_eq!(body, Some("{\"status\":\"ok\"}\n"), "{unknown}");
    coordinator.stop().await;
}
