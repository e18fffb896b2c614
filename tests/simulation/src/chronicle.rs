//! What happened in a simulation: the trace, how often what, and every rule that was broken. Written by all of the world, read at its end; it decides
//! nothing.

use std::{
    collections::BTreeMap,
    fmt::Display,
    sync::{Mutex, MutexGuard, PoisonError},
};

use sha2::{Digest as _, Sha256};

use crate::system;

/// Shared by everything in one simulation.
#[derive(Debug, Default)]
pub struct Chronicle(Mutex<Pages>);

#[derive(Debug, Default)]
struct Pages {
    /// One line for each event, with its time.
    trace: Vec<String>,
    counts: BTreeMap<String, u64>,
    violations: Vec<String>,
}

impl Chronicle {
    /// Something happened that is worth a line of the trace.
    pub fn note(&self, what: impl Display) {
        let line = format!("{:>10.3} {what}", system::elapsed().as_secs_f64());
        self.pages().trace.push(line);
    }

    /// Something happened that is counted.
    pub fn count(&self, what: &str) {
        self.add(what, 1);
    }

    /// The same, several times.
    pub fn add(&self, what: &str, times: u64) {
        *self.pages().counts.entry(what.to_owned()).or_default() += times;
    }

    /// A rule was broken.
    pub fn violation(&self, rule: impl Display) {
        self.note(format_args!("VIOLATION {rule}"));
        self.pages().violations.push(rule.to_string());
    }

    /// Every event so far.
    pub fn trace(&self) -> Vec<String> {
        self.pages().trace.clone()
    }

    /// SHA-256 over the trace, in hexadecimal digits.
    pub fn fingerprint(&self) -> String {
        let mut hash = Sha256::new();
        for line in &self.pages().trace {
            hash.update(line.as_bytes());
            hash.update(b"\n");
        }
        let digest = hash.finalize();
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// How often what happened.
    pub fn counts(&self) -> BTreeMap<String, u64> {
        self.pages().counts.clone()
    }

    /// How many rules were broken.
    pub fn broken(&self) -> usize {
        self.pages().violations.len()
    }

    /// The broken rules.
    pub fn violations(&self) -> Vec<String> {
        self.pages().violations.clone()
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        // A page is complete after every line.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
