//! Facts about this machine, read from `/proc`, `/sys` and `/etc`. The parsers are pure; only [`Host::read_at`] and [`nvidia_driver`] touch files.

use std::collections::BTreeSet;

use batchstep_nvml::{Root, meminfo_bytes};
use batchstep_proto::domain::HostFacts;
use sha2::{Digest as _, Sha256};

/// This machine.
#[derive(Debug, Clone)]
pub struct Host {
    /// What the coordinator is told.
    pub facts: HostFacts,
}

impl Host {
    /// Reads the facts; what cannot be read is absent.
    #[must_use]
    pub fn read() -> Self {
        Self::read_at(&Root::default())
    }

    /// The same for a host whose file system is elsewhere, as in a container.
    #[must_use]
    pub fn read_at(root: &Root) -> Self {
        let text = |path: &str| root.text(path);
        let cpuinfo = text("/proc/cpuinfo").unwrap_or_default();
        let own_name = || nix::unistd::gethostname().ok()?.into_string().ok();
        // A container's own name is not its host's.
        let hostname = if root.is_own() {
            own_name()
        } else {
            text("/etc/hostname").or_else(own_name)
        };
        let hostname = hostname
            .filter(|name| !name.is_empty())
            .unwrap_or_else(|| "unknown".to_owned());
        Self {
            facts: HostFacts {
                machine_id: machine_id(&hostname, |path| text(path)),
                hostname,
                kernel: text("/proc/sys/kernel/osrelease").map(|release| release.trim().to_owned()),
                os: text("/etc/os-release").and_then(|release| pretty_name(&release)),
                cpu_model: cpu_model(&cpuinfo),
                logical_cores: logical_cores(&cpuinfo),
                physical_cores: physical_cores(&cpuinfo).or_else(|| logical_cores(&cpuinfo)),
                memory_bytes: text("/proc/meminfo")
                    .and_then(|info| meminfo_bytes(&info, "MemTotal")),
                agent_version: env!("CARGO_PKG_VERSION").to_owned(),
                software: None,
            },
        }
    }
}

/// The NVIDIA kernel driver's version; `None` where there is no such driver. An unreadable version is "unknown".
#[must_use]
pub fn nvidia_driver(root: &Root) -> Option<String> {
    let version = root.text("proc/driver/nvidia/version");
    // Containers and WSL have the device but not always the file.
    let present =
        version.is_some() || root.path("dev/nvidiactl").exists() || root.path("dev/dxg").exists();
    present.then(|| {
        version
            .as_deref()
            .and_then(driver_version)
            .unwrap_or_else(|| "unknown".to_owned())
    })
}

/// SHA-256 of the machine id, so that the id itself, which systemd asks to keep private, does not travel. Containers without one fall back to
/// the mainboard's id, then to the host name: stable at least as long as the container.
fn machine_id(hostname: &str, read: impl Fn(&str) -> Option<String>) -> String {
    let source = [
        "/etc/machine-id",
        "/var/lib/dbus/machine-id",
        "/sys/class/dmi/id/product_uuid",
    ]
    .into_iter()
    .filter_map(read)
    .map(|text| text.trim().to_owned())
    .find(|text| !text.is_empty() && text != "uninitialized")
    .unwrap_or_else(|| format!("host {hostname}"));
    let digest = Sha256::digest(format!("batchstep machine {source}"));
    digest[..16]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn pretty_name(os_release: &str) -> Option<String> {
    let value = os_release
        .lines()
        .find_map(|line| line.strip_prefix("PRETTY_NAME="))?
        .trim()
        .trim_matches(['"', '\'']);
    (!value.is_empty()).then(|| value.to_owned())
}

fn fields<'a>(cpuinfo: &'a str, key: &'a str) -> impl Iterator<Item = &'a str> {
    cpuinfo.lines().filter_map(move |line| {
        let (name, value) = line.split_once(':')?;
        (name.trim() == key).then(|| value.trim())
    })
}

fn cpu_model(cpuinfo: &str) -> Option<String> {
    // x86 says "model name", POWER "cpu", some ARM boards "Model".
    ["model name", "cpu", "Model"]
        .into_iter()
        .find_map(|key| fields(cpuinfo, key).next())
        .filter(|model| !model.is_empty())
        .map(str::to_owned)
}

fn logical_cores(cpuinfo: &str) -> Option<u32> {
    u32::try_from(fields(cpuinfo, "processor").count())
        .ok()
        .filter(|&count| count > 0)
}

/// Distinct pairs of socket and core; `None` where the kernel does not tell them.
fn physical_cores(cpuinfo: &str) -> Option<u32> {
    let cores: BTreeSet<(&str, &str)> = fields(cpuinfo, "physical id")
        .zip(fields(cpuinfo, "core id"))
        .collect();
    u32::try_from(cores.len()).ok().filter(|&count| count > 0)
}

/// The number after "Kernel Module" in `/proc/driver/nvidia/version`.
fn driver_version(text: &str) -> Option<String> {
    text.lines()
        .find(|line| line.starts_with("NVRM version"))?
        .split_whitespace()
        .find(|word| {
            word.contains('.')
                && word
                    .bytes()
                    .all(|byte| byte.is_ascii_digit() || byte == b'.')
        })
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const TWO_CORES: &str = "processor\t: 0\nmodel name\t: AMD EPYC 9654 96-Core Processor\nphysical id\t: 0\ncore id\t\t: 0\n\n\
                             processor\t: 1\nmodel name\t: AMD EPYC 9654 96-Core Processor\nphysical id\t: 0\ncore id\t\t: 0\n\n\
                             processor\t: 2\nmodel name\t: AMD EPYC 9654 96-Core Processor\nphysical id\t: 1\ncore id\t\t: 0\n";
    const ARM: &str = "processor\t: 0\nBogoMIPS\t: 50.00\nCPU implementer\t: 0x41\n\nprocessor\t: 1\nBogoMIPS\t: 50.00\n";

    #[test]
    fn processors_are_counted_as_threads_and_as_cores() {
        assert_eq!(
            cpu_model(TWO_CORES).as_deref(),
            Some("AMD EPYC 9654 96-Core Processor")
        );
        assert_eq!(logical_cores(TWO_CORES), Some(3));
        assert_eq!(physical_cores(TWO_CORES), Some(2));
        assert_eq!(
            (cpu_model(ARM), logical_cores(ARM), physical_cores(ARM)),
            (None, Some(2), None)
        );
        assert_eq!((logical_cores(""), physical_cores("")), (None, None));
    }

    #[test]
    fn memory_system_and_driver_are_read() {
        let meminfo = "MemTotal:       24689012 kB\nMemFree: 12 kB\nMemTotalish: 5 kB\n";
        assert_eq!(meminfo_bytes(meminfo, "MemTotal"), Some(24_689_012 * 1024));
        assert_eq!(meminfo_bytes(meminfo, "MemAvailable"), None);
        assert_eq!(meminfo_bytes("MemTotal: many kB", "MemTotal"), None);
        assert_eq!(
            pretty_name("NAME=\"Debian\"\nPRETTY_NAME=\"Debian GNU/Linux 13 (trixie)\"\n")
                .as_deref(),
            Some("Debian GNU/Linux 13 (trixie)")
        );
        assert_eq!(pretty_name("NAME=x"), None);
        let open = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  590.48.01  Release Build  (dvs-builder@U22)\nGCC version: 12\n";
        assert_eq!(driver_version(open).as_deref(), Some("590.48.01"));
        let closed = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.183.06  Wed Jun 26 06:46:07 UTC 2024\n";
        assert_eq!(driver_version(closed).as_deref(), Some("535.183.06"));
        assert_eq!(driver_version("GCC version: 12.3.0"), None);
    }

    #[test]
    fn a_machine_has_an_id_even_without_a_file_for_it() {
        let with = |id: &'static str| {
            machine_id("h", move |path| {
                (path == "/etc/machine-id").then(|| id.to_owned())
            })
        };
        assert_eq!(with("abc\n"), with("abc"));
        assert_ne!(with("abc"), with("abd"));
        assert_eq!(with("abc").len(), 32);
        assert_eq!(with("uninitialized"), machine_id("h", |_| None));
        assert_ne!(machine_id("h", |_| None), machine_id("i", |_| None));
    }

    #[test]
    fn a_driver_is_found_by_its_device_too() {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::at(folder.path().to_owned());
        assert_eq!(nvidia_driver(&root), None);
        fs::create_dir(root.path("dev")).unwrap();
        fs::write(root.path("dev/nvidiactl"), "").unwrap();
        assert_eq!(nvidia_driver(&root).as_deref(), Some("unknown"));
    }
}
