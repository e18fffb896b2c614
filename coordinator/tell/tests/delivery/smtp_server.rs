//! A mail server that answers as the test orders, and remembers what it was sent.

use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader},
    net::TcpListener,
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;

/// How it speaks TLS.
#[derive(Clone, Default)]
pub(crate) enum Encryption {
    #[default]
    None,
    /// From the first byte on.
    Implicit(TlsAcceptor),
    /// Once it is asked.
    StartTls(TlsAcceptor),
}

/// What it does that a usual server does not: an answer for a command, by the command's first word. `""` is the greeting, `.` the end of a mail.
pub(crate) type Odd = BTreeMap<&'static str, Say>;

#[derive(Debug, Clone, Copy)]
pub(crate) enum Say {
    /// This line.
    Line(&'static str),
    /// Nothing, for ever.
    Nothing,
    /// Nothing, and the end.
    HangUp,
    /// The command itself, as a refusal.
    Repeat,
    /// A line that never ends.
    Endless,
}

/// Ends with the test.
pub(crate) struct MailServer {
    pub(crate) address: SocketAddr,
    lines: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl MailServer {
    pub(crate) async fn start(encryption: Encryption, odd: Odd) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let lines = Arc::default();
        let kept = Arc::clone(&lines);
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let talk = Talk {
                    odd: &odd,
                    lines: &kept,
                };
                // A client that goes away is not this server's failure.
                drop(serve(stream, &encryption, &talk).await);
            }
        });
        Self {
            address,
            lines,
            task,
        }
    }

    /// What it was sent, line by line.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }

    pub(crate) fn text(&self) -> String {
        self.lines().join("\n")
    }
}

impl Drop for MailServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Talk<'a> {
    odd: &'a Odd,
    lines: &'a Mutex<Vec<String>>,
}

async fn serve(
    stream: tokio::net::TcpStream,
    encryption: &Encryption,
    talk: &Talk<'_>,
) -> io::Result<()> {
    match encryption {
        Encryption::None => talk.hold(BufReader::new(stream), "", true).await.map(drop),
        Encryption::Implicit(tls) => {
            let stream = BufReader::new(tls.accept(stream).await?);
            talk.hold(stream, "", true).await.map(drop)
        }
        Encryption::StartTls(tls) => {
            let clear = talk
                .hold(BufReader::new(stream), "250-STARTTLS\r\n", true)
                .await?;
            let Some(clear) = clear else {
                return Ok(());
            };
            let stream = BufReader::new(tls.accept(clear.into_inner()).await?);
            talk.lines.lock().unwrap().push("(TLS)".to_owned());
            talk.hold(stream, "", false).await.map(drop)
        }
    }
}

impl Talk<'_> {
    /// Until the client hangs up, or TLS begins: then the stream comes back.
    async fn hold<S>(
        &self,
        mut stream: BufReader<S>,
        offers: &str,
        greets: bool,
    ) -> io::Result<Option<BufReader<S>>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        if greets {
            self.answer(&mut stream, "", "220 mail.lab ESMTP\r\n")
                .await?;
        }
        let mut is_content = false;
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await? == 0 {
                return Ok(None);
            }
            let line = line.trim_end().to_owned();
            self.lines.lock().unwrap().push(line.clone());
            if is_content {
                if line == "." {
                    is_content = false;
                    self.answer(&mut stream, ".", "250 2.0.0 taken\r\n").await?;
                }
                continue;
            }
            let hello = format!("250-mail.lab\r\n{offers}250-8BITMIME\r\n250 AUTH PLAIN LOGIN\r\n");
            let usual = match line.split(' ').next().unwrap_or_default() {
                "EHLO" => hello.as_str(),
                "STARTTLS" => "220 2.0.0 go on\r\n",
                "AUTH" => "235 2.7.0 welcome\r\n",
                "DATA" => "354 go on\r\n",
                "QUIT" => "221 bye\r\n",
                _ => "250 2.1.0 fine\r\n",
            };
            self.answer(&mut stream, &line, usual).await?;
            match line.as_str() {
                "STARTTLS" => return Ok(Some(stream)),
                "DATA" => is_content = true,
                _ => (),
            }
        }
    }

    async fn answer<S: AsyncWrite + Unpin>(
        &self,
        stream: &mut S,
        line: &str,
        usual: &str,
    ) -> io::Result<()> {
        let word = line.split([' ', ':']).next().unwrap_or_default();
        let text = match self.odd.get(word) {
            None => usual.to_owned(),
            Some(Say::Line(text)) => format!("{text}\r\n"),
            Some(Say::Repeat) => format!("535 5.7.8 I do not know {line}\r\n"),
            Some(Say::Nothing) => return std::future::pending().await,
            Some(Say::HangUp) => return Err(io::ErrorKind::ConnectionAborted.into()),
            Some(Say::Endless) => loop {
                stream.write_all(&[b'x'; 4096]).await?;
            },
        };
        stream.write_all(text.as_bytes()).await?;
        stream.flush().await
    }
}
