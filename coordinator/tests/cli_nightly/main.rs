//! The command line of nights as people and CI meet it: schedules, nights, alarms and what is answered to them, by real processes that ask a real coordinator.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod alarms;
mod answers;
mod nights;
mod schedules;
mod story;
#[path = "../support/mod.rs"]
mod support;

use assert_cmd::Command;
use support::{Coordinator, PATIENCE};

/// What a command left behind.
#[derive(Debug)]
struct Ran {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Ran {
    /// Ended so, having said all of this on stdout or stderr.
    #[track_caller]
    fn is(self, code: i32, said: &[&str]) -> Self {
        assert_eq!(self.code, code, "{self:?}");
        let all = format!("{}{}", self.stdout, self.stderr);
        for part in said {
            assert!(all.contains(part), "does not say {part:?}:\n{all}");
        }
        self
    }

    /// Says none of this.
    #[track_caller]
    fn without(self, parts: &[&str]) -> Self {
        let all = format!("{}{}", self.stdout, self.stderr);
        for part in parts {
            assert!(!all.contains(part), "says {part:?}:\n{all}");
        }
        self
    }

    /// Its stdout as a published document.
    #[track_caller]
    fn json<T: serde::de::DeserializeOwned>(&self) -> T {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}\n{self:?}"))
    }
}

/// Runs `batchstep` with these words, which stand apart from each other by blanks; `~` stands for a blank within a word.
async fn batchstep(line: &str, environment: &[(&str, &str)]) -> Ran {
    let words: Vec<String> = line
        .split_whitespace()
        .map(|word| word.replace('~', " "))
        .collect();
    let environment: Vec<(String, String)> = environment
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    let ran = tokio::task::spawn_blocking(move || {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin!("batchstep"));
        command.args(words).env("NO_COLOR", "1").env("TZ", "UTC");
        for name in ["LOG", "COORDINATOR", "USER", "TOKEN", "TOKEN_FILE"] {
            command.env_remove(format!("BATCHSTEP_{name}"));
        }
        command.env("USER", "tester").envs(environment);
        command.timeout(PATIENCE).output().unwrap()
    });
    let output = ran.await.unwrap();
    Ran {
        code: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// The same, asking this coordinator.
async fn ask(coordinator: &Coordinator, line: &str) -> Ran {
    ask_with(coordinator, line, &[]).await
}

async fn ask_with(coordinator: &Coordinator, line: &str, environment: &[(&str, &str)]) -> Ran {
    let line = format!("{line} --coordinator http://{}", coordinator.address);
    batchstep(&line, environment).await
}

#[tokio::test]
async fn every_command_explains_itself_with_examples() {
    for command in [
        "schedule",
        "schedule add",
        "schedule list",
        "schedule show",
        "schedule enable",
        "schedule disable",
        "schedule remove",
        "schedule run-now",
        "nightly",
        "nightly list",
        "nightly show",
        "regressions",
        "regressions ack",
        "regressions mute",
        "regressions rebaseline",
        "regressions label",
        "regressions log",
    ] {
        let line = format!("{command} --help");
        batchstep(&line, &[]).await.is(0, &["Examples:"]);
    }
    let add = batchstep("schedule add --help", &[]).await;
    let add = add.is(0, &["--cron", "--tz", "default: 1-128", "--idle-only"]);
    add.without(&[
        "--strategy",
        "--preset",
        "--share-across-model",
        "--time-zone",
    ]);
}

#[tokio::test]
async fn a_coordinator_that_knows_no_nights_is_told_from_one_that_has_none() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (_, health) = tonic_health::server::health_reporter();
    let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
    let server = tonic::transport::Server::builder().add_service(health);
    let serving = tokio::spawn(server.serve_with_incoming(incoming));
    for command in [
        "regressions",
        "regressions ack 1 --reason why",
        "nightly list",
        "nightly show",
        "schedule list",
    ] {
        let line = format!("{command} --coordinator http://{address}");
        let ran = batchstep(&line, &[]).await;
        let ran = ran.is(3, &["may be older than this batchstep"]);
        assert_eq!(ran.stdout, "");
    }
    serving.abort();
}
