//! NVML's thread. A call into a sick driver may never come back, so nobody waits for one longer than a deadline, and while one is out no other is
//! made. The thread is never joined: the process ends without it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use batchstep_nvml::{Depth, Fault, OpenError, Root, Sample, Session, Survey};
use tokio::{
    sync::{Mutex as AsyncMutex, oneshot},
    time,
};

/// Longest wait for a few values of one device, which is also what others may make it wait.
const SAMPLE_PATIENCE: Duration = Duration::from_secs(1);

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

/// What was read, and when the reading was done.
pub(crate) type Answer = Result<(Survey, Instant), Trouble>;

/// A sample with the moments between which it was read.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sampled {
    pub(crate) sample: Sample,
    pub(crate) begun: Instant,
    pub(crate) done: Instant,
}

/// What waits for the thread: one survey, and one sample of each device.
#[derive(Default)]
struct Waiting {
    survey: Option<(Depth, oneshot::Sender<Answer>)>,
    samples: BTreeMap<String, oneshot::Sender<Option<Sampled>>>,
    /// Since when the thread is in NVML.
    busy_since: Option<Instant>,
    /// Nobody asks any more, or nobody answers.
    is_over: bool,
}

#[derive(Default)]
struct Mailbox {
    waiting: Mutex<Waiting>,
    wake: Condvar,
}

impl Mailbox {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Each statement leaves it whole.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends the thread when nobody asks any more, and tells everybody when the thread has ended.
struct Ends(Arc<Mailbox>);

impl Drop for Ends {
    fn drop(&mut self) {
        let mut waiting = self.0.lock();
        waiting.is_over = true;
        // Dropping the senders tells whoever waits.
        waiting.survey = None;
        waiting.samples.clear();
        self.0.wake.notify_all();
    }
}

/// The way to NVML. Clones lead to the same thread.
#[derive(Clone)]
pub struct NvmlThread {
    ends: Arc<Ends>,
    /// The survey that is out.
    pending: Arc<AsyncMutex<Option<oneshot::Receiver<Answer>>>>,
    deadline: Duration,
}

impl std::fmt::Debug for NvmlThread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NvmlThread").finish_non_exhaustive()
    }
}

impl NvmlThread {
    /// Starts the thread; it does nothing until it is asked. `machine` names this machine, for GPUs that have no name of their own.
    #[must_use]
    pub fn start(root: Root, machine: String, deadline: Duration) -> Self {
        let mailbox = Arc::new(Mailbox::default());
        let its_end = Ends(Arc::clone(&mailbox));
        let started = thread::Builder::new()
            .name("nvml".to_owned())
            .spawn(move || serve(&its_end.0, &root, &machine));
        if let Err(error) = started {
            tracing::error!(error = %error, "The thread for NVML cannot be started.");
        }
        Self {
            ends: Arc::new(Ends(mailbox)),
            pending: Arc::default(),
            deadline,
        }
    }

    /// True while a call is out for longer than the deadline.
    pub(crate) fn is_hung(&self) -> bool {
        let busy_since = self.ends.0.lock().busy_since;
        busy_since.is_some_and(|since| since.elapsed() >= self.deadline)
    }

    /// Reads the GPUs. One survey at a time: while one is out, another caller waits for it, until the deadline.
    pub(crate) async fn survey(&self, depth: Depth) -> Answer {
        let mut pending = self.pending.lock().await;
        let answer = match pending.as_mut() {
            Some(answer) => answer,
            None => {
                let (reply, answer) = oneshot::channel();
                let mut waiting = self.ends.0.lock();
                if !waiting.is_over {
                    waiting.survey = Some((depth, reply));
                }
                drop(waiting);
                self.ends.0.wake.notify_all();
                pending.insert(answer)
            }
        };
        let patience = if self.is_hung() {
            Duration::ZERO
        } else {
            self.deadline
        };
        match time::timeout(patience, answer).await {
            Err(_) => Err(Trouble::Hung),
            Ok(answer) => {
                *pending = None;
                answer.unwrap_or_else(|_| {
                    Err(Trouble::Failed(
                        "the agent's thread for NVML has ended; restart the agent, and report what its log says".to_owned(),
                    ))
                })
            }
        }
    }

    /// Reads a few values of one device; `None` when NVML cannot be asked now, or a newer request took this one's place.
    pub(crate) async fn sample(&self, uuid: &str) -> Option<Sampled> {
        if self.is_hung() {
            return None;
        }
        let (reply, answer) = oneshot::channel();
        {
            let mut waiting = self.ends.0.lock();
            if waiting.is_over {
                return None;
            }
            waiting.samples.insert(uuid.to_owned(), reply);
        }
        self.ends.0.wake.notify_all();
        time::timeout(SAMPLE_PATIENCE, answer).await.ok()?.ok()?
    }
}

enum Request {
    Survey(Depth, oneshot::Sender<Answer>),
    Sample(String, oneshot::Sender<Option<Sampled>>),
}

fn serve(mailbox: &Mailbox, root: &Root, machine: &str) {
    let mut session = None;
    // GPUs that NVML has shown: only such a one can be lost.
    let mut seen = BTreeSet::new();
    while let Some(request) = next(mailbox) {
        match request {
            Request::Survey(depth, reply) => {
                let open = || Session::open(root.clone(), machine).map_err(trouble_of);
                let answer = survey(&mut session, open, depth, &mut seen);
                let _ = reply.send(answer.map(|survey| (survey, Instant::now())));
            }
            Request::Sample(uuid, reply) => {
                let begun = Instant::now();
                let sample = session
                    .as_ref()
                    .and_then(|session: &Session| session.sample(&uuid).ok());
                let _ = reply.send(sample.map(|sample| Sampled {
                    sample,
                    begun,
                    done: Instant::now(),
                }));
            }
        }
        mailbox.lock().busy_since = None;
    }
}

/// Waits for a request. Samples come first: they are quick, and of the moment.
fn next(mailbox: &Mailbox) -> Option<Request> {
    let mut waiting = mailbox.lock();
    loop {
        if waiting.is_over {
            return None;
        }
        // Those that nobody waits for any more are left out.
        waiting.samples.retain(|_, reply| !reply.is_closed());
        let request = match waiting.samples.pop_first() {
            Some((uuid, reply)) => Some(Request::Sample(uuid, reply)),
            None => waiting
                .survey
                .take()
                .map(|(depth, reply)| Request::Survey(depth, reply)),
        };
        if request.is_some() {
            waiting.busy_since = Some(Instant::now());
            return request;
        }
        waiting = mailbox
            .wake
            .wait(waiting)
            .unwrap_or_else(PoisonError::into_inner);
    }
}

/// Reads with the open session, and once more with a new one: after a driver's upgrade the library on the disk is another one, too.
fn survey(
    session: &mut Option<Session>,
    open_anew: impl Fn() -> Result<Session, Trouble>,
    depth: Depth,
    seen: &mut BTreeSet<String>,
) -> Result<Survey, Trouble> {
    let mut trouble = None;
    for _ in 0..2 {
        let mut open = match session.take() {
            Some(open) => open,
            None => open_anew()?,
        };
        match open.survey(depth, seen) {
            Ok(survey) => {
                *session = Some(open);
                return Ok(survey);
            }
            Err(Fault::Changed) => {}
            Err(Fault::Session(error)) => trouble = Some(trouble_of(error)),
        }
    }
    Err(trouble.unwrap_or_else(|| {
        Trouble::Failed(
            "the host's GPUs change faster than they can be read; it is tried again".to_owned(),
        )
    }))
}

fn trouble_of(error: OpenError) -> Trouble {
    match error {
        OpenError::Library(_) => Trouble::NoLibrary(error.to_string()),
        other => Trouble::Failed(other.to_string()),
    }
}
