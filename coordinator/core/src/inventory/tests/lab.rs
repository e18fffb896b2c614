//! A small lab: documents as agents send them, and a fleet that takes them as the coordinator does.

use std::time::Duration;

use batchstep_proto::{
    ids::AgentId,
    inventory::{
        Document, Gpu, Nvml, NvmlState, Record, Scope,
        catalogue::{gpu, host},
    },
};
use jiff::{SignedDuration, Timestamp};

use crate::inventory::{
    Change, ChangeKind, Device, Filter, Fleet, Greeting, Host, HostView, Observation, Report,
    Sample, Snapshot, Wanted,
};

/// An agent by number.
pub fn agent(number: u64) -> AgentId {
    format!("00000000-0000-7000-8000-{number:012x}")
        .parse()
        .unwrap()
}

/// An H200 as one is.
pub fn h200(uuid: &str) -> Gpu {
    let mut facts = Record::new(Scope::Gpu);
    facts.set(gpu::UUID, Ok(uuid.to_owned()));
    facts.set(gpu::INDEX, Ok(0));
    facts.set(gpu::NAME, Ok("NVIDIA H200".to_owned()));
    facts.set(gpu::PCI_BUS_ID, Ok("00000000:18:00.0".to_owned()));
    facts.set(gpu::PCI_DEVICE_ID, Ok("10de:2335".to_owned()));
    facts.set(gpu::COMPUTE_CAPABILITY, Ok("9.0".to_owned()));
    facts.set(gpu::SM_COUNT, Ok(132));
    facts.set(gpu::MEMORY_TOTAL_BYTES, Ok(150_754_820_096));
    facts.set(gpu::VBIOS_VERSION, Ok("96.00.AF.00.01".to_owned()));
    facts.set(gpu::PCIE_WIDTH, Ok(16));
    facts.set(gpu::PCIE_WIDTH_MAX, Ok(16));
    facts.set(gpu::PCIE_GENERATION_MAX, Ok(5));
    facts.set(gpu::POWER_LIMIT_WATTS, Ok(700.0));
    facts.set(gpu::POWER_LIMIT_DEFAULT_WATTS, Ok(700.0));
    facts.set(gpu::ECC_ENABLED, Ok(true));
    facts.set(gpu::ECC_PENDING, Ok(true));
    facts.set(gpu::ECC_UNCORRECTED, Ok(0));
    facts.set(gpu::ROW_REMAP_PENDING, Ok(false));
    facts.set(gpu::TEMPERATURE_CELSIUS, Ok(35.0));
    facts.set(gpu::POWER_DRAW_WATTS, Ok(75.0));
    facts.set(gpu::CLOCK_EVENT_REASONS, Ok(1));
    Gpu::new(facts)
}

/// A MIG instance.
pub fn instance(uuid: &str) -> Gpu {
    let mut facts = Record::new(Scope::Gpu);
    facts.set(gpu::UUID, Ok(uuid.to_owned()));
    facts.set(gpu::NAME, Ok("NVIDIA H200 MIG 1g.18gb".to_owned()));
    facts.set(gpu::MIG_PROFILE, Ok("1g.18gb".to_owned()));
    facts.set(gpu::MEMORY_TOTAL_BYTES, Ok(18 << 30));
    Gpu::new(facts)
}

/// A host whose machine id is `m-` and its name.
pub fn machine(hostname: &str, gpus: Vec<Gpu>) -> Document {
    let mut facts = Record::new(Scope::Host);
    facts.set(host::HOSTNAME, Ok(hostname.to_owned()));
    facts.set(host::MACHINE_ID, Ok(format!("m-{hostname}")));
    facts.set(host::KERNEL, Ok("6.8.0-45".to_owned()));
    facts.set(host::AGENT_VERSION, Ok("0.1.0".to_owned()));
    facts.set(host::DRIVER_VERSION, Ok("580.95.05".to_owned()));
    Document {
        host: facts,
        nvml: Nvml {
            state: NvmlState::Running,
            message: None,
        },
        gpus,
        problems: Vec::new(),
    }
}

/// The same host with another state of NVML and no GPU told.
pub fn blind(hostname: &str, state: NvmlState) -> Document {
    let mut document = machine(hostname, Vec::new());
    document.nvml = Nvml {
        state,
        message: Some("Driver/library version mismatch".to_owned()),
    };
    document
}

/// A fleet with a clock, whose agents are connected unless they left.
pub struct Lab {
    pub fleet: Fleet,
    pub now: Timestamp,
    sessions: u64,
}

impl Lab {
    pub fn new() -> Self {
        Self {
            fleet: Fleet::default(),
            now: "2026-11-25T12:00:00Z".parse().unwrap(),
            sessions: 0,
        }
    }

    pub fn wait(&mut self, seconds: i64) {
        self.now += SignedDuration::from_secs(seconds);
    }

    /// An agent connects.
    pub fn connect(&mut self, number: u64, hostname: &str) -> u64 {
        self.sessions += 1;
        let greeting = Greeting {
            hostname: hostname.to_owned(),
            machine_id: format!("m-{hostname}"),
            agent_version: "0.1.0".to_owned(),
        };
        self.fleet
            .connected(agent(number), self.sessions, greeting, self.now);
        self.sessions
    }

    /// An agent's stream ends.
    pub fn leave(&mut self, number: u64) {
        let session = self.fleet.agents[&agent(number)].session.unwrap();
        self.fleet.disconnected(agent(number), session, self.now);
    }

    /// An agent connects if it is not, and reports; answers with what that means.
    pub fn report(&mut self, number: u64, document: Document) -> Observation {
        let is_connected = self.fleet.agents.get(&agent(number));
        if is_connected.is_none_or(|agent| agent.session.is_none()) {
            let hostname = document.host.get(host::HOSTNAME).unwrap();
            self.connect(number, &hostname);
        }
        self.report_late(number, document)
    }

    /// The same without a connection.
    pub fn report_late(&mut self, number: u64, document: Document) -> Observation {
        let report = Report {
            agent: agent(number),
            machine_id: document.host.get(host::MACHINE_ID).unwrap(),
            document,
            age: Duration::ZERO,
        };
        let observation = self.fleet.observe(self.now, report);
        self.fleet.apply(observation.clone());
        observation
    }

    /// What a report means, in words.
    pub fn told(&mut self, number: u64, document: Document) -> Vec<String> {
        let observation = self.report(number, document);
        observation.changes.iter().map(words).collect()
    }

    /// An agent samples live values.
    pub fn sample(&mut self, number: u64, document: &Document) {
        let sample = Sample {
            document: document.live(),
            received_at: self.now,
            read_at: self.now,
        };
        self.fleet.sample(agent(number), sample);
    }

    /// The coordinator is killed and starts again: nothing is known but what a store keeps.
    pub fn restart(&mut self) {
        let snapshots = self.fleet.agents.iter().filter_map(|(id, agent)| {
            let snapshot = Snapshot {
                sample: None,
                ..agent.snapshot.clone()?
            };
            Some((*id, snapshot))
        });
        let hosts = self.fleet.hosts.values().map(|it| Host::clone(it));
        let devices = self.fleet.devices.values().map(|it| Device::clone(it));
        self.fleet = Fleet::restore(
            self.now,
            hosts.collect(),
            devices.collect(),
            snapshots.collect(),
        );
    }

    pub fn hosts(&self) -> Vec<HostView> {
        self.fleet.hosts(self.now, &Wanted::default()).collect()
    }

    /// UUIDs that an expression chooses.
    pub fn chosen(&self, expression: &str) -> Vec<String> {
        let wanted = Wanted {
            filter: Filter::parse(expression).unwrap(),
            ..Wanted::default()
        };
        let hosts = self.fleet.hosts(self.now, &wanted);
        hosts
            .flat_map(|view| {
                let devices: Vec<String> = view
                    .all_devices()
                    .filter(|device| device.is_wanted)
                    .map(|device| device.device.uuid.clone())
                    .collect();
                devices
            })
            .collect()
    }
}

/// "changed GPU-a power_limit_watts 700 -> 500".
pub fn words(change: &Change) -> String {
    let mut words = vec![change.kind.word().to_owned()];
    words.push(
        change
            .uuid
            .clone()
            .unwrap_or_else(|| change.hostname.clone()),
    );
    words.extend(change.field.clone());
    if change.kind == ChangeKind::Changed {
        let side = |told: &Option<_>| match told {
            Some(told) => format!("{told}"),
            None => String::new(),
        };
        words.push(side(&change.before));
        words.push("->".to_owned());
        words.push(side(&change.after));
    }
    if let Some((_, hostname)) = &change.previous_host {
        words.push(format!("({hostname})"));
    }
    words.join(" ")
}
