//! What a worker prints: libraries write to stdout and stderr as they like. Every line is logged at debug, the last ones of stderr are kept for errors.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    task::JoinHandle,
    time,
};
use tracing::debug;

/// Lines kept.
const KEPT_LINES: usize = 8;
/// Bytes kept of one line; a progress bar without line ends must not fill the memory.
const LINE_BYTES: usize = 512;
/// A worker that is gone has closed its pipes; a child of its own may have kept them.
const PATIENCE: Duration = Duration::from_millis(200);

/// The last lines of a stream, filled by a task.
#[derive(Debug)]
pub(crate) struct Tail {
    lines: Arc<Mutex<VecDeque<String>>>,
    task: JoinHandle<()>,
}

impl Tail {
    /// Reads a stream to its end.
    pub(crate) fn follow(
        mut stream: impl AsyncRead + Unpin + Send + 'static,
        worker: u32,
        name: &'static str,
    ) -> Self {
        let lines = Arc::new(Mutex::new(VecDeque::new()));
        let kept = Arc::clone(&lines);
        let task = tokio::spawn(async move {
            let mut splitter = Lines::default();
            let mut bytes = vec![0; 1024];
            while let Ok(read @ 1..) = stream.read(&mut bytes).await {
                splitter.take(&bytes[..read], |line| keep(&kept, line, worker, name));
            }
            splitter.finish(|line| keep(&kept, line, worker, name));
        });
        Self { lines, task }
    }

    /// The last lines, once the stream has ended or shown no sign of it for a moment.
    pub(crate) async fn last_lines(&mut self) -> String {
        let _ = time::timeout(PATIENCE, &mut self.task).await;
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().cloned().collect::<Vec<_>>().join("\n")
    }
}

fn keep(lines: &Mutex<VecDeque<String>>, line: String, worker: u32, name: &'static str) {
    debug!(worker, stream = name, line, "The worker printed a line.");
    let mut lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
    if lines.len() == KEPT_LINES {
        lines.pop_front();
    }
    lines.push_back(line);
}

/// Splits bytes into lines of bounded length.
#[derive(Debug, Default)]
struct Lines {
    current: Vec<u8>,
}

impl Lines {
    fn take(&mut self, bytes: &[u8], mut each: impl FnMut(String)) {
        for &byte in bytes {
            if byte == b'\n' {
                self.finish(&mut each);
            } else if self.current.len() < LINE_BYTES {
                self.current.push(byte);
            }
        }
    }

    fn finish(&mut self, mut each: impl FnMut(String)) {
        let line = String::from_utf8_lossy(&self.current).trim().to_owned();
        self.current.clear();
        if !line.is_empty() {
            each(line);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_last_lines_are_kept_within_bounds() {
        let mut text = (0..50).map(|n| format!("line {n}\n")).collect::<String>();
        text.push_str("\n\n");
        text.push_str(&"x".repeat(10_000));
        let mut tail = Tail::follow(std::io::Cursor::new(text.into_bytes()), 1, "stderr");
        let kept = tail.last_lines().await;
        let lines: Vec<&str> = kept.lines().collect();
        assert_eq!(lines.len(), KEPT_LINES);
        assert_eq!(lines[0], "line 43");
        assert_eq!(lines[KEPT_LINES - 1].len(), LINE_BYTES);
    }
}
