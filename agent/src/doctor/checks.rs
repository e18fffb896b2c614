//! The single checks. Each takes what it looks at as an argument and says what it found and what to do.

use std::{
    fs,
    path::{Path, PathBuf},
};

use batchstep_nvml::meminfo_bytes;
use batchstep_proto::{causes::chain, domain::HostFacts};
use nix::{
    errno::Errno,
    unistd::{AccessFlags, access},
};

use super::Check;
use crate::{
    device::{DescribeError, Description, LockDir, LockError},
    worker_path::WorkerNotFound,
};

/// libtorch itself takes a third of this; the smallest workloads fit beside it.
const LEAST_MEMORY_BYTES: u64 = 1 << 30;

pub(super) fn worker(worker: &Result<PathBuf, WorkerNotFound>) -> Check {
    match worker {
        Ok(path) => Check::ok("worker", path.display().to_string()),
        Err(error) => {
            let text = error.to_string();
            match text.split_once("; ") {
                Some((found, mend)) => Check::fail("worker", found, mend),
                None => Check::fail("worker", text, "name one with --worker"),
            }
        }
    }
}

pub(super) fn libtorch(description: &Result<Description, DescribeError>) -> Check {
    match description {
        Ok(description) => {
            let built = &description.libtorch_built;
            match &description.libtorch_loaded {
                Some(loaded) if same_version(loaded, built) => {
                    Check::ok("libtorch", format!("{loaded} loads"))
                }
                Some(loaded) => Check::fail(
                    "libtorch",
                    format!("{loaded} is loaded, the worker was built for {built}"),
                    "install the right one with `make libtorch`, or point LD_LIBRARY_PATH at it",
                ),
                None => Check::warn(
                    "libtorch",
                    format!(
                        "it loads and does not tell its version; the worker was built for {built}"
                    ),
                    "install the right one with `make libtorch`",
                ),
            }
        }
        Err(error) => {
            let text = chain(error);
            match text.split_once(": ") {
                Some((found, mend)) => Check::fail("libtorch", found, mend),
                None => Check::fail(
                    "libtorch",
                    text,
                    "rebuild the worker, and install libtorch with `make libtorch`",
                ),
            }
        }
    }
}

/// "2.11.0+cu130" is 2.11.0.
fn same_version(loaded: &str, built: &str) -> bool {
    let plain = |version: &str| {
        version
            .split('+')
            .next()
            .unwrap_or_default()
            .trim()
            .to_owned()
    };
    plain(loaded) == plain(built)
}

pub(super) fn state_dir(path: Option<&Path>) -> Check {
    let Some(path) = path else {
        return Check::ok(
            "state_dir",
            "not given; `batchstep-agent run` takes one with --state-dir",
        );
    };
    // Opening it would make it, and an identity in it.
    let nearest = path
        .ancestors()
        .find(|ancestor| ancestor.exists())
        .filter(|ancestor| !ancestor.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let usable = if nearest.is_dir() {
        access(nearest, AccessFlags::W_OK | AccessFlags::X_OK)
    } else {
        Err(Errno::ENOTDIR)
    };
    match usable {
        Ok(()) if nearest == path => {
            Check::ok("state_dir", format!("{} is writable", path.display()))
        }
        Ok(()) => Check::ok(
            "state_dir",
            format!("{} can be made in {}", path.display(), nearest.display()),
        ),
        Err(error) => Check::fail(
            "state_dir",
            format!("{} cannot be used: {}", path.display(), error.desc()),
            "choose a folder that this user can write to with --state-dir",
        ),
    }
}

pub(super) fn locks(locks: &LockDir) -> Check {
    // A name that no device has: a running agent is not disturbed.
    match locks.take("doctor") {
        Ok(_) | Err(LockError::Held { .. }) => Check::ok(
            "lock_dir",
            format!("{} can be used", locks.path().display()),
        ),
        Err(error) => Check::fail(
            "lock_dir",
            chain(&error),
            "make the folder writable, or name another for all agents of this host with BATCHSTEP_LOCK_DIR",
        ),
    }
}

pub(super) fn memory(facts: &HostFacts) -> Check {
    let available = fs::read_to_string("/proc/meminfo")
        .ok()
        .and_then(|text| meminfo_bytes(&text, "MemAvailable"));
    judge_memory(available, facts.memory_bytes)
}

fn judge_memory(available: Option<u64>, total: Option<u64>) -> Check {
    let gib = |bytes: u64| bytes as f64 / f64::from(1 << 30);
    match (available, total) {
        (Some(available), _) if available < LEAST_MEMORY_BYTES => Check::warn(
            "memory",
            format!("{:.1} GiB available", gib(available)),
            "end other programs: libtorch and the smallest workloads need 1 GiB",
        ),
        (Some(available), Some(total)) => Check::ok(
            "memory",
            format!("{:.1} of {:.1} GiB available", gib(available), gib(total)),
        ),
        _ => Check::warn("memory", "/proc/meminfo does not tell", "mount /proc"),
    }
}

/// `cpus` is `/sys/devices/system/cpu`.
pub(super) fn governor(cpus: &Path) -> Check {
    let mut governors: Vec<String> = fs::read_dir(cpus)
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            fs::read_to_string(entry.ok()?.path().join("cpufreq/scaling_governor")).ok()
        })
        .map(|text| text.trim().to_owned())
        .collect();
    governors.sort();
    governors.dedup();
    match governors.as_slice() {
        [] => Check::ok(
            "cpu_frequency",
            "the kernel does not scale it, or does not tell",
        ),
        [one] if one == "performance" => Check::ok("cpu_frequency", "governor performance"),
        several => Check::warn(
            "cpu_frequency",
            format!("governor {}", several.join(", ")),
            "for steadier CPU trials: `sudo cpupower frequency-set -g performance`",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Status;

    #[test]
    fn versions_are_compared_without_their_build() {
        assert!(same_version("2.11.0+cu130", "2.11.0"));
        assert!(!same_version("2.11.1", "2.11.0"));
    }

    #[test]
    fn a_state_directory_is_checked_without_making_it() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("a/b");
        assert_eq!(state_dir(Some(folder.path())).status, Status::Ok);
        assert_eq!(state_dir(Some(&missing)).status, Status::Ok);
        assert!(!missing.exists());
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        assert_eq!(state_dir(Some(&file.join("below"))).status, Status::Fail);
        assert_eq!(state_dir(Some(&file)).status, Status::Fail);
    }

    #[test]
    fn scarce_memory_is_a_warning() {
        assert_eq!(
            judge_memory(Some(1 << 29), Some(1 << 34)).status,
            Status::Warn
        );
        assert_eq!(
            judge_memory(Some(1 << 33), Some(1 << 34)).found,
            "8.0 of 16.0 GiB available"
        );
        assert_eq!(judge_memory(None, None).status, Status::Warn);
    }

    #[test]
    fn a_saving_governor_is_a_warning() {
        let cpus = tempfile::tempdir().unwrap();
        assert_eq!(governor(cpus.path()).status, Status::Ok);
        for (cpu, governor) in [("cpu0", "performance\n"), ("cpu1", "powersave\n")] {
            let folder = cpus.path().join(cpu).join("cpufreq");
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("scaling_governor"), governor).unwrap();
        }
        let check = governor(cpus.path());
        assert_eq!(
            (check.status, check.found.as_str()),
            (Status::Warn, "governor performance, powersave")
        );
    }
}
