//! From when to when a certificate is good.

use std::time::{Duration, SystemTime};

use x509_parser::parse_x509_certificate;

/// Bytes that are no certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the bytes are not an X.509 certificate that can be read")]
pub struct CertificateError;

/// The time in which a certificate is good, by the clock of whoever issued it; to the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// Not before.
    pub begins: SystemTime,
    /// Not after.
    pub ends: SystemTime,
}

impl Validity {
    /// Of a certificate in DER.
    ///
    /// # Errors
    /// When it is none.
    pub fn of(certificate: &[u8]) -> Result<Self, CertificateError> {
        let (_, certificate) = parse_x509_certificate(certificate).map_err(|_| CertificateError)?;
        let time = |seconds: i64| {
            let since = u64::try_from(seconds).map_err(|_| CertificateError)?;
            Ok(SystemTime::UNIX_EPOCH + Duration::from_secs(since))
        };
        let validity = certificate.validity();
        Ok(Self {
            begins: time(validity.not_before.timestamp())?,
            ends: time(validity.not_after.timestamp())?,
        })
    }

    /// Half of its life, when it should be renewed.
    #[must_use]
    pub fn half_life(&self) -> SystemTime {
        self.begins + self.ends.duration_since(self.begins).unwrap_or_default() / 2
    }
}
