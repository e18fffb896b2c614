//! The agent's state directory: who it is, what it has accepted, what it has not yet delivered, and models. One process at a time owns it.
//!
//! `main` opens it before anything else starts; nothing else creates files at its top level.

use std::{
    fs::{self, File, TryLockError},
    io,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use batchstep_proto::ids::AgentId;

use crate::{
    credentials::{Credentials, CredentialsError, Identity},
    durable, ownership,
};

/// The file with key and certificates.
const IDENTITY: &str = "identity.pem";
/// The file with the agent's id, for people and scripts, and for an agent that is not enrolled.
const AGENT_ID: &str = "agent_id";

/// A state directory that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateDirError {
    /// It does not exist and cannot be made.
    #[error("cannot create the state directory {path}; choose another with --state-dir")]
    Create {
        /// As given.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It cannot be written to.
    #[error(
        "the state directory {path} is not writable; give this user write access or choose another with --state-dir"
    )]
    NotWritable {
        /// As given.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Another agent owns it.
    #[error(
        "the state directory {path} is in use by another agent; stop that one, or give this one its own --state-dir"
    )]
    InUse {
        /// As given.
        path: PathBuf,
    },
    /// The file with the agent's id is damaged.
    #[error("{path} does not hold an agent id; restore it, or remove it to start as a new agent")]
    BadAgentId {
        /// The file.
        path: PathBuf,
    },
    /// The identity cannot be used.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// What root made in it cannot be given to its owner.
    #[error(
        "what root made in {path} cannot be given to the folder's owner, who could not read it; mend that with `chown -R --reference={path} {path}`"
    )]
    Owner {
        /// As given.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file in it cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// An open state directory. Locked as long as the value lives.
#[derive(Debug)]
pub struct StateDir {
    path: PathBuf,
    agent_id: AgentId,
    credentials: Option<Credentials>,
    lock: File,
}

impl Drop for StateDir {
    /// Closing the file is not enough: a child that is just being started still has it open, until it becomes another program.
    fn drop(&mut self) {
        let _ = self.lock.unlock();
    }
}

impl StateDir {
    /// Opens a state directory, making it and the agent's id where there are none.
    ///
    /// # Errors
    /// When it cannot be made, written or read, when another process holds it, and when its agent id is damaged.
    pub fn open(path: &Path) -> Result<Self, StateDirError> {
        fs::create_dir_all(path).map_err(|source| StateDirError::Create {
            path: path.to_owned(),
            source,
        })?;
        let not_writable = |source| StateDirError::NotWritable {
            path: path.to_owned(),
            source,
        };
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            // Root may open it in another user's folder: nothing there may lead elsewhere, or make it wait.
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
            .open(path.join("lock"))
            .map_err(not_writable)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(StateDirError::InUse {
                    path: path.to_owned(),
                });
            }
            Err(TryLockError::Error(source)) => return Err(not_writable(source)),
        }
        durable::sweep(path).map_err(not_writable)?;
        for directory in ["spool", "accepted", "models"] {
            fs::create_dir_all(path.join(directory)).map_err(not_writable)?;
        }
        let credentials = Credentials::read(&path.join(IDENTITY))?;
        // Who was enrolled is whom the coordinator says; everybody else chooses a name.
        let file = path.join(AGENT_ID);
        let agent_id = match &credentials {
            Some(credentials) => {
                let agent = credentials.agent();
                note_agent_id(&file, agent)?;
                agent
            }
            None => agent_id(&file)?,
        };
        Ok(Self {
            path: path.to_owned(),
            agent_id,
            credentials,
            lock,
        })
    }

    /// The same for whoever enrols the agent, who may be root and leave the agent to another user: the directory goes to the owner of the folder that it is
    /// in where it is made here, and what root makes in it to its own owner.
    ///
    /// # Errors
    /// As [`StateDir::open`], and when files cannot be given away.
    pub fn open_for_owner(path: &Path) -> Result<Self, StateDirError> {
        let is_new = !path.exists();
        let state = Self::open(path)?;
        if is_new {
            ownership::give_new_folder(path).map_err(|source| StateDirError::Owner {
                path: path.to_owned(),
                source,
            })?;
        }
        state.give_to_owner()?;
        Ok(state)
    }

    fn give_to_owner(&self) -> Result<(), StateDirError> {
        let given = ownership::give_content(&self.path);
        given.map(drop).map_err(|source| StateDirError::Owner {
            path: self.path.clone(),
            source,
        })
    }

    /// The agent's identity.
    #[must_use]
    pub const fn agent_id(&self) -> AgentId {
        self.agent_id
    }

    /// What this agent proves its identity with, where it was enrolled.
    #[must_use]
    pub const fn credentials(&self) -> Option<&Credentials> {
        self.credentials.as_ref()
    }

    /// Keeps what an enrolment brought, in place of an earlier identity. For the next time that the directory is opened, by its owner.
    ///
    /// # Errors
    /// When it cannot be written, or not be given to the owner.
    pub fn keep(&self, identity: &Identity) -> Result<(), StateDirError> {
        Credentials::write(&self.path.join(IDENTITY), identity)?;
        note_agent_id(&self.path.join(AGENT_ID), identity.agent())?;
        self.give_to_owner()
    }

    /// Where undelivered reports wait.
    #[must_use]
    pub fn spool(&self) -> PathBuf {
        self.path.join("spool")
    }

    /// Where people's own networks are kept.
    #[must_use]
    pub fn models(&self) -> PathBuf {
        self.path.join("models")
    }

    /// Where accepted and unfinished attempts are on record.
    #[must_use]
    pub fn accepted(&self) -> PathBuf {
        self.path.join("accepted")
    }
}

fn agent_id(path: &Path) -> Result<AgentId, StateDirError> {
    match fs::read_to_string(path) {
        Ok(text) => text.trim().parse().map_err(|_| StateDirError::BadAgentId {
            path: path.to_owned(),
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let id = AgentId::generate();
            write_agent_id(path, id)?;
            Ok(id)
        }
        Err(source) => Err(StateDirError::Read {
            path: path.to_owned(),
            source,
        }),
    }
}

/// Makes the file say whom the coordinator says, whatever was in it.
fn note_agent_id(path: &Path, id: AgentId) -> Result<(), StateDirError> {
    let says_so = fs::read_to_string(path).is_ok_and(|text| text.trim().parse() == Ok(id));
    if says_so {
        return Ok(());
    }
    write_agent_id(path, id)
}

fn write_agent_id(path: &Path, id: AgentId) -> Result<(), StateDirError> {
    durable::write(path, format!("{id}\n").as_bytes()).map_err(|source| {
        StateDirError::NotWritable {
            path: path.to_owned(),
            source,
        }
    })
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::credentials::tests::issued;

    #[test]
    fn the_file_names_whom_the_agent_was_enrolled_as() {
        let directory = tempfile::tempdir().unwrap();
        let said = || fs::read_to_string(directory.path().join(AGENT_ID)).unwrap();
        let state = StateDir::open(directory.path()).unwrap();
        let before = state.agent_id();
        let now = SystemTime::now();
        let identity = issued(now, now + Duration::from_secs(1000));
        state.keep(&identity).unwrap();
        assert_ne!(identity.agent(), before);
        assert_eq!(said(), format!("{}\n", identity.agent()));
        drop(state);
        fs::write(directory.path().join(AGENT_ID), "not an id").unwrap();
        let state = StateDir::open(directory.path()).unwrap();
        assert_eq!(state.agent_id(), identity.agent());
        assert_eq!(said(), format!("{}\n", identity.agent()));
    }

    #[test]
    fn an_agent_keeps_its_id_and_does_not_share_its_directory() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("new/agent");
        let first = StateDir::open(&path).unwrap();
        let id = first.agent_id();
        assert!(matches!(
            StateDir::open(&path),
            Err(StateDirError::InUse { .. })
        ));
        drop(first);
        assert_eq!(StateDir::open(&path).unwrap().agent_id(), id);
        fs::write(path.join("agent_id"), "not an id").unwrap();
        assert!(matches!(
            StateDir::open(&path),
            Err(StateDirError::BadAgentId { .. })
        ));
    }

    #[test]
    fn a_lock_that_is_a_link_or_a_pipe_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let lock = directory.path().join("lock");
        let other = directory.path().join("other");
        let refused = || {
            let error = StateDir::open(directory.path()).unwrap_err();
            assert!(
                matches!(error, StateDirError::NotWritable { .. }),
                "{error}"
            );
        };
        std::os::unix::fs::symlink(&other, &lock).unwrap();
        refused();
        assert!(!other.exists());
        fs::remove_file(&lock).unwrap();
        nix::unistd::mkfifo(&lock, nix::sys::stat::Mode::S_IRWXU).unwrap();
        refused();
    }

    #[test]
    fn a_directory_is_free_at_once_also_while_a_child_has_its_lock_open() {
        let directory = tempfile::tempdir().unwrap();
        let state = StateDir::open(directory.path()).unwrap();
        let of_a_child = state.lock.try_clone().unwrap();
        drop(state);
        StateDir::open(directory.path()).unwrap();
        drop(of_a_child);
    }

    #[test]
    fn a_directory_that_cannot_be_made_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().join("below-a-file");
        let message = StateDir::open(&path).unwrap_err().to_string();
        assert!(
            message.contains(&path.display().to_string()) && message.contains("--state-dir"),
            "{message}"
        );
    }
}
