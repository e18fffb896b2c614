//! The service manager's end of `sd_notify(3)`: a socket that a test plays.

use std::{
    os::unix::net::UnixDatagram,
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use crate::wait::eventually;

/// The socket, and all that it was told.
#[derive(Debug)]
pub struct NotifySocket {
    path: PathBuf,
    told: Arc<Mutex<Vec<String>>>,
}

impl NotifySocket {
    /// Listens at `path`. The thread that reads ends with the test's process.
    ///
    /// # Panics
    /// When there cannot be a socket.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        let socket = UnixDatagram::bind(path).expect("the test's folder takes a socket");
        let told = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&told);
        thread::spawn(move || {
            let mut message = [0; 4096];
            while let Ok(length) = socket.recv(&mut message) {
                let text = String::from_utf8_lossy(&message[..length]).into_owned();
                sink.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(text);
            }
        });
        Self {
            path: path.to_owned(),
            told,
        }
    }

    /// Tells a program of the socket, and that it is given up when it is silent for `watchdog`.
    pub fn env(&self, command: &mut Command, watchdog: Duration) {
        command
            .env("NOTIFY_SOCKET", &self.path)
            .env("WATCHDOG_USEC", watchdog.as_micros().to_string());
    }

    /// Every message so far.
    #[must_use]
    pub fn told(&self) -> Vec<String> {
        self.told
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Waits for a message after the first `seen` that holds `text`; answers with its number.
    ///
    /// # Panics
    /// When none comes.
    pub fn wait_for(&self, seen: usize, text: &str) -> usize {
        eventually(&format!("the message {text:?}"), || {
            let told = self.told();
            let mut later = told.iter().enumerate().skip(seen);
            later.find_map(|(at, message)| message.contains(text).then_some(at))
        })
    }
}
