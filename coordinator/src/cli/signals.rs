//! What a person's Ctrl-C and a supervisor's SIGTERM become: something to await. Commands that run for long use it; nothing else handles signals.

use anyhow::{Context as _, Result};
use nix::libc::SIGXFSZ;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Exit;

/// SIGINT and SIGTERM, caught from the moment this is made.
pub(super) struct Interrupts {
    interrupt: Signal,
    terminate: Signal,
}

impl Interrupts {
    /// Begins to catch them.
    ///
    /// # Errors
    /// When the system refuses the handler.
    pub(super) fn catch() -> Result<Self> {
        let catch = |kind| signal(kind).context("cannot catch signals");
        // Caught once and for all: a file that may not grow is met like a full disk, not with this process's end.
        let _ = catch(SignalKind::from_raw(SIGXFSZ))?;
        Ok(Self {
            interrupt: catch(SignalKind::interrupt())?,
            terminate: catch(SignalKind::terminate())?,
        })
    }

    /// Waits for the next one; true for SIGINT.
    pub(super) async fn next(&mut self) -> bool {
        tokio::select! {
            _ = self.interrupt.recv() => true,
            _ = self.terminate.recv() => false,
        }
    }

    /// From here on the next one ends the process at once, whatever it does.
    pub(super) fn exit_at_next(mut self) {
        tokio::spawn(async move {
            self.next().await;
            std::process::exit(Exit::Incomplete as i32);
        });
    }
}
