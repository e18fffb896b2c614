//! Simulated devices in the place of the host's: reads the file that describes them, names them, and makes what runs rounds on them.
//!
//! Asked once by `main`, where `--simulate` is given. Everything it offers is of the kind `simulated`.

use std::path::Path;

use batchstep_proto::{
    domain::{Device, DeviceKind, Software, WorkerFacts},
    ids::AgentId,
};
pub use batchstep_simulated::FileError;
use batchstep_simulated::{SimulatedDevice, Simulation as File};
use sha2::{Digest as _, Sha256};
use tracing::info;

use crate::executor::SimulatedExecutor;

/// Devices that exist only in this process.
pub struct Simulation {
    /// What the coordinator is offered.
    pub devices: Vec<Device>,
    /// Runs rounds on them.
    pub executor: SimulatedExecutor,
}

impl Simulation {
    /// Reads the file at `path`. Device ids are this agent's own: two agents may simulate the same file.
    ///
    /// # Errors
    /// When the file, or a recording that it names, cannot be read or says what cannot be.
    pub fn load(path: &Path, agent: AgentId) -> Result<Self, FileError> {
        let file = File::read(path)?;
        info!(
            file = %path.display(),
            devices = file.devices.len(),
            speed = ?file.speed,
            "Devices are simulated; nothing here is measured."
        );
        let named: Vec<(String, &SimulatedDevice)> = ids(agent).zip(&file.devices).collect();
        let devices = named
            .iter()
            .map(|(id, device)| offered(id.clone(), device))
            .collect();
        let executor = SimulatedExecutor::new(
            file.speed,
            named
                .iter()
                .map(|(id, device)| (id.clone(), device.machine(), facts(device))),
        );
        Ok(Self { devices, executor })
    }
}

/// "SIM-<agent>-<place in the file>", from 1.
fn ids(agent: AgentId) -> impl Iterator<Item = String> {
    let digest = Sha256::digest(format!("batchstep simulated devices of {agent}"));
    let agent: String = digest[..4]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    (1_usize..).map(move |place| format!("SIM-{agent}-{place}"))
}

fn offered(id: String, device: &SimulatedDevice) -> Device {
    Device {
        id,
        kind: DeviceKind::Simulated,
        model: device.model.clone(),
        compute_units: device.compute_units,
        memory_bytes: device.behaviour.memory.map(|memory| memory.total_bytes),
        mig_profile: None,
        compute_capability: None,
        driver: device.driver.clone(),
        pci_device_id: None,
        ineligible: Vec::new(),
    }
}

/// What a worker would tell. No libtorch was used, so none is named.
fn facts(device: &SimulatedDevice) -> WorkerFacts {
    WorkerFacts {
        software: Software {
            driver: device.driver.clone(),
            batchstep: Some(env!("CARGO_PKG_VERSION").to_owned()),
            ..Software::default()
        },
        device_name: Some(device.model.clone()),
        compute_units: device.compute_units,
        threads: None,
        compute_capability: None,
    }
}
