//! What would stop trials on this host, or spoil them, and how to mend it. `batchstep-agent doctor` prints it; nothing here changes the host
//! but for an empty file in the lock folder.

mod checks;
mod gpus;
mod load;

use std::{fmt, path::Path};

use serde::Serialize;

use crate::{
    device::LockDir,
    inventory::{Inventory, Options},
    own_workers::OwnWorkers,
    worker_path,
};

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// As it should be.
    Ok,
    /// Trials run, but their numbers may be worse.
    Warn,
    /// Trials cannot run.
    Fail,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Stable word for programs.
    pub name: &'static str,
    /// How it came out.
    pub status: Status,
    /// What was found.
    pub found: String,
    /// What to do; absent when nothing is to do.
    pub mend: Option<String>,
}

impl Check {
    fn ok(name: &'static str, found: impl Into<String>) -> Self {
        Self {
            name,
            status: Status::Ok,
            found: found.into(),
            mend: None,
        }
    }

    fn warn(name: &'static str, found: impl Into<String>, mend: impl Into<String>) -> Self {
        Self {
            status: Status::Warn,
            mend: Some(mend.into()),
            ..Self::ok(name, found)
        }
    }

    fn fail(name: &'static str, found: impl Into<String>, mend: impl Into<String>) -> Self {
        Self {
            status: Status::Fail,
            ..Self::warn(name, found, mend)
        }
    }
}

/// All checks of a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Of this document.
    pub schema_version: u32,
    /// In the order in which they should be mended.
    pub checks: Vec<Check>,
}

impl Report {
    /// True when a check failed.
    #[must_use]
    pub fn would_stop_trials(&self) -> bool {
        self.checks.iter().any(|check| check.status == Status::Fail)
    }
}

/// Looks at everything. Takes about a second: libtorch is loaded once and the load of other processes is watched.
pub async fn examine(
    worker: Option<&Path>,
    state_dir: Option<&Path>,
    locks: &LockDir,
    options: Options,
) -> Report {
    let worker = worker_path::find(worker);
    let inventory = Inventory::new(options, worker.clone(), OwnWorkers::default());
    let (snapshot, description) = inventory.look_once().await;
    let mut checks = vec![checks::worker(&worker)];
    checks.extend(description.as_ref().map(checks::libtorch));
    checks.push(checks::state_dir(state_dir));
    checks.push(checks::locks(locks));
    checks.push(checks::memory(&snapshot.host));
    checks.extend(gpus::checks(
        &snapshot.document,
        description
            .as_ref()
            .and_then(|described| described.as_ref().ok()),
    ));
    checks.push(checks::governor(Path::new("/sys/devices/system/cpu")));
    checks.push(load::foreign().await);
    Report {
        schema_version: 1,
        checks,
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self
            .checks
            .iter()
            .map(|check| check.name.len())
            .max()
            .unwrap_or(0);
        for check in &self.checks {
            let mark = match check.status {
                Status::Ok => "ok  ",
                Status::Warn => "warn",
                Status::Fail => "FAIL",
            };
            writeln!(f, "{mark}  {:width$}  {}", check.name, check.found)?;
            if let Some(mend) = &check.mend {
                writeln!(f, "      {:width$}  -> {mend}", "")?;
            }
        }
        let verdict = if self.would_stop_trials() {
            "Trials cannot run here until what is marked FAIL is mended."
        } else {
            "Trials can run here."
        };
        writeln!(f, "\n{verdict}")
    }
}
