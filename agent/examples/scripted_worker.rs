//! A worker without libtorch for the agent's tests: it speaks the real frames over the real socket and does what the round's workload says.
//!
//! The script is the `outputs` parameter of `linear:outputs=N`: see [`Script`]. Blocks take `Timing.block_target_ns` each. What `--describe` says can be
//! given by `SCRIPTED_WORKER_DESCRIPTION`.

use std::{
    ffi::OsStr,
    os::{
        fd::{FromRawFd as _, RawFd},
        unix::{ffi::OsStrExt as _, net::UnixStream},
    },
    process::{ExitCode, exit},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use batchstep_proto::{
    domain::{AttemptOutcome, nanos},
    frame,
    wire::{
        self, FromWorker, ToWorker, from_worker::Message as Reply, to_worker::Message as Request,
    },
};

/// What to do, as the number of the `outputs` parameter.
struct Script;

impl Script {
    /// Stop in the middle of the round and wait for ever; only a signal helps.
    const HANG: &str = "outputs=2";
    /// Die of SIGKILL in the middle of the round.
    const DIE: &str = "outputs=3";
    /// Tell how long blocks really took, not always a millisecond.
    const TRUE: &str = "outputs=4";
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--describe"] => {
            let bare = r#"{"libtorch_built":"2.11.0","libtorch_loaded":"2.11.0"}"#;
            let given = std::env::var("SCRIPTED_WORKER_DESCRIPTION");
            println!("{}", given.as_deref().unwrap_or(bare));
            ExitCode::SUCCESS
        }
        ["--fd", number] => {
            let fd: RawFd = number.parse().expect("--fd takes a number");
            // SAFETY: the agent passes the descriptor of an open socket that nothing else here owns.
            serve(unsafe { UnixStream::from_raw_fd(fd) });
            ExitCode::SUCCESS
        }
        _ => ExitCode::from(2),
    }
}

fn serve(mut socket: UnixStream) {
    println!("noise on stdout must not disturb the frames");
    let (requests, queue) = mpsc::channel();
    let mut reader = socket.try_clone().expect("a socket can be cloned");
    thread::spawn(move || {
        while let Ok(Some(ToWorker {
            message: Some(request),
            model_path,
        })) = frame::read::<ToWorker>(&mut reader)
        {
            let _ = requests.send((request, model_path));
        }
        exit(0)
    });
    let facts = wire::WorkerFacts {
        software: Some(wire::Software {
            libtorch: Some("2.11.0".to_owned()),
            ..Default::default()
        }),
        // Lets a test see which process measured.
        device_name: Some(std::process::id().to_string()),
        ..Default::default()
    };
    while let Ok((request, model)) = queue.recv() {
        match request {
            Request::Setup(_) => send(&mut socket, Reply::Ready(facts.clone())),
            Request::Round(round) => run(&mut socket, &round, &model, &queue),
            Request::Stop(_) => {}
        }
    }
}

/// A request and the path of a model.
type Asked = (Request, Vec<u8>);

fn run(socket: &mut UnixStream, round: &wire::Round, model: &[u8], queue: &mpsc::Receiver<Asked>) {
    let pace = Duration::from_nanos(round.timing.map_or(0, |timing| timing.block_target_ns));
    let middle = round.visits.len() / 2;
    let mut outcome = AttemptOutcome::Finished;
    for (number, visit) in (0..).zip(&round.visits) {
        let progress = wire::WorkerProgress {
            visit: number,
            batch_size: visit.batch_size,
            phase: wire::WorkerPhase::Timing as i32,
        };
        send(socket, Reply::Progress(progress));
        if number as usize == middle {
            if round.workload.contains(Script::HANG) {
                thread::sleep(Duration::from_secs(600));
            } else if round.workload.contains(Script::DIE) {
                // SAFETY: raises a signal in this process.
                unsafe { libc::raise(libc::SIGKILL) };
            }
        }
        let begun = Instant::now();
        match queue.recv_timeout(pace) {
            Ok((Request::Stop(_), _)) => {
                outcome = AttemptOutcome::Stopped;
                break;
            }
            Ok(_) | Err(mpsc::RecvTimeoutError::Timeout) => {}
            Err(mpsc::RecvTimeoutError::Disconnected) => return,
        }
        let block = wire::Block {
            visit: number,
            batch_size: visit.batch_size,
            role: visit.role,
            iterations: 3,
            elapsed_ns: if round.workload.contains(Script::TRUE) {
                nanos(begun.elapsed())
            } else {
                1_000_000
            },
            warm_up_ns: 1000,
            ..Default::default()
        };
        send(socket, Reply::Block(block));
    }
    // Lets a test see what the agent handed over.
    let message = if model.is_empty() {
        String::new()
    } else {
        std::fs::read_to_string(OsStr::from_bytes(model)).expect("the model is here")
    };
    let end = wire::RoundEnd {
        outcome: outcome.to_wire(),
        message,
        elapsed_ns: 1_000_000_000,
        measuring_ns: 1_000_000 * round.visits.len() as u64,
        ..Default::default()
    };
    send(socket, Reply::RoundEnd(end));
}

fn send(socket: &mut UnixStream, message: Reply) {
    let message = FromWorker {
        message: Some(message),
    };
    if frame::write(socket, &message).is_err() {
        exit(0);
    }
}
