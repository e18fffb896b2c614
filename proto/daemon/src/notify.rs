//! What a daemon tells the service manager that started it, over the socket of `sd_notify(3)`: that it is ready, how it is, that it stops, and, only while it is
//! well, that its watchdog may wait on. Without `NOTIFY_SOCKET` in the environment nothing is told. Used by the two `main`s.

use std::{
    env, io,
    os::{
        linux::net::SocketAddrExt as _,
        unix::{
            ffi::OsStrExt as _,
            net::{SocketAddr, UnixDatagram},
        },
    },
    process,
    time::Duration,
};

use tokio_util::sync::CancellationToken;

use crate::{Heart, Pulse, Pulses};

/// How often a daemon says how it is where no watchdog waits: the status line of `systemctl status` is not much older.
const USUAL_INTERVAL: Duration = Duration::from_secs(10);

/// The environment names a socket that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot reach the service manager at NOTIFY_SOCKET={address}; unset it where there is none"
)]
pub struct NotifyError {
    address: String,
    #[source]
    source: io::Error,
}

/// The service manager, or nobody.
#[derive(Debug)]
pub struct ServiceManager {
    socket: Option<(UnixDatagram, SocketAddr)>,
    watchdog: Option<Duration>,
}

impl ServiceManager {
    /// The one that the environment names.
    ///
    /// # Errors
    /// When its socket has no proper address.
    pub fn from_environment() -> Result<Self, NotifyError> {
        let Some(name) = env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty()) else {
            return Ok(Self {
                socket: None,
                watchdog: None,
            });
        };
        let socket = open(name.as_bytes()).map_err(|source| NotifyError {
            address: name.to_string_lossy().into_owned(),
            source,
        })?;
        let text = |variable| env::var(variable).ok();
        Ok(Self {
            socket: Some(socket),
            watchdog: watchdog(text("WATCHDOG_USEC"), text("WATCHDOG_PID"), process::id()),
        })
    }

    /// A heart that beats twice within the watchdog's patience, or as often as people look.
    #[must_use]
    pub fn heart(&self) -> (Heart, Pulses) {
        Heart::new(self.watchdog.map_or(USUAL_INTERVAL, |limit| limit / 2))
    }

    /// Passes on what a daemon says of itself, until it says no more; and that it stops, once that is asked.
    pub async fn follow(self, mut pulses: Pulses, stopping: CancellationToken) {
        let (mut is_ready, mut is_stopping) = (false, false);
        loop {
            tokio::select! {
                changed = pulses.changed() => {
                    if changed.is_err() {
                        return;
                    }
                }
                () = stopping.cancelled(), if !is_stopping => {
                    is_stopping = true;
                    self.tell("STOPPING=1");
                    continue;
                }
            }
            let Some(pulse) = pulses.borrow_and_update().clone() else {
                continue;
            };
            let is_first = pulse.is_well && !is_ready;
            is_ready |= pulse.is_well;
            self.tell(&message(&pulse, is_first));
        }
    }

    fn tell(&self, message: &str) {
        let Some((socket, address)) = &self.socket else {
            return;
        };
        // A manager that does not read must not hold up the daemon; what it misses is said again.
        if let Err(error) = socket.send_to_addr(message.as_bytes(), address) {
            tracing::debug!(%error, "The service manager was not told how the daemon is.");
        }
    }
}

/// An address that begins with `@` is a name in the abstract namespace, any other a path.
fn open(name: &[u8]) -> io::Result<(UnixDatagram, SocketAddr)> {
    let address = match name.strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(std::ffi::OsStr::from_bytes(name))?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    Ok((socket, address))
}

/// How long the manager waits for a sign of life from this process; `None` where it does not wait, or for another one.
fn watchdog(microseconds: Option<String>, of: Option<String>, own: u32) -> Option<Duration> {
    if of.is_some_and(|of| of.parse() != Ok(own)) {
        return None;
    }
    let limit = Duration::from_micros(microseconds?.parse().ok()?);
    (!limit.is_zero()).then_some(limit)
}

fn message(pulse: &Pulse, is_first: bool) -> String {
    let mut message = String::new();
    if is_first {
        message.push_str("READY=1\n");
    }
    if pulse.is_well {
        message.push_str("WATCHDOG=1\n");
    }
    // One line is one variable.
    message.push_str("STATUS=");
    message.push_str(&pulse.status.replace('\n', " "));
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_watchdog_is_ours_or_none() {
        let text = |text: &str| Some(text.to_owned());
        let second = Some(Duration::from_secs(1));
        assert_eq!(watchdog(text("1000000"), None, 7), second);
        assert_eq!(watchdog(text("1000000"), text("7"), 7), second);
        assert_eq!(watchdog(text("1000000"), text("8"), 7), None);
        assert_eq!(watchdog(text("0"), None, 7), None);
        assert_eq!(watchdog(text("soon"), None, 7), None);
        assert_eq!(watchdog(None, None, 7), None);
    }

    #[test]
    fn only_who_is_well_feeds_the_watchdog() {
        let pulse = |is_well| Pulse {
            is_well,
            status: "two\nlines".to_owned(),
        };
        assert_eq!(
            message(&pulse(true), true),
            "READY=1\nWATCHDOG=1\nSTATUS=two lines"
        );
        assert_eq!(message(&pulse(true), false), "WATCHDOG=1\nSTATUS=two lines");
        assert_eq!(message(&pulse(false), false), "STATUS=two lines");
    }
}
