//! Open files: every agent holds a connection, and systems begin a process with few of the files they would allow it.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Below this many a fleet of a thousand agents does not fit, with the database's own files and operators.
const FEW: u64 = 1100;

/// Takes as many descriptors as the system allows; tells when they are few.
pub(super) fn raise_limit() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard).map(|()| hard));
    match raised {
        Ok(limit) if limit >= FEW => {}
        Ok(limit) => tracing::warn!(
            limit,
            "Few files may be open at a time, and every agent needs one; raise the limit (LimitNOFILE= of the unit, or ulimit -Hn)."
        ),
        Err(error) => {
            tracing::warn!(%error, "The limit on open files cannot be raised; every agent needs one.");
        }
    }
}
