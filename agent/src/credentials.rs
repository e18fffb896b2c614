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

#[cfg(test)]
pub(crate) mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use batchstep_identity::agent_uri;
    use rcgen::{Issuer, SanType};

    use super::*;

    fn answer(key: &NewKey, begins: SystemTime, ends: SystemTime) -> (Vec<Vec<u8>>, Vec<u8>) {
        let authority = KeyPair::generate().unwrap();
        let own = CertificateParams::default()
            .self_signed(&authority)
            .unwrap();
        let uri = agent_uri(AgentId::generate());
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![SanType::URI(uri.as_str().try_into().unwrap())];
        params.not_before = begins.into();
        params.not_after = ends.into();
        let issuer = Issuer::from_ca_cert_der(own.der(), authority).unwrap();
        let leaf = params.signed_by(&key.key, &issuer).unwrap();
        (vec![leaf.der().to_vec()], own.der().to_vec())
    }

    /// An agent's identity of an authority that is used up by it.
    pub(crate) fn issued(begins: SystemTime, ends: SystemTime) -> Identity {
        let key = NewKey::generate().unwrap();
        let (chain, authority) = answer(&key, begins, ends);
        key.with(chain, authority).unwrap()
    }

    fn day() -> (SystemTime, SystemTime) {
        let begins = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(2_000_000_000);
        (begins, begins + std::time::Duration::from_secs(86_400))
    }

    #[test]
    fn an_identity_comes_back_from_its_file_which_only_its_owner_reads() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("identity.pem");
        assert!(Credentials::read(&path).unwrap().is_none());
        let identity = issued(day().0, day().1);
        Credentials::write(&path, &identity).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let read = Credentials::read(&path).unwrap().unwrap();
        assert_eq!(read.agent(), identity.agent());
        assert_eq!(read.current().authority(), identity.authority());
        assert_eq!((identity.validity.begins, read.ends()), day());
        // Another agent's identity does not take its place.
        let other = issued(day().0, day().1);
        assert!(read.replace(other).is_err());
        let pem = fs::read_to_string(&path).unwrap();
        fs::write(&path, &pem[..pem.len() / 2]).unwrap();
        let error = Credentials::read(&path).unwrap_err();
        assert!(matches!(error, CredentialsError::Damaged { .. }), "{error}");
    }

    #[test]
    fn a_certificate_for_another_key_is_refused() {
        let (mine, other) = (NewKey::generate().unwrap(), NewKey::generate().unwrap());
        let (chain, authority) = answer(&other, day().0, day().1);
        let refused = mine.with(chain, authority).map(drop);
        assert!(
            matches!(refused, Err(CredentialsError::Unfitting(_))),
            "{refused:?}"
        );
    }
}
