//! Devices that come, go, and become eligible or not while the agent runs: every new look at the host goes through here.

use std::{collections::BTreeMap, sync::Arc};

use batchstep_proto::{
    domain::Device,
    wire::{self, agent_message::Message as Outgoing},
};
use tracing::info;

use super::{Lane, Supervisor};
use crate::{Shutdown, executor::Executor, inventory};

impl<E: Executor> Supervisor<E> {
    /// Takes over the newest look, and tells the coordinator what changed of the devices, and how they are.
    pub(super) fn looked(&mut self) {
        let Some(snapshots) = &mut self.config.inventory else {
            return;
        };
        let snapshot = Arc::clone(&snapshots.borrow_and_update());
        for device in &snapshot.devices {
            match self.lanes.get_mut(&device.id) {
                // A running round keeps the device as it was: only the next one looks at it.
                Some(lane) => lane.device.clone_from(device),
                None => {
                    info!(device = device.id, model = device.model, "A device is new.");
                    let lane = Lane::new(device.clone());
                    self.lanes.insert(device.id.clone(), lane);
                }
            }
        }
        self.tell_devices();
        if let Some(telemetry) = inventory::telemetry(&snapshot) {
            self.tell(Outgoing::Telemetry(telemetry));
        }
    }

    /// Tells the coordinator every device that is not as it was last told, whenever that was: also what changed between the hello and its answer.
    pub(super) fn tell_devices(&mut self) {
        if self.coordinator.is_none() {
            return;
        }
        let devices = self.devices();
        let changed: Vec<wire::Device> = devices
            .iter()
            .filter(|(id, device)| self.told.get(*id) != Some(device))
            .map(|(_, device)| device.clone().into())
            .collect();
        if changed.is_empty() {
            return;
        }
        self.told = devices;
        // Not one of the counted heartbeats: number 0 is acknowledged as any other.
        self.tell(Outgoing::Heartbeat(wire::Heartbeat {
            sequence: 0,
            draining: self.shutdown != Shutdown::No,
            changed,
        }));
    }

    pub(super) fn devices(&self) -> BTreeMap<String, Device> {
        self.lanes
            .iter()
            .map(|(id, lane)| (id.clone(), lane.device.clone()))
            .collect()
    }
}
