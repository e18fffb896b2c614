//! NVML's thread. A call into a sick driver may never come back, so nobody waits for one longer than a deadline, and while one is out no other is
//! made. The thread is never joined: the process ends without it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, Receiver, SyncSender, TrySendError},
    },
    thread,
    time::Duration,
};

use batchstep_nvml::{Depth, Fault, OpenError, Root, Sample, Session, Survey};
use tokio::{
    sync::{Mutex, oneshot},
    time,
};

/// Requests that may wait: of samples a newer one is worth more.
const WAITING: usize = 4;
/// The first call may load the driver and wake every GPU.
const FIRST_DEADLINE: Duration = Duration::from_secs(60);
/// A few calls to one device.
const SAMPLE_DEADLINE: Duration = Duration::from_secs(1);

/// Why there is no survey.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Trouble {
    /// The library is not there.
    #[error("{0}")]
    NoLibrary(String),
    /// NVML is there and does not work.
    #[error("{0}")]
    Failed(String),
    /// A call does not come back.
    #[error(
        "a call into the NVIDIA driver does not come back; the GPUs are told as they were before it. `dmesg | grep -i nvrm` may say why; a GPU reset or a reboot mends it"
    )]
    Hung,
}

type Answer = Result<Survey, Trouble>;

enum Request {
    Survey(Depth, oneshot::Sender<Answer>),
    Sample(String, oneshot::Sender<Option<Sample>>),
}

/// The way to NVML. Clones lead to the same thread.
#[derive(Debug, Clone)]
pub struct NvmlThread {
    requests: SyncSender<Request>,
    /// A survey is out and late: the thread hangs.
    hung: Arc<AtomicBool>,
    /// The survey that is out.
    pending: Arc<Mutex<Option<oneshot::Receiver<Answer>>>>,
    has_answered: Arc<AtomicBool>,
    deadline: Duration,
}

impl NvmlThread {
    /// Starts the thread; it does nothing until it is asked.
    #[must_use]
    pub fn start(root: Root, deadline: Duration) -> Self {
        let (requests, queue) = mpsc::sync_channel(WAITING);
        let started = thread::Builder::new()
            .name("nvml".to_owned())
            .spawn(move || serve(&queue, &root));
        if let Err(error) = started {
            // The queue is gone with the closure: every request is answered with a failure.
            tracing::error!(error = %error, "The thread for NVML cannot be started.");
        }
        Self {
            requests,
            hung: Arc::default(),
            pending: Arc::default(),
            has_answered: Arc::default(),
            deadline,
        }
    }

    /// Reads the GPUs. One survey at a time: while one is out, another caller waits for it, until the deadline.
    pub(crate) async fn survey(&self, depth: Depth) -> Answer {
        let mut pending = self.pending.lock().await;
        if pending.is_none() {
            let (reply, answer) = oneshot::channel();
            if self
                .requests
                .try_send(Request::Survey(depth, reply))
                .is_err()
            {
                return Err(Trouble::Failed(
                    "the thread for NVML is gone or does not take requests".to_owned(),
                ));
            }
            *pending = Some(answer);
        }
        let Some(answer) = pending.as_mut() else {
            return Err(Trouble::Hung);
        };
        let deadline = if self.hung.load(Ordering::Relaxed) {
            Duration::ZERO
        } else if self.has_answered.load(Ordering::Relaxed) {
            self.deadline
        } else {
            self.deadline.max(FIRST_DEADLINE)
        };
        match time::timeout(deadline, answer).await {
            Err(_) => {
                self.hung.store(true, Ordering::Relaxed);
                Err(Trouble::Hung)
            }
            Ok(answer) => {
                *pending = None;
                self.hung.store(false, Ordering::Relaxed);
                self.has_answered.store(true, Ordering::Relaxed);
                answer.unwrap_or_else(|_| {
                    Err(Trouble::Failed("the thread for NVML has died".to_owned()))
                })
            }
        }
    }

    /// Reads a few values of one device; `None` when NVML cannot be asked now.
    pub(crate) async fn sample(&self, uuid: &str) -> Option<Sample> {
        if self.hung.load(Ordering::Relaxed) {
            return None;
        }
        let (reply, answer) = oneshot::channel();
        match self
            .requests
            .try_send(Request::Sample(uuid.to_owned(), reply))
        {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => return None,
        }
        time::timeout(SAMPLE_DEADLINE, answer).await.ok()?.ok()?
    }
}

fn serve(queue: &Receiver<Request>, root: &Root) {
    let mut session = None;
    while let Ok(request) = queue.recv() {
        match request {
            Request::Survey(depth, reply) => {
                let _ = reply.send(survey(&mut session, depth, root));
            }
            Request::Sample(uuid, reply) => {
                // Nobody waits any more.
                if reply.is_closed() {
                    continue;
                }
                let sample = session
                    .as_ref()
                    .and_then(|session: &Session| session.sample(&uuid).ok());
                let _ = reply.send(sample);
            }
        }
    }
}

/// Reads with the open session, and once more with a new one: after a driver's upgrade the library on the disk is another one, too.
fn survey(session: &mut Option<Session>, depth: Depth, root: &Root) -> Answer {
    let mut trouble = None;
    for _ in 0..2 {
        let mut open = match session.take() {
            Some(open) => open,
            None => Session::open(root.clone()).map_err(trouble_of)?,
        };
        match open.survey(depth) {
            Ok(survey) => {
                *session = Some(open);
                return Ok(survey);
            }
            Err(Fault::Changed) => {}
            Err(Fault::Session(error)) => trouble = Some(trouble_of(error)),
        }
    }
    Err(trouble.unwrap_or_else(|| {
        Trouble::Failed("the host's GPUs change faster than they can be read".to_owned())
    }))
}

fn trouble_of(error: OpenError) -> Trouble {
    match error {
        OpenError::Library(_) => Trouble::NoLibrary(error.to_string()),
        other => Trouble::Failed(other.to_string()),
    }
}
