//! What watchers are shown as it happens. Sent by the task after the commit, read by every `WatchEvents` stream.

use std::sync::Arc;

use batchstep_core::fleet::Event;
use jiff::Timestamp;

/// Events a watcher may be behind before it is dropped.
pub const LIVE_EVENTS: usize = 4096;

/// An event as it is shown.
#[derive(Debug, Clone, PartialEq)]
pub struct LiveEvent {
    /// Its number in the journal; 0 for what is not kept.
    pub seq: u64,
    /// When it happened.
    pub at: Timestamp,
    /// What happened.
    pub event: Event,
}

/// What a watcher receives.
#[derive(Debug, Clone)]
pub enum Live {
    /// Something happened.
    Event(Arc<LiveEvent>),
    /// The store failed: whether the last events were journalled is not known, so a watcher has to begin again from the journal.
    Interrupted,
}
