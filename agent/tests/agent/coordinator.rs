//! A coordinator for one agent: real tonic, real sockets, and a memory of all it was told. Tests wait for a state of that memory.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use batchstep_proto::{
    domain::AttemptReport,
    model::{ModelDigest, ModelHasher},
    wire::{
        self, CoordinatorMessage,
        agent_message::Message as FromAgent,
        agent_service_server::{AgentService, AgentServiceServer},
        attempt_verdict::Verdict,
        coordinator_message::Message as ToAgent,
    },
};
use tokio::sync::{mpsc, oneshot};
use tokio_stream::{
    Stream, StreamExt as _,
    wrappers::{TcpListenerStream, UnboundedReceiverStream},
};
use tonic::{Request, Response, Status, Streaming};

/// Far above anything a healthy agent needs; only a broken one takes this long.
const PATIENCE: Duration = Duration::from_secs(30);

/// Bytes in one message of a download.
const PIECE: usize = 16;

type Chunks = std::pin::Pin<Box<dyn Stream<Item = Result<wire::ModelChunk, Status>> + Send>>;
type Sender = mpsc::UnboundedSender<Result<CoordinatorMessage, Status>>;

/// All that an agent said.
#[derive(Default)]
pub struct Memory {
    pub hellos: Vec<wire::AgentHello>,
    pub messages: Vec<FromAgent>,
    pub reports: Vec<wire::AttemptReport>,
    /// Reports to refuse with a status that may pass.
    pub refuse_reports: u32,
    /// Do not record acceptances by itself.
    pub keep_acceptances: bool,
    /// Do not answer heartbeats.
    pub mute: bool,
    /// Told in the welcome, instead of a minute.
    pub offline_budget: Option<Duration>,
    /// Inventories, in the order in which they came.
    pub inventories: Vec<wire::ReportInventoryRequest>,
    /// Inventories to refuse with a status that may pass.
    pub refuse_inventories: u32,
    /// How the last session ended, once it has: in order or not.
    pub goodbye: Option<bool>,
    /// What is handed out, by digest.
    pub models: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Digest and offset of every download.
    pub downloads: Vec<(Vec<u8>, u64)>,
    /// Downloads to break off after a piece.
    pub break_downloads: u32,
    /// Downloads say how much there is, and send nothing of it.
    pub hold_downloads: bool,
    session: Option<Sender>,
}

impl Memory {
    /// Hands out this content under a digest, by default its own.
    pub fn offer(&mut self, content: &[u8], digest: Option<ModelDigest>) -> ModelDigest {
        let digest = digest.unwrap_or_else(|| {
            let mut hasher = ModelHasher::default();
            hasher.update(content);
            hasher.finish()
        });
        self.models
            .insert(digest.as_bytes().to_vec(), content.to_vec());
        digest
    }

    fn download(&mut self, request: &wire::DownloadModelRequest) -> Result<Chunks, Status> {
        self.downloads
            .push((request.digest.clone(), request.offset));
        let content = self
            .models
            .get(&request.digest)
            .ok_or_else(|| Status::not_found("the coordinator has no such model any more"))?;
        let size = content.len() as u64;
        let rest = &content[usize::try_from(request.offset).unwrap()..];
        let mut chunks: Vec<_> = rest
            .chunks(PIECE)
            .map(|piece| {
                Ok(wire::ModelChunk {
                    size_bytes: Some(size),
                    data: piece.to_vec(),
                })
            })
            .collect();
        if self.break_downloads > 0 {
            self.break_downloads -= 1;
            chunks.truncate(1);
            chunks.push(Err(Status::unavailable("the network broke")));
        }
        if self.hold_downloads {
            return Ok(Box::pin(tokio_stream::pending()));
        }
        Ok(Box::pin(tokio_stream::iter(chunks)))
    }

    /// The final report of an attempt.
    pub fn last_report(&self, attempt: &str) -> Option<wire::AttemptReport> {
        self.reports
            .iter()
            .find(|report| report.attempt_id == attempt && report.r#final)
            .cloned()
    }

    pub fn accepted(&self, attempt: &str) -> Option<()> {
        self.messages.iter().find_map(|message| {
            matches!(message, FromAgent::Accepted(accepted) if accepted.attempt_id == attempt)
                .then_some(())
        })
    }

    pub fn progress(&self, attempt: &str) -> Option<wire::AttemptProgress> {
        self.messages
            .iter()
            .rev()
            .find_map(|message| match message {
                FromAgent::Progress(progress) if progress.attempt_id == attempt => {
                    Some(progress.clone())
                }
                _ => None,
            })
    }

    pub fn heartbeats(&self) -> usize {
        self.messages
            .iter()
            .filter(|message| matches!(message, FromAgent::Heartbeat(_)))
            .count()
    }

    fn send(&self, message: ToAgent) {
        let session = self.session.as_ref().expect("an agent is connected");
        let message = CoordinatorMessage {
            message: Some(message),
        };
        session.send(Ok(message)).expect("the session is open");
    }
}

#[derive(Clone, Default)]
struct Shared(Arc<(Mutex<Memory>, Condvar)>);

impl Shared {
    fn change<T>(&self, change: impl FnOnce(&mut Memory) -> T) -> T {
        let result = change(&mut self.0.0.lock().unwrap_or_else(PoisonError::into_inner));
        self.0.1.notify_all();
        result
    }
}

/// A running coordinator; stops when dropped.
pub struct Coordinator {
    shared: Shared,
    address: SocketAddr,
    server: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
}

impl Coordinator {
    pub fn start() -> Self {
        let mut coordinator = Self {
            shared: Shared::default(),
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            server: None,
        };
        coordinator.restart();
        coordinator
    }

    /// Serves again on the same address, with the same memory.
    pub fn restart(&mut self) {
        let (stop, stopped) = oneshot::channel();
        let (bound, address) = std::sync::mpsc::channel();
        let (wanted, shared) = (self.address, self.shared.clone());
        let thread = thread::spawn(move || {
            // Dropping the runtime closes every connection, as the end of a process would.
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap()
                .block_on(async {
                    let listener = tokio::net::TcpListener::bind(wanted).await.unwrap();
                    bound.send(listener.local_addr().unwrap()).unwrap();
                    let server = tonic::transport::Server::builder()
                        .add_service(AgentServiceServer::new(Service(shared)))
                        .serve_with_incoming(TcpListenerStream::new(listener));
                    tokio::select! {
                        served = server => served.unwrap(),
                        _ = stopped => {}
                    }
                });
        });
        self.address = address.recv().unwrap();
        self.server = Some((stop, thread));
    }

    /// Goes away without a word.
    pub fn stop(&mut self) {
        if let Some((stop, thread)) = self.server.take() {
            let _ = stop.send(());
            thread.join().unwrap();
        }
        self.shared.change(|memory| memory.session = None);
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Waits until `wanted` finds something.
    #[track_caller]
    pub fn wait_for<T>(&self, what: &str, wanted: impl Fn(&Memory) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        let mut memory = self
            .shared
            .0
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(found) = wanted(&memory) {
                return found;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(
                !left.is_zero(),
                "waited in vain for {what}; messages: {:?}; reports: {:?}",
                memory.messages,
                memory.reports
            );
            memory = self.shared.0.1.wait_timeout(memory, left).unwrap().0;
        }
    }

    pub fn change<T>(&self, change: impl FnOnce(&mut Memory) -> T) -> T {
        self.shared.change(change)
    }

    /// Waits for an agent and gives its only device's id.
    pub fn device(&self) -> String {
        self.wait_for("a session", |memory| {
            memory.session.as_ref()?;
            Some(memory.hellos.last()?.devices.first()?.id.clone())
        })
    }

    pub fn assign(&self, attempt: &str, round: &wire::Round) {
        self.change(|memory| {
            memory.send(ToAgent::Assignment(wire::Assignment {
                attempt_id: attempt.to_owned(),
                round: Some(round.clone()),
                prefetched: false,
            }));
        });
    }

    pub fn record(&self, attempt: &str) {
        self.change(|memory| {
            memory.send(ToAgent::Recorded(wire::AcceptanceRecorded {
                attempt_id: attempt.to_owned(),
            }));
        });
    }

    pub fn stop_attempt(&self, attempt: &str, at_once: bool) {
        self.change(|memory| {
            memory.send(ToAgent::Stop(wire::StopAttempt {
                attempt_id: attempt.to_owned(),
                at_once,
                reason: "the sweep was cancelled".to_owned(),
            }));
        });
    }

    pub fn close(&self, reason: &str, permanent: bool) {
        self.change(|memory| {
            memory.send(ToAgent::Closing(wire::Closing {
                reason: reason.to_owned(),
                permanent,
            }));
        });
    }

    /// Ends the session from this side.
    pub fn drop_session(&self) {
        self.change(|memory| memory.session = None);
    }

    pub fn finished(&self, attempt: &str) -> wire::AttemptReport {
        self.wait_for("a final report", |memory| memory.last_report(attempt))
    }
}

impl Drop for Coordinator {
    fn drop(&mut self) {
        self.stop();
    }
}

struct Service(Shared);

#[tonic::async_trait]
impl AgentService for Service {
    type SessionStream =
        std::pin::Pin<Box<dyn Stream<Item = Result<CoordinatorMessage, Status>> + Send>>;

    async fn session(
        &self,
        request: Request<Streaming<wire::AgentMessage>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let mut inbound = request.into_inner();
        let (sender, queue) = mpsc::unbounded_channel();
        let shared = self.0.clone();
        tokio::spawn(async move {
            let weak = sender.downgrade();
            let mut first = Some(sender);
            let in_order = loop {
                let message = match inbound.next().await {
                    Some(Ok(message)) => message.message.expect("a message has content"),
                    ended => break ended.is_none(),
                };
                let answer = |message| {
                    if let Some(sender) = weak.upgrade() {
                        let _ = sender.send(Ok(CoordinatorMessage {
                            message: Some(message),
                        }));
                    }
                };
                if let FromAgent::Hello(hello) = &message {
                    let budget = shared.change(|memory| memory.offline_budget);
                    answer(ToAgent::Welcome(welcome(hello, budget)));
                    let (hello, sender) = (hello.clone(), first.take());
                    shared.change(|memory| {
                        memory.hellos.push(hello);
                        memory.session = sender;
                    });
                    continue;
                }
                match &message {
                    FromAgent::Heartbeat(heartbeat) if !shared.change(|memory| memory.mute) => {
                        answer(ToAgent::HeartbeatAck(wire::HeartbeatAck {
                            sequence: heartbeat.sequence,
                        }))
                    }
                    FromAgent::Accepted(accepted)
                        if !shared.change(|memory| memory.keep_acceptances) =>
                    {
                        answer(ToAgent::Recorded(wire::AcceptanceRecorded {
                            attempt_id: accepted.attempt_id.clone(),
                        }));
                    }
                    _ => {}
                }
                shared.change(|memory| memory.messages.push(message));
            };
            shared.change(|memory| memory.goodbye = Some(in_order));
        });
        Ok(Response::new(Box::pin(UnboundedReceiverStream::new(queue))))
    }

    type DownloadModelStream = Chunks;

    async fn download_model(
        &self,
        request: Request<wire::DownloadModelRequest>,
    ) -> Result<Response<Chunks>, Status> {
        let chunks = self.0.change(|memory| memory.download(request.get_ref()));
        chunks.map(Response::new)
    }

    async fn report_attempt(
        &self,
        request: Request<wire::ReportAttemptRequest>,
    ) -> Result<Response<wire::ReportAttemptResponse>, Status> {
        let request = request.into_inner();
        let report = request
            .report
            .ok_or_else(|| Status::invalid_argument("no report"))?;
        assert_eq!(
            request.digest,
            AttemptReport::digest(&report),
            "the digest fits the report"
        );
        AttemptReport::try_from(report.clone()).expect("the report keeps every limit");
        self.0.change(|memory| {
            if memory.refuse_reports > 0 {
                memory.refuse_reports -= 1;
                return Err(Status::resource_exhausted("the disk is full"));
            }
            memory.reports.push(report);
            Ok(())
        })?;
        Ok(Response::new(wire::ReportAttemptResponse {
            disposition: wire::report_attempt_response::Disposition::Accepted as i32,
        }))
    }

    async fn report_inventory(
        &self,
        request: Request<wire::ReportInventoryRequest>,
    ) -> Result<Response<wire::ReportInventoryResponse>, Status> {
        self.0.change(|memory| {
            if memory.refuse_inventories > 0 {
                memory.refuse_inventories -= 1;
                return Err(Status::unavailable("the disk is full"));
            }
            memory.inventories.push(request.into_inner());
            Ok(())
        })?;
        Ok(Response::new(wire::ReportInventoryResponse {}))
    }
}

fn welcome(hello: &wire::AgentHello, offline_budget: Option<Duration>) -> wire::Welcome {
    wire::Welcome {
        protocol: hello.protocol_max,
        incarnation: 1,
        heartbeat_interval_ns: 100_000_000,
        lease_ns: 30_000_000_000,
        offline_budget_ns: offline_budget.map_or(60_000_000_000, |budget| budget.as_nanos() as u64),
        verdicts: hello
            .held
            .iter()
            .map(|held| wire::AttemptVerdict {
                attempt_id: held.attempt_id.clone(),
                verdict: Verdict::Keep as i32,
            })
            .collect(),
        coordinator_version: "test".to_owned(),
    }
}
