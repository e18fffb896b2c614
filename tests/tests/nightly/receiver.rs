//! Somebody who is told: a small HTTP server that takes every message and keeps it.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpListener,
    sync::{Arc, Mutex},
    thread,
};

use serde_json::Value;

/// What was told, in order of arrival.
#[derive(Debug, Clone, Default)]
pub struct Receiver {
    bodies: Arc<Mutex<Vec<Value>>>,
    port: u16,
}

impl Receiver {
    /// One that listens until the test ends.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("its address").port();
        let receiver = Self {
            port,
            ..Self::default()
        };
        let bodies = Arc::clone(&receiver.bodies);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let mut stream = BufReader::new(stream);
                let mut length = 0;
                let mut line = String::new();
                while stream.read_line(&mut line).is_ok_and(|read| read > 2) {
                    let lower = line.to_lowercase();
                    if let Some(value) = lower.strip_prefix("content-length:") {
                        length = value.trim().parse().unwrap_or(0);
                    }
                    line.clear();
                }
                let mut body = vec![0; length];
                if stream.read_exact(&mut body).is_ok()
                    && let Ok(body) = serde_json::from_slice(&body)
                {
                    bodies.lock().expect("nobody panics with it").push(body);
                }
                let answer = "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n";
                drop(stream.get_mut().write_all(answer.as_bytes()));
            }
        });
        receiver
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/told", self.port)
    }

    /// Every message, in order of arrival.
    pub fn messages(&self) -> Vec<Value> {
        let bodies = self.bodies.lock().expect("nobody panics with it");
        let messages = bodies.iter().filter_map(|body| body["messages"].as_array());
        messages.flatten().cloned().collect()
    }
}
