//! Descriptors: a connection is one on each side.

use anyhow::{Context as _, Result};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Takes as many descriptors as the system allows this user.
///
/// # Errors
/// When the limit cannot be read or raised.
pub fn raise_descriptors() -> Result<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).context("the limit on descriptors")?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).context("cannot raise the limit on descriptors")
}

/// Descriptors this process, and what it starts, may have.
///
/// # Errors
/// When the limit cannot be read.
pub fn descriptors() -> Result<u64> {
    Ok(getrlimit(Resource::RLIMIT_NOFILE)?.0)
}
