//! The worker's process, with the agent's end of its socket.

use std::{
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::{ffi::OsStrExt as _, net::UnixStream, process::CommandExt as _},
    },
    path::Path,
    process::{Child, Command, ExitStatus},
    time::{Duration, Instant},
};

use batchstep_proto::{
    domain::DeviceKind,
    frame,
    wire::{self, from_worker::Message as Reply, to_worker::Message as Request},
};
use nix::fcntl::{FcntlArg, FdFlag, fcntl};

/// Bounds every wait of these tests; never a measured time.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// A worker process and the agent's end of its socket; killed when dropped.
pub struct Worker {
    child: Child,
    socket: Option<UnixStream>,
}

impl Worker {
    pub fn start() -> Self {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_read_timeout(Some(PATIENCE)).unwrap();
        let theirs = OwnedFd::from(theirs);
        let fd = theirs.as_raw_fd();
        let mut command = Command::new(env!("CARGO_BIN_EXE_batchstep-worker"));
        command.arg("--fd").arg(fd.to_string());
        // SAFETY: only clears a flag of a descriptor, which is async-signal-safe.
        unsafe {
            command.pre_exec(move || {
                let theirs = std::os::fd::BorrowedFd::borrow_raw(fd);
                fcntl(theirs, FcntlArg::F_SETFD(FdFlag::empty()))?;
                Ok(())
            });
        }
        Self {
            child: command.spawn().unwrap(),
            socket: Some(ours),
        }
    }

    /// Started and set up for the CPU.
    pub fn ready() -> Self {
        let mut worker = Self::start();
        worker.send(Request::Setup(wire::WorkerSetup {
            kind: DeviceKind::Cpu.to_wire(),
            device_id: "CPU-test".to_owned(),
        }));
        let Some(Reply::Ready(facts)) = worker.receive() else {
            panic!("no facts")
        };
        let software = facts.software.unwrap();
        assert_eq!(software.libtorch.as_deref(), Some("2.11.0"));
        assert_eq!(software.cuda, None, "a CPU result does not depend on CUDA");
        assert!(facts.threads.unwrap() >= 1);
        worker
    }

    pub fn send(&mut self, message: Request) {
        self.send_with(message, None);
    }

    /// The same with the file of a model.
    pub fn send_with(&mut self, message: Request, model: Option<&Path>) {
        let message = wire::ToWorker {
            message: Some(message),
            model_path: model.map_or_else(Vec::new, |path| path.as_os_str().as_bytes().to_vec()),
        };
        frame::write(self.socket.as_mut().unwrap(), &message).unwrap();
    }

    pub fn receive(&mut self) -> Option<Reply> {
        frame::read::<wire::FromWorker>(self.socket.as_mut().unwrap())
            .unwrap()
            .map(|message| message.message.unwrap())
    }

    /// Closes the agent's end.
    pub fn close(&mut self) {
        self.socket = None;
    }

    /// Everything up to the round's end.
    pub fn until_end(&mut self) -> (Vec<Reply>, wire::RoundEnd) {
        let mut seen = Vec::new();
        loop {
            match self.receive().expect("the worker closed in mid-round") {
                Reply::RoundEnd(end) => return (seen, end),
                other => seen.push(other),
            }
        }
    }

    /// Waits for the process to end by itself.
    pub fn exit(mut self) -> ExitStatus {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(began.elapsed() < PATIENCE, "the worker does not end");
            std::thread::yield_now();
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
