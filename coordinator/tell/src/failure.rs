//! Why something was not delivered, and whether it is worth another try. Names the channel and the host: never an address, a password, or what a server said in words
//! of its own, which may repeat either.

use std::{error::Error, fmt, io, time::Duration};

use jiff::SignedDuration;

use crate::channel::ChannelName;

/// A digest that was not delivered.
#[derive(Debug, thiserror::Error)]
#[error("{channel} could not deliver to {place}")]
pub struct Failure {
    /// By which channel.
    pub channel: ChannelName,
    /// To which host.
    pub place: String,
    /// Why.
    #[source]
    pub cause: Cause,
}

impl Failure {
    /// Whether it may pass by itself.
    #[must_use]
    pub fn persistence(&self) -> Persistence {
        self.cause.persistence()
    }

    /// All of it in one line, for a row or a log.
    #[must_use]
    pub fn line(&self) -> String {
        let mut line = self.to_string();
        let mut source = self.source();
        while let Some(error) = source {
            line = format!("{line}: {error}");
            source = error.source();
        }
        line
    }
}

/// Whether a failure may pass by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Persistence {
    /// It may.
    Temporary {
        /// How long the receiver asked to be left alone.
        retry_after: Option<SignedDuration>,
    },
    /// It will not, until somebody changes the configuration.
    Permanent,
}

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    /// Its name is not known, nobody listens, or the network does not reach it.
    #[error("it cannot be reached")]
    Dial(#[source] io::Error),
    /// It is there, and does not do its part.
    #[error("it was not done within {0:?}")]
    Timeout(Duration),
    /// It is not who it should be, or speaks no TLS.
    #[error("TLS failed")]
    Tls(#[source] io::Error),
    /// No answer, or none that is HTTP.
    #[error("the connection broke before the answer, or carried something else than HTTP")]
    Http(#[source] hyper::Error),
    /// The answer is a refusal.
    #[error("it answered {status}{}", .word.as_deref().map(|word| format!(" ({word})")).unwrap_or_default())]
    Status {
        /// HTTP's.
        status: u16,
        /// One short word that came with it, such as Slack's `invalid_blocks`.
        word: Option<String>,
        /// How long the receiver asked to be left alone.
        retry_after: Option<SignedDuration>,
    },
    /// It says that the right address is another one.
    #[error(
        "it answered {status}, a redirection, and none is followed: configure the address that it leads to"
    )]
    Redirect {
        /// HTTP's.
        status: u16,
    },
    /// A mail server refuses.
    #[error("it refused {stage} with {reply}")]
    Refused {
        /// What was asked.
        stage: Stage,
        /// Its answer's numbers.
        reply: Reply,
    },
    /// A mail server that cannot encrypt.
    #[error("it offers no STARTTLS, and nothing is sent to it in the clear")]
    NoStartTls,
    /// A mail server that does not let people log in the way that is known here.
    #[error("it offers no way to log in with a password (PLAIN or LOGIN)")]
    NoLogin,
    /// A mail server that went away.
    #[error("the connection broke during {stage}")]
    Broken {
        /// What was asked.
        stage: Stage,
        /// How.
        #[source]
        source: io::Error,
    },
    /// No mail server.
    #[error("its answer to {0} is not SMTP")]
    NotSmtp(Stage),
    /// The message cannot be written down.
    #[error("the message cannot be written")]
    Compose(#[source] Box<dyn Error + Send + Sync>),
}

impl Cause {
    fn persistence(&self) -> Persistence {
        match self {
            Self::Status {
                status: 408 | 425 | 429 | 500..,
                retry_after,
                ..
            } => Persistence::Temporary {
                retry_after: *retry_after,
            },
            Self::Status { .. } | Self::Redirect { .. } | Self::NoLogin | Self::Compose(_) => {
                Persistence::Permanent
            }
            Self::Refused { reply, .. } if reply.code >= 500 => Persistence::Permanent,
            Self::Dial(_)
            | Self::Timeout(_)
            | Self::Tls(_)
            | Self::Http(_)
            | Self::Refused { .. }
            | Self::NoStartTls
            | Self::Broken { .. }
            | Self::NotSmtp(_) => Persistence::Temporary { retry_after: None },
        }
    }
}

/// A step of a mail's delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// From the connection to the server's list of what it can do.
    Greeting,
    /// The change to TLS.
    StartTls,
    /// User and password.
    Login,
    /// Envelope and content.
    Mail,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Greeting => "the greeting",
            Self::StartTls => "STARTTLS",
            Self::Login => "the login",
            Self::Mail => "the mail",
        })
    }
}

/// The numbers of a mail server's answer: the words beside them are its own, and may repeat what it was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// Three digits: 4xx may pass, 5xx does not.
    pub code: u16,
    /// Enhanced status code of RFC 3463, such as `5.1.1`: no such mailbox.
    pub enhanced: Option<String>,
}

impl Reply {
    /// From the code and the text behind it.
    pub(crate) fn of(code: u16, text: &str) -> Self {
        let is_enhanced = |word: &&str| {
            let parts: Vec<&str> = word.split('.').collect();
            let is_number = |part: &&str| {
                (1..=3).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit())
            };
            parts.len() == 3 && matches!(parts[0], "2" | "4" | "5") && parts.iter().all(is_number)
        };
        let mut words = text.split(|c: char| !c.is_ascii_digit() && c != '.');
        Self {
            code,
            enhanced: words.find(is_enhanced).map(ToOwned::to_owned),
        }
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.enhanced {
            Some(enhanced) => write!(f, "{} {enhanced}", self.code),
            None => write!(f, "{}", self.code),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_pass_is_tried_again_and_what_may_not_is_not() {
        let status = |status| Cause::Status {
            status,
            word: None,
            retry_after: None,
        };
        let refused = |code| Cause::Refused {
            stage: Stage::Mail,
            reply: Reply::of(code, ""),
        };
        let temporary = [
            status(429),
            status(500),
            status(503),
            status(408),
            refused(450),
        ];
        for cause in temporary {
            let expected = Persistence::Temporary { retry_after: None };
            assert_eq!(cause.persistence(), expected, "{cause}");
        }
        for cause in [
            status(400),
            status(401),
            status(404),
            status(410),
            refused(550),
        ] {
            assert_eq!(cause.persistence(), Persistence::Permanent, "{cause}");
        }
    }

    #[test]
    fn of_a_servers_words_only_numbers_are_kept() {
        let reply = Reply::of(550, "5.1.1 <hunter2@lab>: no such user, 10.0.0.1, 1.2.3");
        assert_eq!(reply.to_string(), "550 5.1.1");
        assert_eq!(Reply::of(550, "no 5.1 here").to_string(), "550");
    }
}
