//! The coordinator's own certificate: issued at the start, kept in memory, and replaced at half its life by whichever handshake comes then, so that a
//! coordinator that runs for years never presents an old one.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use batchstep_identity::Validity;
use jiff::Timestamp;
use rustls::{
    crypto::ring::default_provider,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};

use super::{Authority, PkiError};

/// How long one is good.
const LIFETIME: Duration = Duration::from_secs(30 * 86_400);

/// Presents the coordinator's certificate.
pub(crate) struct ServerCertificate {
    authority: Arc<Authority>,
    names: Vec<String>,
    current: Mutex<Current>,
}

#[derive(Clone)]
struct Current {
    key: Arc<CertifiedKey>,
    renew_at: Timestamp,
}

impl ServerCertificate {
    /// Issues the first one.
    ///
    /// # Errors
    /// When a name cannot be in a certificate.
    pub(crate) fn new(
        authority: Arc<Authority>,
        names: Vec<String>,
        now: Timestamp,
    ) -> Result<Self, PkiError> {
        let current = Mutex::new(issue(&authority, &names, now)?);
        Ok(Self {
            authority,
            names,
            current,
        })
    }

    fn at(&self, now: Timestamp) -> Arc<CertifiedKey> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if now >= current.renew_at {
            match issue(&self.authority, &self.names, now) {
                Ok(fresh) => *current = fresh,
                // The one there is good for as long again.
                Err(error) => {
                    tracing::error!(%error, "The coordinator's certificate could not be renewed.");
                }
            }
        }
        Arc::clone(&current.key)
    }
}

fn issue(authority: &Authority, names: &[String], now: Timestamp) -> Result<Current, PkiError> {
    let (chain, key) = authority.issue_server(names, now, LIFETIME)?;
    let validity = Validity::of(&chain[0]).map_err(|_| PkiError::Time(now))?;
    let key = CertifiedKey::from_der(chain, key, &default_provider()).map_err(PkiError::Tls)?;
    Ok(Current {
        key: Arc::new(key),
        renew_at: Timestamp::try_from(validity.half_life()).map_err(|_| PkiError::Time(now))?,
    })
}

impl fmt::Debug for ServerCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerCertificate")
            .field("names", &self.names)
            .finish_non_exhaustive()
    }
}

impl ResolvesServerCert for ServerCertificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.at(Timestamp::now()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_certificate_is_presented_from_half_of_the_old_ones_life_on() {
        let directory = tempfile::tempdir().unwrap();
        let start = Timestamp::now();
        let authority = Arc::new(Authority::open(directory.path(), start).unwrap());
        let names = vec!["coordinator.example".to_owned(), "192.0.2.1".to_owned()];
        let certificate = ServerCertificate::new(authority, names, start).unwrap();
        let first = certificate.at(start);
        assert!(Arc::ptr_eq(&first, &certificate.at(start + LIFETIME / 3)));
        let later = start + LIFETIME / 2 + Duration::from_secs(1);
        let second = certificate.at(later);
        assert!(!Arc::ptr_eq(&first, &second));
        let ends = Validity::of(&second.cert[0]).unwrap().ends;
        assert!(Timestamp::try_from(ends).unwrap() > start + LIFETIME);
    }
}
