//! What is known of hosts, devices and agents as plain rows: what the store keeps, what a report changes, and what an agent last said.

use std::{collections::BTreeSet, time::Duration};

use batchstep_proto::{
    ids::AgentId,
    inventory::{Document, Gpu, Nvml, Record, Value, catalogue},
};
use jiff::{SignedDuration, Timestamp};

use super::change::Change;

/// A machine, by its machine id.
#[derive(Debug, Clone, PartialEq)]
pub struct Host {
    /// Stable over reboots.
    pub machine_id: String,
    /// The newest of its fields that were ever read.
    pub facts: Record,
    /// How its NVML was by its newest report.
    pub nvml: Nvml,
    /// When it first reported.
    pub first_seen: Timestamp,
    /// When it was last heard of, as far as the store knows.
    pub last_seen: Timestamp,
}

impl Host {
    /// Its name, or its machine id where it has none.
    #[must_use]
    pub fn hostname(&self) -> String {
        self.facts
            .get(catalogue::host::HOSTNAME)
            .unwrap_or_else(|| self.machine_id.clone())
    }
}

/// Whether a device is there, by the newest report of its host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Presence {
    /// It is.
    Present,
    /// It is there and does not answer.
    Lost,
    /// It is not.
    Vanished,
}

impl Presence {
    /// The stable word for programs.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Present => "present",
            Self::Lost => "lost",
            Self::Vanished => "vanished",
        }
    }
}

/// A time in which a device was in a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stay {
    /// The host.
    pub machine_id: String,
    /// What it was called when the stay began.
    pub hostname: String,
    /// Since when.
    pub since: Timestamp,
    /// Until when; `None`: still.
    pub until: Option<Timestamp>,
}

/// A GPU or MIG instance, by its UUID.
#[derive(Debug, Clone, PartialEq)]
pub struct Device {
    /// Its name for ever.
    pub uuid: String,
    /// The GPU of a MIG instance.
    pub parent: Option<String>,
    /// The host that has it, or had it last.
    pub machine_id: String,
    /// Further hosts that report the same UUID while that one has it.
    pub duplicates: BTreeSet<String>,
    /// The newest of its lasting fields that were ever read.
    pub facts: Record,
    /// Whether it is there.
    pub presence: Presence,
    /// When it was first seen.
    pub first_seen: Timestamp,
    /// When it was last seen, as far as the store knows.
    pub last_seen: Timestamp,
    /// Where it was, oldest first; the newest sixteen.
    pub stays: Vec<Stay>,
}

/// Stays of a device that are remembered; the history has all of them.
const STAYS: usize = 16;

impl Device {
    /// What it is called, where that was ever read.
    #[must_use]
    pub fn model(&self) -> Option<String> {
        self.facts.get(catalogue::gpu::NAME)
    }

    /// Notes where it is from now on.
    pub(super) fn move_to(&mut self, machine_id: &str, hostname: &str, at: Timestamp) {
        self.leave(at);
        self.machine_id = machine_id.to_owned();
        self.stays.push(Stay {
            machine_id: machine_id.to_owned(),
            hostname: hostname.to_owned(),
            since: at,
            until: None,
        });
        self.forget_old_stays();
    }

    /// Keeps the newest stays only.
    pub fn forget_old_stays(&mut self) {
        let surplus = self.stays.len().saturating_sub(STAYS);
        self.stays.drain(..surplus);
    }

    /// Notes that it is nowhere from now on.
    pub(super) fn leave(&mut self, at: Timestamp) {
        if let Some(stay) = self.stays.last_mut().filter(|stay| stay.until.is_none()) {
            stay.until = Some(at);
        }
    }
}

/// What an agent said of itself when it connected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Greeting {
    /// Name of its host.
    pub hostname: String,
    /// Its host.
    pub machine_id: String,
    /// Its version.
    pub agent_version: String,
}

/// Live values, as the agent last sampled them.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Live fields only.
    pub document: Document,
    /// When it came.
    pub received_at: Timestamp,
    /// When the hardware was asked.
    pub read_at: Timestamp,
}

impl Sample {
    /// What has just come; `age` is the time since the hardware was asked.
    #[must_use]
    pub fn new(document: Document, received_at: Timestamp, age: Duration) -> Self {
        Self {
            document,
            received_at,
            read_at: before(received_at, age),
        }
    }
}

/// The moment so long before another; that one itself where a calendar does not reach so far.
pub(super) fn before(at: Timestamp, age: Duration) -> Timestamp {
    SignedDuration::try_from(age)
        .ok()
        .and_then(|age| at.checked_sub(age).ok())
        .unwrap_or(at)
}

/// The newest inventory of an agent.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// The host it is of.
    pub machine_id: String,
    /// As it was reported.
    pub document: Document,
    /// Of what lasts in it.
    pub digest: [u8; 32],
    /// When it came.
    pub received_at: Timestamp,
    /// When the hardware was asked.
    pub read_at: Timestamp,
    /// Newer live values; never stored.
    pub sample: Option<Sample>,
}

impl Snapshot {
    /// The document with its newest live values.
    #[must_use]
    pub fn current(&self) -> Document {
        let mut document = self.document.clone();
        if let Some(sample) = &self.sample {
            document.update(&sample.document);
        }
        document
    }

    /// How NVML is, by the newest word.
    #[must_use]
    pub fn nvml(&self) -> &Nvml {
        let sample = self.sample.as_ref().map(|sample| &sample.document.nvml);
        sample.unwrap_or(&self.document.nvml)
    }

    /// When the hardware was last asked.
    #[must_use]
    pub fn last_read(&self) -> Timestamp {
        let sample = self.sample.as_ref().map(|sample| sample.read_at);
        sample.map_or(self.read_at, |read_at| read_at.max(self.read_at))
    }

    /// A device of the document, and the GPU that it is an instance of.
    pub(super) fn find(&self, uuid: &str) -> Option<(&Gpu, Option<&Gpu>)> {
        devices(&self.document).find(|(gpu, _)| is(gpu, uuid))
    }
}

/// An agent that connected, or reported once.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Agent {
    /// What it said when it connected; `None` since the coordinator started.
    pub greeting: Option<Greeting>,
    /// The number of its stream, while it has one.
    pub session: Option<u64>,
    /// When it last connected, reported, sampled or left.
    pub heard: Timestamp,
    /// What it reported; `None` for an agent of a version that does not.
    pub snapshot: Option<Snapshot>,
}

impl Agent {
    /// The host it is on.
    pub(super) fn machine_id(&self) -> Option<&String> {
        let reported = self.snapshot.as_ref().map(|snapshot| &snapshot.machine_id);
        reported.or_else(|| self.greeting.as_ref().map(|greeting| &greeting.machine_id))
    }
}

/// A document that has just come.
#[derive(Debug, Clone)]
pub struct Report {
    /// From whom.
    pub agent: AgentId,
    /// Of which host: the document's machine id, or what stands for one that has none.
    pub machine_id: String,
    /// The document.
    pub document: Document,
    /// Since the hardware was asked.
    pub age: Duration,
}

/// What a report changes: rows to be written in place of earlier ones, and new entries of the history.
#[derive(Debug, Clone)]
pub struct Observation {
    /// Who reported.
    pub agent: AgentId,
    /// When.
    pub at: Timestamp,
    /// What.
    pub snapshot: Snapshot,
    /// Its digest is another one than before.
    pub is_new: bool,
    /// The host, where it is new or became different.
    pub host: Option<Host>,
    /// The devices that are new or became different.
    pub devices: Vec<Device>,
    /// What happened, in order.
    pub changes: Vec<Change>,
}

impl Observation {
    /// True when there is something to write; else only the time is news.
    #[must_use]
    pub fn is_news(&self) -> bool {
        self.is_new || self.host.is_some() || !self.devices.is_empty() || !self.changes.is_empty()
    }
}

/// When hosts and devices were last seen, where that is later than the store knows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// By machine id.
    pub hosts: Vec<(String, Timestamp)>,
    /// By UUID.
    pub devices: Vec<(String, Timestamp)>,
}

impl Seen {
    /// True when the store knows everything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.hosts.is_empty() && self.devices.is_empty()
    }
}

/// Every GPU and MIG instance of a document, with the GPU that an instance is part of.
pub(super) fn devices(document: &Document) -> impl Iterator<Item = (&Gpu, Option<&Gpu>)> {
    document.gpus.iter().flat_map(|gpu| {
        let instances = gpu
            .instances
            .iter()
            .map(move |instance| (instance, Some(gpu)));
        std::iter::once((gpu, None)).chain(instances)
    })
}

/// True for the device with this UUID.
pub(super) fn is(gpu: &Gpu, uuid: &str) -> bool {
    let value = gpu.facts.value(catalogue::gpu::UUID.field());
    matches!(value, Some(Value::Text(text)) if text == uuid)
}
