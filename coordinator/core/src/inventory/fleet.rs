//! The inventory as one state to ask. Only [`Fleet::apply`] and the notes about sessions and samples change it; what a new document means is decided in
//! `observe`.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use batchstep_proto::ids::AgentId;
use jiff::Timestamp;

use super::rows::{Agent, Device, Greeting, Host, Observation, Sample, Seen, Snapshot};

/// The inventory of the whole fleet. Cheap to clone: a clone is a view that others may read at leisure.
#[derive(Debug, Clone, Default)]
pub struct Fleet {
    pub(super) hosts: BTreeMap<String, Arc<Host>>,
    pub(super) devices: BTreeMap<String, Arc<Device>>,
    pub(super) agents: BTreeMap<AgentId, Arc<Agent>>,
    /// Per machine, the devices that it has or claims.
    places: BTreeMap<String, BTreeSet<String>>,
    /// Per machine, the agents that reported it, or greeted from it and report nothing.
    crews: BTreeMap<String, BTreeSet<AgentId>>,
    /// Since when agents could be heard at all: before, the coordinator did not run, and when an agent was last heard then is not kept.
    pub(super) began: Timestamp,
}

impl Fleet {
    /// The state that a store's rows describe, known from now on.
    #[must_use]
    pub fn restore(
        now: Timestamp,
        hosts: Vec<Host>,
        devices: Vec<Device>,
        snapshots: Vec<(AgentId, Snapshot)>,
    ) -> Self {
        let mut fleet = Self {
            began: now,
            ..Self::default()
        };
        for host in hosts {
            fleet.hosts.insert(host.machine_id.clone(), Arc::new(host));
        }
        for device in devices {
            fleet.put(device);
        }
        for (agent, snapshot) in snapshots {
            let heard = snapshot.received_at;
            fleet.remember(agent, heard, snapshot);
        }
        fleet
    }

    /// Takes over what was committed.
    pub fn apply(&mut self, observation: Observation) {
        let Observation {
            agent,
            at,
            snapshot,
            host,
            devices,
            ..
        } = observation;
        if let Some(host) = host {
            self.hosts.insert(host.machine_id.clone(), Arc::new(host));
        }
        for device in devices {
            self.put(device);
        }
        self.remember(agent, at, snapshot);
    }

    fn put(&mut self, device: Device) {
        if let Some(before) = self.devices.get(&device.uuid) {
            for machine in before.duplicates.iter().chain([&before.machine_id]) {
                if let Some(place) = self.places.get_mut(machine) {
                    place.remove(&device.uuid);
                }
            }
        }
        for machine in device.duplicates.iter().chain([&device.machine_id]) {
            let place = self.places.entry(machine.clone()).or_default();
            place.insert(device.uuid.clone());
        }
        self.devices.insert(device.uuid.clone(), Arc::new(device));
    }

    fn remember(&mut self, id: AgentId, at: Timestamp, snapshot: Snapshot) {
        let mut agent = self.agent(id);
        agent.heard = agent.heard.max(at);
        agent.snapshot = Some(snapshot);
        self.enlist(id, agent);
    }

    /// Keeps an agent, as one of the crew of its host.
    fn enlist(&mut self, id: AgentId, agent: Agent) {
        let before = self
            .agents
            .get(&id)
            .and_then(|agent| agent.machine_id().cloned());
        let now = agent.machine_id().cloned();
        if before != now
            && let Some(crew) = before.and_then(|machine_id| self.crews.get_mut(&machine_id))
        {
            crew.remove(&id);
        }
        if let Some(machine_id) = now {
            self.crews.entry(machine_id).or_default().insert(id);
        }
        self.agents.insert(id, Arc::new(agent));
    }

    fn agent(&self, id: AgentId) -> Agent {
        self.agents
            .get(&id)
            .map(|agent| Agent::clone(agent))
            .unwrap_or_default()
    }

    /// Notes that an agent opened a stream, which takes the place of an earlier one.
    pub fn connected(&mut self, id: AgentId, session: u64, greeting: Greeting, at: Timestamp) {
        let mut agent = self.agent(id);
        agent.session = Some(session);
        agent.greeting = Some(greeting);
        agent.heard = at;
        self.enlist(id, agent);
    }

    /// Notes that a stream has ended. One that a newer stream has replaced is no news.
    pub fn disconnected(&mut self, id: AgentId, session: u64, at: Timestamp) {
        let mut agent = self.agent(id);
        if agent.session == Some(session) {
            agent.session = None;
            agent.heard = at;
            self.agents.insert(id, Arc::new(agent));
        }
    }

    /// Takes newer live values of an agent that has reported; others' are of no use without a document.
    pub fn sample(&mut self, id: AgentId, sample: Sample) {
        let mut agent = self.agent(id);
        if let Some(snapshot) = &mut agent.snapshot {
            agent.heard = sample.received_at;
            snapshot.sample = Some(sample);
            self.agents.insert(id, Arc::new(agent));
        }
    }

    /// The devices that a machine has or claims.
    pub(super) fn place(&self, machine_id: &str) -> impl Iterator<Item = &Arc<Device>> {
        let uuids = self.places.get(machine_id).into_iter().flatten();
        uuids.filter_map(|uuid| self.devices.get(uuid))
    }

    /// The agents of a machine.
    pub(super) fn staff(&self, machine_id: &str) -> impl Iterator<Item = (AgentId, &Arc<Agent>)> {
        let agents = self.crews.get(machine_id).into_iter().flatten();
        agents.filter_map(|id| Some((*id, self.agents.get(id)?)))
    }

    /// The agents that reported a machine, with what they reported.
    pub(super) fn crew(
        &self,
        machine_id: &str,
    ) -> impl Iterator<Item = (AgentId, &Agent, &Snapshot)> {
        self.staff(machine_id)
            .filter_map(|(id, agent)| Some((id, &**agent, agent.snapshot.as_ref()?)))
    }

    /// A host's name; its machine id where it is not known.
    pub(super) fn hostname(&self, machine_id: &str) -> String {
        self.hosts
            .get(machine_id)
            .map_or_else(|| machine_id.to_owned(), |host| host.hostname())
    }

    /// What became known since the store was last told.
    #[must_use]
    pub fn seen(&self, now: Timestamp) -> Seen {
        let hosts = self.hosts.values().filter_map(|host| {
            let seen = self.host_seen(host, now);
            (seen > host.last_seen).then(|| (host.machine_id.clone(), seen))
        });
        let devices = self.devices.values().filter_map(|device| {
            let seen = self.device_seen(device);
            (seen > device.last_seen).then(|| (device.uuid.clone(), seen))
        });
        Seen {
            hosts: hosts.collect(),
            devices: devices.collect(),
        }
    }

    /// Notes that the store was told.
    pub fn settle(&mut self, seen: &Seen) {
        for (machine_id, at) in &seen.hosts {
            if let Some(host) = self.hosts.get_mut(machine_id) {
                let host = Arc::make_mut(host);
                host.last_seen = host.last_seen.max(*at);
            }
        }
        for (uuid, at) in &seen.devices {
            if let Some(device) = self.devices.get_mut(uuid) {
                let device = Arc::make_mut(device);
                device.last_seen = device.last_seen.max(*at);
            }
        }
    }
}
