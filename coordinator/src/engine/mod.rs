//! The one place where the fleet's state machine meets the world: a task that owns it, and the handle through which the services talk to it.
//!
//! The task takes the inputs that wait, commits what the state machine wants recorded, and only then sends, answers and shows anything. It knows
//! messages and the store, never a socket.

mod actor;
mod batch;
mod histories;
mod live;
mod outbound;
mod reply;
mod waiting;

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use batchstep_core::fleet::{
    Answer, Census, Disposition, Enrolled, Hello, Input, Refusal, SessionKey,
};
use batchstep_proto::{
    domain::{AttemptReport, SweepSpec},
    ids::{AgentId, RequestId, SweepId},
    limits, wire,
};
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tonic::Status;

pub use actor::start;
pub use live::{LIVE_EVENTS, Live, LiveEvent};

/// Inputs that may wait for the task; whoever sends more waits too.
const INPUTS: usize = 1024;
/// Messages that may wait for one agent, enough for all that a hello of many devices leads to; an agent that reads slower is disconnected.
const MESSAGES_PER_SESSION: usize = 4 * limits::DEVICES_PER_AGENT;

/// What the services ask the task.
enum Command {
    /// An agent opened a stream.
    Open {
        session: SessionKey,
        hello: Box<Hello>,
        outbound: outbound::Outbound,
    },
    /// Something happened that nobody waits for.
    Tell(Input),
    /// A person wants a sweep.
    Submit {
        request: RequestId,
        sweep: SweepId,
        spec: Box<SweepSpec>,
        reply: Reply,
    },
    /// A person ends one.
    Cancel {
        sweep: SweepId,
        reason: String,
        reply: Reply,
    },
    /// A person drains an agent, or takes that back.
    Drain {
        agent: AgentId,
        drain: bool,
        reason: String,
        enrolled: Option<Enrolled>,
        reply: Reply,
    },
    /// A person takes an agent off the list.
    Remove {
        agent: AgentId,
        replaced: bool,
        enrolled: Option<Enrolled>,
        reply: Reply,
    },
    /// A part of a result.
    Report {
        agent: AgentId,
        report: Box<AttemptReport>,
        digest: [u8; 32],
        reply: Reply,
    },
    /// The active sweep with this id.
    Sweep(SweepId, oneshot::Sender<Option<wire::Sweep>>),
    /// All active sweeps.
    Sweeps(oneshot::Sender<Vec<wire::Sweep>>),
    /// All agents.
    Agents(oneshot::Sender<Vec<wire::Agent>>),
    /// Whether an agent has said hello and was not removed since.
    IsHere(AgentId, oneshot::Sender<bool>),
    /// How many there are of everything.
    Census(oneshot::Sender<Census>),
}

type Reply = oneshot::Sender<Result<Answer, EngineError>>;

/// Why the task does not answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// The coordinator stops.
    #[error("the coordinator is stopping; try again later")]
    Stopping,
    /// Nothing could be recorded.
    #[error("the coordinator cannot record anything at the moment; try again later")]
    StoreFailed,
    /// Too many reports wait for what is still to be read back.
    #[error(
        "what was measured before the coordinator started is still being read back; try again later"
    )]
    StillReading,
    /// The state machine refuses.
    #[error(transparent)]
    Refused(Refusal),
}

impl From<EngineError> for Status {
    fn from(error: EngineError) -> Self {
        let message = error.to_string();
        match error {
            EngineError::Stopping | EngineError::StoreFailed | EngineError::StillReading => {
                Self::unavailable(message)
            }
            EngineError::Refused(Refusal::Invalid(_)) => Self::invalid_argument(message),
            EngineError::Refused(Refusal::NotFound(_)) => Self::not_found(message),
            EngineError::Refused(Refusal::Conflict(_)) => Self::failed_precondition(message),
        }
    }
}

/// What became of the series that only a removed agent could run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Removed {
    /// So many failed.
    pub failed: usize,
    /// So many wait for another agent with its devices.
    pub waiting: usize,
}

/// An open agent stream, from the side of its service.
pub struct Session {
    /// What the agent is sent.
    pub messages: mpsc::Receiver<Result<wire::CoordinatorMessage, Status>>,
    /// Its number.
    pub key: SessionKey,
    /// Set when the coordinator ends the stream.
    pub ended: CancellationToken,
}

/// How the services reach the task. Clones reach the same one.
#[derive(Clone)]
pub struct Engine {
    commands: mpsc::Sender<Command>,
    live: broadcast::Sender<Live>,
    sessions: Arc<AtomicU64>,
}

impl Engine {
    /// Opens a session for an agent that has said hello.
    ///
    /// # Errors
    /// When the coordinator stops.
    pub async fn open(&self, hello: Hello) -> Result<Session, EngineError> {
        let session = SessionKey(self.sessions.fetch_add(1, Ordering::Relaxed));
        let (sender, messages) = mpsc::channel(MESSAGES_PER_SESSION);
        let ended = CancellationToken::new();
        let protocol = hello.protocol;
        self.send(Command::Open {
            session,
            hello: Box::new(hello),
            outbound: outbound::Outbound::new(sender, ended.clone(), protocol),
        })
        .await?;
        Ok(Session {
            messages,
            key: session,
            ended,
        })
    }

    /// Says that something happened.
    ///
    /// # Errors
    /// When the coordinator stops.
    pub async fn tell(&self, input: Input) -> Result<(), EngineError> {
        self.send(Command::Tell(input)).await
    }

    /// Submits a sweep; the same request again gives the same sweep.
    ///
    /// # Errors
    /// When it is refused, as is a request id that came with another spec before, or cannot be recorded.
    pub async fn submit(
        &self,
        request: RequestId,
        spec: SweepSpec,
    ) -> Result<SweepId, EngineError> {
        let answer = self
            .ask(|reply| Command::Submit {
                request,
                sweep: SweepId::generate(),
                spec: Box::new(spec),
                reply,
            })
            .await?;
        match answer {
            Answer::Submitted(sweep) => Ok(sweep),
            other => Err(unexpected(&other)),
        }
    }

    /// Cancels a sweep; false when it was over.
    ///
    /// # Errors
    /// When there is no such sweep, or it cannot be recorded.
    pub async fn cancel(&self, sweep: SweepId, reason: String) -> Result<bool, EngineError> {
        let answer = self
            .ask(|reply| Command::Cancel {
                sweep,
                reason,
                reply,
            })
            .await?;
        match answer {
            Answer::Cancelled(cancelled) => Ok(cancelled),
            other => Err(unexpected(&other)),
        }
    }

    /// Drains an agent, or takes that back. One that is `enrolled` need not have connected.
    ///
    /// # Errors
    /// When there is no such agent, or it cannot be recorded.
    pub async fn drain(
        &self,
        agent: AgentId,
        drain: bool,
        reason: String,
        enrolled: Option<Enrolled>,
    ) -> Result<(), EngineError> {
        let answer = self
            .ask(|reply| Command::Drain {
                agent,
                drain,
                reason,
                enrolled,
                reply,
            })
            .await?;
        match answer {
            Answer::Drained => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    /// Takes an agent that is gone off the list. Series that nobody else can run fail, or, where it is `replaced`, wait for another agent with its devices;
    /// answers with how many did which. One that is `enrolled` need not have connected.
    ///
    /// # Errors
    /// When there is no such agent, it is connected, or it cannot be recorded.
    pub async fn remove(
        &self,
        agent: AgentId,
        replaced: bool,
        enrolled: Option<Enrolled>,
    ) -> Result<Removed, EngineError> {
        let answer = self
            .ask(|reply| Command::Remove {
                agent,
                replaced,
                enrolled,
                reply,
            })
            .await?;
        match answer {
            Answer::Removed { failed, waiting } => Ok(Removed { failed, waiting }),
            other => Err(unexpected(&other)),
        }
    }

    /// Records a part of a result.
    ///
    /// # Errors
    /// When it is refused, or cannot be recorded.
    pub async fn report(
        &self,
        agent: AgentId,
        report: AttemptReport,
        digest: [u8; 32],
    ) -> Result<Disposition, EngineError> {
        let answer = self
            .ask(|reply| Command::Report {
                agent,
                report: Box::new(report),
                digest,
                reply,
            })
            .await?;
        match answer {
            Answer::Reported(disposition) => Ok(disposition),
            other => Err(unexpected(&other)),
        }
    }

    /// The active sweep with this id, as it stands now.
    ///
    /// # Errors
    /// When the coordinator stops or its store fails.
    pub async fn sweep(&self, sweep: SweepId) -> Result<Option<wire::Sweep>, EngineError> {
        self.view(|answer| Command::Sweep(sweep, answer)).await
    }

    /// All active sweeps, as they stand now.
    ///
    /// # Errors
    /// When the coordinator stops or its store fails.
    pub async fn sweeps(&self) -> Result<Vec<wire::Sweep>, EngineError> {
        self.view(Command::Sweeps).await
    }

    /// All agents.
    ///
    /// # Errors
    /// When the coordinator stops or its store fails.
    pub async fn agents(&self) -> Result<Vec<wire::Agent>, EngineError> {
        self.view(Command::Agents).await
    }

    /// True of an agent that has said hello since the coordinator started and was not removed since.
    ///
    /// # Errors
    /// When the coordinator stops or its store fails.
    pub async fn is_here(&self, agent: AgentId) -> Result<bool, EngineError> {
        self.view(|answer| Command::IsHere(agent, answer)).await
    }

    /// The fleet in numbers. Whoever is answered knows that the task takes inputs and has a state.
    ///
    /// # Errors
    /// When the coordinator stops or its store fails.
    pub async fn census(&self) -> Result<Census, EngineError> {
        self.view(Command::Census).await
    }

    /// What happens from here on.
    #[must_use]
    pub fn watch(&self) -> broadcast::Receiver<Live> {
        self.live.subscribe()
    }

    async fn send(&self, command: Command) -> Result<(), EngineError> {
        let sent = self.commands.send(command).await;
        sent.map_err(|_| EngineError::Stopping)
    }

    async fn ask(&self, command: impl FnOnce(Reply) -> Command) -> Result<Answer, EngineError> {
        let (reply, answer) = oneshot::channel();
        self.send(command(reply)).await?;
        match answer.await {
            Ok(Ok(Answer::Refused(refusal))) => Err(EngineError::Refused(refusal)),
            Ok(answer) => answer,
            Err(_) => Err(EngineError::Stopping),
        }
    }

    async fn view<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<T>) -> Command,
    ) -> Result<T, EngineError> {
        let (view, answer) = oneshot::channel();
        self.send(command(view)).await?;
        // A question that is dropped could not be answered: there is no state while the store fails.
        answer.await.map_err(|_| EngineError::StoreFailed)
    }
}

/// An answer to another question: an error of the state machine, told apart from a refusal so that the caller tries again.
fn unexpected(answer: &Answer) -> EngineError {
    tracing::error!(?answer, "The state machine answered another question.");
    EngineError::StoreFailed
}
