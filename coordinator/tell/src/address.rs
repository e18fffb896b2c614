//! Addresses that requests are sent to. Whoever knows the address of an incoming webhook can write there, so all of it but the host is a secret.

use std::fmt;

use rustls::pki_types::ServerName;
use url::{Position, Url};

use crate::secret::Secret;

/// Hosts whose addresses are secrets although they look like any other.
const SECRET_HOSTS: [&str; 2] = ["hooks.slack.com", "hooks.slack-gov.com"];

/// An address of `http` or `https`. `Debug` and `Display` show its host and port, nothing else.
#[derive(Clone, PartialEq, Eq)]
pub struct Address(Url);

impl Address {
    /// Reads an address that is kept secret.
    ///
    /// # Errors
    /// When it is none that a request can be sent to. The error does not repeat it.
    pub fn secret(text: &Secret) -> Result<Self, AddressError> {
        let url = Url::parse(text.expose().trim()).map_err(AddressError::Malformed)?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(AddressError::Scheme);
        }
        // The parser lets no http address pass without a host.
        if url.fragment().is_some() {
            return Err(AddressError::Fragment);
        }
        let address = Self(url);
        match address.server_name() {
            Some(_) => Ok(address),
            None => Err(AddressError::Host(address.place())),
        }
    }

    /// Reads an address that may be seen by everybody who can list processes.
    ///
    /// # Errors
    /// As [`secret`](Self::secret), and when it carries a user, a password or a query, or belongs to a service whose addresses are secrets.
    pub fn open(text: &str) -> Result<Self, AddressError> {
        let address = Self::secret(&Secret::new(text.to_owned()))?;
        let url = &address.0;
        let has_user = !url.username().is_empty() || url.password().is_some();
        let is_secret = SECRET_HOSTS.iter().any(|host| url.host_str() == Some(host));
        if has_user || url.query().is_some() || is_secret {
            return Err(AddressError::Exposed);
        }
        Ok(address)
    }

    /// Host and port, for people.
    #[must_use]
    pub fn place(&self) -> String {
        let host = self.0.host_str().unwrap_or_default();
        match self.0.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        }
    }

    pub(crate) fn is_tls(&self) -> bool {
        self.0.scheme() == "https"
    }

    /// Host to dial, without the brackets of IPv6.
    pub(crate) fn host(&self) -> &str {
        let host = self.0.host_str().unwrap_or_default();
        host.trim_start_matches('[').trim_end_matches(']')
    }

    pub(crate) fn port(&self) -> u16 {
        self.0.port_or_known_default().unwrap_or(443)
    }

    /// What a certificate must be for.
    pub(crate) fn server_name(&self) -> Option<ServerName<'static>> {
        ServerName::try_from(self.host().to_owned()).ok()
    }

    /// Path and query: never to be shown.
    pub(crate) fn target(&self) -> &str {
        &self.0[Position::BeforePath..Position::AfterQuery]
    }

    /// User and password, decoded: never to be shown.
    pub(crate) fn credentials(&self) -> Option<(Vec<u8>, Vec<u8>)> {
        let decoded = |text: &str| percent_decoded(text.as_bytes());
        let (user, password) = (self.0.username(), self.0.password());
        let is_given = !user.is_empty() || password.is_some();
        is_given.then(|| (decoded(user), decoded(password.unwrap_or_default())))
    }

    /// Whether a word of somebody else's may be shown: not when it is part of what is secret here.
    pub(crate) fn contains(&self, word: &str) -> bool {
        self.0
            .as_str()
            .to_ascii_lowercase()
            .contains(&word.to_ascii_lowercase())
    }
}

fn percent_decoded(bytes: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let [first, tail @ ..] = rest {
        let hex = tail
            .get(..2)
            .and_then(|pair| std::str::from_utf8(pair).ok());
        match hex.and_then(|pair| u8::from_str_radix(pair, 16).ok()) {
            Some(byte) if *first == b'%' => {
                decoded.push(byte);
                rest = &tail[2..];
            }
            _ => {
                decoded.push(*first);
                rest = tail;
            }
        }
    }
    decoded
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({}, ..)", self.place())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.place())
    }
}

/// A text that is no address for requests.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// It is no URL at all.
    #[error("is no URL ({0}); write one such as https://alerts.example/batchstep")]
    Malformed(url::ParseError),
    /// Another protocol.
    #[error("must begin with https:// or http://")]
    Scheme,
    /// Something behind a `#`, which no server is sent.
    #[error("has a part behind a #, which is never sent; leave it out")]
    Fragment,
    /// A host that cannot be dialled.
    #[error("names the host {0:?}, which is neither a name nor an address")]
    Host(String),
    /// It would be seen on the command line.
    #[error(
        "carries a secret (a user, a password, a query, or Slack's path) where others can see it; put it into a file or the environment"
    )]
    Exposed,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Result<Address, AddressError> {
        Address::secret(&Secret::new(text.to_owned()))
    }

    #[test]
    fn addresses_are_taken_apart() {
        let address = secret("https://us%40er:pa%3ass@[::1]:8443/a/b?c=d\n").unwrap();
        assert_eq!(
            (address.host(), address.port(), address.is_tls()),
            ("::1", 8443, true)
        );
        assert_eq!(address.target(), "/a/b?c=d");
        assert_eq!(
            address.credentials(),
            Some((b"us@er".to_vec(), b"pa:ss".to_vec()))
        );
        assert_eq!(address.place(), "[::1]:8443");
        let plain = secret("http://alerts.lab").unwrap();
        assert_eq!((plain.port(), plain.target()), (80, "/"));
        assert_eq!(plain.credentials(), None);
    }

    #[test]
    fn what_is_none_is_refused_without_being_repeated() {
        for text in [
            "",
            "hunter2",
            "/hunter2",
            "ftp://lab/hunter2",
            "http://",
            "https://:80/hunter2",
            "http://lab:99999/hunter2",
            "http://lab/#hunter2",
            "mailto:hunter2@lab",
            "http://a b/hunter2",
        ] {
            let error = secret(text).unwrap_err();
            let shown = format!("{error} {error:?}");
            assert!(!shown.contains("hunter2"), "{text}: {shown}");
        }
    }

    #[test]
    fn what_is_secret_is_not_taken_from_the_command_line() {
        assert!(Address::open("http://alerts.lab:9000/batchstep").is_ok());
        for text in [
            "https://user@lab/",
            "https://u:p@lab/",
            "https://lab/?token=x",
            "https://hooks.slack.com/services/T0/B0/x",
        ] {
            assert_eq!(Address::open(text), Err(AddressError::Exposed), "{text}");
        }
    }

    #[test]
    fn only_the_host_is_shown() {
        let address = secret("https://user:hunter2@lab.example/hunter2?hunter2").unwrap();
        let shown = format!("{address} {address:?}");
        assert_eq!(shown, "lab.example Address(lab.example, ..)");
    }
}
