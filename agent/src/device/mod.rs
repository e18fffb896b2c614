//! What a device is before the inventory looks at it: the host's facts, the worker's word on libtorch and CUDA, the choice of what is offered, and
//! the lock that gives one process a device.

mod describe;
mod host;
mod lock;

use batchstep_proto::domain::{Device, DeviceKind, HostFacts};

pub use describe::{DescribeError, Description, GpuDescription, describe};
pub use host::{Host, nvidia_driver};
pub use lock::{DeviceLock, LockDir, LockError};

/// Devices that an agent offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// Everything there is.
    All,
    /// The processors.
    Cpu,
    /// GPUs.
    Gpu,
    /// These, by id.
    Listed(Vec<String>),
}

impl std::str::FromStr for Selection {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim() {
            "all" => Ok(Self::All),
            "cpu" => Ok(Self::Cpu),
            "gpu" => Ok(Self::Gpu),
            list => {
                let ids: Vec<String> = list
                    .split(',')
                    .map(|id| id.trim().to_owned())
                    .filter(|id| !id.is_empty())
                    .collect();
                if ids.is_empty() {
                    Err("names no device; write all, cpu, gpu or device ids".to_owned())
                } else {
                    Ok(Self::Listed(ids))
                }
            }
        }
    }
}

/// A selection that this host cannot serve.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SelectionError {
    /// An id that no device has.
    #[error("there is no device {id} on this host; there are: {known}")]
    Unknown {
        /// As given.
        id: String,
        /// The ids there are.
        known: String,
    },
    /// GPUs were asked for.
    #[error(
        "there is no GPU that batchstep can use on this host; `batchstep-agent doctor` says why, --devices cpu uses its processors"
    )]
    NoGpu,
    /// A kind of real device was asked for where all are simulated.
    #[error("--devices: all devices here are simulated; write all, or some of their ids: {known}")]
    OnlySimulated {
        /// The ids there are.
        known: String,
    },
}

/// Keeps the selected devices.
///
/// # Errors
/// When a listed device does not exist, or GPUs are asked for and there are none.
pub fn select(devices: Vec<Device>, selection: &Selection) -> Result<Vec<Device>, SelectionError> {
    let simulated = devices
        .iter()
        .all(|device| device.kind == DeviceKind::Simulated);
    if simulated && matches!(selection, Selection::Cpu | Selection::Gpu) {
        return Err(SelectionError::OnlySimulated {
            known: listing(&devices),
        });
    }
    match selection {
        Selection::Gpu if devices.iter().all(|device| device.kind != DeviceKind::Cuda) => {
            return Err(SelectionError::NoGpu);
        }
        Selection::Listed(ids) => {
            if let Some(id) = ids
                .iter()
                .find(|id| devices.iter().all(|device| device.id != **id))
            {
                return Err(SelectionError::Unknown {
                    id: id.clone(),
                    known: listing(&devices),
                });
            }
        }
        Selection::All | Selection::Cpu | Selection::Gpu => {}
    }
    Ok(of_selection(devices, selection))
}

/// Those of the devices that are selected.
#[must_use]
pub fn of_selection(mut devices: Vec<Device>, selection: &Selection) -> Vec<Device> {
    devices.retain(|device| match selection {
        Selection::All => true,
        Selection::Cpu => device.kind == DeviceKind::Cpu,
        Selection::Gpu => device.kind == DeviceKind::Cuda,
        Selection::Listed(ids) => ids.contains(&device.id),
    });
    devices
}

fn listing(devices: &[Device]) -> String {
    let ids: Vec<&str> = devices.iter().map(|device| device.id.as_str()).collect();
    ids.join(", ")
}

/// The processors of a host as one device.
#[must_use]
pub fn processors(host: &Host) -> Device {
    let HostFacts {
        machine_id,
        cpu_model,
        logical_cores,
        memory_bytes,
        ..
    } = &host.facts;
    Device {
        id: format!("CPU-{}", &machine_id[..machine_id.len().min(12)]),
        kind: DeviceKind::Cpu,
        model: cpu_model
            .clone()
            .unwrap_or_else(|| format!("{} processor", std::env::consts::ARCH)),
        compute_units: *logical_cores,
        memory_bytes: *memory_bytes,
        mig_profile: None,
        compute_capability: None,
        driver: None,
        pci_device_id: None,
        ineligible: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selections_name_what_is_not_there() {
        let devices = vec![processors(&Host::read())];
        let id = devices[0].id.clone();
        assert!(id.starts_with("CPU-") && id.len() == 16, "{id}");
        assert_eq!(
            select(devices.clone(), &Selection::Gpu),
            Err(SelectionError::NoGpu)
        );
        let error = select(devices.clone(), &"GPU-7".parse().unwrap()).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("there is no device GPU-7 on this host; there are: {id}")
        );
        assert_eq!(select(devices, &id.parse().unwrap()).unwrap().len(), 1);
        let mut simulated = processors(&Host::read());
        simulated.kind = DeviceKind::Simulated;
        let error = select(vec![simulated.clone()], &Selection::Cpu).unwrap_err();
        assert!(error.to_string().contains(&simulated.id), "{error}");
        assert_eq!(
            select(vec![simulated.clone()], &Selection::All),
            Ok(vec![simulated])
        );
        assert!(" , ".parse::<Selection>().is_err());
    }
}
