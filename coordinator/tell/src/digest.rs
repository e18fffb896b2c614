//! Several messages that travel together, as one mail or one request. Made by the outbox, rendered and delivered as a whole: a driver upgrade of a fleet is one
//! digest with three hundred lines, not three hundred mails.

use std::collections::BTreeMap;

use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use crate::message::{Kind, Message};

/// Bytes of SHA-256 that are kept of a key: collisions of 64 bits are not met by accident.
const KEY_BYTES: usize = 16;

/// Messages for one channel that are delivered at once.
#[derive(Debug, Clone, PartialEq)]
pub struct Digest {
    key: String,
    made_at: Timestamp,
    messages: Vec<Message>,
}

impl Digest {
    /// Of these messages, gravest first. `key` is one of [`digest_key`], and stays the same however often delivery is tried, as does `made_at`.
    #[must_use]
    pub fn new(key: String, made_at: Timestamp, mut messages: Vec<Message>) -> Self {
        messages.sort_by(|a, b| rank(a).cmp(&rank(b)));
        Self {
            key,
            made_at,
            messages,
        }
    }

    /// One message alone, such as a test.
    #[must_use]
    pub fn of_one(made_at: Timestamp, message: Message) -> Self {
        let key = digest_key([message.dedup_key.as_str()]);
        Self::new(key, made_at, vec![message])
    }

    /// By which a receiver knows a copy: delivered, and not recorded as such before a crash.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// When there was first something to tell.
    #[must_use]
    pub fn made_at(&self) -> Timestamp {
        self.made_at
    }

    /// Gravest first.
    #[must_use]
    pub fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// How many there are of each kind.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<Kind, usize> {
        let mut counts = BTreeMap::new();
        for message in &self.messages {
            *counts.entry(message.kind).or_default() += 1;
        }
        counts
    }

    /// The first `limit` messages, and how many are left out.
    pub(crate) fn listed(&self, limit: usize) -> (&[Message], usize) {
        let listed = self.messages.len().min(limit);
        (&self.messages[..listed], self.messages.len() - listed)
    }
}

/// Gravest first; equal ones of a host stand beside each other.
fn rank(message: &Message) -> impl Ord {
    let subject = &message.subject;
    (
        message.severity,
        message.kind,
        message.schedule.clone(),
        subject.host.clone(),
        subject.device.clone(),
        subject.workload.clone(),
        message.dedup_key.clone(),
    )
}

/// A key of all these keys, whatever their order.
pub fn digest_key<'a>(keys: impl IntoIterator<Item = &'a str>) -> String {
    let mut keys: Vec<&str> = keys.into_iter().collect();
    keys.sort_unstable();
    let mut hash = Sha256::new();
    for key in keys {
        // With its length before it no two lists of keys make the same text.
        hash.update((key.len() as u64).to_le_bytes());
        hash.update(key);
    }
    let bytes = hash.finalize();
    bytes[..KEY_BYTES]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::digest_key;

    #[test]
    fn a_key_depends_on_what_is_in_it_and_not_on_its_order() {
        assert_eq!(digest_key(["a", "b"]), digest_key(["b", "a"]));
        assert_ne!(digest_key(["ab"]), digest_key(["a", "b"]));
        assert_ne!(digest_key(["a"]), digest_key(["a", "a"]));
        assert_eq!(digest_key(["a"]).len(), 32);
    }
}
