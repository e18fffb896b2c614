//! A small lab: documents as agents send them, and the agents that do.

use batchstep_proto::{
    inventory::{
        Document, Gpu, Nvml, NvmlState, Record, Scope,
        catalogue::{gpu, host},
    },
    wire::{self, agent_message, agent_service_client::AgentServiceClient},
};
use tonic::{Status, transport::Channel};

use super::{Agent, Coordinator, hello, soon};

/// An H200 with more of its values than a story needs.
pub fn h200(uuid: &str) -> Gpu {
    let mut facts = Record::new(Scope::Gpu);
    facts.set(gpu::UUID, Ok(uuid.to_owned()));
    facts.set(gpu::INDEX, Ok(0));
    facts.set(gpu::NAME, Ok("NVIDIA H200".to_owned()));
    facts.set(
        gpu::SERIAL,
        Err(batchstep_proto::inventory::Absent::NotSupported),
    );
    facts.set(gpu::PCI_BUS_ID, Ok("00000000:18:00.0".to_owned()));
    facts.set(gpu::COMPUTE_CAPABILITY, Ok("9.0".to_owned()));
    facts.set(gpu::SM_COUNT, Ok(132));
    facts.set(gpu::MEMORY_TOTAL_BYTES, Ok(150_754_820_096));
    facts.set(gpu::MEMORY_USED_BYTES, Ok(1 << 30));
    facts.set(gpu::VBIOS_VERSION, Ok("96.00.AF.00.01".to_owned()));
    facts.set(gpu::PCIE_WIDTH, Ok(16));
    facts.set(gpu::PCIE_WIDTH_MAX, Ok(16));
    facts.set(gpu::PCIE_GENERATION_MAX, Ok(5));
    facts.set(gpu::POWER_DRAW_WATTS, Ok(75.5));
    facts.set(gpu::POWER_LIMIT_WATTS, Ok(700.0));
    facts.set(gpu::ENERGY_JOULES, Ok(1234.5));
    facts.set(gpu::SM_CLOCK_MHZ, Ok(1980));
    facts.set(gpu::TEMPERATURE_CELSIUS, Ok(35.0));
    facts.set(gpu::GPU_UTILIZATION_PERCENT, Ok(50));
    facts.set(gpu::CLOCK_EVENT_REASONS, Ok(0x4 | 0x200));
    facts.set(gpu::ECC_ENABLED, Ok(true));
    facts.set(gpu::ECC_UNCORRECTED, Ok(0));
    facts.set(gpu::ECC_CORRECTED_LIFETIME, Ok(7));
    facts.set(gpu::COMPUTE_PROCESSES, Ok(0));
    Gpu::new(facts)
}

/// A host whose machine id is `m-` and its name.
pub fn machine(hostname: &str, gpus: Vec<Gpu>) -> Document {
    let mut facts = Record::new(Scope::Host);
    facts.set(host::HOSTNAME, Ok(hostname.to_owned()));
    facts.set(host::MACHINE_ID, Ok(format!("m-{hostname}")));
    facts.set(host::KERNEL, Ok("6.8.0-45".to_owned()));
    facts.set(host::CPU_MODEL, Ok("Example CPU".to_owned()));
    facts.set(host::MEMORY_BYTES, Ok(64 << 30));
    facts.set(host::AGENT_VERSION, Ok("0.1.0".to_owned()));
    facts.set(host::DRIVER_VERSION, Ok("580.95.05".to_owned()));
    Document {
        host: facts,
        nvml: Nvml {
            state: if gpus.is_empty() {
                NvmlState::NoDriver
            } else {
                NvmlState::Running
            },
            message: None,
        },
        gpus,
        problems: Vec::new(),
    }
}

/// An agent's id by number.
pub fn agent_id(number: u8) -> String {
    format!("0190d3a0-0000-7000-8000-0000000000{number:02x}")
}

/// Connects an agent of a host.
pub async fn connect(coordinator: &Coordinator, number: u8, hostname: &str) -> Agent {
    let mut hello = hello(&format!("CPU-{hostname}"));
    hello.agent_id = agent_id(number);
    if let Some(host) = &mut hello.host {
        host.hostname = hostname.to_owned();
        host.machine_id = format!("m-{hostname}");
    }
    let hello = agent_message::Message::Hello(hello);
    Agent::try_connect(coordinator, hello).await.unwrap()
}

/// The request of a report.
pub fn report(number: u8, document: &Document) -> wire::ReportInventoryRequest {
    wire::ReportInventoryRequest {
        agent_id: agent_id(number),
        host: hello("CPU-1").host,
        devices: Vec::new(),
        document: document.to_bytes(),
        digest: document.digest().to_vec(),
        age_ns: 0,
    }
}

/// Sends one.
pub async fn send(
    coordinator: &Coordinator,
    request: wire::ReportInventoryRequest,
) -> Result<(), Status> {
    let mut client: AgentServiceClient<Channel> =
        AgentServiceClient::new(coordinator.channel().await);
    soon("a receipt", client.report_inventory(request)).await?;
    Ok(())
}
