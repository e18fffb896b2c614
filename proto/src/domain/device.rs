//! Hosts, devices, and the software that a result depends on.

use serde::{Deserialize, Serialize};

use super::{
    DeviceKind, InvalidField,
    convert::{at_most, name, optional_text, present, text},
};
use crate::{limits, wire};

/// Versions that are part of a result's key. Absent: not known, or not used.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Software {
    /// NVIDIA driver.
    pub driver: Option<String>,
    /// libtorch.
    pub libtorch: Option<String>,
    /// CUDA runtime that libtorch was built for.
    pub cuda: Option<String>,
    /// cuDNN.
    pub cudnn: Option<String>,
    /// The worker that measured.
    pub batchstep: Option<String>,
}

/// The machine an agent runs on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostFacts {
    /// Name of the host.
    pub hostname: String,
    /// Stable over reboots.
    pub machine_id: String,
    /// Kernel release.
    pub kernel: Option<String>,
    /// Distribution and version.
    pub os: Option<String>,
    /// Model name of the processors.
    pub cpu_model: Option<String>,
    /// Logical processors.
    pub logical_cores: Option<u32>,
    /// Physical cores.
    pub physical_cores: Option<u32>,
    /// RAM, bytes.
    pub memory_bytes: Option<u64>,
    /// Version of the agent.
    pub agent_version: String,
    /// What its workers measure with, as far as that is known before they do.
    #[serde(default)]
    pub software: Option<Software>,
}

/// One reason that keeps trials off a device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ineligibility {
    /// Stable word for programs.
    pub code: String,
    /// What is wrong and what to do, for people.
    pub message: String,
}

impl Ineligibility {
    /// The code of a device that another process of its host measures on. It will be free: whoever waits for it fails at nothing.
    pub const DEVICE_LOCKED: &'static str = "device_locked";
}

/// Something a round can be assigned to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// GPU or MIG UUID, `CPU-<machine id>`, or `SIM-<name>`.
    pub id: String,
    /// What it is.
    pub kind: DeviceKind,
    /// Marketing name.
    pub model: String,
    /// SMs of a GPU, logical cores of a CPU.
    pub compute_units: Option<u32>,
    /// Its memory, bytes.
    pub memory_bytes: Option<u64>,
    /// MIG profile, "1g.18gb".
    pub mig_profile: Option<String>,
    /// "9.0"; CUDA only.
    pub compute_capability: Option<String>,
    /// NVIDIA driver.
    pub driver: Option<String>,
    /// PCI device id of a GPU.
    pub pci_device_id: Option<u32>,
    /// Why no trial may start here now; empty when one may.
    pub ineligible: Vec<Ineligibility>,
}

/// What a worker knows about its device once libtorch is up.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerFacts {
    /// Versions in use.
    pub software: Software,
    /// The device's name as its driver tells it.
    pub device_name: Option<String>,
    /// SMs of a GPU.
    pub compute_units: Option<u32>,
    /// Threads libtorch computes with.
    pub threads: Option<u32>,
    /// "9.0"; CUDA only.
    pub compute_capability: Option<String>,
}

impl TryFrom<wire::Software> for Software {
    type Error = InvalidField;

    fn try_from(software: wire::Software) -> Result<Self, InvalidField> {
        Ok(Self {
            driver: optional_text("software.driver", software.driver)?,
            libtorch: optional_text("software.libtorch", software.libtorch)?,
            cuda: optional_text("software.cuda", software.cuda)?,
            cudnn: optional_text("software.cudnn", software.cudnn)?,
            batchstep: optional_text("software.batchstep", software.batchstep)?,
        })
    }
}

impl From<Software> for wire::Software {
    fn from(software: Software) -> Self {
        let Software {
            driver,
            libtorch,
            cuda,
            cudnn,
            batchstep,
        } = software;
        Self {
            driver,
            libtorch,
            cuda,
            cudnn,
            batchstep,
        }
    }
}

impl TryFrom<wire::HostFacts> for HostFacts {
    type Error = InvalidField;

    fn try_from(host: wire::HostFacts) -> Result<Self, InvalidField> {
        Ok(Self {
            hostname: name("host.hostname", host.hostname)?,
            machine_id: text("host.machine_id", host.machine_id)?,
            kernel: optional_text("host.kernel", host.kernel)?,
            os: optional_text("host.os", host.os)?,
            cpu_model: optional_text("host.cpu_model", host.cpu_model)?,
            logical_cores: host.logical_cores,
            physical_cores: host.physical_cores,
            memory_bytes: host.memory_bytes,
            agent_version: text("host.agent_version", host.agent_version)?,
            software: host.software.map(Software::try_from).transpose()?,
        })
    }
}

impl From<HostFacts> for wire::HostFacts {
    fn from(host: HostFacts) -> Self {
        let HostFacts {
            hostname,
            machine_id,
            kernel,
            os,
            cpu_model,
            logical_cores,
            physical_cores,
            memory_bytes,
            agent_version,
            software,
        } = host;
        Self {
            hostname,
            machine_id,
            kernel,
            os,
            cpu_model,
            logical_cores,
            physical_cores,
            memory_bytes,
            agent_version,
            software: software.map(Into::into),
        }
    }
}

impl TryFrom<wire::Ineligibility> for Ineligibility {
    type Error = InvalidField;

    fn try_from(reason: wire::Ineligibility) -> Result<Self, InvalidField> {
        Ok(Self {
            code: name("ineligible.code", reason.code)?,
            message: text("ineligible.message", reason.message)?,
        })
    }
}

impl From<Ineligibility> for wire::Ineligibility {
    fn from(reason: Ineligibility) -> Self {
        Self {
            code: reason.code,
            message: reason.message,
        }
    }
}

impl TryFrom<wire::Device> for Device {
    type Error = InvalidField;

    fn try_from(device: wire::Device) -> Result<Self, InvalidField> {
        Ok(Self {
            id: name("device.id", device.id)?,
            kind: DeviceKind::from_wire("device.kind", device.kind)?,
            model: name("device.model", device.model)?,
            compute_units: device.compute_units,
            memory_bytes: device.memory_bytes,
            mig_profile: optional_text("device.mig_profile", device.mig_profile)?,
            compute_capability: optional_text(
                "device.compute_capability",
                device.compute_capability,
            )?,
            driver: optional_text("device.driver", device.driver)?,
            pci_device_id: device.pci_device_id,
            ineligible: at_most("device.ineligible", device.ineligible, 32)?
                .into_iter()
                .map(Ineligibility::try_from)
                .collect::<Result<_, _>>()?,
        })
    }
}

impl From<Device> for wire::Device {
    fn from(device: Device) -> Self {
        Self {
            id: device.id,
            kind: device.kind.to_wire(),
            model: device.model,
            compute_units: device.compute_units,
            memory_bytes: device.memory_bytes,
            mig_profile: device.mig_profile,
            compute_capability: device.compute_capability,
            driver: device.driver,
            pci_device_id: device.pci_device_id,
            ineligible: device.ineligible.into_iter().map(Into::into).collect(),
        }
    }
}

impl Device {
    /// The devices of one agent.
    ///
    /// # Errors
    /// When there are too many, one is malformed, or two have the same id.
    pub fn list(devices: Vec<wire::Device>) -> Result<Vec<Self>, InvalidField> {
        let devices: Vec<Self> = at_most("devices", devices, limits::DEVICES_PER_AGENT)?
            .into_iter()
            .map(Self::try_from)
            .collect::<Result<_, _>>()?;
        let mut ids: Vec<&str> = devices.iter().map(|device| device.id.as_str()).collect();
        ids.sort_unstable();
        match ids.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(InvalidField::new(
                "devices",
                format!("two devices have the id {:?}", pair[0]),
            )),
            None => Ok(devices),
        }
    }
}

impl TryFrom<wire::WorkerFacts> for WorkerFacts {
    type Error = InvalidField;

    fn try_from(facts: wire::WorkerFacts) -> Result<Self, InvalidField> {
        Ok(Self {
            software: present("facts.software", facts.software)?.try_into()?,
            device_name: optional_text("facts.device_name", facts.device_name)?,
            compute_units: facts.compute_units,
            threads: facts.threads,
            compute_capability: optional_text(
                "facts.compute_capability",
                facts.compute_capability,
            )?,
        })
    }
}

impl From<WorkerFacts> for wire::WorkerFacts {
    fn from(facts: WorkerFacts) -> Self {
        Self {
            software: Some(facts.software.into()),
            device_name: facts.device_name,
            compute_units: facts.compute_units,
            threads: facts.threads,
            compute_capability: facts.compute_capability,
        }
    }
}
