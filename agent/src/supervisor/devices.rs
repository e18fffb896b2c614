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
        // The next hello tells what the worker has said meanwhile.
        self.config
            .host
            .software
            .clone_from(&snapshot.host.software);
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
        // What is not even missed any more is forgotten; what runs there still ends.
        let is_known = |id: &String| snapshot.devices.iter().any(|device| device.id == *id);
        self.lanes
            .retain(|id, lane| is_known(id) || !lane.is_idle());
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

#[cfg(test)]
mod tests {
    use batchstep_proto::{
        domain::DeviceKind,
        ids::AgentId,
        inventory::{Document, Nvml, NvmlState, Record, Scope},
    };
    use tokio::{
        sync::{mpsc, oneshot, watch},
        time::Instant,
    };

    use super::*;
    use crate::{
        config::Config, device, executor::ProcessExecutor, inventory::Snapshot, models::Models,
        outbox::Outbox, session::LineEvent, state_dir::StateDir,
    };

    fn look(ids: &[&str]) -> Snapshot {
        let host = device::Host::read();
        Snapshot {
            devices: ids
                .iter()
                .map(|id| Device {
                    id: (*id).to_owned(),
                    kind: DeviceKind::Cuda,
                    ..device::processors(&host)
                })
                .collect(),
            host: host.facts,
            document: Document {
                host: Record::new(Scope::Host),
                nvml: Nvml {
                    state: NvmlState::Running,
                    message: None,
                },
                gpus: Vec::new(),
                problems: Vec::new(),
            },
            read_at: Instant::now(),
        }
    }

    #[tokio::test]
    async fn what_changes_between_hello_and_welcome_is_told_after_the_welcome() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::open(folder.path()).unwrap();
        let (_link, link) = watch::channel(None);
        let first = look(&["GPU-a"]);
        let (looks, seen) = watch::channel(Arc::new(first.clone()));
        let config = Config {
            inventory: Some(seen),
            ..Config::new(first.host.clone(), first.devices.clone())
        };
        let room = config.model_room;
        let mut supervisor = Supervisor::new(
            AgentId::generate(),
            config,
            Arc::new(ProcessExecutor::new(Ok("worker".into()))),
            Arc::new(Outbox::open(&state).unwrap()),
            Arc::new(Models::open(state.models(), room, link).unwrap()),
            watch::channel(false).0,
        );
        let (ask, hello) = oneshot::channel();
        supervisor.heard(LineEvent::HelloWanted(ask));
        assert_eq!(hello.await.unwrap().devices.len(), 1);
        looks.send_replace(Arc::new(look(&["GPU-a", "GPU-b"])));
        supervisor.looked();
        let (outbound, mut said) = mpsc::unbounded_channel();
        supervisor.heard(LineEvent::Connected {
            welcome: wire::Welcome::default(),
            outbound,
        });
        let Some(Outgoing::Heartbeat(heartbeat)) = said.recv().await else {
            panic!("no heartbeat");
        };
        let changed: Vec<&str> = heartbeat.changed.iter().map(|it| it.id.as_str()).collect();
        assert_eq!(changed, ["GPU-b"]);
        supervisor.tell_devices();
        assert!(said.try_recv().is_err(), "it is told once");
    }
}
