//! A lab on one machine: folders, a coordinator, agents, and an operator's shell.

use std::{
    fs::{self, File},
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::Command,
};

use nix::{
    fcntl::{Flock, FlockArg},
    sys::signal::Signal,
};
use serde_json::Value;
use tempfile::TempDir;

use crate::{Finished, Process, binaries, wait::eventually};

/// Folders for one test, removed with it.
#[derive(Debug)]
pub struct Lab {
    folder: TempDir,
    port: u16,
    /// Held while this lab measures: two measurements at a time would contend.
    _turn: Option<Flock<File>>,
}

/// A running `batchstep serve`.
#[derive(Debug)]
pub struct Coordinator(pub Process);

/// A running `batchstep-agent`.
#[derive(Debug)]
pub struct Agent(pub Process);

impl Default for Lab {
    fn default() -> Self {
        Self::new()
    }
}

impl Lab {
    /// An empty lab.
    ///
    /// # Panics
    /// When there is no room for a temporary folder, or no free port.
    #[must_use]
    pub fn new() -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        // Free now, and taken by nobody else soon: the kernel hands ephemeral ports out in turn.
        let port = TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .expect("a free port")
            .port();
        Self {
            folder,
            port,
            _turn: None,
        }
    }

    /// An empty lab that will measure: it waits until no other test of this machine does.
    ///
    /// # Panics
    /// When the lock cannot be made.
    #[must_use]
    pub fn that_measures() -> Self {
        let file =
            File::create(std::env::temp_dir().join("batchstep-tests.lock")).expect("a lock file");
        let turn = Flock::lock(file, FlockArg::LockExclusive)
            .map_err(|(_, error)| error)
            .expect("a lock");
        Self {
            _turn: Some(turn),
            ..Self::new()
        }
    }

    /// A path in the lab's folder.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Asks the coordinator over plain HTTP; `None` while nobody answers.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    }

    /// Where the coordinator listens.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(self.folder.path())
            .env("HOME", self.folder.path())
            .env("NO_COLOR", "1")
            .env_remove("XDG_DATA_HOME")
            .env_remove("BATCHSTEP_COORDINATOR")
            // Locks of this test's agents must not meet those of another test: each test is a host of its own.
            .env("BATCHSTEP_LOCK_DIR", self.path("locks"));
        command
    }

    /// `batchstep` with these arguments.
    #[must_use]
    pub fn batchstep(&self, arguments: &[&str]) -> Command {
        let mut command = self.command(&binaries().batchstep);
        command.args(arguments);
        command
    }

    /// `batchstep-agent` with these arguments.
    #[must_use]
    pub fn agent_command(&self, arguments: &[&str]) -> Command {
        let mut command = self.command(&binaries().agent);
        command.args(arguments);
        command
    }

    /// Runs a client command against the lab's coordinator.
    #[must_use]
    pub fn ask(&self, arguments: &[&str]) -> Finished {
        let url = self.url();
        Process::run(
            "batchstep",
            self.batchstep(arguments).env("BATCHSTEP_COORDINATOR", url),
        )
    }

    /// The same, for its JSON.
    ///
    /// # Panics
    /// When it prints none.
    #[must_use]
    pub fn ask_json(&self, arguments: &[&str]) -> Value {
        let mut arguments = arguments.to_vec();
        arguments.extend(["--format", "json"]);
        self.ask(&arguments).json()
    }

    /// Starts a coordinator on the lab's data directory and waits until it serves.
    #[must_use]
    pub fn start_coordinator(&self) -> Coordinator {
        self.start_coordinator_on("data")
    }

    /// The same on the data directory `name`.
    #[must_use]
    pub fn start_coordinator_on(&self, name: &str) -> Coordinator {
        let data = self.path(name);
        let listen = format!("127.0.0.1:{}", self.port);
        let process = Process::start(
            "batchstep serve",
            self.batchstep(&["serve", "--listen", &listen])
                .arg("--data-dir")
                .arg(data),
        );
        eventually("the coordinator to answer", || {
            self.ask(&["sweep", "list"]).status.success().then_some(())
        });
        Coordinator(process)
    }

    /// Starts an agent with the state directory `name`.
    #[must_use]
    pub fn start_agent(&self, name: &str) -> Agent {
        self.start_agent_with(name, &[])
    }

    /// The same with further arguments.
    #[must_use]
    pub fn start_agent_with(&self, name: &str, arguments: &[&str]) -> Agent {
        let state = self.path(name);
        let url = self.url();
        let mut process = Process::start(
            "batchstep-agent",
            self.agent_command(&["run", "--coordinator", &url])
                .arg("--state-dir")
                .arg(state)
                .args(arguments),
        );
        process.wait_for_stderr("Connected");
        Agent(process)
    }

    /// The process ids of the workers, real or scripted, that are children of `parent`, but for those that only describe themselves.
    #[must_use]
    pub fn workers_of(parent: &Process) -> Vec<i32> {
        let Ok(entries) = fs::read_dir("/proc") else {
            return Vec::new();
        };
        entries
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
            .filter(|pid| {
                let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else {
                    return false;
                };
                // pid (comm) state ppid ..; the name may hold anything, so count from its end.
                let Some((head, tail)) = stat.rsplit_once(')') else {
                    return false;
                };
                // As much of a name as the kernel keeps.
                let is_worker = ["batchstep-worke", "scripted_worker"]
                    .iter()
                    .any(|name| head.contains(&name[..15]));
                let line = fs::read_to_string(format!("/proc/{pid}/cmdline"));
                is_worker
                    && line.is_ok_and(|line| !line.contains("--describe"))
                    && tail.split_whitespace().nth(1) == Some(&parent.pid().to_string())
            })
            .collect()
    }
}

impl Coordinator {
    /// Stops it as an administrator would, and checks that it ends well.
    ///
    /// # Panics
    /// When it does not.
    pub fn stop(self) {
        self.0.signal(Signal::SIGTERM);
        let end = self.0.finish();
        assert_eq!(end.code(), 0, "{}", end.stderr);
    }
}
