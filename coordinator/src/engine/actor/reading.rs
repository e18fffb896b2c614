//! What is read back while the task serves, and the reports that wait for it.

use std::{sync::Arc, time::Duration};

use batchstep_core::fleet::State;
use tokio::{sync::mpsc::error::TryRecvError, time::Instant};

use super::{Actor, BATCH_TIME};
use crate::{
    engine::histories::{Histories, History, PAUSE},
    store::Store,
};

/// No further history joins others that are taken together after this: each costs a plan or two, and other inputs wait meanwhile. As long as those take before it is
/// the turn of histories again, so that neither keeps the other waiting under any load.
const HISTORIES_TIME: Duration = Duration::from_millis(20);

impl<S: Store> Actor<S> {
    /// Takes a history and those that wait behind it; `None`: no more will come.
    pub(super) async fn read_back(&mut self, history: Option<History>) {
        let Some(history) = history else {
            self.end_reading();
            return;
        };
        self.step(history.into());
        self.take_histories();
        self.flush().await;
    }

    /// Takes the histories that are here, for a short time.
    pub(super) fn take_histories(&mut self) {
        let begun = Instant::now();
        while begun.elapsed() < HISTORIES_TIME
            && let Some(histories) = &mut self.histories
        {
            match histories.try_next() {
                Ok(history) => self.step(history.into()),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => self.end_reading(),
            }
        }
    }

    fn end_reading(&mut self) {
        let ended = self.histories.take();
        if self.state.as_ref().is_some_and(State::is_reading) {
            tracing::error!(
                "The reading of what was measured before ended early; it begins again."
            );
            self.read_histories(PAUSE);
        } else if let Some(ended) = ended {
            tracing::info!(
                series = ended.wanted(),
                milliseconds = ended.age().as_millis(),
                "What was measured before is read back."
            );
        }
    }

    /// Begins to read back what the state has to know of the time before it.
    pub(super) fn read_histories(&mut self, after: Duration) {
        let wanted = self.state.as_ref().map(State::unread).unwrap_or_default();
        self.histories =
            (!wanted.is_empty()).then(|| Histories::begin(Arc::clone(&self.store), &wanted, after));
    }

    /// True while reports wait that need not any more.
    pub(super) fn may_take_waiting(&self) -> bool {
        let must_wait = self.state.as_ref().is_none_or(State::is_reading);
        !self.waiting.is_empty() && !must_wait
    }

    /// Takes the reports that waited until everything is read back, once it is, for a short time: each asks the store, and heartbeats wait meanwhile.
    pub(super) async fn take_waiting(&mut self) {
        let begun = Instant::now();
        while begun.elapsed() < BATCH_TIME
            && self.may_take_waiting()
            && let Some(report) = self.waiting.next()
        {
            self.take(report).await;
        }
        self.flush().await;
    }
}

/// The next history of a reading, if there is one.
pub(super) async fn next(histories: &mut Option<Histories>) -> Option<History> {
    match histories {
        Some(histories) => histories.next().await,
        None => std::future::pending().await,
    }
}
