//! A full disk: the kernel's limit on the size of a process's files, which needs no privileges and can be set and lifted while it runs. A write
//! beyond it fails (`EFBIG`), or comes out short, as on a disk that is full.

use std::process::Command;

use batchstep_tests::Process;

/// A process that cannot write past a number of bytes in any file.
#[derive(Debug)]
#[must_use]
pub struct Limit {
    pid: String,
}

impl Limit {
    /// Limits a running process, from its next write on.
    pub fn of(process: &Process, bytes: u64) -> Self {
        let limit = Self {
            pid: process.pid().to_string(),
        };
        limit.set(&bytes.to_string());
        limit
    }

    /// Makes room again.
    pub fn lift(self) {
        self.set("unlimited");
    }

    fn set(&self, bytes: &str) {
        // The soft limit only: nobody needs privileges to raise that again.
        let end = Process::run(
            "prlimit",
            Command::new("prlimit")
                .args(["--pid", &self.pid])
                .arg(format!("--fsize={bytes}:")),
        );
        assert_eq!(end.code(), 0, "{}", end.stderr);
    }
}
