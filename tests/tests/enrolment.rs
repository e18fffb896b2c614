//! Enrolment as a person does it, with the real binaries over TLS: from the first token to a revoked agent.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use batchstep_tests::{Finished, Lab, Process, wait::eventually};

/// One device with a step of 16.
const SIXTEEN: &str = "speed = 'instant'\n[[device]]\nmodel = 'Sixteen'\nscatter = { sigma = 0.002 }\n\
    law = { constant = 0.002, slope = 1e-5, combs = [{ period = 16, jump = 0.001 }] }\n";

/// Long enough for a loaded machine to start an agent within half of it, short enough to wait for a renewal.
const CERTIFICATE_LIFETIME: &str = "60s";

/// A lab whose coordinator serves TLS, as one on another host would.
struct Secured {
    lab: Lab,
    url: String,
    data: PathBuf,
}

impl Secured {
    fn new() -> Self {
        let lab = Lab::new();
        Self {
            url: lab.url().replace("http://", "https://"),
            data: lab.path("data"),
            lab,
        }
    }

    fn start(&self) -> Process {
        let listen = self.url.replace("https://", "");
        let mut command = self.lab.batchstep(&["serve", "--tls", "--listen", &listen]);
        command.args(["--certificate-lifetime", CERTIFICATE_LIFETIME]);
        let mut process =
            Process::start("batchstep serve", command.arg("--data-dir").arg(&self.data));
        process.wait_for_stderr("serves TLS");
        process
    }

    fn run(command: &mut Command) -> Finished {
        Process::run("a command", command)
    }

    /// As somebody who can read the data directory.
    fn here(&self, arguments: &[&str]) -> Finished {
        let mut command = self.lab.batchstep(arguments);
        Self::run(command.arg("--data-dir").arg(&self.data))
    }

    /// As somebody elsewhere, with the token in this file or with none.
    fn elsewhere(&self, arguments: &[&str], token: Option<&Path>) -> Finished {
        let mut command = self.lab.batchstep(arguments);
        command.env("BATCHSTEP_COORDINATOR", &self.url);
        if let Some(token) = token {
            command.env("BATCHSTEP_TOKEN_FILE", token);
        }
        Self::run(&mut command)
    }

    /// A new token, in a file.
    fn token(&self, name: &str, arguments: &[&str]) -> PathBuf {
        let made = self.here(&[&["token", "create"], arguments].concat());
        assert_eq!(made.code(), 0, "{}", made.stderr);
        let path = self.lab.path(name);
        fs::write(&path, made.stdout).expect("a file in the lab's folder");
        path
    }

    fn enroll(&self, state: &str, token: &Path, arguments: &[&str]) -> Finished {
        let mut command = self
            .lab
            .agent_command(&["enroll", "--coordinator", &self.url]);
        command.arg("--state-dir").arg(self.lab.path(state));
        Self::run(command.arg("--token-file").arg(token).args(arguments))
    }

    fn agent(&self, state: &str) -> Command {
        let file = self.lab.path("device.toml");
        fs::write(&file, SIXTEEN).expect("a file in the lab's folder");
        let mut command = self.lab.agent_command(&["run", "--coordinator", &self.url]);
        command.arg("--state-dir").arg(self.lab.path(state));
        command.arg("--simulate").arg(file);
        command
    }
}

fn mode(path: &Path) -> u32 {
    let metadata = fs::metadata(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    metadata.permissions().mode() & 0o777
}

#[test]
fn an_agent_enrols_measures_renews_and_is_revoked() {
    let secured = Secured::new();
    let coordinator = secured.start();
    assert_eq!(mode(&secured.data.join("pki/authority.pem")), 0o600);
    assert_eq!(mode(&secured.data.join("pki/local-operator")), 0o600);

    // Nobody without an identity: told what to do, and with which exit code.
    let stranger = Secured::run(&mut secured.agent("agent"));
    assert_eq!(stranger.code(), 3, "{}", stranger.stderr);
    assert!(
        stranger.stderr.contains("batchstep-agent enroll"),
        "{}",
        stranger.stderr
    );
    let stranger = secured.elsewhere(&["sweep", "list"], None);
    assert_eq!(stranger.code(), 2, "{}", stranger.stderr);
    assert!(
        stranger.stderr.contains("BATCHSTEP_TOKEN"),
        "{}",
        stranger.stderr
    );

    let join = secured.token("join-token", &[]);
    let wrong = secured.elsewhere(&["sweep", "list"], Some(&join));
    assert_eq!(wrong.code(), 2, "{}", wrong.stderr);
    let enrolled = secured.enroll("agent", &join, &[]);
    assert_eq!(enrolled.code(), 0, "{}", enrolled.stderr);
    let words: Vec<_> = enrolled.stdout.split_whitespace().collect();
    let id = words[3];
    assert_eq!(mode(&secured.lab.path("agent/identity.pem")), 0o600);
    let again = secured.enroll("agent", &join, &[]);
    assert_eq!(again.code(), 3, "{}", again.stderr);
    assert!(again.stderr.contains("--replace"), "{}", again.stderr);
    let used = secured.enroll("other", &join, &[]);
    assert_eq!(used.code(), 3, "{}", used.stderr);
    assert!(used.stderr.contains("used already"), "{}", used.stderr);

    let mut agent = Process::start("batchstep-agent", &mut secured.agent("agent"));
    agent.wait_for_stderr("Connected");
    let operator = secured.token("token", &["--operator", "ada"]);
    let run = [
        "sweep",
        "run",
        "--workload",
        "linear",
        "--batch-sizes",
        "1-80",
    ];
    let run = [&run[..], &["--budget", "10m", "--format", "json"]].concat();
    let table = secured.elsewhere(&run, Some(&operator)).json();
    assert_eq!(table["rows"][0]["step"], 16.0, "{table}");

    agent.wait_for_stderr("certificate was renewed");
    let revoke = ["agents", "revoke", id, "--reason", "stolen"];
    let revoked = secured.elsewhere(&revoke, Some(&operator));
    assert_eq!(revoked.code(), 0, "{}", revoked.stderr);
    let end = agent.finish();
    assert_eq!(end.code(), 3, "{}", end.stderr);
    assert!(end.stderr.contains("stolen"), "{}", end.stderr);
    let secret = fs::read_to_string(&operator).expect("the token");
    let secret = secret.split('_').nth(2).expect("its secret");
    for text in [&end.stderr, &coordinator.stderr()] {
        assert!(!text.contains(secret), "a secret is in a log");
    }
    end_of(coordinator);
}

#[test]
fn tokens_are_made_and_taken_back_whether_the_coordinator_runs_or_not() {
    let secured = Secured::new();
    fs::create_dir(&secured.data).expect("a data directory");
    let operator = secured.token("token", &["--operator", "ada"]);
    let coordinator = secured.start();
    let listed = secured.elsewhere(&["token", "list", "--format", "json"], Some(&operator));
    let listed = listed.json();
    assert_eq!(listed["tokens"][0]["name"], "ada", "{listed}");
    let id = listed["tokens"][0]["id"].as_str().expect("an id");
    let revoked = secured.here(&["token", "revoke", id]);
    assert_eq!(revoked.code(), 0, "{}", revoked.stderr);
    let refused = secured.elsewhere(&["token", "list"], Some(&operator));
    assert_eq!(refused.code(), 2, "{}", refused.stderr);
    assert!(refused.stderr.contains("revoked"), "{}", refused.stderr);
    end_of(coordinator);
    assert!(!secured.data.join("pki/local-operator").exists());
    let listed = secured.here(&["token", "list"]);
    assert!(listed.stdout.contains("revoked"), "{}", listed.stdout);
    // Without --tls on loopback nobody needs a token, and that is said.
    let plain = secured.lab.start_coordinator();
    let made = secured.lab.ask(&["token", "create"]);
    assert_eq!(made.code(), 2, "{}", made.stderr);
    assert!(made.stderr.contains("--tls"), "{}", made.stderr);
    plain.stop();
}

fn end_of(mut coordinator: Process) {
    coordinator.signal(nix::sys::signal::Signal::SIGTERM);
    eventually("the coordinator to end", || {
        coordinator.has_ended().then_some(())
    });
}
