//! What an enrolled agent proves its identity with: its key, its certificate and its coordinator's authority, in one file that only its owner can read.
//!
//! Made by `enroll`, replaced by `renewal`, used at every dial. One file, so that a crash never leaves a key with another one's certificate.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use batchstep_identity::{Fingerprint, Validity, agent_of, client_config};
use batchstep_proto::ids::AgentId;
use rcgen::{CertificateParams, KeyPair};
use rustls::{
    ClientConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};

use crate::durable;

/// An identity that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// The file cannot be read or written.
    #[error("cannot use {path}, which holds this agent's key and certificate")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file holds something else.
    #[error("{path} does not hold an agent's key and certificates; enrol the agent again")]
    Damaged {
        /// Which.
        path: PathBuf,
    },
    /// No key or no request for a certificate can be made.
    #[error("cannot make a key")]
    Key(#[source] rcgen::Error),
    /// What the coordinator sent does not fit together.
    #[error("the coordinator sent a certificate that is not for this agent: {0}")]
    Unfitting(String),
}

/// A key whose certificate is still to be asked for.
pub struct NewKey {
    key: KeyPair,
    /// PKCS #10, in DER.
    pub(crate) signing_request: Vec<u8>,
}

/// A key, its certificate, and the authority that both are worth something to. Cannot be printed.
#[derive(Clone)]
pub struct Identity {
    agent: AgentId,
    key: Arc<PrivateKeyDer<'static>>,
    chain: Vec<CertificateDer<'static>>,
    authority: CertificateDer<'static>,
    validity: Validity,
}

impl NewKey {
    /// Makes one.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub fn generate() -> Result<Self, CredentialsError> {
        let key = KeyPair::generate().map_err(CredentialsError::Key)?;
        let request = CertificateParams::default().serialize_request(&key);
        Ok(Self {
            signing_request: request.map_err(CredentialsError::Key)?.der().to_vec(),
            key,
        })
    }

    /// Together with the answer to its request.
    ///
    /// # Errors
    /// When the certificate is none, is for another key, or names no agent.
    pub(crate) fn with(
        self,
        chain: Vec<Vec<u8>>,
        authority: Vec<u8>,
    ) -> Result<Identity, CredentialsError> {
        let key = PrivateKeyDer::try_from(self.key.serialize_der())
            .map_err(|error| CredentialsError::Unfitting(error.to_owned()))?;
        let chain = chain.into_iter().map(CertificateDer::from).collect();
        Identity::new(key, chain, authority.into()).map_err(CredentialsError::Unfitting)
    }
}

impl Identity {
    fn new(
        key: PrivateKeyDer<'static>,
        chain: Vec<CertificateDer<'static>>,
        authority: CertificateDer<'static>,
    ) -> Result<Self, String> {
        let leaf = chain.first().ok_or("there is none")?;
        let identity = Self {
            agent: agent_of(leaf).ok_or("it names no agent")?,
            validity: Validity::of(leaf).map_err(|error| error.to_string())?,
            key: Arc::new(key),
            chain,
            authority,
        };
        // Compares the key with the certificate's.
        identity
            .client_config()
            .map_err(|error| error.to_string())?;
        Ok(identity)
    }

    /// Who it is.
    #[must_use]
    pub const fn agent(&self) -> AgentId {
        self.agent
    }

    /// From when to when.
    #[must_use]
    pub const fn validity(&self) -> Validity {
        self.validity
    }

    /// The authority's name.
    #[must_use]
    pub fn authority(&self) -> Fingerprint {
        Fingerprint::of(&self.authority)
    }

    /// TLS as this agent.
    pub(crate) fn client_config(&self) -> Result<ClientConfig, rustls::Error> {
        let identity = (self.chain.clone(), self.key.clone_key());
        client_config(self.authority(), Some(identity))
    }

    fn to_pem(&self) -> String {
        let certificates = self.chain.iter().chain([&self.authority]);
        let mut sections = vec![pem::Pem::new("PRIVATE KEY", self.key.secret_der())];
        sections.extend(certificates.map(|der| pem::Pem::new("CERTIFICATE", der.to_vec())));
        let line_ends = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);
        pem::encode_many_config(&sections, line_ends)
    }

    fn from_pem(pem: &[u8]) -> Option<Self> {
        let key = PrivateKeyDer::from_pem_slice(pem).ok()?;
        let certificates = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
        let mut chain = certificates.ok()?;
        let authority = chain.pop()?;
        Self::new(key, chain, authority).ok()
    }
}

/// An agent's identity as it is now, and the file it comes from. Clones share it.
#[derive(Clone)]
pub struct Credentials {
    path: PathBuf,
    current: Arc<Mutex<Identity>>,
}

impl Credentials {
    /// Reads the file; `None` where the agent was never enrolled.
    pub(crate) fn read(path: &Path) -> Result<Option<Self>, CredentialsError> {
        let pem = match fs::read(path) {
            Ok(pem) => pem,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => {
                return Err(CredentialsError::File {
                    path: path.to_owned(),
                    source,
                });
            }
        };
        let identity = Identity::from_pem(&pem).ok_or_else(|| CredentialsError::Damaged {
            path: path.to_owned(),
        })?;
        Ok(Some(Self {
            path: path.to_owned(),
            current: Arc::new(Mutex::new(identity)),
        }))
    }

    /// Writes the file, whole or not at all.
    pub(crate) fn write(path: &Path, identity: &Identity) -> Result<(), CredentialsError> {
        durable::write_private(path, identity.to_pem().as_bytes()).map_err(|source| {
            CredentialsError::File {
                path: path.to_owned(),
                source,
            }
        })
    }

    /// As it is now.
    pub(crate) fn current(&self) -> Identity {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        current.clone()
    }

    /// Who the agent is.
    #[must_use]
    pub fn agent(&self) -> AgentId {
        self.current().agent
    }

    /// When the certificate ends, by the coordinator's clock.
    #[must_use]
    pub fn ends(&self) -> SystemTime {
        self.current().validity.ends
    }

    /// Puts a renewed identity in the place of this one: on disk first, then for the next dial.
    pub(crate) fn replace(&self, identity: Identity) -> Result<(), CredentialsError> {
        if identity.agent != self.agent() {
            let problem = format!("it is that of agent {}", identity.agent);
            return Err(CredentialsError::Unfitting(problem));
        }
        Self::write(&self.path, &identity)?;
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = identity;
        Ok(())
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("path", &self.path)
            .field("agent", &self.agent())
            .finish_non_exhaustive()
    }
}
