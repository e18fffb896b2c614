//! Whom TLS trusts: the certificate authorities of the operating system, and one of the lab's own beside them.

use std::{path::Path, path::PathBuf, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{self, CertificateDer, pem::PemObject as _},
};

/// Authorities cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// The operating system has none.
    #[error(
        "this host knows no certificate authority, and nobody can be trusted: install the package ca-certificates, or name a file of authorities"
    )]
    NoAuthorities,
    /// The file cannot be read, or is no PEM.
    #[error("cannot read certificate authorities from {}", .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why not.
        #[source]
        source: pki_types::pem::Error,
    },
    /// There is no certificate in it, or none that can sign.
    #[error("{} holds no certificate (PEM) that can be trusted", .path.display())]
    Empty {
        /// Which.
        path: PathBuf,
    },
    /// The cryptography in use speaks none of the versions.
    #[error("TLS cannot be set up")]
    Setup(#[source] rustls::Error),
}

/// How clients speak TLS: 1.2 or 1.3, since mail servers of labs grow old.
///
/// # Errors
/// When there is nobody to trust, or the file of authorities cannot be used.
pub(crate) fn client_config(authorities: Option<&Path>) -> Result<Arc<ClientConfig>, TrustError> {
    let mut roots = RootCertStore::empty();
    // Single files that cannot be read are not worth failing for: a server that needs one is refused by name.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(path) = authorities {
        let failed = |source| TrustError::File {
            path: path.to_owned(),
            source,
        };
        let certificates: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(path)
            .and_then(Iterator::collect)
            .map_err(failed)?;
        let (added, ignored) = roots.add_parsable_certificates(certificates);
        if added == 0 || ignored > 0 {
            return Err(TrustError::Empty {
                path: path.to_owned(),
            });
        }
    }
    if roots.is_empty() {
        return Err(TrustError::NoAuthorities);
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(TrustError::Setup)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}
