//! One mail to one mailbox, on a connection of its own.
//!
//! The change to TLS is made here and the rest by `lettre`: so HTTP and SMTP trust the same authorities in one place, and nothing that came before TLS is taken for an
//! answer in it.

use std::{
    error::Error as _,
    io,
    sync::Arc,
    time::{Duration, SystemTime},
};

use lettre::{
    Message,
    message::header::{ContentType, HeaderName, HeaderValue},
    transport::smtp::{
        Error,
        authentication::{Credentials, Mechanism},
        client::AsyncSmtpConnection,
        extension::ClientId,
    },
};
use rustls::ClientConfig;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};

use super::wire::Wire;
use crate::{
    Digest,
    channel::{Limits, Mail, Security},
    failure::{Cause, Reply, Stage},
    render,
};

/// Programs that answer mail leave this one alone (RFC 3834).
const AUTO_SUBMITTED: HeaderName = HeaderName::new_from_ascii_str("Auto-Submitted");
/// What `lettre` waits for on every connection; after STARTTLS a server does not greet again.
const GREETED: &[u8] = b"220 TLS\r\n";
/// Longest answer to a command before TLS, bytes.
const REPLY_MAX: usize = 8 * 1024;
/// A mail server's yes.
const TAKEN: u16 = 250;

/// How long a server may take to say goodbye.
const GOODBYE_MAX: Duration = Duration::from_secs(1);

/// A mail that the server has taken, before the end of the conversation.
pub(super) struct Taken(AsyncSmtpConnection);

impl Taken {
    /// Says goodbye, and tells the status of success.
    pub(super) async fn leave(mut self) -> u16 {
        tokio::time::timeout(GOODBYE_MAX, self.0.quit()).await.ok();
        TAKEN
    }
}

/// Sends a digest.
pub(super) async fn send(
    mail: &Mail,
    tls: Option<&Arc<ClientConfig>>,
    limits: &Limits,
    digest: &Digest,
) -> Result<Taken, Cause> {
    let message = compose(mail, digest).map_err(|error| Cause::Compose(Box::new(error)))?;
    let hello = hello();
    let mut wire = Wire::dial(&mail.host, mail.port, limits.connect).await?;
    match mail.security {
        Security::None => (),
        Security::Tls => wire = wire.encrypt(tls, mail.name.clone()).await?,
        Security::StartTls => {
            start_tls(&mut wire, &hello).await?;
            wire = wire.encrypt(tls, mail.name.clone()).await?.ahead(GREETED);
        }
    }
    let connected = AsyncSmtpConnection::connect_with_transport(Box::new(wire), &hello).await;
    let mut connection = connected.map_err(|error| cause(&error, Stage::Greeting))?;
    if let Some((user, password)) = &mail.login {
        let known = [Mechanism::Plain, Mechanism::Login];
        if connection
            .server_info()
            .get_auth_mechanism(&known)
            .is_none()
        {
            return Err(Cause::NoLogin);
        }
        let credentials = Credentials::new(user.clone(), password.expose().to_owned());
        let logged_in = connection.auth(&known, &credentials).await;
        logged_in.map_err(|error| cause(&error, Stage::Login))?;
    }
    let sent = connection
        .send(message.envelope(), &message.formatted())
        .await;
    sent.map_err(|error| cause(&error, Stage::Mail))?;
    Ok(Taken(connection))
}

fn compose(mail: &Mail, digest: &Digest) -> Result<Message, lettre::error::Error> {
    let id = format!("<{}@{}>", digest.key(), mail.from.email.domain());
    let seconds = digest.made_at().as_second().try_into().unwrap_or(0);
    let message = Message::builder()
        .from(mail.from.clone())
        .to(mail.to.clone())
        .subject(render::subject(digest))
        .message_id(Some(id))
        // That of the news, so that a copy is the same mail.
        .date(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
        .raw_header(HeaderValue::new(
            AUTO_SUBMITTED,
            "auto-generated".to_owned(),
        ))
        .header(ContentType::TEXT_PLAIN);
    message.body(render::body(digest))
}

/// How this host introduces itself.
fn hello() -> ClientId {
    let name = nix::unistd::gethostname()
        .ok()
        .and_then(|name| name.into_string().ok());
    let is_plain = |name: &String| {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
        !name.is_empty() && name.chars().all(plain)
    };
    ClientId::Domain(
        name.filter(is_plain)
            .unwrap_or_else(|| "localhost".to_owned()),
    )
}

/// From the greeting to where TLS begins.
async fn start_tls(wire: &mut Wire, hello: &ClientId) -> Result<(), Cause> {
    accepted(reply(wire, Stage::Greeting).await?, Stage::Greeting)?;
    write(wire, &format!("EHLO {hello}\r\n"), Stage::Greeting).await?;
    let offers = accepted(reply(wire, Stage::Greeting).await?, Stage::Greeting)?;
    let is_offer = |line: &str| {
        line.get(4..)
            .is_some_and(|offer| offer.trim().eq_ignore_ascii_case("STARTTLS"))
    };
    if !offers.lines().any(is_offer) {
        return Err(Cause::NoStartTls);
    }
    write(wire, "STARTTLS\r\n", Stage::StartTls).await?;
    accepted(reply(wire, Stage::StartTls).await?, Stage::StartTls)?;
    Ok(())
}

async fn write(wire: &mut Wire, command: &str, stage: Stage) -> Result<(), Cause> {
    let broken = |source| Cause::Broken { stage, source };
    wire.write_all(command.as_bytes()).await.map_err(broken)?;
    wire.flush().await.map_err(broken)
}

/// One answer, of one line or several, and nothing behind it: somebody in between who adds something in the clear is not listened to.
async fn reply(wire: &mut (impl AsyncRead + Unpin), stage: Stage) -> Result<String, Cause> {
    let mut read = Vec::new();
    while !is_complete(&read) {
        let count = wire.read_buf(&mut read).await;
        let count = count.map_err(|source| Cause::Broken { stage, source })?;
        if count == 0 {
            let source = io::ErrorKind::UnexpectedEof.into();
            return Err(Cause::Broken { stage, source });
        }
        if read.len() > REPLY_MAX {
            return Err(Cause::NotSmtp(stage));
        }
    }
    let text = String::from_utf8(read).map_err(|_| Cause::NotSmtp(stage))?;
    let lines: Vec<&str> = text.lines().collect();
    let [before @ .., _] = &lines[..] else {
        return Err(Cause::NotSmtp(stage));
    };
    if before.iter().any(|line| !is_continued(line.as_bytes())) {
        return Err(Cause::NotSmtp(stage));
    }
    Ok(text)
}

/// The last line is whole, and says that it is the last.
fn is_complete(read: &[u8]) -> bool {
    let Some(read) = read.strip_suffix(b"\n") else {
        return false;
    };
    let last = read.rsplit(|byte| *byte == b'\n').next().unwrap_or(read);
    !is_continued(last)
}

/// `250-SIZE`: another line follows.
fn is_continued(line: &[u8]) -> bool {
    line.get(3) == Some(&b'-')
}

fn accepted(reply: String, stage: Stage) -> Result<String, Cause> {
    let code = reply.get(..3).and_then(|code| code.parse::<u16>().ok());
    match code {
        Some(200..=299) => Ok(reply),
        Some(code @ 400..=599) => {
            let text = reply.get(4..).unwrap_or_default();
            Err(Cause::Refused {
                stage,
                reply: Reply::of(code, text),
            })
        }
        _ => Err(Cause::NotSmtp(stage)),
    }
}

/// What `lettre` met, without the words of the server that its errors repeat.
fn cause(error: &Error, stage: Stage) -> Cause {
    if let Some(code) = error.status() {
        let text = error.source().map(ToString::to_string).unwrap_or_default();
        return Cause::Refused {
            stage,
            reply: Reply::of(code.into(), &text),
        };
    }
    let mut source = error.source();
    while let Some(error) = source {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            // The text is the system's, that of TLS, or ours: nobody else's.
            let source = io::Error::new(error.kind(), error.to_string());
            return Cause::Broken { stage, source };
        }
        source = error.source();
    }
    if error.to_string().contains("incomplete response") {
        let source = io::ErrorKind::UnexpectedEof.into();
        return Cause::Broken { stage, source };
    }
    Cause::NotSmtp(stage)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_end_where_they_say() {
        for part in [
            "",
            "2",
            "220",
            "220 a",
            "250-a\r\n",
            "250-a\r\n250-b\r\n250",
        ] {
            assert!(!is_complete(part.as_bytes()), "{part:?}");
        }
        for whole in ["220 a\r\n", "220\r\n", "250-a\r\n250 b\r\n"] {
            assert!(is_complete(whole.as_bytes()), "{whole:?}");
        }
    }

    #[tokio::test]
    async fn an_answer_is_read_to_its_end_however_it_arrives() {
        let answer = "250-mail.lab\r\n250-STARTTLS\r\n250 SIZE\r\n";
        // One byte at a time.
        let (mut server, mut client) = tokio::io::duplex(1);
        let read = async move { reply(&mut client, Stage::Greeting).await };
        // Who stops reading early breaks off, and does not block the writer.
        let (read, _) = tokio::join!(read, server.write_all(answer.as_bytes()));
        assert_eq!(read.unwrap(), answer);
    }
}
