//! The host's record: what [`Host`] found, what the worker says about its libtorch, and what NVML says about the driver.

use batchstep_nvml::Root;
use batchstep_proto::{
    domain::HostFacts,
    inventory::{Absent, Reading, Record, Scope, catalogue::host},
};

use crate::device::{DescribeError, Description, Host, nvidia_driver};

/// What the worker said about itself; `None`: it was not asked (yet).
pub(crate) type Described = Option<Result<Description, DescribeError>>;

/// Makes the record; `system`: NVML's part of it, where it answers.
pub(super) fn record(
    facts: &Host,
    root: &Root,
    described: &Described,
    system: Option<&Record>,
) -> Record {
    let HostFacts {
        hostname,
        machine_id,
        kernel,
        os,
        cpu_model,
        logical_cores,
        physical_cores,
        memory_bytes,
        agent_version,
        // What the worker says of itself is told below.
        software: _,
    } = facts.facts.clone();
    let mut record = Record::new(Scope::Host);
    record.set(host::HOSTNAME, Ok(hostname));
    record.set(host::MACHINE_ID, Ok(machine_id));
    record.set(host::KERNEL, kernel.ok_or(Absent::Unknown));
    record.set(host::OS, os.ok_or(Absent::Unknown));
    record.set(host::CPU_MODEL, cpu_model.ok_or(Absent::Unknown));
    let count = |number: Option<u32>| number.map(u64::from).ok_or(Absent::Unknown);
    record.set(host::LOGICAL_CORES, count(logical_cores));
    record.set(host::PHYSICAL_CORES, count(physical_cores));
    record.set(host::MEMORY_BYTES, memory_bytes.ok_or(Absent::Unknown));
    record.set(host::AGENT_VERSION, Ok(agent_version));
    let libtorch = match described {
        Some(Ok(description)) => Some(description),
        _ => None,
    };
    let told = |text: Option<String>| -> Reading<String> { text.ok_or(Absent::Unknown) };
    record.set(
        host::LIBTORCH_VERSION,
        told(libtorch.and_then(|it| it.libtorch_loaded.clone())),
    );
    record.set(
        host::LIBTORCH_CUDA_VERSION,
        told(libtorch.and_then(|it| it.cuda.clone())),
    );
    record.set(
        host::LIBTORCH_ARCHITECTURES,
        told(libtorch.and_then(|it| Some(it.cuda_architectures.as_ref()?.join(" ")))),
    );
    // Where there is no driver there is none of the rest either: that is no failure to read it.
    let driver = nvidia_driver(root);
    let missing = if driver.is_some() {
        Absent::Unknown
    } else {
        Absent::NotSupported
    };
    let version = driver.filter(|version| version != "unknown");
    record.set(host::DRIVER_VERSION, version.ok_or(missing));
    record.set(host::NVML_VERSION, Err(missing));
    record.set(host::CUDA_DRIVER_VERSION, Err(missing));
    if let Some(system) = system {
        record.update(system);
    }
    record
}
