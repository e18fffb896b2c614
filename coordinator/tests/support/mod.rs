//! What the tests of this crate share: sample values, a coordinator on a free loopback port, and an agent that follows a script.

#![allow(dead_code, reason = "every test binary uses its own part")]

pub mod lab;
pub mod past;

use std::{collections::BTreeMap, future::Future, net::SocketAddr, time::Duration};

use batchstep_coordinator::{
    serve::{self, ServeError},
    store::Store,
};
use batchstep_core::sweep::SeriesPlan;
use batchstep_proto::{
    domain::{
        AttemptOutcome, AttemptReport, BatchSizes, Block, Device, DeviceKind, DeviceSelector,
        Dtype, Mode, Round, RoundKind, Scheduling, Strategy, SweepSpec, Timing, Visit, VisitOrder,
        VisitRole,
    },
    ids::{AttemptId, RoundId, SeriesId, SweepId},
    wire::{
        self, agent_message, agent_service_client::AgentServiceClient,
        coordinator_message::Message, operator_service_client::OperatorServiceClient,
        report_attempt_response::Disposition,
    },
};
use tokio::{net::TcpListener, sync::mpsc, task::JoinHandle};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming, transport::Channel};

/// How long anything may take on a shared machine before a test calls it stuck.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Waits, but not for ever.
pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("waited {PATIENCE:?} for {what}"),
    }
}

pub fn spec() -> SweepSpec {
    SweepSpec {
        workloads: vec!["linear".parse().unwrap()],
        batch_sizes: BatchSizes::Listed(vec![1, 2, 3, 4]),
        mode: Mode::Train,
        dtype: Dtype::F32,
        threads: Some(2),
        strategy: Strategy::Dense,
        budget: Duration::from_secs(4),
        precision: 0.01,
        iterations: None,
        seed: 7,
        devices: DeviceSelector::Cpu,
        preset: None,
        visit_order: VisitOrder::Random,
        scheduling: Scheduling::default(),
    }
}

pub fn device(id: &str) -> Device {
    Device {
        id: id.to_owned(),
        kind: DeviceKind::Cpu,
        model: "Example CPU".to_owned(),
        compute_units: Some(4),
        memory_bytes: Some(8 << 30),
        mig_profile: None,
        compute_capability: None,
        driver: None,
        pci_device_id: None,
        ineligible: Vec::new(),
    }
}

pub fn plan(sweep: SweepId, device_id: &str) -> SeriesPlan {
    SeriesPlan {
        others: Vec::new(),
        departed: BTreeMap::new(),
        id: SeriesId::of(sweep, device_id, "linear"),
        sweep,
        spec: spec(),
        workload: "linear".parse().unwrap(),
        device: device(device_id),
        hostname: "host".to_owned(),
        threads: Some(2),
    }
}

pub fn round(plan: &SeriesPlan, index: u32) -> Round {
    Round {
        id: RoundId::of(plan.id, index),
        series: plan.id,
        sweep: plan.sweep,
        device_id: plan.device.id.clone(),
        index,
        kind: RoundKind::Measure,
        workload: plan.workload.clone(),
        mode: Mode::Train,
        dtype: Dtype::F32,
        threads: Some(2),
        seed: 7,
        reference_batch_size: Some(4),
        visits: vec![
            Visit {
                batch_size: 4,
                role: VisitRole::Reference,
                iterations: None,
            },
            Visit {
                batch_size: 1,
                role: VisitRole::Measure,
                iterations: Some(10),
            },
        ],
        timing: Timing::protocol(true),
        time_limit: Duration::from_secs(60),
        idle_only: false,
    }
}

pub fn block(visit: u32, batch_size: u32) -> Block {
    Block {
        visit,
        batch_size,
        role: VisitRole::Measure,
        iterations: 10,
        elapsed: Duration::from_nanos(100_000_001),
        device_elapsed: Some(Duration::from_millis(99)),
        started_after: Duration::from_millis(u64::from(visit) * 120),
        warm_up_iterations: 3,
        warm_up: Duration::from_millis(20),
        foreign_cores: Some(0.125),
        peak_memory_bytes: Some(1 << 33),
        temperature_celsius: Some(61.5),
        power_watts: None,
        sm_clock_mhz: None,
        throttle_reasons: Some(u64::MAX),
        foreign_processes: Some(0),
    }
}

pub fn report(attempt: AttemptId, round: &Round, part: u32, last: bool) -> AttemptReport {
    AttemptReport {
        attempt,
        round: round.id,
        part,
        outcome: last.then_some(AttemptOutcome::Finished),
        message: String::new(),
        blocks: vec![block(2 * part, 4), block(2 * part + 1, 1)],
        failures: Vec::new(),
        facts: None,
        measuring: Duration::from_millis(200),
        warm_up: Duration::from_millis(40),
        elapsed: Duration::from_millis(250),
    }
}

/// A running coordinator.
pub struct Coordinator {
    pub address: SocketAddr,
    shutdown: CancellationToken,
    task: JoinHandle<Result<(), ServeError>>,
}

impl Coordinator {
    pub async fn start(store: impl Store) -> Self {
        let listener: TcpListener = serve::bind(([127, 0, 0, 1], 0).into()).unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(serve::serve(store, listener, shutdown.clone()));
        Self {
            address,
            shutdown,
            task,
        }
    }

    pub async fn stop(self) {
        self.shutdown.cancel();
        soon("the coordinator to stop", self.task)
            .await
            .unwrap()
            .unwrap();
    }

    pub async fn channel(&self) -> Channel {
        let endpoint = Channel::from_shared(format!("http://{}", self.address)).unwrap();
        soon("a connection", endpoint.connect()).await.unwrap()
    }

    pub async fn operator(&self) -> OperatorServiceClient<Channel> {
        OperatorServiceClient::new(self.channel().await)
    }

    /// Submits [`spec`].
    pub async fn submit(&self) -> String {
        let request = wire::SubmitSweepRequest {
            request_id: batchstep_proto::ids::RequestId::generate().to_string(),
            spec: Some(spec().into()),
        };
        let mut operator = self.operator().await;
        operator
            .submit_sweep(request)
            .await
            .unwrap()
            .into_inner()
            .sweep_id
    }
}

pub const AGENT: &str = "0190d3a0-0000-7000-8000-00000000000a";

pub fn hello(device_id: &str) -> wire::AgentHello {
    wire::AgentHello {
        protocol_min: 1,
        protocol_max: 1,
        agent_id: AGENT.to_owned(),
        boot_id: batchstep_proto::ids::BootId::generate().to_string(),
        host: Some(wire::HostFacts {
            hostname: "host".to_owned(),
            machine_id: "machine".to_owned(),
            logical_cores: Some(4),
            physical_cores: Some(4),
            agent_version: "test".to_owned(),
            ..wire::HostFacts::default()
        }),
        devices: vec![device(device_id).into()],
        held: Vec::new(),
        draining: false,
    }
}

/// An agent that does what a test tells it.
pub struct Agent {
    client: AgentServiceClient<Channel>,
    outbound: mpsc::Sender<wire::AgentMessage>,
    inbound: Streaming<wire::CoordinatorMessage>,
    pub welcome: wire::Welcome,
}

impl Agent {
    pub async fn try_connect(
        coordinator: &Coordinator,
        first: agent_message::Message,
    ) -> Result<Self, Status> {
        let mut client = AgentServiceClient::new(coordinator.channel().await);
        let (outbound, queue) = mpsc::channel(64);
        let first = wire::AgentMessage {
            message: Some(first),
        };
        outbound.send(first).await.unwrap();
        let answer = soon("a session", client.session(ReceiverStream::new(queue))).await?;
        let mut inbound = answer.into_inner();
        let first = soon("a welcome", inbound.message()).await?;
        let Some(Message::Welcome(welcome)) = first.and_then(|first| first.message) else {
            panic!("the first message is no welcome");
        };
        Ok(Self {
            client,
            outbound,
            inbound,
            welcome,
        })
    }

    pub async fn connect(coordinator: &Coordinator, device_id: &str) -> Self {
        let hello = agent_message::Message::Hello(hello(device_id));
        Self::try_connect(coordinator, hello).await.unwrap()
    }

    pub async fn send(&self, message: agent_message::Message) {
        let message = wire::AgentMessage {
            message: Some(message),
        };
        self.outbound.send(message).await.unwrap();
    }

    /// The next message; `None` when the stream ended.
    pub async fn next(&mut self) -> Option<Message> {
        let message = soon("a message from the coordinator", self.inbound.message()).await;
        message.ok().flatten().and_then(|message| message.message)
    }

    /// The next assignment; `None` when the stream ended. Other messages are passed over.
    pub async fn assignment(&mut self) -> Option<wire::Assignment> {
        loop {
            match self.next().await? {
                Message::Assignment(assignment) => return Some(assignment),
                Message::Closing(_) => return None,
                _ => {}
            }
        }
    }

    /// Waits for the end of the stream; answers with the reason.
    pub async fn closing(&mut self) -> Option<wire::Closing> {
        let mut closing = None;
        while let Some(message) = self.next().await {
            if let Message::Closing(reason) = message {
                closing = Some(reason);
            }
        }
        closing
    }

    pub async fn accept(&mut self, assignment: &wire::Assignment) {
        self.send(agent_message::Message::Accepted(wire::AttemptAccepted {
            attempt_id: assignment.attempt_id.clone(),
        }))
        .await;
        loop {
            if let Message::Recorded(recorded) = self.next().await.expect("the stream is open") {
                assert_eq!(recorded.attempt_id, assignment.attempt_id);
                return;
            }
        }
    }

    pub async fn report(&mut self, report: wire::AttemptReport) -> Result<Disposition, Status> {
        let request = wire::ReportAttemptRequest {
            agent_id: AGENT.to_owned(),
            digest: AttemptReport::digest(&report).to_vec(),
            report: Some(report),
        };
        let answer = soon("a receipt", self.client.report_attempt(request)).await?;
        Ok(answer.into_inner().disposition())
    }

    /// Accepts a round, measures every visit by a law with a step of 2, and reports it.
    pub async fn work(&mut self, assignment: &wire::Assignment) -> u32 {
        self.accept(assignment).await;
        let report = measured(assignment);
        let blocks = u32::try_from(report.blocks.len()).unwrap();
        assert_eq!(self.report(report).await.unwrap(), Disposition::Accepted);
        blocks
    }
}

/// The final report of a round in which everything went well.
pub fn measured(assignment: &wire::Assignment) -> wire::AttemptReport {
    const BLOCK_NS: u64 = 50_000_000;
    let round = assignment
        .round
        .as_ref()
        .expect("an assignment has a round");
    let blocks: Vec<wire::Block> = (0_u32..)
        .zip(&round.visits)
        .map(|(position, visit)| {
            let iteration_ns = 1_000_000 * u64::from(visit.batch_size.div_ceil(2));
            let iterations = u32::try_from(BLOCK_NS / iteration_ns).unwrap().max(1);
            wire::Block {
                visit: position,
                batch_size: visit.batch_size,
                role: visit.role,
                iterations,
                elapsed_ns: iteration_ns * u64::from(iterations),
                started_after_ns: u64::from(position) * 2 * BLOCK_NS,
                ..wire::Block::default()
            }
        })
        .collect();
    wire::AttemptReport {
        attempt_id: assignment.attempt_id.clone(),
        round_id: round.round_id.clone(),
        part: 0,
        r#final: true,
        outcome: wire::AttemptOutcome::Finished as i32,
        measuring_ns: blocks.iter().map(|block| block.elapsed_ns).sum(),
        elapsed_ns: blocks.iter().map(|block| block.elapsed_ns).sum(),
        blocks,
        facts: Some(wire::WorkerFacts {
            software: Some(wire::Software {
                libtorch: Some("2.11.0".to_owned()),
                ..wire::Software::default()
            }),
            ..wire::WorkerFacts::default()
        }),
        ..wire::AttemptReport::default()
    }
}
