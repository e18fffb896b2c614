//! Flags for who is told about alarms, and by which way. Used by `serve`.
//!
//! What a flag says can be seen by everybody who lists processes, and in `--check-config`. So secrets are never the value of one: they come from files, or from
//! environment variables that are no flags.

use std::{error::Error, io, path::Path, path::PathBuf};

use anyhow::Result;
use batchstep_tell::{
    Address, Channels, Config, MailConfig, PublicUrl, Secret, SecretError, Security,
};
use clap::{Args, ValueEnum};

use super::exit;

/// Where the secrets of the three channels may come from instead of a file.
const WEBHOOK_VARIABLE: &str = "BATCHSTEP_WEBHOOK_URL";
const SLACK_VARIABLE: &str = "BATCHSTEP_SLACK_URL";
const PASSWORD_VARIABLE: &str = "BATCHSTEP_SMTP_PASSWORD";

/// Who is told about alarms of nightly runs. Nobody, unless something is given here.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Messages")]
pub(super) struct TellArgs {
    /// Address that is sent JSON about alarms, where it is no secret; else use the file or the environment variable BATCHSTEP_WEBHOOK_URL.
    #[arg(
        long,
        value_name = "URL",
        default_value = "",
        hide_default_value = true
    )]
    webhook_url: String,
    /// File with that address. Others must not be able to read it.
    #[arg(
        long,
        value_name = "FILE",
        default_value = "",
        hide_default_value = true
    )]
    webhook_url_file: String,
    /// File with the address of an incoming webhook of Slack; or the environment variable BATCHSTEP_SLACK_URL.
    #[arg(
        long,
        value_name = "FILE",
        default_value = "",
        hide_default_value = true
    )]
    slack_url_file: String,
    /// Mailboxes that get mail about alarms, separated by commas.
    #[arg(
        long,
        value_name = "ADDRESSES",
        default_value = "",
        hide_default_value = true
    )]
    mail_to: String,
    /// Sender of that mail: nightly@lab.example, or batchstep <nightly@lab.example>.
    #[arg(
        long,
        value_name = "ADDRESS",
        default_value = "",
        hide_default_value = true
    )]
    mail_from: String,
    /// Mail server, with its port where that is not the usual one of --smtp-security.
    #[arg(
        long,
        value_name = "HOST[:PORT]",
        default_value = "",
        hide_default_value = true
    )]
    smtp_server: String,
    /// How the connection to the mail server is protected.
    #[arg(long, value_name = "HOW", default_value = "starttls")]
    smtp_security: SmtpSecurity,
    /// Who logs in at the mail server, where it asks.
    #[arg(
        long,
        value_name = "USER",
        default_value = "",
        hide_default_value = true
    )]
    smtp_user: String,
    /// File with the password; or the environment variable BATCHSTEP_SMTP_PASSWORD.
    #[arg(
        long,
        value_name = "FILE",
        default_value = "",
        hide_default_value = true
    )]
    smtp_password_file: String,
    /// Certificate authorities of the lab's own (PEM) that receivers may have their certificates from, beside those of the operating system.
    #[arg(
        long,
        value_name = "FILE",
        default_value = "",
        hide_default_value = true
    )]
    tell_ca_file: String,
    /// Where the lab publishes the pages of `batchstep nightly report`, for links in messages; without it there are none.
    #[arg(
        long,
        value_name = "URL",
        default_value = "",
        hide_default_value = true
    )]
    public_url: String,
}

/// How a connection to a mail server is protected.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum SmtpSecurity {
    /// TLS after STARTTLS, on port 587, and never without.
    Starttls,
    /// TLS from the first byte on, on port 465.
    Tls,
    /// None, on port 25: only to a server on this host.
    None,
}

impl From<SmtpSecurity> for Security {
    fn from(security: SmtpSecurity) -> Self {
        match security {
            SmtpSecurity::Starttls => Self::StartTls,
            SmtpSecurity::Tls => Self::Tls,
            SmtpSecurity::None => Self::None,
        }
    }
}

/// Who is told, and what links begin with.
#[derive(Debug, Clone)]
pub(super) struct Telling {
    pub(super) channels: Channels,
    pub(super) public_url: Option<PublicUrl>,
}

impl TellArgs {
    /// Reads files and environment, and looks at everything that can be known without sending something.
    ///
    /// # Errors
    /// With exit code 2, naming the flag, when something cannot be followed.
    pub(super) fn read(&self) -> Result<Telling> {
        self.read_with(&|file, error| Err(wrong(&format!("{file}: {}", chain(&error)))))
    }

    /// The same for somebody who may be another user than the one who serves: files that only the user may not read are listed in `unread`, and are no fault.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub(super) fn check(&self, unread: &mut Vec<PathBuf>) -> Result<()> {
        let denied = std::cell::RefCell::new(Vec::new());
        self.read_with(&|flag, error| match error {
            SecretError::Unreadable { path, source }
                if source.kind() == io::ErrorKind::PermissionDenied =>
            {
                denied.borrow_mut().push(path);
                Ok(None)
            }
            error => Err(wrong(&format!("{flag}: {}", chain(&error)))),
        })?;
        unread.append(&mut denied.into_inner());
        Ok(())
    }

    fn read_with(&self, refuse: &Refuse<'_>) -> Result<Telling> {
        let config = Config {
            webhook: self.webhook(refuse)?,
            slack: self.slack(refuse)?,
            mail: self.mail(refuse)?,
            authorities: given(&self.tell_ca_file).map(PathBuf::from),
            ..Config::default()
        };
        let channels = Channels::new(config).map_err(|error| wrong(&chain(&error)))?;
        let public_url = given(&self.public_url).map(PublicUrl::parse).transpose();
        let public_url = public_url.map_err(|error| wrong(&format!("--public-url: {error}")))?;
        Ok(Telling {
            channels,
            public_url,
        })
    }

    fn webhook(&self, refuse: &Refuse<'_>) -> Result<Option<Address>> {
        let (flag, file) = ("--webhook-url", "--webhook-url-file");
        let Some(open) = given(&self.webhook_url) else {
            return secret_address(file, &self.webhook_url_file, WEBHOOK_VARIABLE, refuse);
        };
        if given(&self.webhook_url_file).is_some() {
            return Err(twice(flag, file));
        }
        if std::env::var_os(WEBHOOK_VARIABLE).is_some_and(|it| !it.is_empty()) {
            return Err(twice(flag, WEBHOOK_VARIABLE));
        }
        let address = Address::open(open);
        address
            .map(Some)
            .map_err(|error| wrong(&format!("{flag} {error}")))
    }

    fn slack(&self, refuse: &Refuse<'_>) -> Result<Option<Address>> {
        secret_address(
            "--slack-url-file",
            &self.slack_url_file,
            SLACK_VARIABLE,
            refuse,
        )
    }

    fn mail(&self, refuse: &Refuse<'_>) -> Result<Option<MailConfig>> {
        let file = given(&self.smtp_password_file);
        let password = secret("--smtp-password-file", file, PASSWORD_VARIABLE, refuse)?;
        let parts = [&self.mail_to, &self.mail_from, &self.smtp_server];
        let [Some(to), Some(from), Some(server)] = parts.map(|part| given(part)) else {
            // A password in the environment alone asks for nothing.
            let wants_mail = parts.iter().any(|part| !part.is_empty())
                || !self.smtp_user.is_empty()
                || file.is_some();
            return if wants_mail {
                Err(wrong(
                    "mail needs all of --mail-to, --mail-from and --smtp-server",
                ))
            } else {
                Ok(None)
            };
        };
        let login = match (given(&self.smtp_user), password) {
            (Some(user), Some(password)) => Some((user.to_owned(), password)),
            (None, None) => None,
            // It is there, and this user may not read it.
            (Some(_), None) if file.is_some() => None,
            (Some(_), None) => {
                return Err(wrong(&format!(
                    "--smtp-user needs a password: give --smtp-password-file, or set {PASSWORD_VARIABLE}"
                )));
            }
            (None, Some(_)) => {
                return Err(wrong(
                    "there is a password for the mail server and no --smtp-user",
                ));
            }
        };
        let to = to
            .split(',')
            .map(str::trim)
            .filter(|mailbox| !mailbox.is_empty());
        Ok(Some(MailConfig {
            server: server.to_owned(),
            security: self.smtp_security.into(),
            login,
            from: from.to_owned(),
            to: to.map(ToOwned::to_owned).collect(),
        }))
    }
}

/// What becomes of a file that gives no secret: an error that names the flag, or nothing.
type Refuse<'a> = dyn Fn(&str, SecretError) -> Result<Option<Secret>> + 'a;

/// An address of which all but the host is a secret.
fn secret_address(
    flag: &str,
    file: &str,
    variable: &str,
    refuse: &Refuse<'_>,
) -> Result<Option<Address>> {
    let file = given(file);
    let origin = if file.is_some() { flag } else { variable };
    let text = secret(flag, file, variable, refuse)?;
    let address = text.map(|text| Address::secret(&text)).transpose();
    address.map_err(|error| wrong(&format!("the address that {origin} gives {error}")))
}

/// From a file or the environment, and not from both.
fn secret(
    flag: &str,
    file: Option<&str>,
    variable: &str,
    refuse: &Refuse<'_>,
) -> Result<Option<Secret>> {
    let from_variable = Secret::from_variable(variable).map_err(|error| wrong(&chain(&error)))?;
    match (file, from_variable) {
        (Some(_), Some(_)) => Err(twice(flag, variable)),
        (None, from_variable) => Ok(from_variable),
        (Some(file), None) => match Secret::from_file(Path::new(file)) {
            Ok(secret) => Ok(Some(secret)),
            Err(error) => refuse(flag, error),
        },
    }
}

/// What is set to something.
fn given(text: &str) -> Option<&str> {
    let text = text.trim();
    (!text.is_empty()).then_some(text)
}

fn twice(one: &str, other: &str) -> anyhow::Error {
    wrong(&format!(
        "both {one} and {other} say where to send: leave one out"
    ))
}

fn wrong(text: &str) -> anyhow::Error {
    exit::usage(format!("nobody could be told about alarms: {text}"))
}

/// An error with what it comes from.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}
