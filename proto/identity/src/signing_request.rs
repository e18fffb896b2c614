//! Requests for a certificate (PKCS #10, RFC 2986), as agents send them. Whoever has a join token or a certificate may send any bytes here; the coordinator's
//! authority signs nothing that was not read by this.

use rcgen::{
    Certificate, CertificateParams, CertificateSigningRequestParams, Issuer,
    PKCS_ECDSA_P256_SHA256, PKCS_ED25519, SigningKey,
};

/// Longest request, bytes: one with a key of the kinds that are taken has about 300.
pub const SIGNING_REQUEST_BYTES: usize = 8192;

/// Bytes that are no request that may be signed.
#[derive(Debug, thiserror::Error)]
pub enum SigningRequestError {
    /// Nothing that long is one.
    #[error("{0} bytes, more than the {SIGNING_REQUEST_BYTES} allowed")]
    TooLong(usize),
    /// No request, or not signed with its own key.
    #[error("is no PKCS #10 request in DER: {0}")]
    Malformed(rcgen::Error),
    /// A key that is not taken.
    #[error("the key must be ECDSA P-256 or Ed25519")]
    Key,
}

/// A request that is signed with its own key, which is of a kind that is taken.
#[derive(Debug)]
pub struct SigningRequest(CertificateSigningRequestParams);

impl SigningRequest {
    /// Reads a request in DER.
    ///
    /// # Errors
    /// When it is malformed, too long, not signed with its own key, or the key is of another kind.
    pub fn read(der: &[u8]) -> Result<Self, SigningRequestError> {
        if der.len() > SIGNING_REQUEST_BYTES {
            return Err(SigningRequestError::TooLong(der.len()));
        }
        let request = CertificateSigningRequestParams::from_der(&der.into());
        let request = request.map_err(SigningRequestError::Malformed)?;
        let algorithm = request.public_key.algorithm();
        if ![&PKCS_ECDSA_P256_SHA256, &PKCS_ED25519].contains(&algorithm) {
            return Err(SigningRequestError::Key);
        }
        Ok(Self(request))
    }

    /// A certificate for the request's key. What it says is `params` alone: nothing that was asked for, but the key, is in it.
    ///
    /// # Errors
    /// When it cannot be written or signed.
    pub fn certify(
        self,
        params: CertificateParams,
        issuer: &Issuer<'_, impl SigningKey>,
    ) -> Result<Certificate, rcgen::Error> {
        let Self(mut request) = self;
        request.params = params;
        request.signed_by(issuer)
    }
}
