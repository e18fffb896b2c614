//! `batchstep-worker`: started by the agent with an inherited socket, never by hand.

use std::{
    os::{
        fd::{FromRawFd as _, RawFd},
        unix::net::UnixStream,
    },
    process::ExitCode,
};

use anyhow::{Context as _, bail};
use batchstep_worker::{
    cuda::{self, Preload},
    describe, serve, software,
};
use nix::{
    fcntl::{FcntlArg, fcntl},
    sys::{
        prctl,
        signal::Signal,
        socket::{AddressFamily, SockaddrLike as _, UnixAddr, getsockname},
    },
    unistd::getppid,
};

const USAGE: &str = "usage: batchstep-worker --fd N | --describe | --version

Runs trials for batchstep-agent, which starts it with a connected Unix socket as descriptor N.
--describe prints as JSON which libtorch and which devices trials would use.";

/// The exit code for a libtorch of another version.
const WRONG_LIBTORCH: u8 = 3;
const USAGE_ERROR: u8 = 2;

fn main() -> ExitCode {
    // Before any call into tch: see `cuda::preload`.
    let preload = cuda::preload();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match arguments[..] {
        ["--describe"] => describe(&preload),
        ["--version"] => {
            println!("batchstep-worker {}", env!("CARGO_PKG_VERSION"));
            Ok(ExitCode::SUCCESS)
        }
        ["--fd", number] => run(number, &preload),
        _ => {
            eprintln!("{USAGE}");
            Ok(ExitCode::from(USAGE_ERROR))
        }
    };
    result.unwrap_or_else(|error| {
        eprintln!("batchstep-worker: {error:#}");
        ExitCode::FAILURE
    })
}

fn describe(preload: &Preload) -> anyhow::Result<ExitCode> {
    let description = describe::describe(preload);
    println!("{}", serde_json::to_string_pretty(&description)?);
    if let Some(problem) = &description.libtorch_problem {
        eprintln!("batchstep-worker: {problem}");
        return Ok(ExitCode::from(WRONG_LIBTORCH));
    }
    Ok(ExitCode::SUCCESS)
}

fn run(number: &str, preload: &Preload) -> anyhow::Result<ExitCode> {
    die_with_parent()?;
    let socket = inherited_socket(number)?;
    if let Err(error) = software::check() {
        eprintln!("batchstep-worker: {error}");
        // The agent learns it too: `serve` answers the setup with it.
        let _ = serve::serve(&socket, preload);
        return Ok(ExitCode::from(WRONG_LIBTORCH));
    }
    serve::serve(&socket, preload)?;
    Ok(ExitCode::SUCCESS)
}

/// An orphaned worker would keep the device busy.
fn die_with_parent() -> anyhow::Result<()> {
    let parent = getppid();
    prctl::set_pdeathsig(Signal::SIGKILL).context("cannot ask to end with the agent")?;
    if getppid() != parent {
        bail!("the agent ended while this worker started");
    }
    Ok(())
}

fn inherited_socket(number: &str) -> anyhow::Result<UnixStream> {
    let fd: RawFd =
        number.parse().ok().filter(|fd| *fd > 2).with_context(|| {
            format!("--fd {number:?} is not the number of an inherited descriptor")
        })?;
    let address = getsockname::<UnixAddr>(fd)
        .with_context(|| format!("--fd {fd} is not an open Unix socket"))?;
    if address.family() != Some(AddressFamily::Unix) {
        bail!("--fd {fd} is a socket, but not a Unix socket");
    }
    // SAFETY: open, as `getsockname` has shown, and inherited for this purpose: nothing else in this process owns it.
    let socket = unsafe { UnixStream::from_raw_fd(fd) };
    // Processes that libraries start must not keep the agent's socket open.
    fcntl(&socket, FcntlArg::F_SETFD(nix::fcntl::FdFlag::FD_CLOEXEC))
        .context("cannot keep the socket from children")?;
    Ok(socket)
}
