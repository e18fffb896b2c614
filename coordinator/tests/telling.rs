//! Who is told about alarms, as `batchstep serve` is told: secrets come from files and the environment and are shown nowhere, and what is wrong is said at the start.

#![allow(clippy::unwrap_used, reason = "helpers of tests may fail loudly too")]

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Output,
};

use assert_cmd::Command;
use tempfile::TempDir;

/// In every secret of these tests.
const SECRET: &str = "hunter2";

struct Home(TempDir);

impl Home {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn file(&self, name: &str, content: &str, mode: u32) -> PathBuf {
        let path = self.path().join(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    /// What `--check-config` says, and that it shows no secret.
    fn check(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin!("batchstep"));
        command.current_dir(self.path()).env("NO_COLOR", "1");
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("BATCHSTEP_") {
                command.env_remove(name);
            }
        }
        command.args(["serve", "--data-dir", "data", "--check-config"]);
        command.args(arguments).envs(variables.iter().copied());
        let output = command.output().unwrap();
        let shown =
            String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned();
        assert!(!shown.contains(SECRET), "a secret is shown: {shown}");
        output
    }

    fn accepts(&self, arguments: &[&str], variables: &[(&str, &str)]) -> String {
        let output = self.check(arguments, variables);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn refuses(&self, arguments: &[&str], variables: &[(&str, &str)], said: &[&str]) {
        let output = self.check(arguments, variables);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {stderr}");
        for word in said {
            assert!(
                stderr.contains(word),
                "{arguments:?} does not say {word:?}: {stderr}"
            );
        }
    }
}

const SLACK: &str = "http://slack.lab/services/hunter2";

#[test]
fn secrets_come_from_files_and_the_environment_and_are_shown_nowhere() {
    let home = Home::new();
    home.file("slack", SLACK, 0o600);
    home.file("webhook", "http://robot:hunter2@lab:9000/?t=hunter2", 0o640);
    home.file("password", "hunter2\n", 0o400);
    let mail = [
        "--mail-to=ops@lab.example, ada@lab.example",
        "--mail-from=nightly@lab.example",
        "--smtp-server=localhost:2525",
        "--smtp-security=none",
        "--smtp-user=robot",
    ];
    let files = [
        "--slack-url-file=slack",
        "--webhook-url-file=webhook",
        "--smtp-password-file=password",
    ];
    let shown = home.accepts(&[&mail[..], &files[..]].concat(), &[]);
    assert!(shown.contains("slack_url_file = \"slack\""), "{shown}");
    let variables = [
        ("BATCHSTEP_SLACK_URL", SLACK),
        ("BATCHSTEP_WEBHOOK_URL", "http://lab/hunter2"),
        ("BATCHSTEP_SMTP_PASSWORD", "hunter2"),
    ];
    home.accepts(&mail, &variables);
    home.accepts(
        &[
            "--webhook-url=http://alerts.lab:9000/batchstep",
            "--public-url=https://lab.example",
        ],
        &[],
    );
}

#[test]
fn an_address_that_is_none_is_refused_and_not_repeated() {
    let home = Home::new();
    home.file("no-url", "hunter2", 0o600);
    home.file("ftp", "ftp://lab/hunter2", 0o600);
    home.file("empty", "\n", 0o600);
    home.refuses(
        &["--webhook-url=lab"],
        &[],
        &["--webhook-url", "is no URL", "https://"],
    );
    home.refuses(
        &["--slack-url-file=no-url"],
        &[],
        &["--slack-url-file", "is no URL"],
    );
    home.refuses(
        &["--webhook-url-file=ftp"],
        &[],
        &["--webhook-url-file", "https://"],
    );
    home.refuses(&["--slack-url-file=empty"], &[], &["empty", "one line"]);
    home.refuses(
        &["--slack-url-file=none"],
        &[],
        &["--slack-url-file", "none"],
    );
    let variables = [("BATCHSTEP_SLACK_URL", "hunter2")];
    home.refuses(&[], &variables, &["BATCHSTEP_SLACK_URL", "is no URL"]);
    home.refuses(&["--public-url=lab"], &[], &["--public-url", "\"lab\""]);
    home.refuses(&["--tell-ca-file=none.pem"], &[], &["none.pem"]);
}

#[test]
fn a_secret_that_others_can_see_is_refused() {
    let home = Home::new();
    home.file("slack", SLACK, 0o644);
    home.refuses(
        &["--slack-url-file=slack"],
        &[],
        &["--slack-url-file", "0644", "chmod"],
    );
    for open in [
        "http://lab/?token=x",
        "https://u:p@lab/",
        "https://hooks.slack.com/services/x",
    ] {
        let flag = format!("--webhook-url={open}");
        home.refuses(&[&flag], &[], &["--webhook-url", "secret", "file"]);
    }
    // The same in a file of settings.
    home.file("c.toml", "webhook_url = \"http://lab/?token=x\"\n", 0o600);
    home.refuses(&["--config=c.toml"], &[], &["--webhook-url", "secret"]);
}

#[test]
fn one_thing_is_said_once() {
    let home = Home::new();
    home.file("url", "http://lab/hunter2", 0o600);
    let variables = [("BATCHSTEP_WEBHOOK_URL", "http://lab/hunter2")];
    let open = "--webhook-url=http://lab/";
    home.refuses(
        &["--webhook-url-file=url"],
        &variables,
        &["--webhook-url-file", "BATCHSTEP_WEBHOOK_URL"],
    );
    home.refuses(
        &[open],
        &variables,
        &["--webhook-url", "BATCHSTEP_WEBHOOK_URL"],
    );
    home.refuses(
        &[open, "--webhook-url-file=url"],
        &[],
        &["--webhook-url-file", "leave one out"],
    );
    // Empty is as good as not set.
    home.accepts(&[open], &[("BATCHSTEP_WEBHOOK_URL", "")]);
}

#[test]
fn half_a_mail_is_refused() {
    let home = Home::new();
    let (to, from, server) = (
        "--mail-to=ops@lab.example",
        "--mail-from=n@lab.example",
        "--smtp-server=localhost",
    );
    let clear = "--smtp-security=none";
    home.accepts(&[to, from, server, clear], &[]);
    for two in [[to, from], [to, server], [from, server]] {
        home.refuses(&two, &[], &["--mail-to", "--mail-from", "--smtp-server"]);
    }
    home.refuses(
        &[to, from, server, clear, "--smtp-user=robot"],
        &[],
        &["--smtp-user", "password"],
    );
    let password = [("BATCHSTEP_SMTP_PASSWORD", "hunter2")];
    home.refuses(&[to, from, server, clear], &password, &["--smtp-user"]);
    home.accepts(&[], &password);
    home.refuses(
        &["--mail-to=ops", from, server, clear],
        &[],
        &["\"ops\"", "no mail address"],
    );
    home.refuses(
        &[to, from, "--smtp-server=mail.lab", clear],
        &[],
        &["mail.lab", "in the clear"],
    );
    home.refuses(
        &[to, from, "--smtp-server=mail.lab:x"],
        &[],
        &["mail.lab:x", "HOST:PORT"],
    );
}
