//! What an agent tells of its host: the document when it changes, a sample with every look, and every device that is not as it was told.

use std::{
    sync::Arc,
    thread::{self, JoinHandle},
};

use batchstep_agent::{
    AgentError, Shutdown,
    config::Config,
    device::{self, LockDir},
    executor::ProcessExecutor,
    inventory::Snapshot,
    session::TcpDialer,
    state_dir::StateDir,
};
use batchstep_proto::{
    domain::{Device, DeviceKind, Ineligibility},
    inventory::{
        Document, Gpu, Nvml, NvmlState, Record, Scope,
        catalogue::{gpu, host},
    },
    wire::{self, agent_message::Message},
};
use tokio::sync::watch;

use crate::{
    coordinator::{Coordinator, Memory},
    host::{Host, scripted_worker},
};

/// A look at a host with these GPUs, at a temperature.
fn look(uuids: &[&str], celsius: f64) -> Snapshot {
    let facts = device::Host::read().facts;
    let mut machine = Record::new(Scope::Host);
    machine.set(host::HOSTNAME, Ok(facts.hostname.clone()));
    let gpus: Vec<Gpu> = uuids
        .iter()
        .map(|uuid| {
            let mut record = Record::new(Scope::Gpu);
            record.set(gpu::UUID, Ok((*uuid).to_owned()));
            record.set(gpu::TEMPERATURE_CELSIUS, Ok(celsius));
            Gpu::new(record)
        })
        .collect();
    Snapshot {
        devices: uuids.iter().map(|uuid| card(uuid)).collect(),
        host: facts,
        document: Document {
            host: machine,
            nvml: Nvml {
                state: NvmlState::Running,
                message: None,
            },
            gpus,
            problems: Vec::new(),
        },
        read_at: tokio::time::Instant::now(),
    }
}

fn card(uuid: &str) -> Device {
    Device {
        id: uuid.to_owned(),
        kind: DeviceKind::Cuda,
        ..device::processors(&device::Host::read())
    }
}

/// An agent in this process whose host is what a test says.
struct Agent {
    looks: watch::Sender<Arc<Snapshot>>,
    stop: watch::Sender<Shutdown>,
    thread: JoinHandle<Result<(), AgentError>>,
    _host: Host,
}

impl Agent {
    fn start(coordinator: &Coordinator, first: Snapshot) -> Self {
        let host = Host::new();
        let (looks, seen) = watch::channel(Arc::new(first.clone()));
        let (stop, stopped) = watch::channel(Shutdown::No);
        let (state, locks) = (host.path("state"), LockDir::at(host.path("locks")));
        let url = coordinator.url();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            let config = Config {
                locks,
                inventory: Some(seen),
                ..Config::new(first.host, first.devices)
            };
            runtime.block_on(batchstep_agent::run(
                config,
                StateDir::open(&state).unwrap(),
                TcpDialer::new(&url).unwrap(),
                ProcessExecutor::new(Ok(scripted_worker())),
                stopped,
            ))
        });
        Self {
            looks,
            stop,
            thread,
            _host: host,
        }
    }

    fn look(&self, snapshot: Snapshot) {
        self.looks.send_replace(Arc::new(snapshot));
    }

    fn end(self) {
        self.stop.send_replace(Shutdown::Now);
        self.thread.join().unwrap().unwrap();
    }
}

/// Devices that heartbeats told as changed.
fn changed(memory: &Memory) -> Vec<wire::Device> {
    memory
        .messages
        .iter()
        .filter_map(|message| match message {
            Message::Heartbeat(heartbeat) => Some(heartbeat.changed.clone()),
            _ => None,
        })
        .flatten()
        .collect()
}

fn samples(memory: &Memory) -> Vec<Document> {
    memory
        .messages
        .iter()
        .filter_map(|message| match message {
            Message::Telemetry(sample) => Some(Document::from_bytes(&sample.document).unwrap()),
            _ => None,
        })
        .collect()
}

#[test]
fn the_document_is_sent_when_it_changes_and_a_sample_with_every_look() {
    let coordinator = Coordinator::start();
    let agent = Agent::start(&coordinator, look(&["GPU-a"], 30.0));
    let first = coordinator.wait_for("the inventory", |memory| {
        memory.inventories.first().cloned()
    });
    let document = Document::from_bytes(&first.document).unwrap();
    assert_eq!(document.gpus[0].uuid(), "GPU-a");
    assert_eq!(first.digest, document.digest());
    // Warmer is no other GPU.
    agent.look(look(&["GPU-a"], 60.0));
    coordinator.wait_for("a sample", |memory| {
        let warm = samples(memory)
            .iter()
            .any(|sample| sample.gpus[0].facts.get(gpu::TEMPERATURE_CELSIUS) == Some(60.0));
        warm.then_some(())
    });
    agent.look(look(&["GPU-a", "GPU-b"], 60.0));
    coordinator.wait_for("the second GPU", |memory| {
        let last = memory.inventories.last()?;
        (Document::from_bytes(&last.document).unwrap().gpus.len() == 2).then_some(())
    });
    let sent = coordinator.change(|memory| memory.inventories.len());
    assert_eq!(sent, 2, "once for each change of what lasts");
    agent.end();
}

#[test]
fn an_inventory_that_was_not_taken_is_sent_again_and_a_new_session_gets_it_too() {
    let mut coordinator = Coordinator::start();
    coordinator.change(|memory| memory.refuse_inventories = 1);
    let agent = Agent::start(&coordinator, look(&["GPU-a"], 30.0));
    coordinator.wait_for("the inventory", |memory| {
        memory.inventories.first().cloned()
    });
    coordinator.stop();
    coordinator.restart();
    coordinator.wait_for("the inventory again", |memory| {
        memory.inventories.get(1).cloned()
    });
    agent.end();
}

#[test]
fn a_device_is_told_when_it_comes_and_when_it_changes() {
    let coordinator = Coordinator::start();
    let agent = Agent::start(&coordinator, look(&["GPU-a"], 30.0));
    coordinator.device();
    agent.look(look(&["GPU-a", "GPU-b"], 30.0));
    coordinator.wait_for("the new device", |memory| {
        (changed(memory).last()?.id == "GPU-b").then_some(())
    });
    let mut busy = look(&["GPU-a", "GPU-b"], 30.0);
    busy.devices[0].ineligible.push(Ineligibility {
        code: "foreign_process".to_owned(),
        message: "python3 computes on it".to_owned(),
    });
    agent.look(busy);
    let told = coordinator.wait_for("the reason", |memory| {
        let last = changed(memory).pop()?;
        (!last.ineligible.is_empty()).then_some(last)
    });
    assert_eq!(
        (told.id.as_str(), told.ineligible[0].code.as_str()),
        ("GPU-a", "foreign_process")
    );
    // And each time only what changed.
    assert_eq!(coordinator.change(|memory| changed(memory).len()), 2);
    agent.end();
}
