//! `WatchEvents`: the journal after a sequence number, then what happens, without a gap and without a repeat.
//!
//! The live events are subscribed to before the journal is read, so whatever is committed meanwhile is in one of the two; an event that is in
//! both is known by its number.

use std::{sync::Arc, time::Duration};

use batchstep_proto::{ids::SweepId, wire};
use tokio::sync::{broadcast::error::RecvError, mpsc};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::store_failed;
use crate::{
    engine::{Engine, Live},
    store::{Store, StoredEvent},
};

/// Entries of the journal that are read at a time.
const PAGE: u32 = 512;
/// Events that may wait in a watcher's stream.
const EVENTS_PER_WATCHER: usize = 64;

/// Longest wait for a watcher to take the reason why its stream ends.
const LAST_WORD_TIMEOUT: Duration = Duration::from_secs(1);

pub(super) type Events = mpsc::Receiver<Result<wire::Event, Status>>;

/// Begins a stream of events after `seq`, of one sweep or of all.
pub(super) fn watch<S: Store>(
    engine: &Engine,
    store: Arc<S>,
    seq: u64,
    sweep: Option<SweepId>,
    shutdown: CancellationToken,
) -> Events {
    let (events, stream) = mpsc::channel(EVENTS_PER_WATCHER);
    let mut live = engine.watch();
    tokio::spawn(async move {
        let follow = async {
            let mut seen = seq;
            loop {
                let page = store
                    .events_after(seen, sweep, PAGE)
                    .await
                    .map_err(store_failed)?;
                let is_last = page.len() < PAGE as usize;
                for event in page {
                    seen = event.seq;
                    if events.send(Ok(to_wire(event))).await.is_err() {
                        return Ok(());
                    }
                }
                if is_last {
                    break;
                }
            }
            loop {
                let event = match live.recv().await {
                    Ok(Live::Event(event)) => event,
                    Ok(Live::Interrupted) => {
                        return Err(Status::unavailable(again(
                            "the coordinator was interrupted",
                            seen,
                        )));
                    }
                    Err(RecvError::Lagged(missed)) => {
                        let what = format!("the watcher is too slow: {missed} events were missed");
                        return Err(Status::resource_exhausted(again(&what, seen)));
                    }
                    Err(RecvError::Closed) => {
                        return Err(Status::unavailable(again(
                            "the coordinator is stopping",
                            seen,
                        )));
                    }
                };
                let repeated = event.seq != 0 && event.seq <= seen;
                let foreign = sweep.is_some() && event.event.sweep != sweep;
                if repeated || foreign {
                    continue;
                }
                seen = seen.max(event.seq);
                let message = to_wire(StoredEvent {
                    seq: event.seq,
                    at: event.at,
                    event: event.event.clone(),
                });
                if events.send(Ok(message)).await.is_err() {
                    return Ok(());
                }
            }
        };
        let outcome: Result<(), Status> = tokio::select! {
            outcome = follow => outcome,
            () = events.closed() => Ok(()),
            () = shutdown.cancelled() => Err(Status::unavailable("the coordinator is stopping; watch again")),
        };
        if let Err(status) = outcome {
            // A watcher that reads nothing is cut off without a word.
            let _ = tokio::time::timeout(LAST_WORD_TIMEOUT, events.send(Err(status))).await;
        }
    });
    stream
}

fn again(what: &str, seen: u64) -> String {
    format!("{what}; watch again after event {seen}")
}

fn to_wire(stored: StoredEvent) -> wire::Event {
    wire::Event {
        seq: stored.seq,
        at: stored.at.to_string(),
        sweep_id: stored.event.sweep.map(|sweep| sweep.to_string()),
        kind: Some(stored.event.kind),
    }
}
