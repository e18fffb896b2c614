//! The coordinator's certificate authority: one key, made at the first start, that certifies this coordinator and its agents and nobody else.
//!
//! Used under the lock of the data directory, so two coordinators never make one at the same time. Every function is told the time.

use std::{
    fs, io,
    net::IpAddr,
    path::Path,
    time::{Duration, SystemTime},
};

use batchstep_identity::{COORDINATOR_NAME, Fingerprint, SigningRequest, agent_uri};
use batchstep_proto::ids::AgentId;
use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, SanType, SerialNumber, string::Ia5String,
};
use rustls::{
    crypto::ring::default_provider,
    pki_types::{CertificateDer, DnsName, PrivateKeyDer, PrivatePkcs8KeyDer, pem::PemObject as _},
};

use super::{
    PkiError,
    files::{PRIVATE, PUBLIC, make_private_folder, replace},
};

/// Key and certificate in one file, so that there are both or none.
const AUTHORITY: &str = "authority.pem";
/// The certificate alone, for people and for other programs' clients.
const CERTIFICATE: &str = "ca.crt";
const BEGIN_CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----";

/// Clients take an authority by its fingerprint and do not ask how old it is; there is no reason to end it sooner.
const AUTHORITY_LIFETIME: Duration = Duration::from_secs(30 * 365 * 86_400);
/// Clocks of other hosts may be behind ours by this much when they first see the coordinator's certificate.
const CLOCK_ALLOWANCE: Duration = Duration::from_secs(86_400);

/// A certificate authority that can issue.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
}

/// A certificate that was issued to an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuedCertificate {
    /// Leaf first, in DER; the authority's own is not in it.
    pub chain: Vec<CertificateDer<'static>>,
    /// Its number, in hexadecimal digits.
    pub serial: String,
    /// When it ends.
    pub expires_at: Timestamp,
}

impl Authority {
    /// Reads the authority in this folder; makes the folder and a new authority where there is none. The folder's data directory must be locked.
    ///
    /// # Errors
    /// When files cannot be read or written, or hold something else.
    pub fn open(folder: &Path, now: Timestamp) -> Result<Self, PkiError> {
        let path = folder.join(AUTHORITY);
        let (authority, pem) = match fs::read_to_string(&path) {
            Ok(pem) => match Self::from_pem(&pem) {
                Some(authority) => (authority, pem),
                None => return Err(PkiError::Damaged { path }),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                make_private_folder(folder)?;
                let (authority, pem) = Self::generate(now)?;
                replace(&path, pem.as_bytes(), PRIVATE)?;
                tracing::info!(fingerprint = %authority.fingerprint(), "A new certificate authority was made.");
                (authority, pem)
            }
            Err(source) => return Err(PkiError::File { path, source }),
        };
        let public = folder.join(CERTIFICATE);
        if !public.exists()
            && let Some(begin) = pem.find(BEGIN_CERTIFICATE)
        {
            replace(&public, &pem.as_bytes()[begin..], PUBLIC)?;
        }
        Ok(authority)
    }

    /// Whether a coordinator could begin with the authority in this folder, or make one, as far as that can be told without making anything, and by
    /// somebody who may have less rights than the coordinator: false where it could not be looked at.
    ///
    /// # Errors
    /// When the file holds something else.
    pub fn check(folder: &Path) -> Result<bool, PkiError> {
        let path = folder.join(AUTHORITY);
        match fs::read_to_string(&path) {
            Ok(pem) if Self::from_pem(&pem).is_some() => Ok(true),
            Ok(_) => Err(PkiError::Damaged { path }),
            Err(error) => Ok(error.kind() == io::ErrorKind::NotFound),
        }
    }

    fn generate(now: Timestamp) -> Result<(Self, String), PkiError> {
        let key = KeyPair::generate().map_err(PkiError::Issue)?;
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        // Two authorities must not have one name: a client that knows both would try the wrong key.
        let number = random_serial()?;
        params.distinguished_name = named(&format!("batchstep authority {number}"));
        params.serial_number = Some(number);
        set_validity(&mut params, now, CLOCK_ALLOWANCE, AUTHORITY_LIFETIME)?;
        let certificate = params.self_signed(&key).map_err(PkiError::Issue)?;
        let pem = format!("{}{}", key.serialize_pem(), certificate.pem());
        let authority = Self::new(key, certificate.into()).map_err(PkiError::Issue)?;
        Ok((authority, pem))
    }

    fn from_pem(pem: &str) -> Option<Self> {
        let key = PrivateKeyDer::from_pem_slice(pem.as_bytes()).ok()?;
        let certificate = CertificateDer::from_pem_slice(pem.as_bytes()).ok()?;
        Self::new(KeyPair::try_from(&key).ok()?, certificate).ok()
    }

    fn new(key: KeyPair, certificate: CertificateDer<'static>) -> Result<Self, rcgen::Error> {
        Ok(Self {
            issuer: Issuer::from_ca_cert_der(&certificate, key)?,
            certificate,
        })
    }

    /// Its certificate, in DER.
    #[must_use]
    pub const fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// What names it in tokens.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.certificate)
    }

    /// A certificate for an agent, from its request. Everything in the request but the key is passed over: whose it is, is for the coordinator to say.
    ///
    /// # Errors
    /// When the request is malformed or not signed with its own key, or the time cannot be written.
    pub fn issue_agent(
        &self,
        signing_request: &[u8],
        agent: AgentId,
        now: Timestamp,
        lifetime: Duration,
    ) -> Result<IssuedCertificate, PkiError> {
        let request = SigningRequest::read(signing_request)
            .map_err(|error| PkiError::SigningRequest(error.to_string()))?;
        let (serial, mut params) = leaf(
            &format!("batchstep agent {agent}"),
            ExtendedKeyUsagePurpose::ClientAuth,
        )?;
        params.subject_alt_names = vec![SanType::URI(ia5(&agent_uri(agent))?)];
        // The coordinator's own clock may be set back a little between now and the first use.
        let allowance = lifetime.min(Duration::from_secs(3600)) / 10;
        let expires_at = set_validity(&mut params, now, allowance, lifetime)?;
        let certificate = request.certify(params, &self.issuer);
        let certificate = certificate.map_err(PkiError::Issue)?;
        Ok(IssuedCertificate {
            chain: vec![certificate.into()],
            serial: serial.to_string().replace(':', ""),
            expires_at,
        })
    }

    /// A certificate for this coordinator, with a new key, under the given host names and addresses besides the fixed one. The authority's own
    /// certificate is in the chain: clients know only its fingerprint.
    ///
    /// # Errors
    /// When a name cannot be one, or the time cannot be written.
    pub fn issue_server(
        &self,
        names: &[String],
        now: Timestamp,
        lifetime: Duration,
    ) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), PkiError> {
        let (_, mut params) = leaf("batchstep coordinator", ExtendedKeyUsagePurpose::ServerAuth)?;
        params.subject_alt_names = vec![SanType::DnsName(ia5(COORDINATOR_NAME)?)];
        for name in names {
            params.subject_alt_names.push(subject(name)?);
        }
        set_validity(&mut params, now, CLOCK_ALLOWANCE, lifetime)?;
        let key = KeyPair::generate().map_err(PkiError::Issue)?;
        let certificate = params.signed_by(&key, &self.issuer);
        let chain = vec![
            certificate.map_err(PkiError::Issue)?.into(),
            self.certificate.clone(),
        ];
        Ok((chain, PrivatePkcs8KeyDer::from(key.serialize_der()).into()))
    }
}

fn leaf(
    common_name: &str,
    usage: ExtendedKeyUsagePurpose,
) -> Result<(SerialNumber, CertificateParams), PkiError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = named(common_name);
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![usage];
    params.use_authority_key_identifier_extension = true;
    let serial = random_serial()?;
    params.serial_number = Some(serial.clone());
    Ok((serial, params))
}

fn named(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    name
}

/// 128 bits, of which the first is 0 and the second is 1: a positive number without leading zeros, as X.509 wants it.
fn random_serial() -> Result<SerialNumber, PkiError> {
    let mut bytes = [0; 16];
    let random = default_provider().secure_random;
    random
        .fill(&mut bytes)
        .map_err(|_| PkiError::NoRandomness)?;
    bytes[0] = bytes[0] & 0x3f | 0x40;
    Ok(SerialNumber::from_slice(&bytes))
}

/// From `allowance` before `now` to `lifetime` after it. Answers with the end, in whole seconds as certificates have it.
fn set_validity(
    params: &mut CertificateParams,
    now: Timestamp,
    allowance: Duration,
    lifetime: Duration,
) -> Result<Timestamp, PkiError> {
    let ends = now.checked_add(lifetime).map_err(|_| PkiError::Time(now))?;
    let ends = Timestamp::from_second(ends.as_second()).map_err(|_| PkiError::Time(now))?;
    let begins = now
        .checked_sub(allowance)
        .map_err(|_| PkiError::Time(now))?;
    params.not_before = system_time(begins)?.into();
    params.not_after = system_time(ends)?.into();
    Ok(ends)
}

fn system_time(at: Timestamp) -> Result<SystemTime, PkiError> {
    SystemTime::try_from(at).map_err(|_| PkiError::Time(at))
}

fn ia5(text: &str) -> Result<Ia5String, PkiError> {
    text.try_into().map_err(|_| PkiError::Name(text.to_owned()))
}

/// Looks whether all of these can be in the coordinator's certificate.
///
/// # Errors
/// With the first that cannot.
pub fn check_names(names: &[String]) -> Result<(), PkiError> {
    names.iter().try_for_each(|name| subject(name).map(drop))
}

/// An address or a host name, as a certificate has it.
fn subject(name: &str) -> Result<SanType, PkiError> {
    Ok(match name.parse::<IpAddr>() {
        Ok(address) => SanType::IpAddress(address),
        Err(_) => SanType::DnsName(ia5(host_name(name)?)?),
    })
}

/// A DNS name that can be in a certificate; `*.` may stand before it.
fn host_name(name: &str) -> Result<&str, PkiError> {
    let bare = name.strip_prefix("*.").unwrap_or(name);
    DnsName::try_from(bare).map_err(|_| PkiError::Name(name.to_owned()))?;
    Ok(name)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use batchstep_identity::{SIGNING_REQUEST_BYTES, Validity, agent_of};

    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    fn request() -> Vec<u8> {
        let key = KeyPair::generate().unwrap();
        // What a request asks for beside its key is passed over.
        let mut params = CertificateParams::new(vec!["coordinator.example".to_owned()]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.serialize_request(&key).unwrap().der().to_vec()
    }

    #[test]
    fn an_authority_is_made_once_and_its_key_is_for_its_owner() {
        let directory = tempfile::tempdir().unwrap();
        let folder = directory.path().join("pki");
        let now = Timestamp::now();
        let first = Authority::open(&folder, now).unwrap().fingerprint();
        assert_eq!(Authority::open(&folder, now).unwrap().fingerprint(), first);
        let mode = |name| {
            fs::metadata(folder.join(name))
                .unwrap()
                .permissions()
                .mode()
                & 0o777
        };
        assert_eq!((mode(AUTHORITY), mode(CERTIFICATE)), (0o600, 0o644));
        let public = fs::read_to_string(folder.join(CERTIFICATE)).unwrap();
        assert!(!public.contains("PRIVATE"), "the key is in the public file");
        fs::write(folder.join(AUTHORITY), public).unwrap();
        assert!(matches!(
            Authority::open(&folder, now),
            Err(PkiError::Damaged { .. })
        ));
    }

    #[test]
    fn an_agents_certificate_says_what_the_coordinator_says() {
        let directory = tempfile::tempdir().unwrap();
        let now = Timestamp::now();
        let authority = Authority::open(directory.path(), now).unwrap();
        let agent = AgentId::generate();
        let issued = authority.issue_agent(&request(), agent, now, DAY).unwrap();
        assert_eq!(agent_of(&issued.chain[0]), Some(agent));
        let validity = Validity::of(&issued.chain[0]).unwrap();
        assert_eq!(validity.ends, system_time(issued.expires_at).unwrap());
        let (_, parsed) = x509_parser::parse_x509_certificate(&issued.chain[0]).unwrap();
        assert!(!parsed.is_ca());
        let usage = parsed.extended_key_usage().unwrap().unwrap().value;
        assert!(usage.client_auth && !usage.server_auth);
        assert_eq!(issued.serial.len(), 32);
    }

    #[test]
    fn bad_requests_are_refused_with_the_fields_name() {
        let directory = tempfile::tempdir().unwrap();
        let now = Timestamp::now();
        let authority = Authority::open(directory.path(), now).unwrap();
        let mut forged = request();
        *forged.last_mut().unwrap() ^= 1;
        let large = vec![0; SIGNING_REQUEST_BYTES + 1];
        let weak = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
        let weak = CertificateParams::default().serialize_request(&weak);
        for bad in [b"".to_vec(), forged, large, weak.unwrap().der().to_vec()] {
            let error = authority
                .issue_agent(&bad, AgentId::generate(), now, DAY)
                .unwrap_err();
            assert!(error.to_string().contains("`signing_request`"), "{error}");
        }
        for name in ["a b", "", "../x"] {
            let names = [name.to_owned()];
            let error = authority.issue_server(&names, now, DAY).unwrap_err();
            assert!(matches!(error, PkiError::Name(_)), "{error}");
        }
    }
}
