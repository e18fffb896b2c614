//! What the kernel says about GPUs without NVML: files below `/proc` and `/sys`, or below the folder where a container has its host's.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// The name space of process ids that the kernel starts with (`PROC_PID_INIT_INO` of its sources).
const FIRST_NAME_SPACE: &str = "pid:[4026531836]";

/// True when this process sees the same process ids as NVML, which tells those of the host: in a container it does not.
#[must_use]
pub fn sees_host_pids() -> bool {
    fs::read_link("/proc/self/ns/pid").is_ok_and(|space| space.as_os_str() == FIRST_NAME_SPACE)
}

/// Where the host's file system is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root(PathBuf);

/// A GPU as the kernel driver lists it, in `/proc/driver/nvidia/gpus`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listed {
    /// "0000:01:00.0".
    pub(crate) pci_bus_id: String,
    pub(crate) uuid: String,
    pub(crate) name: String,
}

impl Default for Root {
    fn default() -> Self {
        Self("/".into())
    }
}

impl Root {
    /// A folder that holds the host's `proc`, `sys` and `etc`.
    #[must_use]
    pub const fn at(folder: PathBuf) -> Self {
        Self(folder)
    }

    /// A path of the host.
    #[must_use]
    pub fn path(&self, path: &str) -> PathBuf {
        self.0.join(path.trim_start_matches('/'))
    }

    /// A small text file of the host, without the space around it; `None` where it cannot be read or is empty.
    #[must_use]
    pub fn text(&self, path: &str) -> Option<String> {
        let text = fs::read_to_string(self.path(path)).ok()?;
        let text = text.trim();
        (!text.is_empty()).then(|| text.to_owned())
    }

    /// True for the file system that this process sees as its own.
    #[must_use]
    pub fn is_own(&self) -> bool {
        self.0 == Path::new("/")
    }

    /// A property of a PCI device.
    pub(crate) fn pci(&self, bus_id: &str, name: &str) -> Option<String> {
        self.text(&format!("sys/bus/pci/devices/{bus_id}/{name}"))
    }

    /// The GPUs that the kernel driver lists.
    pub(crate) fn listed(&self) -> Vec<Listed> {
        let folder = self.path("proc/driver/nvidia/gpus");
        let mut gpus: Vec<Listed> = fs::read_dir(folder)
            .into_iter()
            .flatten()
            .filter_map(|entry| {
                let pci_bus_id = entry.ok()?.file_name().into_string().ok()?;
                let text =
                    self.text(&format!("proc/driver/nvidia/gpus/{pci_bus_id}/information"))?;
                let value = |key: &str| {
                    text.lines().find_map(|line| {
                        let (name, value) = line.split_once(':')?;
                        (name.trim() == key).then(|| value.trim().to_owned())
                    })
                };
                Some(Listed {
                    uuid: value("GPU UUID").filter(|uuid| uuid.starts_with("GPU-"))?,
                    name: value("Model")?,
                    pci_bus_id,
                })
            })
            .collect();
        gpus.sort_by(|a, b| a.pci_bus_id.cmp(&b.pci_bus_id));
        gpus
    }

    /// The PCI addresses that the kernel driver is bound to: another set means that a GPU came or went.
    pub(crate) fn bound(&self) -> BTreeSet<String> {
        fs::read_dir(self.path("sys/bus/pci/drivers/nvidia"))
            .into_iter()
            .flatten()
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|name| name.contains(':'))
            .collect()
    }
}

/// A field of `/proc/meminfo`, in bytes.
#[must_use]
pub fn meminfo_bytes(meminfo: &str, key: &str) -> Option<u64> {
    let value = meminfo
        .lines()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?
        .trim();
    let kibibytes: u64 = value.strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_drivers_list_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::at(folder.path().to_owned());
        assert_eq!((root.listed(), root.bound()), (vec![], BTreeSet::new()));
        let card = root.path("/proc/driver/nvidia/gpus/0000:01:00.0");
        fs::create_dir_all(&card).unwrap();
        fs::write(
            card.join("information"),
            "Model: \t\t NVIDIA A40\nIRQ:   \t\t 5\nGPU UUID: \t GPU-1\nVideo BIOS: \t ??.??\n",
        )
        .unwrap();
        fs::create_dir_all(root.path("proc/driver/nvidia/gpus/0000:02:00.0")).unwrap();
        assert_eq!(
            root.listed(),
            [Listed {
                pci_bus_id: "0000:01:00.0".to_owned(),
                uuid: "GPU-1".to_owned(),
                name: "NVIDIA A40".to_owned()
            }]
        );
        let driver = root.path("sys/bus/pci/drivers/nvidia");
        fs::create_dir_all(driver.join("0000:01:00.0")).unwrap();
        fs::write(driver.join("bind"), "").unwrap();
        assert_eq!(root.bound().len(), 1);
    }
}
