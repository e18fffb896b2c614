//! Who can tell about a device, and when somebody last could. Asked by `observe` and by the views; changes nothing.

use batchstep_proto::inventory::NvmlState;
use jiff::Timestamp;

use super::{
    fleet::Fleet,
    rows::{Device, Host, Presence, Snapshot},
};

impl Fleet {
    /// When a host was last heard of: now, while one of its agents is connected.
    pub(super) fn host_seen(&self, host: &Host, now: Timestamp) -> Timestamp {
        let agents = self.crew(&host.machine_id);
        let heard = agents.map(|(_, agent, _)| match agent.session {
            Some(_) => now,
            None => agent.heard,
        });
        heard.fold(host.last_seen, Timestamp::max)
    }

    /// When a device was last read on the host that has it.
    pub(super) fn device_seen(&self, device: &Device) -> Timestamp {
        if device.presence != Presence::Present {
            return device.last_seen;
        }
        self.witnesses(device)
            .map(Snapshot::last_read)
            .fold(device.last_seen, Timestamp::max)
    }

    /// The newest documents that have a device on its host, of agents whose NVML works.
    fn witnesses<'a>(&'a self, device: &'a Device) -> impl Iterator<Item = &'a Snapshot> {
        self.crew(&device.machine_id)
            .map(|(_, _, snapshot)| snapshot)
            .filter(|snapshot| snapshot.nvml().state == NvmlState::Running)
            .filter(|snapshot| snapshot.find(&device.uuid).is_some())
    }

    /// True when somebody who is connected reports the device on its host, and NVML works there.
    pub(super) fn is_watched(&self, device: &Device) -> bool {
        self.crew(&device.machine_id).any(|(_, agent, snapshot)| {
            agent.session.is_some()
                && snapshot.nvml().state == NvmlState::Running
                && snapshot.find(&device.uuid).is_some()
        })
    }
}
