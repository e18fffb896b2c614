//! What an agent is told at its start. Built by `main` from flags and environment, or by a test; never changed afterwards.

use std::{sync::Arc, time::Duration};

use batchstep_daemon::Heart;
use batchstep_proto::{
    domain::{Device, HostFacts},
    size::Size,
};

use tokio::sync::watch;

use crate::{device::LockDir, inventory::Snapshot};

/// Time a drain may take before the running rounds are stopped.
pub const DRAIN_LIMIT: Duration = Duration::from_secs(120);

/// Room for people's own networks: a handful of large ones.
pub const MODEL_ROOM: Size = Size(8 << 30);

/// An agent's world, as far as it is data.
#[derive(Debug, Clone)]
pub struct Config {
    /// Facts for the hello.
    pub host: HostFacts,
    /// Devices offered at the start.
    pub devices: Vec<Device>,
    /// Where devices are locked.
    pub locks: LockDir,
    /// After this a draining agent stops what still runs.
    pub drain_limit: Duration,
    /// Length of the parts in which a long round is reported.
    pub part_interval: Duration,
    /// Room for people's own networks in the state directory.
    pub model_room: Size,
    /// The inventory as it is kept; where there is none, the devices are those of the start, and nothing else is told of the host.
    pub inventory: Option<watch::Receiver<Arc<Snapshot>>>,
    /// Beats while the agent is well, for a service manager; `None` where nobody listens.
    pub heart: Option<Heart>,
}

impl Config {
    /// With the usual times.
    #[must_use]
    pub fn new(host: HostFacts, devices: Vec<Device>) -> Self {
        Self {
            host,
            devices,
            locks: LockDir::of_host(),
            drain_limit: DRAIN_LIMIT,
            part_interval: Duration::from_secs(10),
            model_room: MODEL_ROOM,
            inventory: None,
            heart: None,
        }
    }
}
