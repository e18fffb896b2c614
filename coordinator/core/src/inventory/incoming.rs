//! From what an agent sends to a document that the rest may trust: its own within limits, or where it sends none the little that its other messages say.

use batchstep_proto::{
    domain::{Device, DeviceKind, HostFacts},
    ids::AgentId,
    inventory::{
        Absent, Document, DocumentError, Gpu, Nvml, NvmlState, Record, Scope, Value,
        catalogue::{gpu, host},
    },
    limits,
};

use super::rows;

/// What the key of a host without a machine id begins with; its agent's id follows.
const NO_MACHINE_ID: &str = "agent-";
/// Largest sample, bytes.
const SAMPLE_BYTES: usize = 1 << 20;

/// A document that is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It breaks a rule of its format.
    #[error(transparent)]
    Malformed(#[from] DocumentError),
    /// A text in it is longer than any that means something.
    #[error(
        "the inventory's field `{field}` has {length} bytes, more than the {} allowed",
        limits::STRING_BYTES
    )]
    TooLong {
        /// Its name.
        field: String,
        /// So many bytes.
        length: usize,
    },
    /// A sample is larger than any host's can be.
    #[error("the sample has {0} bytes, more than the {SAMPLE_BYTES} allowed")]
    TooLarge(usize),
}

/// The document of a report; made of the rest of it where it is empty, as an agent of an older version sends it.
///
/// # Errors
/// When there is one, and it breaks a rule.
pub fn document_from(
    bytes: &[u8],
    facts: &HostFacts,
    devices: &[Device],
) -> Result<Document, Refused> {
    if bytes.is_empty() {
        return Ok(made_of(facts, devices));
    }
    let document = Document::from_bytes(bytes)?;
    within_limits(&document)?;
    Ok(document)
}

/// The document of a sample.
///
/// # Errors
/// When it breaks a rule.
pub fn sample_from(bytes: &[u8]) -> Result<Document, Refused> {
    if bytes.len() > SAMPLE_BYTES {
        return Err(Refused::TooLarge(bytes.len()));
    }
    let document = Document::from_bytes(bytes)?;
    within_limits(&document)?;
    Ok(document)
}

/// No text is longer than in any other message.
fn within_limits(document: &Document) -> Result<(), Refused> {
    fn check<'a>(field: &str, text: impl Into<Option<&'a String>>) -> Result<(), Refused> {
        match text.into().map_or(0, String::len) {
            length if length > limits::STRING_BYTES => Err(Refused::TooLong {
                field: field.to_owned(),
                length,
            }),
            _ => Ok(()),
        }
    }
    fn record(record: &Record) -> Result<(), Refused> {
        record
            .iter()
            .try_for_each(|(field, reading)| match reading {
                Ok(Value::Text(text)) => check(field.name, text),
                _ => Ok(()),
            })
    }
    record(&document.host)?;
    check("nvml.message", document.nvml.message.as_ref())?;
    for problem in &document.problems {
        check("problems", problem)?;
    }
    for (gpu, _) in rows::devices(document) {
        record(&gpu.facts)?;
        for problem in &gpu.problems {
            check("gpus.problems", problem)?;
        }
        for link in &gpu.links {
            check("gpus.nvlinks.remote_type", link.remote_type.as_ref())?;
            check(
                "gpus.nvlinks.remote_pci_bus_id",
                link.remote_pci_bus_id.as_ref(),
            )?;
        }
        for peer in &gpu.peers {
            check("gpus.peers.uuid", &peer.uuid)?;
            check("gpus.peers.topology", peer.topology.as_ref())?;
            check("gpus.peers.peer_read", peer.peer_read.as_ref())?;
        }
        for process in &gpu.processes {
            check("gpus.processes.kind", &process.kind)?;
            check("gpus.processes.name", process.name.as_ref())?;
        }
        for reason in &gpu.ineligible {
            check("gpus.ineligible.code", &reason.code)?;
            check("gpus.ineligible.message", &reason.message)?;
        }
    }
    Ok(())
}

/// The key of the host that a document is of. One that has no machine id is as many hosts as it has agents.
#[must_use]
pub fn machine_id(document: &Document, facts: &HostFacts, agent: AgentId) -> String {
    document
        .host
        .get(host::MACHINE_ID)
        .into_iter()
        .chain([facts.machine_id.clone()])
        .find(|id| !id.is_empty())
        .unwrap_or_else(|| format!("{NO_MACHINE_ID}{agent}"))
}

/// The agent that a host without a machine id was named after.
#[must_use]
pub fn agent_of_machine(machine_id: &str) -> Option<AgentId> {
    machine_id.strip_prefix(NO_MACHINE_ID)?.parse().ok()
}

fn made_of(facts: &HostFacts, devices: &[Device]) -> Document {
    let known = |text: &Option<String>| text.clone().ok_or(Absent::Unknown);
    let count = |number: Option<u32>| number.map(u64::from).ok_or(Absent::Unknown);
    let mut record = Record::new(Scope::Host);
    record.set(host::HOSTNAME, Ok(facts.hostname.clone()));
    record.set(host::MACHINE_ID, Ok(facts.machine_id.clone()));
    record.set(host::KERNEL, known(&facts.kernel));
    record.set(host::OS, known(&facts.os));
    record.set(host::CPU_MODEL, known(&facts.cpu_model));
    record.set(host::LOGICAL_CORES, count(facts.logical_cores));
    record.set(host::PHYSICAL_CORES, count(facts.physical_cores));
    record.set(
        host::MEMORY_BYTES,
        facts.memory_bytes.ok_or(Absent::Unknown),
    );
    record.set(host::AGENT_VERSION, Ok(facts.agent_version.clone()));
    let mut gpus = Vec::new();
    for device in devices
        .iter()
        .filter(|device| device.kind == DeviceKind::Cuda)
    {
        if let Some(driver) = &device.driver {
            record.set(host::DRIVER_VERSION, Ok(driver.clone()));
        }
        let mut facts = Record::new(Scope::Gpu);
        facts.set(gpu::UUID, Ok(device.id.clone()));
        facts.set(gpu::NAME, Ok(device.model.clone()));
        facts.set(
            gpu::MEMORY_TOTAL_BYTES,
            device.memory_bytes.ok_or(Absent::Unknown),
        );
        facts.set(gpu::COMPUTE_CAPABILITY, known(&device.compute_capability));
        facts.set(gpu::SM_COUNT, count(device.compute_units));
        if let Some(profile) = &device.mig_profile {
            facts.set(gpu::MIG_PROFILE, Ok(profile.clone()));
        }
        gpus.push(Gpu {
            ineligible: device.ineligible.clone(),
            ..Gpu::new(facts)
        });
    }
    let state = if gpus.is_empty() {
        NvmlState::NoDriver
    } else {
        NvmlState::Running
    };
    Document {
        host: record,
        nvml: Nvml {
            state,
            message: None,
        },
        gpus,
        problems: vec![format!(
            "agent {} is of a version that sends no inventory; update it",
            facts.agent_version
        )],
    }
}
