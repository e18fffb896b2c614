//! Secrets stay where they belong: not in the log at any level, not in the store.

use std::{
    io::{self, Write},
    sync::{Arc, Mutex},
};

use batchstep_coordinator::store::{IdentityStore as _, Memory};
use rcgen::KeyPair;
use tracing::subscriber;
use tracing_subscriber::{EnvFilter, fmt::MakeWriter};

use crate::guarded::Guarded;

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

// One thread, which the subscriber is for: everything that the coordinator and its clients do is in the log.
#[tokio::test]
async fn no_secret_is_logged_or_stored() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new("trace"))
        .with_writer(log.clone())
        .finish();
    let _guard = subscriber::set_default(subscriber);
    let store = Memory::new();
    let coordinator = Guarded::start_on(store.clone()).await;
    let token = coordinator.join_token().await;
    let key = KeyPair::generate().unwrap();
    coordinator.enroll(&token, &key).await.unwrap();
    coordinator.enroll(&token, &key).await.unwrap_err();
    coordinator.serves_others().await;
    let stored = format!("{:?}", store.identities().await.unwrap());
    let operator = coordinator.operator.reveal();
    coordinator.stop().await;
    let log = String::from_utf8_lossy(&log.0.lock().unwrap()).into_owned();
    let part = |token: &str, number| token.split('_').nth(number).unwrap().to_owned();
    assert!(
        log.contains(&part(&token, 1)),
        "ids are logged, so the log is the right one"
    );
    for secret in [part(&token, 2), part(&operator, 2)] {
        assert!(!log.contains(&secret), "a token's secret is in the log");
        assert!(
            !stored.contains(&secret),
            "a token's secret is in the store"
        );
    }
    assert!(!log.contains("PRIVATE KEY"), "a key is in the log");
}
