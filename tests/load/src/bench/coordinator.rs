//! A real `batchstep serve` as a process of its own, with what the kernel says of it.

use std::{
    fs::{self, File},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use nix::unistd::{SysconfVar, sysconf};
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

/// Longest wait for a coordinator to serve.
const PATIENCE: Duration = Duration::from_secs(120);
/// Between two looks whether it serves.
const LOOK: Duration = Duration::from_millis(2);
/// The service that is asked about.
pub const SERVICE: &str = "batchstep.v1.AgentService";

/// A running coordinator; ended with its handle.
pub struct Coordinator {
    child: Child,
    port: u16,
    log: PathBuf,
    /// Length of the log before it was started, bytes.
    logged_before: usize,
    /// From its start to the first answer that it serves.
    pub ready_after: Duration,
}

/// What a process has used.
#[derive(Debug, Clone, Copy)]
pub struct Usage {
    /// Processor time, user and system.
    pub processor: Duration,
    /// Resident memory, bytes.
    pub resident: u64,
}

/// A port of loopback that is free now.
///
/// # Errors
/// When there is none.
pub fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

impl Coordinator {
    /// Starts it on a data directory and waits until its health service says that it serves.
    ///
    /// # Errors
    /// When it cannot be started or does not serve in time.
    pub async fn start(program: &Path, data: &Path, port: u16) -> Result<Self> {
        fs::create_dir_all(data)?;
        let path = data.join("log");
        let log = File::options().create(true).append(true).open(&path)?;
        let logged_before = fs::read(&path)?.len();
        let started = Instant::now();
        let child = Command::new(program)
            .args(["serve", "--listen", &format!("127.0.0.1:{port}")])
            .arg("--data-dir")
            .arg(data)
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let mut coordinator = Self {
            child,
            port,
            log: path,
            logged_before,
            ready_after: Duration::ZERO,
        };
        while !coordinator.serves().await {
            if let Some(status) = coordinator.child.try_wait()? {
                bail!(
                    "the coordinator ended ({status}); see {}",
                    data.join("log").display()
                );
            }
            if started.elapsed() > PATIENCE {
                bail!("the coordinator did not serve within {PATIENCE:?}");
            }
            tokio::time::sleep(LOOK).await;
        }
        coordinator.ready_after = started.elapsed();
        Ok(coordinator)
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// A connection to it.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn channel(&self) -> Result<Channel> {
        let endpoint = Endpoint::from_shared(self.url())?.tcp_nodelay(true);
        Ok(endpoint.connect().await?)
    }

    async fn serves(&self) -> bool {
        let Ok(channel) = self.channel().await else {
            return false;
        };
        let request = HealthCheckRequest {
            service: SERVICE.to_owned(),
        };
        let answer = HealthClient::new(channel).check(request).await;
        answer.is_ok_and(|answer| answer.get_ref().status() == ServingStatus::Serving)
    }

    /// Waits until it has read back what was measured before its start; answers with how long that took by its own log.
    ///
    /// # Errors
    /// When it does not say so in time.
    pub async fn read_back(&self) -> Result<Duration> {
        const SAID: &str = "What was measured before is read back.";
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            let log = fs::read(&self.log)?;
            let log = String::from_utf8_lossy(log.get(self.logged_before..).unwrap_or_default());
            if let Some(line) = log.lines().find(|line| line.contains(SAID)) {
                let (_, after) = line.split_once("milliseconds=").context("the log's time")?;
                let digits = after.split(|c: char| !c.is_ascii_digit()).next();
                return Ok(Duration::from_millis(
                    digits.context("the log's time")?.parse()?,
                ));
            }
            tokio::time::sleep(LOOK).await;
        }
        bail!(
            "the coordinator did not say in {} within {PATIENCE:?}: {SAID}",
            self.log.display()
        );
    }

    /// What it has used so far.
    ///
    /// # Errors
    /// When it has ended.
    pub fn usage(&self) -> Result<Usage> {
        let folder = PathBuf::from(format!("/proc/{}", self.child.id()));
        let stat = fs::read_to_string(folder.join("stat"))?;
        // pid (comm) state ppid ..; user and system time are the 14th and 15th field, and the name may hold anything.
        let (_, fields) = stat.rsplit_once(')').context("/proc/PID/stat")?;
        let mut fields = fields.split_whitespace().skip(11);
        let mut ticks = || -> Result<u64> { Ok(fields.next().context("/proc/PID/stat")?.parse()?) };
        let ticks = ticks()? + ticks()?;
        let per_second = sysconf(SysconfVar::CLK_TCK)?.context("clock ticks")?;
        let statm = fs::read_to_string(folder.join("statm"))?;
        let pages: u64 = statm
            .split_whitespace()
            .nth(1)
            .context("/proc/PID/statm")?
            .parse()?;
        let page = sysconf(SysconfVar::PAGE_SIZE)?.context("page size")?;
        Ok(Usage {
            processor: Duration::from_secs_f64(ticks as f64 / per_second as f64),
            resident: pages * page.cast_unsigned(),
        })
    }

    /// Ends it at once, as a crash would.
    ///
    /// # Errors
    /// When it cannot be ended.
    pub fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Coordinator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
