//! The fleet's processes: this program again, each with its share of the agents and a loopback address of its own.

use std::{
    net::Ipv4Addr,
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
};

use crate::agents::Figures;

/// Agents of one process at most.
const AGENTS_PER_PROCESS: u32 = 2500;
/// Longest wait until a whole fleet is welcomed.
const PATIENCE: Duration = Duration::from_secs(180);
/// Between two looks how many are.
const LOOK: Duration = Duration::from_millis(50);

/// How agents behave.
#[derive(Debug, Clone, Copy)]
pub struct Manner {
    /// What a round takes on average.
    pub round: Duration,
    /// Report parts of one round for ever instead.
    pub parts: bool,
}

/// Running agents; they end with this handle.
pub struct Fleet {
    processes: Vec<Process>,
    agents: u32,
}

struct Process {
    /// Killed when it is dropped.
    _child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Fleet {
    /// Starts agents and waits until all are welcomed.
    ///
    /// # Errors
    /// When a process cannot be started, or an agent is not welcomed in time.
    pub async fn start(url: &str, agents: u32, manner: Manner) -> Result<Self> {
        let mut processes = Vec::new();
        let mut first = 0;
        while first < agents {
            let share = (agents - first).min(AGENTS_PER_PROCESS);
            let number = u8::try_from(processes.len()).context("too many processes")?;
            processes.push(Process::start(url, first, share, number, manner)?);
            first += share;
        }
        let mut fleet = Self { processes, agents };
        fleet.all_welcomed().await?;
        Ok(fleet)
    }

    /// Waits until every agent has a session.
    ///
    /// # Errors
    /// When one has none in time.
    pub async fn all_welcomed(&mut self) -> Result<()> {
        let start = Instant::now();
        loop {
            let figures = self.figures().await?;
            if figures.welcomed == self.agents {
                return Ok(());
            }
            if start.elapsed() > PATIENCE {
                bail!(
                    "{} of {} agents are welcomed after {PATIENCE:?}; {}",
                    figures.welcomed,
                    self.agents,
                    figures.failure.unwrap_or_default()
                );
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// What happened since it was last asked.
    ///
    /// # Errors
    /// When a process has ended.
    pub async fn figures(&mut self) -> Result<Figures> {
        let mut all = Figures::default();
        for process in &mut self.processes {
            process.input.write_all(b"report\n").await?;
        }
        for process in &mut self.processes {
            let line = process.output.next_line().await?;
            let line = line.context("a process of agents has ended")?;
            all.add(serde_json::from_str(&line)?);
        }
        Ok(all)
    }
}

impl Process {
    fn start(url: &str, first: u32, agents: u32, number: u8, manner: Manner) -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["agents", "--url", url])
            .args(["--agents", &agents.to_string()])
            .args(["--first", &first.to_string()])
            .args([
                "--source",
                &Ipv4Addr::new(127, 0, 1, number + 1).to_string(),
            ])
            .args(["--round-ms", &manner.round.as_millis().to_string()])
            .args(manner.parts.then_some("--parts"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("cannot start a process of agents")?;
        let input = child.stdin.take().context("its input is piped")?;
        let output = child.stdout.take().context("its output is piped")?;
        Ok(Self {
            _child: child,
            input,
            output: BufReader::new(output).lines(),
        })
    }
}
