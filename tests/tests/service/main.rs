//! The daemons as services of a host: what they tell the service manager, how they stop, their units, and backups of a running coordinator.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod backup;
mod notify;
mod stop;
mod units;

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

/// Keeps a database from being written to, as a tool that forgot its transaction does, until it is dropped.
struct Locked(Child);

impl Locked {
    fn hold(database: &Path) -> Self {
        // Ends by itself when the test does: its input is closed then.
        const SCRIPT: &str = "
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=60)
connection.execute('BEGIN IMMEDIATE')
print('locked', flush=True)
sys.stdin.read()
";
        let mut child = Command::new("python3")
            .args(["-c", SCRIPT])
            .arg(database)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 runs");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("it is piped");
        BufReader::new(stdout).read_line(&mut line).unwrap();
        assert_eq!(line, "locked\n");
        Self(child)
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
