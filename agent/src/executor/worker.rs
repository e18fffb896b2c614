//! One worker process and the conversation with it: setup, rounds, stops, and its end. Owned by the process executor.
//!
//! It must never leave a process behind: dropping a [`Worker`] kills its whole group.

use std::{
    collections::VecDeque, io, os::unix::ffi::OsStringExt as _, path::Path, process::ExitStatus,
    time::Duration,
};

use batchstep_proto::{
    domain::{AttemptOutcome, Device},
    frame::{self, Decoder},
    wire::{self, FromWorker, ToWorker, from_worker, to_worker},
};
use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
    process::Child,
    sync::{mpsc, watch},
    time::{self, Instant},
};
use tracing::{debug, warn};

use super::{Job, RoundEnding, RoundEvent, RoundTimes, Stop, output::Tail, samples::Watch, spawn};
use crate::{
    exit_status,
    own_workers::{OwnWorker, OwnWorkers},
};

/// For loading libtorch from a cold network disk and creating a CUDA context.
const READY_LIMIT: Duration = Duration::from_secs(120);
/// Between the request to stop and SIGTERM: one iteration of a large batch.
const STOP_GRACE: Duration = Duration::from_secs(10);
/// Between SIGTERM and SIGKILL.
const TERM_GRACE: Duration = Duration::from_secs(5);
/// For a round that came without a limit.
const DEFAULT_TIME_LIMIT: Duration = Duration::from_secs(3600);
/// For the exit status after the socket closed, and for the socket after the exit.
const EXIT_GRACE: Duration = Duration::from_secs(1);

/// A worker that has reached its device.
pub(crate) struct Worker {
    child: Child,
    pid: Pid,
    socket: UnixStream,
    decoder: Decoder,
    stderr: Tail,
    _stdout: Tail,
    facts: wire::WorkerFacts,
    own: OwnWorkers,
    entry: Option<OwnWorker>,
    device_id: String,
}

/// What the next step of a conversation is.
enum Step {
    Message(from_worker::Message),
    /// The socket is closed, or what came over it makes no sense.
    Gone,
    Stop(Stop),
    Escalate,
}

/// The way down from a polite request to SIGKILL, and what to report at its end.
struct Ladder {
    outcome: AttemptOutcome,
    reason: String,
    steps: VecDeque<(Instant, Signal)>,
}

impl Worker {
    /// Starts a process and waits until it has reached its device; the ending to report when it does not.
    pub(crate) async fn start(
        path: &Path,
        device: &Device,
        own: &OwnWorkers,
        stop: &mut watch::Receiver<Stop>,
    ) -> Result<Self, RoundEnding> {
        let refused = |message| RoundEnding::new(AttemptOutcome::Refused, message);
        let mut spawned = spawn::spawn(path, device).map_err(|error| {
            refused(format!(
                "the worker {} cannot be started: {error}; check that it is there and executable, or name another with --worker",
                path.display()
            ))
        })?;
        let number = spawned.pid.as_raw().unsigned_abs();
        let (Some(stdout), Some(stderr)) =
            (spawned.child.stdout.take(), spawned.child.stderr.take())
        else {
            return Err(refused("the worker has no output pipes".to_owned()));
        };
        let mut worker = Self {
            child: spawned.child,
            pid: spawned.pid,
            socket: spawned.socket,
            decoder: Decoder::default(),
            stderr: Tail::follow(stderr, number, "stderr"),
            _stdout: Tail::follow(stdout, number, "stdout"),
            facts: wire::WorkerFacts::default(),
            own: own.clone(),
            entry: Some(own.enter(&device.id, number)),
            device_id: device.id.clone(),
        };
        debug!(worker = number, device = device.id, "A worker was started.");
        let setup = to_worker::Message::Setup(wire::WorkerSetup {
            kind: device.kind.to_wire(),
            device_id: device.id.clone(),
        });
        // A worker that is gone already is explained below, from its exit status.
        let _ = worker.send(setup).await;
        let limit = Instant::now() + READY_LIMIT;
        loop {
            match worker.next(stop, Some(limit)).await {
                Step::Message(from_worker::Message::Ready(facts)) => {
                    worker.facts = facts;
                    return Ok(worker);
                }
                Step::Message(from_worker::Message::Fatal(fatal)) => {
                    return Err(refused(fatal.message));
                }
                Step::Message(_) => {}
                Step::Stop(Stop::Gently(reason) | Stop::AtOnce(reason)) => {
                    return Err(RoundEnding::new(AttemptOutcome::Stopped, reason));
                }
                Step::Stop(Stop::No) => {}
                Step::Escalate => {
                    return Err(RoundEnding::new(
                        AttemptOutcome::Broken,
                        format!(
                            "the worker did not reach its device within {} s",
                            READY_LIMIT.as_secs()
                        ),
                    ));
                }
                Step::Gone => {
                    let lines = worker.stderr.last_lines().await;
                    return Err(match worker.exit_status().await {
                        Some(status) => refused(exit_status::explain_start(status, &lines)),
                        None => refused(format!("the worker closed its socket: {lines}")),
                    });
                }
            }
        }
    }

    /// Runs one round. False when the process must not be used again.
    pub(crate) async fn run(
        &mut self,
        job: Job,
        events: &mpsc::UnboundedSender<RoundEvent>,
        stop: &mut watch::Receiver<Stop>,
        watch: Option<&Watch>,
    ) -> (RoundEnding, bool) {
        let visits = job.round.visits.len();
        let limit = match job.round.time_limit_ns {
            0 => DEFAULT_TIME_LIMIT,
            limit => Duration::from_nanos(limit),
        };
        let time_limit = Instant::now() + limit;
        let _ = events.send(RoundEvent::Ready(self.facts.clone()));
        // A worker that is gone is noticed by the first read.
        let model = job.model.map(|path| path.into_os_string().into_vec());
        let _ = self
            .send_with(to_worker::Message::Round(job.round), model)
            .await;
        let mut ladder: Option<Ladder> = None;
        let mut place = wire::WorkerProgress::default();
        let mut done = 0_usize;
        loop {
            let deadline = match &ladder {
                Some(ladder) => ladder.steps.front().map(|(at, _)| *at),
                None => Some(time_limit),
            };
            match self.next(stop, deadline).await {
                Step::Message(from_worker::Message::Progress(progress)) => {
                    place = progress;
                    let _ = events.send(RoundEvent::Progress(progress));
                }
                Step::Message(from_worker::Message::Block(mut block)) => {
                    done += 1;
                    if let Some(watch) = watch {
                        watch.tag(&mut block, &self.own, &self.device_id);
                    }
                    let _ = events.send(RoundEvent::Block(block));
                }
                Step::Message(from_worker::Message::VisitFailure(failure)) => {
                    done += 1;
                    let _ = events.send(RoundEvent::Failure(failure));
                }
                Step::Message(from_worker::Message::RoundEnd(end)) => {
                    return ended(end, ladder);
                }
                Step::Message(from_worker::Message::Fatal(fatal)) => {
                    return (
                        RoundEnding::new(AttemptOutcome::Broken, fatal.message),
                        false,
                    );
                }
                Step::Message(from_worker::Message::Ready(_)) => {}
                Step::Stop(Stop::No) => {}
                Step::Stop(Stop::Gently(reason)) if ladder.is_none() => {
                    let _ = self
                        .send(to_worker::Message::Stop(wire::StopRound {}))
                        .await;
                    let term = Instant::now() + STOP_GRACE;
                    ladder = Some(Ladder {
                        outcome: AttemptOutcome::Stopped,
                        reason,
                        steps: [
                            (term, Signal::SIGTERM),
                            (term + TERM_GRACE, Signal::SIGKILL),
                        ]
                        .into(),
                    });
                }
                Step::Stop(Stop::Gently(_)) => {}
                Step::Stop(Stop::AtOnce(reason)) => {
                    self.signal(Signal::SIGKILL);
                    return (RoundEnding::new(AttemptOutcome::Stopped, reason), false);
                }
                Step::Escalate => match &mut ladder {
                    Some(ladder) => {
                        if let Some((_, signal)) = ladder.steps.pop_front() {
                            warn!(worker = %self.pid, signal = signal.as_str(), "A worker that does not stop is sent a signal.");
                            self.signal(signal);
                        }
                    }
                    None => {
                        self.signal(Signal::SIGTERM);
                        ladder = Some(Ladder {
                            outcome: AttemptOutcome::TimedOut,
                            reason: format!(
                                "the round was over its time limit of {} s, with {done} of {visits} visits done{}",
                                limit.as_secs(),
                                at(&place)
                            ),
                            steps: [(Instant::now() + TERM_GRACE, Signal::SIGKILL)].into(),
                        });
                    }
                },
                Step::Gone => {
                    let ending = match ladder {
                        Some(ladder) => RoundEnding::new(ladder.outcome, ladder.reason),
                        None => self.broken(&place, done, visits).await,
                    };
                    return (ending, false);
                }
            }
        }
    }

    /// True while the process lives.
    pub(crate) fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Ends an idle worker: SIGTERM, then SIGKILL.
    pub(crate) async fn end(mut self) {
        self.signal(Signal::SIGTERM);
        if time::timeout(TERM_GRACE, self.child.wait()).await.is_err() {
            warn!(worker = %self.pid, "An idle worker did not end on SIGTERM and is killed.");
            self.signal(Signal::SIGKILL);
            let _ = self.child.wait().await;
        }
        debug!(worker = %self.pid, "A worker was ended.");
    }

    async fn broken(
        &mut self,
        place: &wire::WorkerProgress,
        done: usize,
        visits: usize,
    ) -> RoundEnding {
        let (end, hint) = match self.exit_status().await {
            Some(status) => (exit_status::describe(status), exit_status::hint(status)),
            None => ("closed its socket".to_owned(), ""),
        };
        let lines = self.stderr.last_lines().await;
        let said = lines
            .lines()
            .last()
            .map_or_else(String::new, |line| format!("; its last line: {line}"));
        let place = at(place);
        RoundEnding::new(
            AttemptOutcome::Broken,
            format!("the worker {end}{place}, {done} of {visits} visits are kept{hint}{said}"),
        )
    }

    async fn exit_status(&mut self) -> Option<ExitStatus> {
        time::timeout(EXIT_GRACE, self.child.wait())
            .await
            .ok()?
            .ok()
    }

    async fn send(&mut self, message: to_worker::Message) -> io::Result<()> {
        self.send_with(message, None).await
    }

    /// The same with the path of a model.
    async fn send_with(
        &mut self,
        message: to_worker::Message,
        model: Option<Vec<u8>>,
    ) -> io::Result<()> {
        let frame = frame::encode(&ToWorker {
            message: Some(message),
            model_path: model.unwrap_or_default(),
        });
        self.socket.write_all(&frame).await
    }

    /// The next thing that happens; cancel-safe.
    async fn next(&mut self, stop: &mut watch::Receiver<Stop>, deadline: Option<Instant>) -> Step {
        let escalation = async {
            match deadline {
                Some(at) => time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            Ok(()) = stop.changed() => Step::Stop(stop.borrow_and_update().clone()),
            message = receive(&mut self.socket, &mut self.decoder) => match message {
                Some(message) => Step::Message(message),
                None => Step::Gone,
            },
            () = escalation => Step::Escalate,
        }
    }

    /// To the whole group: a worker may have children of its own.
    fn signal(&self, signal: Signal) {
        // Once the process was waited for, its number may belong to someone else.
        if self.child.id().is_some() {
            let _ = killpg(self.pid, signal);
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.signal(Signal::SIGKILL);
        if let Some(entry) = self.entry.take() {
            entry.leave();
        }
    }
}

fn ended(end: wire::RoundEnd, ladder: Option<Ladder>) -> (RoundEnding, bool) {
    let outcome = AttemptOutcome::from_wire(end.outcome).unwrap_or(AttemptOutcome::Broken);
    let times = Some(RoundTimes {
        measuring: Duration::from_nanos(end.measuring_ns),
        warm_up: Duration::from_nanos(end.warm_up_ns),
        elapsed: Duration::from_nanos(end.elapsed_ns),
    });
    let reusable = matches!(outcome, AttemptOutcome::Finished | AttemptOutcome::Stopped);
    let (outcome, message) = match (outcome, ladder) {
        (AttemptOutcome::Stopped, Some(ladder)) => (ladder.outcome, ladder.reason),
        (outcome, _) => (outcome, end.message),
    };
    // After a SIGTERM the process may be about to go.
    let reusable = reusable && outcome != AttemptOutcome::TimedOut;
    (
        RoundEnding {
            outcome,
            message,
            times,
        },
        reusable,
    )
}

fn at(place: &wire::WorkerProgress) -> String {
    if place.batch_size == 0 {
        return String::new();
    }
    let doing = match place.phase() {
        wire::WorkerPhase::Timing => "timing",
        _ => "warming up",
    };
    format!(" while {doing} batch size {}", place.batch_size)
}

/// The next message; `None` when the worker has gone or speaks nonsense. Cancel-safe: bytes are kept in the decoder.
async fn receive(socket: &mut UnixStream, decoder: &mut Decoder) -> Option<from_worker::Message> {
    let mut bytes = [0; 4096];
    loop {
        match decoder.next_message::<FromWorker>() {
            Ok(Some(FromWorker {
                message: Some(message),
            })) => return Some(message),
            Ok(Some(FromWorker { message: None })) => continue,
            Ok(None) => {}
            Err(error) => {
                warn!(error = %error, "A worker sent what is not a message.");
                return None;
            }
        }
        match socket.read(&mut bytes).await {
            Ok(0) | Err(_) => return None,
            Ok(read) => decoder.extend(&bytes[..read]),
        }
    }
}
