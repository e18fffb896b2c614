//! `AgentService`: the session stream, reports and inventories.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use batchstep_core::{
    fleet::{Disposition, Input, Progress, SessionKey},
    inventory::Greeting,
};
use batchstep_proto::{
    causes::chain,
    domain::{AttemptReport, Device, InvalidField},
    ids::AgentId,
    limits, version,
    wire::{
        self, AgentMessage, CoordinatorMessage, DownloadModelRequest, ReportAttemptRequest,
        ReportAttemptResponse, ReportInventoryRequest, ReportInventoryResponse,
        agent_message::Message, agent_service_server::AgentService, report_attempt_response,
    },
};
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Request, Response, Status, Streaming};

use super::{hello, id, invalid, models, store_failed};
use crate::{
    engine::Engine,
    inventory::{Inventories, ReportError},
    pki::{Caller, Foreign, Identities, PkiError},
    store::{Inventory, Store},
};

/// Longest wait for the hello of a new stream.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest digest of an inventory, bytes.
const DIGEST_BYTES: usize = 64;

/// The service for agents.
pub struct Agents<S> {
    engine: Engine,
    inventories: Arc<Inventories<S>>,
    identities: Arc<Identities<S>>,
    store: Arc<S>,
    shutdown: CancellationToken,
}

impl<S> Agents<S> {
    /// The service over this task and store; its downloads end when `shutdown` is set.
    #[must_use]
    pub const fn new(
        engine: Engine,
        inventories: Arc<Inventories<S>>,
        identities: Arc<Identities<S>>,
        store: Arc<S>,
        shutdown: CancellationToken,
    ) -> Self {
        Self {
            engine,
            inventories,
            identities,
            store,
            shutdown,
        }
    }
}

type Messages = ReceiverStream<Result<CoordinatorMessage, Status>>;

impl<S: Store> Agents<S> {
    /// Opens the session of a stream that begins with a hello.
    async fn open(
        &self,
        caller: Caller,
        mut inbound: Streaming<AgentMessage>,
    ) -> Result<Messages, Status> {
        let hello = tokio::time::timeout(HELLO_TIMEOUT, inbound.message())
            .await
            .map_err(|_| Status::deadline_exceeded("the stream began without a hello"))??;
        let mut hello = match hello.and_then(|message| message.message) {
            Some(Message::Hello(message)) => hello::from_wire(message, version::SUPPORTED)?,
            _ => {
                return Err(invalid(InvalidField::new(
                    "message",
                    "the first one must be `hello`",
                )));
            }
        };
        let agent = hello.agent;
        caller.must_be(agent)?;
        let machine_id = hello.host.machine_id.clone();
        let foreign = self
            .identities
            .greet(agent, &machine_id, &mut hello.devices, Timestamp::now())
            .await?;
        let greeting = Greeting {
            hostname: hello.host.hostname.clone(),
            machine_id,
            agent_version: hello.host.agent_version.clone(),
        };
        let session = self.engine.open(hello).await?;
        // Somebody may have taken it off the list before it was there.
        let kept = self
            .identities
            .claim_host(agent, &greeting.machine_id, Timestamp::now());
        if let Err(error) = kept.await {
            let (session, reason) = (session.key, error.to_string());
            let _ = self
                .engine
                .tell(Input::Disconnected { session, reason })
                .await;
            return Err(error.into());
        }
        self.inventories.connected(agent, session.key.0, greeting);
        let mut listener = Listener {
            engine: self.engine.clone(),
            inventories: Arc::clone(&self.inventories),
            identities: Arc::clone(&self.identities),
            agent,
            session: session.key,
            has_warned: false,
            left_out: BTreeMap::new(),
        };
        listener.leave_out(foreign);
        let identities = Arc::clone(&self.identities);
        tokio::spawn(async move {
            let inventories = Arc::clone(&listener.inventories);
            let engine = listener.engine.clone();
            let ended = tokio::select! {
                () = session.ended.cancelled() => None,
                reason = listener.listen(&mut inbound) => Some(reason),
                () = identities.revoked(agent) => Some("the agent was revoked".to_owned()),
            };
            inventories.disconnected(agent, session.key.0);
            let Some(reason) = ended else { return };
            tracing::info!(%agent, reason, "An agent's stream ended.");
            let session = session.key;
            // An engine that is gone needs no news.
            let _ = engine.tell(Input::Disconnected { session, reason }).await;
        });
        Ok(ReceiverStream::new(session.messages))
    }
}

#[tonic::async_trait]
impl<S: Store> AgentService for Agents<S> {
    type SessionStream = Messages;
    type DownloadModelStream = models::Chunks;

    async fn session(
        &self,
        request: Request<Streaming<AgentMessage>>,
    ) -> Result<Response<Messages>, Status> {
        let caller = Caller::of(&request)?;
        let opened = self.open(caller, request.into_inner()).await;
        if let Some(agent) = caller.agent() {
            match &opened {
                Ok(_) => self.identities.note_welcome(agent),
                Err(status) if is_lasting(status) => {
                    self.identities
                        .note_refusal(agent, status.message(), Timestamp::now());
                }
                Err(_) => {}
            }
        }
        opened.map(Response::new)
    }

    async fn report_attempt(
        &self,
        request: Request<ReportAttemptRequest>,
    ) -> Result<Response<ReportAttemptResponse>, Status> {
        let caller = Caller::of(&request)?;
        let request = request.into_inner();
        let agent: AgentId = id("agent_id", &request.agent_id)?;
        caller.must_be(agent)?;
        // The agent's own word: it is not computed again, because an agent of a newer protocol may encode fields that are unknown here.
        let digest: [u8; 32] = request.digest.as_slice().try_into().map_err(|_| {
            invalid(InvalidField::new(
                "digest",
                format!("{} bytes, a SHA-256 has 32", request.digest.len()),
            ))
        })?;
        let report = request
            .report
            .ok_or_else(|| invalid(InvalidField::new("report", "is missing")))?;
        let report = AttemptReport::try_from(report).map_err(invalid)?;
        let key = report_key(agent, &digest);
        let disposition = self.engine.report(agent, report, key).await?;
        Ok(Response::new(ReportAttemptResponse {
            disposition: disposition_to_wire(disposition) as i32,
        }))
    }

    async fn download_model(
        &self,
        request: Request<DownloadModelRequest>,
    ) -> Result<Response<models::Chunks>, Status> {
        let shutdown = self.shutdown.clone();
        let chunks = models::download(self.store.models(), request.get_ref(), shutdown).await;
        chunks.map(Response::new)
    }

    async fn report_inventory(
        &self,
        request: Request<ReportInventoryRequest>,
    ) -> Result<Response<ReportInventoryResponse>, Status> {
        let caller = Caller::of(&request)?;
        let request = request.into_inner();
        let agent: AgentId = id("agent_id", &request.agent_id)?;
        caller.must_be(agent)?;
        if request.digest.len() > DIGEST_BYTES {
            let problem = format!("more than {DIGEST_BYTES} bytes");
            return Err(invalid(InvalidField::new("digest", problem)));
        }
        let host = request
            .host
            .ok_or_else(|| invalid(InvalidField::new("host", "is missing")))?;
        let inventory = Inventory {
            host: host.try_into().map_err(invalid)?,
            devices: Device::list(request.devices).map_err(invalid)?,
            document: request.document,
            digest: request.digest,
        };
        let age = Duration::from_nanos(request.age_ns);
        let report = Inventories::<S>::read_report(agent, &inventory, age)
            .map_err(|error| invalid(InvalidField::new("document", chain(&error))))?;
        self.identities
            .claim_host(agent, &report.machine_id, Timestamp::now())
            .await?;
        match self.inventories.report(inventory, report).await {
            Ok(()) => Ok(Response::new(ReportInventoryResponse {})),
            Err(ReportError::Store(error)) => Err(store_failed(error)),
            Err(error @ ReportError::Stopping) => Err(Status::unavailable(error.to_string())),
        }
    }
}

/// True of a refusal that stands until somebody does something about it.
fn is_lasting(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::PermissionDenied | Code::FailedPrecondition | Code::InvalidArgument
    )
}

/// What takes an agent's messages.
struct Listener<S> {
    engine: Engine,
    inventories: Arc<Inventories<S>>,
    identities: Arc<Identities<S>>,
    agent: AgentId,
    session: SessionKey,
    /// A sample was refused, and that was told.
    has_warned: bool,
    /// Devices that it offers and others have.
    left_out: BTreeMap<String, Device>,
}

impl<S: Store> Listener<S> {
    /// Passes on what the agent says until its stream ends; answers with the reason.
    async fn listen(mut self, inbound: &mut Streaming<AgentMessage>) -> String {
        loop {
            let message = match inbound.message().await {
                Ok(Some(message)) => message,
                Ok(None) => return "the agent ended the stream".to_owned(),
                Err(status) => return format!("the stream broke: {}", status.message()),
            };
            if let Some(Message::Telemetry(telemetry)) = &message.message {
                self.sample(telemetry);
                continue;
            }
            let input = match input_from(self.session, message) {
                Ok(Some(mut input)) => {
                    if let Input::Heartbeat { changed, .. } = &mut input
                        && let Err(error) = self.keep_own(changed).await
                    {
                        return format!("what the agent offers could not be recorded: {error}");
                    }
                    input
                }
                // A kind of message that a newer agent may send.
                Ok(None) => continue,
                Err(error) => {
                    return format!("the agent sent a message that breaks a rule: {error}");
                }
            };
            if self.engine.tell(input).await.is_err() {
                return "the coordinator is stopping".to_owned();
            }
        }
    }

    /// Takes devices that are another agent's out of what this one offers, and adds those that were and are so no more: it does not offer them again
    /// by itself.
    async fn keep_own(&mut self, changed: &mut Vec<Device>) -> Result<(), PkiError> {
        let again = self.left_out.values();
        let again: Vec<Device> = again
            .filter(|left_out| changed.iter().all(|device| device.id != left_out.id))
            .cloned()
            .collect();
        changed.extend(again);
        if changed.is_empty() {
            return Ok(());
        }
        let foreign = self
            .identities
            .claim_devices(self.agent, changed, Timestamp::now())
            .await?;
        self.leave_out(foreign);
        Ok(())
    }

    /// Remembers what is left out, and says so the first time.
    fn leave_out(&mut self, foreign: Vec<Foreign>) {
        let before = std::mem::take(&mut self.left_out);
        for Foreign { device, holder } in foreign {
            if !before.contains_key(&device.id) {
                tracing::warn!(agent = %self.agent, device = device.id, %holder, "An agent offers a device that is another agent's; it is left out until it is that one's no more. If it was moved, start the other agent again, or remove it with `batchstep agents remove --replaced`.");
            }
            if self.left_out.len() < limits::DEVICES_PER_AGENT {
                self.left_out.insert(device.id.clone(), device);
            }
        }
    }

    /// Takes a sample of live values. One that breaks a rule is left out: it is no reason to end a session with work in it.
    fn sample(&mut self, telemetry: &wire::Telemetry) {
        let age = Duration::from_nanos(telemetry.age_ns);
        let taken = self
            .inventories
            .sample(self.agent, &telemetry.document, age);
        if let Err(error) = taken
            && !self.has_warned
        {
            self.has_warned = true;
            tracing::warn!(agent = %self.agent, error = chain(&error), "An agent's samples break a rule; they are left out.");
        }
    }
}

/// A message after the hello; `None` for one of an unknown kind.
fn input_from(session: SessionKey, message: AgentMessage) -> Result<Option<Input>, InvalidField> {
    let attempt = |field, text: &str| {
        text.parse()
            .map_err(|error: batchstep_proto::ids::IdError| {
                InvalidField::new(field, error.to_string())
            })
    };
    Ok(Some(match message.message {
        None => return Ok(None),
        Some(Message::Hello(_)) => {
            return Err(InvalidField::new("message", "a second hello on one stream"));
        }
        // Taken before.
        Some(Message::Telemetry(_)) => return Ok(None),
        Some(Message::Heartbeat(heartbeat)) => Input::Heartbeat {
            session,
            sequence: heartbeat.sequence,
            draining: heartbeat.draining,
            changed: Device::list(heartbeat.changed)?,
        },
        Some(Message::Accepted(accepted)) => Input::Accepted {
            session,
            attempt: attempt("accepted.attempt_id", &accepted.attempt_id)?,
        },
        Some(Message::Declined(declined)) => Input::Declined {
            session,
            attempt: attempt("declined.attempt_id", &declined.attempt_id)?,
            reason: declined
                .reason
                .ok_or_else(|| InvalidField::new("declined.reason", "is missing"))?
                .try_into()?,
        },
        Some(Message::Progress(progress)) => Input::Progress {
            session,
            progress: Progress {
                attempt: attempt("progress.attempt_id", &progress.attempt_id)?,
                visits_done: progress.visits_done,
                visits_total: progress.visits_total,
                batch_size: progress.batch_size,
                warming_up: progress.warming_up,
            },
        },
    }))
}

/// What makes a report idempotent: its digest together with who sends it. A digest alone is a word that anybody may say, and whoever said it first would have
/// another agent's report taken for a repetition.
#[must_use]
pub fn report_key(agent: AgentId, digest: &[u8; 32]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(agent.as_uuid());
    hash.update(digest);
    hash.finalize().into()
}

const fn disposition_to_wire(disposition: Disposition) -> report_attempt_response::Disposition {
    use report_attempt_response::Disposition as Wire;
    match disposition {
        Disposition::Accepted => Wire::Accepted,
        Disposition::Duplicate => Wire::Duplicate,
        Disposition::Quarantined => Wire::Quarantined,
        Disposition::Superseded => Wire::Superseded,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reports_key_is_of_its_sender() {
        let (one, other) = (AgentId::generate(), AgentId::generate());
        let digest = [7; 32];
        assert_eq!(report_key(one, &digest), report_key(one, &digest));
        assert_ne!(report_key(one, &digest), report_key(other, &digest));
    }
}
