//! The whole inventory of a host as one document, its canonical JSON, and the two halves of it: what lasts, and what is only of the moment.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};

use super::{
    catalogue,
    field::{Class, Field, Scope},
    reading::{Absent, ValueError},
    record::Record,
};
use crate::{domain::Ineligibility, limits};

/// Version of the document's layout. Grows when a field changes its meaning, never for an addition.
pub const SCHEMA_VERSION: u32 = 1;

/// What an agent found on its host.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// The machine.
    pub host: Record,
    /// How NVML is.
    pub nvml: Nvml,
    /// The GPUs, in NVML's order.
    pub gpus: Vec<Gpu>,
    /// What was read and makes no sense, for people.
    pub problems: Vec<String>,
}

/// Whether NVML can be asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nvml {
    /// In a word.
    pub state: NvmlState,
    /// What is wrong and what to do; absent while it runs.
    pub message: Option<String>,
}

/// The state of NVML.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NvmlState {
    /// It answers.
    Running,
    /// This host has no NVIDIA driver: nothing is missing.
    NoDriver,
    /// There is a driver, and NVML does not start or has stopped; tried again now and then.
    Failed,
    /// A call does not come back; the GPUs are as they were before it.
    Hung,
}

impl NvmlState {
    /// True where NVML should answer and does not.
    #[must_use]
    pub const fn is_trouble(self) -> bool {
        matches!(self, Self::Failed | Self::Hung)
    }
}

/// A GPU with everything in and on it.
#[derive(Debug, Clone, PartialEq)]
pub struct Gpu {
    /// Its fields.
    pub facts: Record,
    /// MIG instances.
    pub instances: Vec<Gpu>,
    /// NVLinks, by number.
    pub links: Vec<NvLink>,
    /// How the other GPUs of the host are reached.
    pub peers: Vec<Peer>,
    /// What runs on it. Of the moment.
    pub processes: Vec<GpuProcess>,
    /// Why no trial may start on it. Of the moment.
    pub ineligible: Vec<Ineligibility>,
    /// What was read and makes no sense, for people.
    pub problems: Vec<String>,
}

/// An NVLink of a GPU.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NvLink {
    /// Its number.
    pub link: u32,
    /// It is up; `None`: not known.
    pub active: Option<bool>,
    /// Version of the protocol, as NVML counts.
    pub version: Option<u32>,
    /// "gpu", "switch", "ibmnpu" or "unknown".
    pub remote_type: Option<String>,
    /// PCI address of the other end.
    pub remote_pci_bus_id: Option<String>,
}

/// Another GPU of the same host, as seen from one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// The other one.
    pub uuid: String,
    /// Their nearest common ancestor: "internal", "single_switch", "multiple_switches", "host_bridge", "numa_node", "system".
    pub topology: Option<String>,
    /// Whether one can read the other's memory: "ok", or why not.
    pub peer_read: Option<String>,
}

/// A process on a GPU.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GpuProcess {
    /// Its number in the host's name space.
    pub pid: u32,
    /// "compute" or "graphics".
    pub kind: String,
    /// Of its executable, where that can be read.
    pub name: Option<String>,
    /// Memory it holds; absent where the driver does not tell.
    pub used_memory_bytes: Option<u64>,
    /// It is one of batchstep's own workers.
    pub own: bool,
}

/// A document that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// It is no JSON, or has another shape.
    #[error("the inventory is not a document of schema {SCHEMA_VERSION}: {0}")]
    Shape(String),
    /// A field has a value of another kind.
    #[error("the inventory's field `{field}`")]
    Field {
        /// Its name.
        field: &'static str,
        /// What is wrong.
        source: ValueError,
    },
    /// It is larger than any host's can be.
    #[error("the inventory has {found} {what}, more than the {limit} allowed")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// So many.
        found: usize,
        /// At most.
        limit: usize,
    },
    /// Two GPUs have the same UUID.
    #[error("two GPUs of one host have the UUID {0:?}")]
    Twice(String),
}

impl Gpu {
    /// Nothing but fields.
    #[must_use]
    pub const fn new(facts: Record) -> Self {
        Self {
            facts,
            instances: Vec::new(),
            links: Vec::new(),
            peers: Vec::new(),
            processes: Vec::new(),
            ineligible: Vec::new(),
            problems: Vec::new(),
        }
    }

    /// Its UUID; empty where it has none, which [`Document::from_bytes`] refuses.
    #[must_use]
    pub fn uuid(&self) -> String {
        self.facts.get(catalogue::gpu::UUID).unwrap_or_default()
    }

    /// True when it does not answer any more.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.facts
            .iter()
            .any(|(_, reading)| *reading == Err(Absent::Lost))
    }

    /// Without what is of the moment.
    fn lasting(&self) -> Self {
        Self {
            facts: self.facts.only(|field| field.class != Class::Live),
            instances: self.instances.iter().map(Self::lasting).collect(),
            links: self.links.clone(),
            peers: self.peers.clone(),
            processes: Vec::new(),
            ineligible: Vec::new(),
            problems: self.problems.clone(),
        }
    }

    /// Only what is of the moment, and the UUID it belongs to.
    fn live(&self) -> Self {
        let uuid = catalogue::gpu::UUID.field();
        let facts = |field: &Field| field.class == Class::Live || field == uuid;
        Self {
            instances: self.instances.iter().map(Self::live).collect(),
            processes: self.processes.clone(),
            ineligible: self.ineligible.clone(),
            ..Self::new(self.facts.only(facts))
        }
    }

    fn update(&mut self, newer: &Self) {
        self.facts.update(&newer.facts);
        self.processes.clone_from(&newer.processes);
        self.ineligible.clone_from(&newer.ineligible);
        for instance in &mut self.instances {
            let uuid = instance.uuid();
            if let Some(newer) = newer.instances.iter().find(|it| it.uuid() == uuid) {
                instance.update(newer);
            }
        }
    }

    /// As a JSON object.
    #[must_use]
    pub fn to_json(&self) -> Map<String, Json> {
        let mut object = self.facts.to_json();
        let instances: Vec<Json> = self
            .instances
            .iter()
            .map(|instance| instance.to_json().into())
            .collect();
        object.insert("mig_instances".to_owned(), instances.into());
        object.insert("nvlinks".to_owned(), json!(self.links));
        object.insert("peers".to_owned(), json!(self.peers));
        object.insert("processes".to_owned(), json!(self.processes));
        object.insert("ineligible".to_owned(), json!(self.ineligible));
        object.insert("problems".to_owned(), json!(self.problems));
        object
    }

    fn from_json(object: &Map<String, Json>) -> Result<Self, DocumentError> {
        let gpu = Self {
            facts: record(Scope::Gpu, object)?,
            instances: list(object, "mig_instances", limits::DEVICES_PER_AGENT)?
                .iter()
                .map(Self::from_json)
                .collect::<Result<_, _>>()?,
            links: typed(object, "nvlinks", limits::DEVICES_PER_AGENT)?,
            peers: typed(object, "peers", limits::DEVICES_PER_AGENT)?,
            processes: typed(object, "processes", limits::PROCESSES_PER_GPU)?,
            ineligible: typed(object, "ineligible", limits::PROBLEMS)?,
            problems: typed(object, "problems", limits::PROBLEMS)?,
        };
        match gpu.uuid() {
            uuid if uuid.is_empty() => Err(DocumentError::Shape("a GPU has no `uuid`".to_owned())),
            _ => Ok(gpu),
        }
    }
}

impl Document {
    /// What changes seldom: everything but live fields, processes and eligibility. What the digest is made of and the history is about.
    #[must_use]
    pub fn lasting(&self) -> Self {
        Self {
            host: self.host.only(|field| field.class != Class::Live),
            nvml: self.nvml.clone(),
            gpus: self.gpus.iter().map(Gpu::lasting).collect(),
            problems: self.problems.clone(),
        }
    }

    /// What is only of the moment, with the UUIDs it belongs to.
    #[must_use]
    pub fn live(&self) -> Self {
        Self {
            host: self.host.only(|field| field.class == Class::Live),
            nvml: self.nvml.clone(),
            gpus: self.gpus.iter().map(Gpu::live).collect(),
            problems: Vec::new(),
        }
    }

    /// Takes a sample's live values over its own, for the GPUs that both have.
    pub fn update(&mut self, sample: &Self) {
        self.nvml.clone_from(&sample.nvml);
        for gpu in &mut self.gpus {
            let uuid = gpu.uuid();
            if let Some(newer) = sample.gpus.iter().find(|newer| newer.uuid() == uuid) {
                gpu.update(newer);
            }
        }
    }

    /// As JSON: fields in the catalogue's order within each object.
    #[must_use]
    pub fn to_json(&self) -> Json {
        let gpus: Vec<Json> = self.gpus.iter().map(|gpu| gpu.to_json().into()).collect();
        json!({
            "schema_version": SCHEMA_VERSION,
            "host": self.host.to_json(),
            "nvml": self.nvml,
            "gpus": gpus,
            "problems": self.problems,
        })
    }

    /// As bytes: the same for equal documents.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.to_json().to_string().into_bytes()
    }

    /// Reads a document from outside.
    ///
    /// # Errors
    /// When it is no JSON of this schema, a known field has a value of another kind, a list is longer than any host's can be, or two GPUs have the
    /// same UUID.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DocumentError> {
        let json: Map<String, Json> = serde_json::from_slice(bytes)
            .map_err(|error| DocumentError::Shape(error.to_string()))?;
        let version = json.get("schema_version").and_then(Json::as_u64);
        if version != Some(u64::from(SCHEMA_VERSION)) {
            return Err(DocumentError::Shape(format!(
                "`schema_version` is {}",
                version.map_or_else(|| "missing".to_owned(), |version| version.to_string())
            )));
        }
        let host = json
            .get("host")
            .and_then(Json::as_object)
            .ok_or_else(|| DocumentError::Shape("`host` is missing".to_owned()))?;
        let nvml = json.get("nvml").cloned().unwrap_or_default();
        let document = Self {
            host: record(Scope::Host, host)?,
            nvml: serde_json::from_value(nvml)
                .map_err(|error| DocumentError::Shape(format!("`nvml`: {error}")))?,
            gpus: list(&json, "gpus", limits::DEVICES_PER_AGENT)?
                .iter()
                .map(Gpu::from_json)
                .collect::<Result<_, _>>()?,
            problems: typed(&json, "problems", limits::PROBLEMS)?,
        };
        let mut uuids: Vec<String> = document
            .gpus
            .iter()
            .flat_map(|gpu| std::iter::once(gpu).chain(&gpu.instances))
            .map(Gpu::uuid)
            .collect();
        uuids.sort_unstable();
        match uuids.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(DocumentError::Twice(pair[0].clone())),
            None => Ok(document),
        }
    }
}

fn record(scope: Scope, object: &Map<String, Json>) -> Result<Record, DocumentError> {
    Record::from_json(scope, object)
        .map_err(|(field, source)| DocumentError::Field { field, source })
}

/// The objects of a list; none where it is missing.
fn list(
    object: &Map<String, Json>,
    what: &'static str,
    limit: usize,
) -> Result<Vec<Map<String, Json>>, DocumentError> {
    typed(object, what, limit)
}

fn typed<T: serde::de::DeserializeOwned>(
    object: &Map<String, Json>,
    what: &'static str,
    limit: usize,
) -> Result<Vec<T>, DocumentError> {
    let Some(json) = object.get(what) else {
        return Ok(Vec::new());
    };
    let found = json.as_array().map_or(0, Vec::len);
    if found > limit {
        return Err(DocumentError::TooMany { what, found, limit });
    }
    Vec::<T>::deserialize(json).map_err(|error| DocumentError::Shape(format!("`{what}`: {error}")))
}
