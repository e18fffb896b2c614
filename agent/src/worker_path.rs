//! Finds the worker binary: named by the user, else beside the agent, else in PATH. `main` and the doctor ask once, at the start.

use std::{
    env,
    ffi::OsStr,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

/// Name of the worker binary.
const NAME: &str = "batchstep-worker";

/// No worker binary where it was looked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WorkerNotFound {
    /// The one that was named.
    #[error(
        "the worker {0} is not an executable file; correct --worker or BATCHSTEP_WORKER, or leave both out to use the one beside the agent"
    )]
    Named(PathBuf),
    /// None was named.
    #[error(
        "there is no {NAME} beside the agent{} and none in PATH; build it with `cargo build -p {NAME}`, or name one with --worker or BATCHSTEP_WORKER",
        .0.as_ref().map(|folder| format!(" in {}", folder.display())).unwrap_or_default()
    )]
    Nowhere(Option<PathBuf>),
}

/// The worker binary to use.
///
/// # Errors
/// When the named one is not an executable file, or none was named and none is found.
pub fn find(named: Option<&Path>) -> Result<PathBuf, WorkerNotFound> {
    let beside = env::current_exe()
        .ok()
        .and_then(|path| path.parent().map(Path::to_owned));
    find_in(named, beside, env::var_os("PATH").as_deref())
}

fn find_in(
    named: Option<&Path>,
    beside: Option<PathBuf>,
    path: Option<&OsStr>,
) -> Result<PathBuf, WorkerNotFound> {
    if let Some(named) = named {
        return if is_executable(named) {
            // The working directory must not matter later.
            Ok(std::path::absolute(named).unwrap_or_else(|_| named.to_owned()))
        } else {
            Err(WorkerNotFound::Named(named.to_owned()))
        };
    }
    beside
        .iter()
        .cloned()
        .chain(path.into_iter().flat_map(env::split_paths))
        .map(|folder| folder.join(NAME))
        .find(|candidate| is_executable(candidate))
        .ok_or(WorkerNotFound::Nowhere(beside))
}

fn is_executable(path: &Path) -> bool {
    path.metadata()
        .is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn executable(folder: &Path) -> PathBuf {
        let path = folder.join(NAME);
        fs::write(&path, "#!/bin/sh\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    #[test]
    fn the_named_one_wins_then_the_neighbour_then_path() {
        let [named, beside, path] = [(); 3].map(|()| tempfile::tempdir().unwrap());
        let search = path.path().as_os_str();
        let here = || Some(beside.path().to_owned());
        let error = find_in(None, here(), Some(search)).unwrap_err().to_string();
        assert!(error.contains(&beside.path().display().to_string()) && error.contains("--worker"));
        let in_path = executable(path.path());
        assert_eq!(find_in(None, here(), Some(search)).unwrap(), in_path);
        let neighbour = executable(beside.path());
        assert_eq!(find_in(None, here(), Some(search)).unwrap(), neighbour);
        let given = executable(named.path());
        assert_eq!(find_in(Some(&given), here(), Some(search)).unwrap(), given);
        fs::set_permissions(&given, fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(
            find_in(Some(&given), here(), Some(search)),
            Err(WorkerNotFound::Named(given))
        );
    }
}
