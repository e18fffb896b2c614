//! Follows a sweep to its end: its events, over restarts of the coordinator. Called by `local`, `sweep run` and `sweep watch`; never changes the sweep.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use batchstep_proto::wire;
use tonic::{Code, Status};

use super::{
    endpoint::{Client, refusal},
    progress::Progress,
    text,
};

/// Pause before a coordinator that went away is asked again.
const RETRY_PAUSE: Duration = Duration::from_millis(500);
/// How long a coordinator may be away before following ends: restarts take seconds.
const PATIENCE: Duration = Duration::from_secs(120);

/// The sweep as it is now.
///
/// # Errors
/// When the coordinator refuses.
pub(super) async fn get(client: &mut Client, sweep_id: &str) -> Result<wire::Sweep, Status> {
    let request = wire::GetSweepRequest {
        sweep_id: sweep_id.to_owned(),
    };
    let answer = client.get_sweep(request).await?.into_inner();
    answer
        .sweep
        .ok_or_else(|| Status::internal("the answer holds no sweep"))
}

/// Shows a sweep's progress until it is over, and returns it as it ended.
///
/// # Errors
/// When the sweep is unknown, or the coordinator stays away.
pub(super) async fn follow(client: &mut Client, sweep_id: &str) -> Result<wire::Sweep> {
    let sweep = get(client, sweep_id).await.map_err(refusal)?;
    let mut progress = Progress::new(&sweep);
    let outcome = if is_active(&sweep) {
        events(client, sweep_id, &mut progress).await
    } else {
        Ok(sweep)
    };
    progress.end();
    outcome
}

async fn events(
    client: &mut Client,
    sweep_id: &str,
    progress: &mut Progress,
) -> Result<wire::Sweep> {
    let mut after_seq = 0;
    let mut away_since: Option<Instant> = None;
    loop {
        let ended = stream(client, sweep_id, &mut after_seq, progress).await;
        // Whatever the stream said, the sweep itself is the truth.
        match get(client, sweep_id).await {
            Ok(sweep) if !is_active(&sweep) => return Ok(sweep),
            Ok(sweep) => {
                if away_since.take().is_some() {
                    progress.say("the coordinator is back");
                }
                progress.refresh(&sweep);
            }
            Err(status) if is_away(&status) => {
                let since = *away_since.get_or_insert_with(|| {
                    progress.say("the coordinator does not answer; waiting for it");
                    Instant::now()
                });
                if since.elapsed() > PATIENCE {
                    return Err(refusal(status)).with_context(|| {
                        format!(
                            "the coordinator was away for {} s; once it is back, `{} sweep watch {sweep_id}` goes on",
                            PATIENCE.as_secs(),
                            text::program()
                        )
                    });
                }
            }
            Err(status) => return Err(refusal(status)),
        }
        if let Err(status) = ended
            && !goes_on_after(&status)
        {
            return Err(refusal(status));
        }
        tokio::time::sleep(RETRY_PAUSE).await;
    }
}

/// One stream of events, until it ends or tells the sweep's end.
async fn stream(
    client: &mut Client,
    sweep_id: &str,
    after_seq: &mut u64,
    progress: &mut Progress,
) -> Result<(), Status> {
    let request = wire::WatchEventsRequest {
        after_seq: *after_seq,
        sweep_id: Some(sweep_id.to_owned()),
    };
    let mut events = client.watch_events(request).await?.into_inner();
    while let Some(event) = events.message().await? {
        *after_seq = event.seq.max(*after_seq);
        progress.show(&event);
        if matches!(event.kind, Some(wire::event::Kind::SweepEnded(_))) {
            break;
        }
    }
    Ok(())
}

/// True until the sweep is over.
pub(super) fn is_active(sweep: &wire::Sweep) -> bool {
    sweep.state() == wire::SweepState::Active
}

/// True when a new stream can go on where this one ended: also after a pause, as by Ctrl-Z, in which more happened than the coordinator keeps.
fn goes_on_after(status: &Status) -> bool {
    is_away(status) || status.code() == Code::ResourceExhausted
}

/// True when asking again may help: the connection broke or the coordinator restarts.
pub(super) fn is_away(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::Unavailable | Code::Cancelled | Code::Unknown | Code::Aborted
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watcher_that_was_too_slow_watches_again_and_a_refused_one_does_not() {
        assert!(goes_on_after(&Status::resource_exhausted("too slow")));
        assert!(goes_on_after(&Status::unavailable("stopping")));
        assert!(!goes_on_after(&Status::not_found("no such sweep")));
        assert!(!goes_on_after(&Status::out_of_range("beyond the journal")));
    }
}
