//! Starts a worker process so that it cannot outlive the agent, cannot be confused by a terminal's signals, and has its socket. The only
//! place that forks.

use std::{
    io,
    os::{fd::AsRawFd as _, unix::net::UnixStream as StdStream},
    path::Path,
    process::Stdio,
};

use batchstep_proto::domain::{Device, DeviceKind};
use nix::{
    sys::{prctl, signal::Signal},
    unistd::{Pid, getpid, getppid},
};
use tokio::{
    net::UnixStream,
    process::{Child, Command},
};

/// A started process and the agent's end of its socket.
pub(crate) struct Spawned {
    pub(crate) child: Child,
    /// Of the process and, since it leads it, of its group.
    pub(crate) pid: Pid,
    pub(crate) socket: UnixStream,
}

/// Starts `worker --fd N` for a device. Must be called on a thread that lives as long as the agent: the parent-death signal follows the
/// thread that forked.
pub(crate) fn spawn(worker: &Path, device: &Device) -> io::Result<Spawned> {
    let (ours, theirs) = StdStream::pair()?;
    ours.set_nonblocking(true)?;
    let fd = theirs.as_raw_fd();
    let agent = getpid();
    let mut command = Command::new(worker);
    command
        .arg("--fd")
        .arg(fd.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    // The only visible device is number 0 of the worker, whatever order CUDA counts in; a worker for the processors sees none.
    command.env(
        "CUDA_VISIBLE_DEVICES",
        match device.kind {
            DeviceKind::Cuda => device.id.as_str(),
            DeviceKind::Cpu | DeviceKind::Simulated => "",
        },
    );
    let prepare = move || {
        prctl::set_pdeathsig(Signal::SIGKILL)?;
        // The agent may have died before the signal was asked for.
        if getppid() != agent {
            return Err(io::Error::from(io::ErrorKind::BrokenPipe));
        }
        // SAFETY: `fd` is open in this freshly forked child; fcntl is async-signal-safe.
        if unsafe { libc::fcntl(fd, libc::F_SETFD, 0) } == -1 {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    };
    // SAFETY: between fork and exec only async-signal-safe calls are made (prctl, getppid, fcntl), and nothing allocates on the way of success.
    unsafe { command.pre_exec(prepare) };
    let child = command.spawn()?;
    let pid = child
        .id()
        .and_then(|id| i32::try_from(id).ok())
        .map(Pid::from_raw)
        .ok_or_else(|| io::Error::other("the worker ended before its process id was known"))?;
    Ok(Spawned {
        child,
        pid,
        socket: UnixStream::from_std(ours)?,
    })
}
