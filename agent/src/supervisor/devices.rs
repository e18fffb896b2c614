//! Devices that come, go, and become eligible or not while the agent runs: every new look at the host goes through here.

use std::sync::Arc;

use batchstep_proto::wire::{self, agent_message::Message as Outgoing};
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
        let mut changed = Vec::new();
        for device in &snapshot.devices {
            match self.lanes.get_mut(&device.id) {
                Some(lane) if lane.device == *device => {}
                Some(lane) => {
                    // A running round keeps the device as it was: only the next one looks at it.
                    lane.device = device.clone();
                    changed.push(device.clone());
                }
                None => {
                    info!(device = device.id, model = device.model, "A device is new.");
                    self.lanes
                        .insert(device.id.clone(), Lane::new(device.clone()));
                    changed.push(device.clone());
                }
            }
        }
        if !changed.is_empty() {
            // Not one of the counted heartbeats: number 0 is acknowledged as any other.
            self.tell(Outgoing::Heartbeat(wire::Heartbeat {
                sequence: 0,
                draining: self.shutdown != Shutdown::No,
                changed: changed.into_iter().map(Into::into).collect(),
            }));
        }
        if let Some(telemetry) = inventory::telemetry(&snapshot) {
            self.tell(Outgoing::Telemetry(telemetry));
        }
    }
}
