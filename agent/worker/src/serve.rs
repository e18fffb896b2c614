//! The worker's side of the socket: a setup, then rounds until the agent closes.
//!
//! One thread reads, so that a stop reaches a running round and a closed socket ends the process at once; the calling thread computes
//! and writes. Nothing here measures.

use std::{
    ffi::OsString,
    os::unix::{ffi::OsStringExt as _, net::UnixStream},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};

use batchstep_proto::{
    domain::{
        AttemptOutcome, DeviceKind, Round, VisitFailure, VisitFailureKind, WorkerFacts, nanos,
    },
    frame, limits,
    wire::{self, from_worker::Message as Reply, to_worker::Message as Request},
};

use crate::{
    cuda::{self, DeviceProperties, Driver, Preload},
    failure::Failure,
    measure::{
        Subject as _,
        memory::{self, NetworkWouldNotFit},
        round::{Ended, Event, History, Outcome, Runner},
    },
    session::{Place, Session, SessionKey},
    software,
};

/// Why the worker ends.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The socket.
    #[error("cannot talk to the agent")]
    Socket(#[from] std::io::Error),
    /// What came over it.
    #[error("the agent sent something else than a setup")]
    NoSetup,
    /// The device; the agent has been told.
    #[error("the device cannot be used: {0}")]
    Device(String),
}

/// A round as the reading thread received it.
struct Job {
    round: wire::Round,
    /// The file of the model that its workload names by digest.
    model: Option<PathBuf>,
    received: Instant,
    stop: Arc<AtomicBool>,
}

/// Serves the agent at the other end of `socket` until it closes.
///
/// # Errors
/// When the socket fails, the first message is not a setup, or the device cannot be used (any more).
pub fn serve(socket: &UnixStream, preload: &Preload) -> Result<(), ServeError> {
    let mut reader = socket.try_clone()?;
    let setup = match frame::read::<wire::ToWorker>(&mut reader) {
        Ok(None) => return Ok(()),
        Ok(Some(wire::ToWorker {
            message: Some(Request::Setup(setup)),
            ..
        })) => setup,
        _ => return Err(ServeError::NoSetup),
    };
    let place = match place(&setup, preload) {
        Ok(place) => place,
        Err(message) => return fatal(socket, message),
    };
    send(socket, Reply::Ready(facts(&place).into()))?;
    let (jobs, queue) = mpsc::channel();
    std::thread::spawn(move || read_requests(reader, &jobs));
    serve_rounds(socket, &place.0, &queue)
}

/// Passes rounds on and stops the one that was passed on last. Ends the process when the agent has closed: whatever runs is of no more use.
fn read_requests(mut reader: UnixStream, jobs: &mpsc::Sender<Job>) {
    let mut running: Option<Arc<AtomicBool>> = None;
    while let Ok(Some(request)) = frame::read::<wire::ToWorker>(&mut reader) {
        let model = (!request.model_path.is_empty())
            .then(|| PathBuf::from(OsString::from_vec(request.model_path)));
        match request.message {
            Some(Request::Round(round)) => {
                let stop = Arc::new(AtomicBool::new(false));
                running = Some(Arc::clone(&stop));
                let job = Job {
                    round,
                    model,
                    received: Instant::now(),
                    stop,
                };
                if jobs.send(job).is_err() {
                    return;
                }
            }
            Some(Request::Stop(_)) => {
                if let Some(stop) = &running {
                    stop.store(true, Ordering::Relaxed);
                }
            }
            Some(Request::Setup(_)) | None => {}
        }
    }
    // SAFETY: ends the process without running destructors, which libtorch's threads would race with.
    unsafe { libc::_exit(0) }
}

fn serve_rounds(
    socket: &UnixStream,
    place: &Place,
    queue: &mpsc::Receiver<Job>,
) -> Result<(), ServeError> {
    let mut current: Option<(SessionKey, Session<'_>, History)> = None;
    while let Ok(job) = queue.recv() {
        let round = match Round::try_from(job.round) {
            Ok(round) => round,
            Err(invalid) => {
                let end = broken(format!("the round cannot be read: {invalid}"), job.received);
                send(socket, Reply::RoundEnd(end))?;
                continue;
            }
        };
        let key = SessionKey::from(&round);
        let (key, mut session, mut history) = match current.take() {
            Some(kept) if kept.0 == key => kept,
            other => {
                // The old network is gone before the new one is built.
                drop(other);
                let share = round.timing.memory_share;
                if let Err(refused) =
                    memory::admit_network(key.least_bytes(place), place.memory_budget(), share)
                {
                    refuse(socket, &round, refused, job.received)?;
                    continue;
                }
                match start(place, &key, job.model.as_deref()) {
                    Ok((session, history)) => (key, session, history),
                    Err(failure) => {
                        let end = broken(
                            format!("{} cannot be built: {failure}", round.workload),
                            job.received,
                        );
                        send(socket, Reply::RoundEnd(end))?;
                        continue;
                    }
                }
            }
        };
        let mut sent = Ok(());
        let mut emit = |event| {
            if sent.is_ok() {
                sent = send(socket, reply(event));
            }
        };
        let ended = Runner::new(
            &round,
            &mut session,
            &mut history,
            &job.stop,
            &mut emit,
            job.received,
        )
        .run();
        sent?;
        if let Outcome::DeviceLost(failure) = &ended.outcome {
            return fatal(socket, failure.message.clone());
        }
        send(socket, Reply::RoundEnd(round_end(&ended)))?;
        current = Some((key, session, history));
    }
    Ok(())
}

/// Answers a round whose network does not fit: a result for each of its visits.
fn refuse(
    socket: &UnixStream,
    round: &Round,
    refused: NetworkWouldNotFit,
    received: Instant,
) -> Result<(), ServeError> {
    for (index, visit) in (0_u32..).zip(&round.visits) {
        let failure = VisitFailure {
            visit: index,
            batch_size: visit.batch_size,
            kind: VisitFailureKind::MemoryLimit,
            message: refused.to_string(),
        };
        send(socket, reply(Event::Failure(failure)))?;
    }
    let ended = Ended {
        outcome: Outcome::Finished,
        measuring: Duration::ZERO,
        warm_up: Duration::ZERO,
        elapsed: received.elapsed(),
    };
    send(socket, Reply::RoundEnd(round_end(&ended)))
}

/// Builds a network and starts its history.
fn start<'a>(
    place: &'a Place,
    key: &SessionKey,
    model: Option<&Path>,
) -> Result<(Session<'a>, History), Failure> {
    let mut session = Session::build_from(place, key, model)?;
    session.reset_peak_memory();
    let history = History::new(session.peak_memory());
    Ok((session, history))
}

fn reply(event: Event) -> Reply {
    match event {
        Event::Progress {
            visit,
            batch_size,
            phase,
        } => Reply::Progress(wire::WorkerProgress {
            visit,
            batch_size,
            phase: wire::WorkerPhase::from(phase).into(),
        }),
        Event::Block(block) => Reply::Block(block.into()),
        Event::Failure(failure) => Reply::VisitFailure(failure.into()),
    }
}

fn round_end(ended: &Ended) -> wire::RoundEnd {
    let (outcome, message) = match &ended.outcome {
        Outcome::Finished => (AttemptOutcome::Finished, String::new()),
        Outcome::Stopped => (AttemptOutcome::Stopped, "stopped on request".to_owned()),
        Outcome::DeviceLost(failure) => (AttemptOutcome::Broken, failure.message.clone()),
    };
    wire::RoundEnd {
        outcome: outcome.to_wire(),
        message,
        measuring_ns: nanos(ended.measuring),
        warm_up_ns: nanos(ended.warm_up),
        elapsed_ns: nanos(ended.elapsed),
    }
}

fn broken(mut message: String, received: Instant) -> wire::RoundEnd {
    let end = (0..=limits::ERROR_BYTES.min(message.len()))
        .rev()
        .find(|end| message.is_char_boundary(*end))
        .unwrap_or(0);
    message.truncate(end);
    wire::RoundEnd {
        outcome: AttemptOutcome::Broken.to_wire(),
        message,
        elapsed_ns: nanos(received.elapsed()),
        ..wire::RoundEnd::default()
    }
}

fn send(mut socket: &UnixStream, message: Reply) -> Result<(), ServeError> {
    let message = wire::FromWorker {
        message: Some(message),
    };
    Ok(frame::write(&mut socket, &message)?)
}

fn fatal(socket: &UnixStream, message: String) -> Result<(), ServeError> {
    send(
        socket,
        Reply::Fatal(wire::WorkerFatal {
            message: message.clone(),
        }),
    )?;
    Err(ServeError::Device(message))
}

/// Finds the device of a setup.
fn place(
    setup: &wire::WorkerSetup,
    preload: &Preload,
) -> Result<(Place, Option<DeviceProperties>), String> {
    software::check().map_err(|error| error.to_string())?;
    match DeviceKind::from_wire("setup.kind", setup.kind).map_err(|invalid| invalid.to_string())? {
        DeviceKind::Cpu => Ok((Place::Cpu, None)),
        DeviceKind::Simulated => Err(
            "a worker runs no simulated devices; `batchstep-agent run --simulate` does".to_owned(),
        ),
        DeviceKind::Cuda => cuda_place(&setup.device_id, preload),
    }
}

fn cuda_place(
    device_id: &str,
    preload: &Preload,
) -> Result<(Place, Option<DeviceProperties>), String> {
    if let Preload::Failed(reason) = preload {
        return Err(reason.clone());
    }
    let driver = Driver::load().map_err(|failure| failure.message)?;
    let devices = driver.devices().map_err(|failure| failure.message)?;
    let visible: Vec<&str> = devices.iter().map(|device| device.uuid.as_str()).collect();
    // A MIG instance named by its "MIG-.." UUID is the only device its process sees, and the driver tells its UUID without that prefix.
    // Nothing names one so yet: see `DeviceProperties::uuid`.
    let properties = devices
        .iter()
        .find(|device| device.uuid == device_id)
        .or_else(|| {
            devices
                .first()
                .filter(|_| devices.len() == 1 && device_id.starts_with("MIG-"))
        })
        .ok_or_else(|| {
            format!(
                "no CUDA device {device_id} is visible; visible: {}",
                if visible.is_empty() {
                    "none".to_owned()
                } else {
                    visible.join(", ")
                }
            )
        })?;
    if !tch::Cuda::is_available() {
        return Err(cuda::UNREACHABLE.to_owned());
    }
    let place = Place::Cuda {
        index: properties.index,
        driver,
        memory_bytes: properties.memory_bytes,
    };
    Ok((place, Some(properties.clone())))
}

fn facts((place, properties): &(Place, Option<DeviceProperties>)) -> WorkerFacts {
    let cpu = matches!(place, Place::Cpu);
    WorkerFacts {
        software: software::versions(!cpu),
        device_name: properties
            .as_ref()
            .map(|properties| properties.name.clone()),
        compute_units: properties
            .as_ref()
            .map(|properties| properties.multiprocessors),
        threads: cpu
            .then(tch::get_num_threads)
            .and_then(|threads| u32::try_from(threads).ok()),
        compute_capability: properties
            .as_ref()
            .map(|properties| properties.compute_capability.clone()),
    }
}
