//! A host for agents: folders of its own, the real agent binary, and the scripted worker.

use std::{
    fs::{self, File},
    os::unix::{fs::PermissionsExt as _, process::ExitStatusExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use batchstep_proto::{
    domain::{Dtype, Mode, RoundKind, VisitRole},
    ids::{AttemptId, RoundId, SeriesId, SweepId},
    wire,
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(30);

/// Files of one host.
pub struct Host {
    pub folder: TempDir,
}

/// A running agent; killed when dropped.
pub struct Agent {
    child: Child,
    log: PathBuf,
}

impl Host {
    pub fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_batchstep-agent"));
        command
            .env("BATCHSTEP_LOCK_DIR", self.path("locks"))
            .env(
                "BATCHSTEP_LOG",
                "debug,h2=info,hyper=info,hyper_util=info,tower=info",
            )
            .env("NO_COLOR", "1")
            .env_remove("BATCHSTEP_WORKER")
            .stdin(Stdio::null());
        command
    }

    /// An agent with the scripted worker and a state directory of that name.
    pub fn agent(&self, name: &str, coordinator: &str) -> Agent {
        self.agent_with(name, coordinator, &scripted_worker())
    }

    pub fn agent_with(&self, name: &str, coordinator: &str, worker: &Path) -> Agent {
        self.start(name, self.run(name, coordinator, worker))
    }

    /// The command of an agent.
    pub fn run(&self, name: &str, coordinator: &str, worker: &Path) -> Command {
        let mut command = self.command();
        command
            .args(["run", "--devices", "cpu", "--coordinator", coordinator])
            .arg("--state-dir")
            .arg(self.path(name))
            .arg("--worker")
            .arg(worker);
        command
    }

    /// Starts a command with its log in a file.
    pub fn start(&self, name: &str, mut command: Command) -> Agent {
        let log = self.path(&format!("{name}.log"));
        let stderr = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .unwrap();
        let child = command.stderr(stderr).spawn().unwrap();
        Agent { child, log }
    }

    /// A worker that is a shell script.
    pub fn script(&self, text: &str) -> PathBuf {
        let path = self.path("worker.sh");
        fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    /// Reports in the spool of an agent.
    pub fn spooled(&self, name: &str) -> usize {
        fs::read_dir(self.path(name).join("spool")).map_or(0, |entries| {
            entries
                .filter_map(Result::ok)
                .filter(|entry| {
                    entry
                        .path()
                        .extension()
                        .is_some_and(|ending| ending == "report")
                })
                .count()
        })
    }
}

impl Agent {
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().try_into().unwrap()), signal).unwrap();
    }

    /// Waits for the end of the process.
    #[track_caller]
    pub fn ended(&mut self) -> ExitStatus {
        eventually("the agent's end", || self.child.try_wait().unwrap())
    }

    pub fn kill(&mut self) {
        self.signal(Signal::SIGKILL);
        assert_eq!(self.ended().signal(), Some(9));
    }

    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("--- log of the agent\n{}", self.log());
        }
    }
}

/// For states outside the coordinator's memory.
#[track_caller]
pub fn eventually<T>(what: &str, mut wanted: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = wanted() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

pub fn scripted_worker() -> PathBuf {
    let path = Path::new(env!("CARGO_BIN_EXE_batchstep-agent"))
        .parent()
        .unwrap()
        .join("examples/scripted_worker");
    assert!(
        path.exists(),
        "{} is built by `cargo test -p batchstep-agent --examples`",
        path.display()
    );
    path
}

pub fn attempt() -> String {
    AttemptId::generate().to_string()
}

/// A round of visits at batch sizes 1, 2, 3, ..., each taking `pace`.
pub fn round(device: &str, workload: &str, visits: u32, pace: Duration) -> wire::Round {
    wire::Round {
        round_id: RoundId::generate().to_string(),
        series_id: SeriesId::generate().to_string(),
        sweep_id: SweepId::generate().to_string(),
        device_id: device.to_owned(),
        kind: RoundKind::Measure.to_wire(),
        workload: workload.to_owned(),
        mode: Mode::Train.to_wire(),
        dtype: Dtype::F32.to_wire(),
        threads: Some(1),
        visits: (1..=visits)
            .map(|batch_size| wire::Visit {
                batch_size,
                role: VisitRole::Measure.to_wire(),
                iterations: None,
            })
            .collect(),
        timing: Some(wire::Timing {
            block_target_ns: pace.as_nanos().try_into().unwrap(),
            memory_share: 0.5,
            ..Default::default()
        }),
        time_limit_ns: 60_000_000_000,
        ..Default::default()
    }
}

/// The scripts of the scripted worker.
pub const OBEDIENT: &str = "linear";
pub const HANGING: &str = "linear:outputs=2";
pub const DYING: &str = "linear:outputs=3";
