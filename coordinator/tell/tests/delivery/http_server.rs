//! A receiver of HTTP that does to each connection what the test orders, and remembers what it was sent.

use std::{
    collections::VecDeque,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpListener,
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;

/// What happens to one connection after its request was read.
#[derive(Debug, Clone)]
pub(crate) enum Act {
    /// These bytes, and the end.
    Answer(&'static str),
    /// Nothing, for ever.
    Hang,
    /// These bytes, and then more of the last without end.
    Endless(&'static str),
    /// A refusal that repeats the whole request.
    Repeat,
}

/// Ends with the test.
pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Receiver {
    /// One act for each connection, in their order.
    pub(crate) async fn start(acts: impl Into<VecDeque<Act>>, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::default();
        let (kept, mut acts) = (Arc::clone(&requests), acts.into());
        let task = tokio::spawn(async move {
            while let Some(act) = acts.pop_front() {
                let (stream, _) = listener.accept().await.unwrap();
                // A client that goes away is not this server's failure.
                let served = match &tls {
                    None => serve(stream, act, &kept).await,
                    Some(tls) => match tls.accept(stream).await {
                        Ok(stream) => serve(stream, act, &kept).await,
                        Err(error) => Err(error),
                    },
                };
                drop(served);
            }
        });
        Self {
            address,
            requests,
            task,
        }
    }

    /// What arrived, head and body.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve<S>(mut stream: S, act: Act, requests: &Mutex<Vec<String>>) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let request = request(&mut stream).await?;
    requests.lock().unwrap().push(request.clone());
    match act {
        Act::Answer(text) => stream.write_all(text.as_bytes()).await?,
        Act::Hang => std::future::pending().await,
        Act::Endless(text) => {
            stream.write_all(text.as_bytes()).await?;
            let last = [text.as_bytes()[text.len() - 1]; 4096];
            loop {
                stream.write_all(&last).await?;
            }
        }
        Act::Repeat => {
            let head = format!("HTTP/1.1 400 {}\r\n", "x".repeat(8));
            let length = request.len();
            let answer = format!("{head}Content-Length: {length}\r\n\r\n{request}");
            stream.write_all(answer.as_bytes()).await?;
        }
    }
    stream.shutdown().await
}

/// Head and body, by its length.
async fn request<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<String> {
    let mut read = Vec::new();
    loop {
        if stream.read_buf(&mut read).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let text = String::from_utf8_lossy(&read);
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let lengths = head.lines().filter_map(|line| {
            let (name, value) = line.split_once(':')?;
            let is_length = name.eq_ignore_ascii_case("content-length");
            is_length.then(|| value.trim().parse::<usize>().unwrap())
        });
        if body.len() >= lengths.sum() {
            return Ok(text.into_owned());
        }
    }
}
