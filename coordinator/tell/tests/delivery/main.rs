//! Deliveries over real sockets to servers that take, refuse, hang, break off and talk without end; and no secret in anything that is said about them.

#![allow(clippy::unwrap_used, reason = "helpers of tests may fail loudly too")]

mod authority;
mod http;
mod http_server;
mod mail;
mod messages;
mod smtp_server;
mod tls;

use std::time::Duration;

use batchstep_tell::{Channel, Channels, Config, Failure, Limits};

/// No test waits that long for anything but a server that hangs.
const GENEROUS: Limits = Limits {
    connect: Duration::from_secs(30),
    whole: Duration::from_secs(60),
};
/// For servers that hang.
const SHORT: Limits = Limits {
    connect: Duration::from_millis(200),
    whole: Duration::from_millis(200),
};
/// In every secret of these tests.
const SECRET: &str = "hunter2";

/// The one channel of a configuration.
fn channel(config: Config) -> Channel {
    let channels = Channels::new(config).unwrap();
    assert_hidden(&format!("{channels:?} {channels:#?}"));
    channels.iter().next().unwrap().clone()
}

/// Looks for the secret in everything that can be made of a failure.
fn assert_failure_hides(failure: &Failure) {
    assert_hidden(&failure.line());
    assert_hidden(&failure.to_string());
    assert_hidden(&format!("{failure:?} {failure:#?}"));
}

fn assert_hidden(text: &str) {
    let text = text.to_ascii_lowercase();
    // Also as it travels: aHVudGVyMg is the base64 of hunter2.
    for form in [SECRET, "ahvudgvymg", "h%75nter2"] {
        assert!(!text.contains(form), "a secret is shown: {text}");
    }
}
