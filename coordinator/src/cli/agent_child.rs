//! The agent that `local` runs as its child: finding it, starting it with its log in a file, stopping it, and reading its last words. Knows
//! nothing of sweeps; never leaves a child behind.

use std::{
    env,
    ffi::OsStr,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::process::{Child, Command};

/// Names another agent than the one beside this program.
const AGENT_VARIABLE: &str = "BATCHSTEP_AGENT";
/// File name of the agent.
const AGENT_NAME: &str = "batchstep-agent";
/// Lines of the log that are shown when the agent fails.
const LAST_LINES: usize = 12;

/// A running agent. Killed when dropped.
pub(super) struct AgentChild {
    child: Child,
    log: PathBuf,
}

impl AgentChild {
    /// Starts an agent that dials `coordinator` and keeps its state in `data_dir`; with `simulate` it offers the devices of that file.
    ///
    /// # Errors
    /// When there is no agent to start, or its log cannot be written.
    pub(super) fn start(
        coordinator: &str,
        data_dir: &Path,
        simulate: Option<&Path>,
    ) -> Result<Self> {
        let program = program()?;
        let log = data_dir.join("agent.log");
        let sink = File::create(&log)
            .with_context(|| format!("cannot write the agent's log {}", log.display()))?;
        let copy = sink
            .try_clone()
            .with_context(|| format!("cannot share the agent's log {}", log.display()))?;
        let child = Command::new(&program)
            .args(["run", "--exit-with-parent", "--coordinator", coordinator])
            .arg("--state-dir")
            .arg(data_dir.join("agent"))
            .args(
                simulate
                    .into_iter()
                    .flat_map(|file| [OsStr::new("--simulate"), file.as_os_str()]),
            )
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::from(copy))
            .stderr(Stdio::from(sink))
            // A terminal's Ctrl-C is ours to pass on, once.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| not_startable(&program, error))?;
        Ok(Self { child, log })
    }

    /// Waits until it has ended.
    ///
    /// # Errors
    /// When the system cannot tell.
    pub(super) async fn ended(&mut self) -> io::Result<ExitStatus> {
        self.child.wait().await
    }

    /// Asks it to stop at once, which loses the running block and nothing else, and waits for it; kills it after `patience`.
    pub(super) async fn stop(&mut self, patience: Duration) {
        let Some(pid) = self.child.id().and_then(|id| i32::try_from(id).ok()) else {
            return;
        };
        // It may be gone already; then there is nothing to wait for either.
        let _ = kill(Pid::from_raw(pid), Signal::SIGINT);
        if tokio::time::timeout(patience, self.child.wait())
            .await
            .is_err()
        {
            tracing::warn!("The agent did not stop in time and is killed.");
            let _ = self.child.kill().await;
        }
    }

    /// What to tell when it ended or keeps silent: its last lines and where the rest is.
    pub(super) fn failure(&self, what: &str) -> anyhow::Error {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let last = &lines[lines.len().saturating_sub(LAST_LINES)..];
        let said = if last.is_empty() {
            "It said nothing.".to_owned()
        } else {
            format!("Its last words:\n    {}", last.join("\n    "))
        };
        anyhow!(
            "{what}\n  {said}\n  The whole log: {}\n  What could stop it here: `batchstep-agent doctor`",
            self.log.display()
        )
    }
}

/// The agent to start: named by the environment, beside this program, or on the search path.
fn program() -> Result<PathBuf> {
    if let Some(named) = env::var_os(AGENT_VARIABLE) {
        let named = PathBuf::from(named);
        if named.is_file() {
            return Ok(named);
        }
        return Err(anyhow!(
            "{AGENT_VARIABLE} names {}, which is not a file",
            named.display()
        ));
    }
    let beside = env::current_exe()
        .context("cannot tell where this program is")?
        .with_file_name(AGENT_NAME);
    if beside.is_file() {
        return Ok(beside);
    }
    let searched = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&searched)
        .map(|folder| folder.join(AGENT_NAME))
        .find(|path| path.is_file())
        .ok_or_else(|| {
            anyhow!(
                "there is no {AGENT_NAME} at {} or on the PATH; build it with `make build`, or name it with {AGENT_VARIABLE}",
                beside.display()
            )
        })
}

fn not_startable(program: &Path, error: io::Error) -> anyhow::Error {
    anyhow::Error::new(error).context(format!("cannot start the agent {}", program.display()))
}
