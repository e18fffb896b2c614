//! Turns signals and the parent's death into a shutdown. Only `main` uses it: libraries are told, they do not listen.

use std::io;

use anyhow::Context as _;
use batchstep_agent::Shutdown;
use nix::{
    libc::SIGXFSZ,
    sys::{prctl, signal::Signal},
    unistd::{Pid, getppid},
};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};
use tracing::info;

/// The process that started the agent, when the agent is to end with it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Parent(Pid);

impl Parent {
    /// Asks the kernel for SIGTERM at the parent's death; called first thing, so that the parent is still the one that started us.
    pub(crate) fn follow() -> anyhow::Result<Self> {
        let parent = getppid();
        prctl::set_pdeathsig(Signal::SIGTERM).context("cannot follow the parent process")?;
        if getppid() != parent {
            anyhow::bail!("the process that started the agent has ended already");
        }
        Ok(Self(parent))
    }

    fn is_gone(self) -> bool {
        getppid() != self.0
    }
}

/// Starts to listen: SIGTERM drains, a second one or SIGINT stops at once, as does the parent's death.
pub(crate) fn listen(parent: Option<Parent>) -> io::Result<watch::Receiver<Shutdown>> {
    let (shutdown, seen) = watch::channel(Shutdown::No);
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    // Caught once and for all: a file that may not grow is met like a full disk, not with this process's end.
    let _ = signal(SignalKind::from_raw(SIGXFSZ))?;
    tokio::spawn(async move {
        loop {
            let next = tokio::select! {
                _ = interrupt.recv() => Shutdown::Now,
                _ = terminate.recv() => {
                    // Nobody is left to take a result of an embedded agent.
                    let again = *shutdown.borrow() != Shutdown::No;
                    if again || parent.is_some_and(Parent::is_gone) { Shutdown::Now } else { Shutdown::Drain }
                }
            };
            info!(next = ?next, "A signal asks the agent to stop.");
            shutdown.send_replace(next);
        }
    });
    Ok(seen)
}
