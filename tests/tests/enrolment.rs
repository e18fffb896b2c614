//! Enrolment as a person does it, with the real binaries over TLS: from the first token to a revoked agent.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    process::Command,
};

use batchstep_tests::{Finished, Lab, Process, wait::eventually};

/// One device with a step of 16.
const SIXTEEN: &str = "speed = 'instant'\n[[device]]\nmodel = 'Sixteen'\nscatter = { sigma = 0.002 }\n\
    law = { constant = 0.002, slope = 1e-5, combs = [{ period = 16, jump = 0.001 }] }\n";

/// Long enough for a loaded machine to start an agent within half of it, short enough to wait for a renewal.
const CERTIFICATE_LIFETIME: &str = "60s";

/// A user who is not the one that runs the tests.
const SOMEBODY: u32 = 61_184;

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
        self.agent_of(&self.url, state)
    }

    fn agent_of(&self, url: &str, state: &str) -> Command {
        let file = self.lab.path("device.toml");
        fs::write(&file, SIXTEEN).expect("a file in the lab's folder");
        let mut command = self.lab.agent_command(&["run", "--coordinator", url]);
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
    // For good: its unit does not start it again, and it says what to do.
    let end = agent.finish();
    assert_eq!(end.code(), 4, "{}", end.stderr);
    for said in ["stolen", "batchstep token create", "batchstep-agent enroll"] {
        assert!(end.stderr.contains(said), "{said}: {}", end.stderr);
    }
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

#[test]
fn whoever_speaks_tls_to_plain_text_or_plain_text_to_tls_is_told_so() {
    let secured = Secured::new();
    let coordinator = secured.start();
    let operator = secured.token("token", &["--operator", "ada"]);
    let join = secured.token("join-token", &[]);
    assert_eq!(secured.enroll("agent", &join, &[]).code(), 0);
    let plain = secured.lab.url();
    let asked = secured.lab.ask(&["agents", "list"]);
    assert_ne!(asked.code(), 0);
    assert!(asked.stderr.contains("write https://"), "{}", asked.stderr);
    let mut agent = Process::start("an agent", &mut secured.agent_of(&plain, "agent"));
    agent.wait_for_stderr("write https://");
    end_of(agent);
    end_of(coordinator);

    let coordinator = secured.lab.start_coordinator();
    let asked = secured.elsewhere(&["agents", "list"], Some(&operator));
    assert_eq!(asked.code(), 2, "{}", asked.stderr);
    assert!(asked.stderr.contains("write http://"), "{}", asked.stderr);
    let mut agent = Process::start("an agent", &mut secured.agent("agent"));
    agent.wait_for_stderr("write http://");
    end_of(agent);
    // Where nobody is enrolled nobody can be revoked.
    let agent = secured.lab.start_agent("other");
    let listed = eventually("the agent to be listed", || {
        let listed = secured.lab.ask_json(&["agents", "list"]);
        let mut agents = listed["agents"].as_array()?.iter();
        let online = agents.find(|agent| agent["state"] == "online")?;
        Some(online["agent_id"].as_str()?.to_owned())
    });
    let revoked = secured.lab.ask(&["agents", "revoke", &listed]);
    assert_eq!(revoked.code(), 2, "{}", revoked.stderr);
    assert!(
        revoked.stderr.contains("agents remove"),
        "{}",
        revoked.stderr
    );
    drop(agent);
    coordinator.stop();
}

#[test]
fn an_agent_that_never_connected_is_listed_and_revoked_by_a_part_of_its_id() {
    let secured = Secured::new();
    let coordinator = secured.start();
    let join = secured.token("join-token", &["--uses", "2"]);
    let enroll = |state: &str| {
        let enrolled = secured.enroll(state, &join, &[]);
        assert_eq!(enrolled.code(), 0, "{}", enrolled.stderr);
        let id = enrolled.stdout.split_whitespace().nth(3);
        id.expect("an id").to_owned()
    };
    let one = enroll("one");
    // The directory of another user, enrolled by whoever runs this.
    let state = secured.lab.path("other");
    fs::create_dir(&state).expect("a state directory");
    let owner = if nix::unistd::geteuid().is_root() {
        std::os::unix::fs::chown(&state, Some(SOMEBODY), Some(SOMEBODY)).expect("root may");
        SOMEBODY
    } else {
        nix::unistd::geteuid().as_raw()
    };
    let other = enroll("other");
    for file in ["identity.pem", "lock", "spool"] {
        let metadata = fs::metadata(state.join(file)).expect("a file of the agent's");
        assert_eq!(metadata.uid(), owner, "{file}");
    }
    let states = |arguments: &[&str]| {
        let list = [&["agents", "list", "--format", "json"], arguments].concat();
        let listed = secured.here(&list).json();
        let agents = listed["agents"].as_array().expect("agents").clone();
        let state = |id: &str| {
            let mut agents = agents.iter();
            let found = agents.find(|agent| agent["agent_id"] == id);
            found.map(|agent| agent["state"].as_str().expect("a state").to_owned())
        };
        (state(&one), state(&other))
    };
    let enrolled = || Some("enrolled".to_owned());
    assert_eq!(states(&[]), (enrolled(), enrolled()));

    // Both are on this host.
    let listed = secured.here(&["agents", "list", "--format", "json"]).json();
    let hostname = listed["agents"][0]["hostname"].as_str().expect("a name");
    let unclear = secured.here(&["agents", "revoke", hostname]);
    assert_eq!(unclear.code(), 2, "{}", unclear.stderr);
    assert!(unclear.stderr.contains(&other), "{}", unclear.stderr);
    let end = &one[one.len() - 8..];
    let revoked = secured.here(&["agents", "revoke", end, "--reason", "stolen"]);
    assert_eq!(revoked.code(), 0, "{}", revoked.stderr);
    assert!(revoked.stderr.contains(&one), "{}", revoked.stderr);
    assert_eq!(states(&[]), (None, enrolled()));
    assert_eq!(states(&["--all"]), (Some("revoked".to_owned()), enrolled()));
    let people = secured.here(&["agents", "list", "--all"]).stdout;
    assert!(people.contains(": stolen"), "{people}");
    // Of this host there is one left, and it goes by the host's name. It can be drained before it was ever there.
    let drained = secured.here(&["agents", "drain", hostname, "--reason", "new fans"]);
    assert_eq!(drained.code(), 0, "{}", drained.stderr);
    assert!(
        drained.stderr.contains("is not connected"),
        "{}",
        drained.stderr
    );
    let people = secured.here(&["agents", "list"]).stdout;
    assert!(people.contains("drained: new fans"), "{people}");
    let undrained = secured.here(&["agents", "undrain", hostname]);
    assert_eq!(undrained.code(), 0, "{}", undrained.stderr);
    assert_eq!(states(&[]), (None, enrolled()));
    let removed = secured.here(&["agents", "remove", hostname]);
    assert_eq!(removed.code(), 0, "{}", removed.stderr);
    assert_eq!(states(&[]), (None, None));
    assert_eq!(states(&["--all"]).1, Some("removed".to_owned()));

    // Whoever comes is there, removed or not.
    let mut agent = Process::start("batchstep-agent", &mut secured.agent("other"));
    agent.wait_for_stderr("Connected");
    eventually("the agent to be online", || {
        (states(&[]).1? == "online").then_some(())
    });
    agent.signal(nix::sys::signal::Signal::SIGTERM);
    assert_eq!(agent.finish().code(), 0);
    end_of(coordinator);
}

fn end_of(mut coordinator: Process) {
    coordinator.signal(nix::sys::signal::Signal::SIGTERM);
    eventually("the coordinator to end", || {
        coordinator.has_ended().then_some(())
    });
}
