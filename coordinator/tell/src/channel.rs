//! Where messages go: a webhook, Slack, one mailbox each. Made once at the start from what the configuration says; everything that can be known to be wrong is said then.

use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

use lettre::{Address as MailAddress, message::Mailbox};
use rustls::{ClientConfig, pki_types::ServerName};
use serde::{Deserialize, Serialize};

use crate::{
    address::Address,
    secret::Secret,
    trust::{self, TrustError},
};

/// Mailboxes that are told. More people than that have a list.
const MAILBOXES_MAX: usize = 50;

/// What a channel is called, in rows, logs and metrics: `webhook`, `slack`, `email:ops@lab.example`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ChannelName(String);

impl ChannelName {
    /// As it was stored.
    #[must_use]
    pub fn new(name: String) -> Self {
        Self(name)
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ChannelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How long a receiver may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// To accept a connection, for each address of its name.
    pub connect: Duration,
    /// For all of one delivery.
    pub whole: Duration,
}

impl Default for Limits {
    /// 5 s to connect: more only happens where packets are dropped silently. 60 s in all: mail servers make strangers wait on purpose.
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            whole: Duration::from_secs(60),
        }
    }
}

/// What the configuration says; nothing is told to nobody by default.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// Receives JSON.
    pub webhook: Option<Address>,
    /// An incoming webhook of Slack, or of what understands its messages.
    pub slack: Option<Address>,
    /// Who gets mail, and how.
    pub mail: Option<MailConfig>,
    /// Certificate authorities beside the operating system's, PEM.
    pub authorities: Option<PathBuf>,
    /// How long receivers may take.
    pub limits: Limits,
}

/// How mail is sent.
#[derive(Debug, Clone)]
pub struct MailConfig {
    /// `HOST` or `HOST:PORT`; the port is that of `security` where it is left out.
    pub server: String,
    /// How the connection is protected.
    pub security: Security,
    /// User and password, where the server wants them.
    pub login: Option<(String, Secret)>,
    /// Sender: `nightly@lab.example` or `batchstep <nightly@lab.example>`.
    pub from: String,
    /// Who gets it: one channel each, so that one refused mailbox does not keep the others from theirs.
    pub to: Vec<String>,
}

/// How a connection to a mail server is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Security {
    /// TLS after STARTTLS, on port 587; never without.
    #[default]
    StartTls,
    /// TLS from the first byte, on port 465.
    Tls,
    /// None, on port 25: only to a server on this host.
    None,
}

impl Security {
    fn port(self) -> u16 {
        match self {
            Self::StartTls => 587,
            Self::Tls => 465,
            Self::None => 25,
        }
    }
}

/// A configuration that cannot be followed.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// No mail server by that name.
    #[error("the mail server {0:?} is none; write HOST or HOST:PORT, such as mail.lab.example:587")]
    Server(String),
    /// Mail would cross the network in the clear.
    #[error(
        "mail would go to {0} in the clear, which only a server on this host may get: use STARTTLS or TLS"
    )]
    Clear(String),
    /// No mail address.
    #[error("{text:?} is no mail address: {source}; write one such as ops@lab.example")]
    Mailbox {
        /// What was written.
        text: String,
        /// What is wrong with it.
        source: lettre::address::AddressError,
    },
    /// The same mailbox twice.
    #[error("{0} is named twice among those who get mail")]
    Twice(String),
    /// Nobody, or a whole company.
    #[error("mail goes to {0} mailboxes; name 1 to {MAILBOXES_MAX}, or a mailing list")]
    Mailboxes(usize),
    /// Whom to trust is not known.
    #[error(transparent)]
    Trust(#[from] TrustError),
}

/// Where messages go, by name.
#[derive(Debug, Clone, Default)]
pub struct Channels(Vec<Channel>);

impl Channels {
    /// Looks at everything that can be known without sending something.
    ///
    /// # Errors
    /// With the first thing that cannot be followed.
    pub fn new(config: Config) -> Result<Self, ConfigError> {
        let Config {
            webhook,
            slack,
            mail,
            authorities,
            limits,
        } = config;
        let mut places = Vec::new();
        places.extend(webhook.map(|address| ("webhook".to_owned(), Place::Webhook(address))));
        places.extend(slack.map(|address| ("slack".to_owned(), Place::Slack(address))));
        if let Some(mail) = mail {
            places.extend(mailboxes(mail)?);
        }
        let wants_tls = authorities.is_some() || places.iter().any(|(_, place)| place.is_tls());
        let tls = wants_tls
            .then(|| trust::client_config(authorities.as_deref()))
            .transpose()?;
        let channel = |(name, place)| Channel {
            name: ChannelName(name),
            place,
            tls: tls.clone(),
            limits,
        };
        Ok(Self(places.into_iter().map(channel).collect()))
    }

    /// In the order of the configuration.
    pub fn iter(&self) -> impl Iterator<Item = &Channel> {
        self.0.iter()
    }

    /// Names of all.
    #[must_use]
    pub fn names(&self) -> Vec<ChannelName> {
        self.0.iter().map(|channel| channel.name.clone()).collect()
    }

    /// The one of this name.
    #[must_use]
    pub fn get(&self, name: &ChannelName) -> Option<&Channel> {
        self.0.iter().find(|channel| channel.name == *name)
    }

    /// Nobody is told anything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// One place where messages go. `Debug` shows its host.
#[derive(Debug, Clone)]
pub struct Channel {
    pub(crate) name: ChannelName,
    pub(crate) place: Place,
    /// `Some` where any channel speaks TLS.
    pub(crate) tls: Option<Arc<ClientConfig>>,
    pub(crate) limits: Limits,
}

impl Channel {
    /// By which it is known.
    #[must_use]
    pub fn name(&self) -> &ChannelName {
        &self.name
    }

    /// Host and port, for people.
    #[must_use]
    pub fn place(&self) -> String {
        match &self.place {
            Place::Webhook(address) | Place::Slack(address) => address.place(),
            Place::Mail(mail) => format!("{}:{}", mail.host, mail.port),
        }
    }
}

#[derive(Debug, Clone)]
pub(crate) enum Place {
    Webhook(Address),
    Slack(Address),
    Mail(Box<Mail>),
}

impl Place {
    fn is_tls(&self) -> bool {
        match self {
            Self::Webhook(address) | Self::Slack(address) => address.is_tls(),
            Self::Mail(mail) => mail.security != Security::None,
        }
    }
}

/// One mailbox, and the way there.
#[derive(Debug, Clone)]
pub(crate) struct Mail {
    /// Without the brackets of IPv6.
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) name: ServerName<'static>,
    pub(crate) security: Security,
    pub(crate) login: Option<(String, Secret)>,
    pub(crate) from: Mailbox,
    pub(crate) to: Mailbox,
}

fn mailboxes(config: MailConfig) -> Result<Vec<(String, Place)>, ConfigError> {
    let (host, port) = server(&config.server, config.security)?;
    let name = ServerName::try_from(host.clone())
        .map_err(|_| ConfigError::Server(config.server.clone()))?;
    if config.security == Security::None && !is_this_host(&host) {
        return Err(ConfigError::Clear(host));
    }
    let from = mailbox(&config.from)?;
    if !(1..=MAILBOXES_MAX).contains(&config.to.len()) {
        return Err(ConfigError::Mailboxes(config.to.len()));
    }
    let mut places: Vec<(String, Place)> = Vec::new();
    for to in &config.to {
        let to = mailbox(to)?;
        let channel = format!("email:{}", to.email);
        if places.iter().any(|(other, _)| *other == channel) {
            return Err(ConfigError::Twice(to.email.to_string()));
        }
        let mail = Mail {
            host: host.clone(),
            port,
            name: name.clone(),
            security: config.security,
            login: config.login.clone(),
            from: from.clone(),
            to,
        };
        places.push((channel, Place::Mail(Box::new(mail))));
    }
    Ok(places)
}

/// Host, without brackets, and port.
fn server(text: &str, security: Security) -> Result<(String, u16), ConfigError> {
    let wrong = || ConfigError::Server(text.to_owned());
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']').ok_or_else(wrong)?;
            (host, rest.strip_prefix(':'))
        }
        None => match text.rsplit_once(':') {
            // An IPv6 address without brackets.
            Some((host, _)) if host.contains(':') => (text, None),
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let port = match port {
        Some(port) => port
            .parse()
            .ok()
            .filter(|port| *port > 0)
            .ok_or_else(wrong)?,
        None => security.port(),
    };
    if host.is_empty() {
        Err(wrong())
    } else {
        Ok((host.to_owned(), port))
    }
}

fn is_this_host(host: &str) -> bool {
    let address = host.parse::<std::net::IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

fn mailbox(text: &str) -> Result<Mailbox, ConfigError> {
    let text = text.trim();
    let (name, address) = match text.strip_suffix('>').and_then(|rest| rest.split_once('<')) {
        Some((name, address)) => (Some(name.trim().trim_matches('"')), address),
        None => (None, text),
    };
    let address: MailAddress = address.parse().map_err(|source| ConfigError::Mailbox {
        text: text.to_owned(),
        source,
    })?;
    let name = name.filter(|name| !name.is_empty()).map(ToOwned::to_owned);
    Ok(Mailbox::new(name, address))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mail(server: &str, security: Security, to: &[&str]) -> Result<Channels, ConfigError> {
        let mail = MailConfig {
            server: server.to_owned(),
            security,
            login: Some(("robot".to_owned(), Secret::new("hunter2".to_owned()))),
            from: "batchstep <nightly@lab.example>".to_owned(),
            to: to.iter().map(|it| (*it).to_owned()).collect(),
        };
        Channels::new(Config {
            mail: Some(mail),
            ..Config::default()
        })
    }

    #[test]
    fn each_mailbox_is_a_channel() {
        let to = ["ops@lab.example", "Ada <ada@lab.example>"];
        let channels = mail("localhost", Security::None, &to).unwrap();
        let names: Vec<String> = channels.names().iter().map(ToString::to_string).collect();
        assert_eq!(names, ["email:ops@lab.example", "email:ada@lab.example"]);
        let places: Vec<String> = channels.iter().map(Channel::place).collect();
        assert_eq!(places, ["localhost:25", "localhost:25"]);
        assert!(!format!("{channels:?}").contains("hunter2"));
    }

    #[test]
    fn servers_are_hosts_with_or_without_a_port() {
        let of = |text| server(text, Security::Tls).unwrap();
        assert_eq!(of("mail.lab"), ("mail.lab".to_owned(), 465));
        assert_eq!(of("mail.lab:2525"), ("mail.lab".to_owned(), 2525));
        assert_eq!(of("[::1]:2525"), ("::1".to_owned(), 2525));
        assert_eq!(of("::1"), ("::1".to_owned(), 465));
        for text in [
            "",
            ":25",
            "mail.lab:0",
            "mail.lab:x",
            "[::1",
            "mail.lab:99999",
        ] {
            assert!(server(text, Security::Tls).is_err(), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_followed_is_said_at_once() {
        let said = |channels: Result<Channels, ConfigError>| channels.unwrap_err().to_string();
        let to = ["ops@lab.example"];
        assert!(said(mail("mail.lab", Security::None, &to)).contains("in the clear"));
        assert!(said(mail("ma il", Security::None, &to)).contains("ma il"));
        assert!(said(mail("localhost", Security::None, &["ops"])).contains("\"ops\""));
        assert!(said(mail("localhost", Security::None, &["a@b\nBcc: c@d"])).contains("no mail"));
        assert!(said(mail("localhost", Security::None, &[])).contains("0 mailboxes"));
        let twice = ["ops@lab.example", "Ops <ops@lab.example>"];
        assert!(said(mail("localhost", Security::None, &twice)).contains("twice"));
        let authorities = Some(PathBuf::from("/nowhere/ca.pem"));
        let missing = Channels::new(Config {
            authorities,
            ..Config::default()
        });
        assert!(said(missing).contains("/nowhere/ca.pem"));
    }
}
