//! Waiting for a state, level-triggered and bounded.

use std::{
    thread,
    time::{Duration, Instant},
};

/// How long anything may take on a shared machine before a test calls it stuck.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Asks until there is an answer.
///
/// # Panics
/// When there is none after [`PATIENCE`]; `what` is named.
pub fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "waited {PATIENCE:?} for {what}");
        thread::sleep(Duration::from_millis(20));
    }
}
