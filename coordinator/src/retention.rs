//! Keeps the database from growing for ever: series of sweeps that were over long ago keep what they said, and their blocks go.
//!
//! A task of the coordinator, started by `serve`; the store does each step as a transaction of its own, so it may be stopped, or the process killed, at any
//! moment. It never touches a sweep that may still get a result, and no answer changes because of it.

use std::{
    fmt,
    str::FromStr,
    sync::Arc,
    time::{Duration, Instant},
};

use batchstep_core::steptable::Answer;
use batchstep_proto::{causes::chain, ids::SeriesId};
use jiff::Timestamp;
use tokio::time::{MissedTickBehavior, interval_at, sleep};
use tokio_util::sync::CancellationToken;

use crate::{
    meters::Meters,
    store::{RetentionStore, StoreError},
};

/// What is kept when nobody says otherwise: long enough to look into the nights of a quarter.
const DEFAULT: Duration = Duration::from_secs(90 * DAY);
/// What is kept at least: a night, and the next, are judged from their blocks.
const SHORTEST: Duration = Duration::from_secs(2 * DAY);
/// Seconds of a day.
const DAY: u64 = 86_400;
/// After a start a fleet comes back first.
const FIRST_PASS: Duration = Duration::from_secs(10);
/// Between two looks for what is old enough.
const PASSES: Duration = Duration::from_secs(3600);
/// Reports that lose their blocks in one transaction: some milliseconds, for which a commit of the fleet may have to wait.
const REPORTS_PER_COMMIT: u32 = 16;
/// What never ends in the settings.
const FOREVER: &str = "forever";

/// How long the blocks of sweeps that are over are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeepBlocks(Option<Duration>);

impl KeepBlocks {
    /// Nothing is ever taken away.
    pub const FOREVER: Self = Self(None);
}

impl Default for KeepBlocks {
    fn default() -> Self {
        Self(Some(DEFAULT))
    }
}

impl FromStr for KeepBlocks {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == FOREVER {
            return Ok(Self::FOREVER);
        }
        match humantime::parse_duration(text) {
            Ok(time) if time >= SHORTEST => Ok(Self(Some(time))),
            Ok(_) => Err(format!(
                "must be at least {}, because nights are judged from their blocks; or {FOREVER}",
                Self(Some(SHORTEST))
            )),
            Err(error) => Err(format!("{error}; write a time such as 90d, or {FOREVER}")),
        }
    }
}

impl fmt::Display for KeepBlocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            // Not as months, which nobody wrote.
            Some(time) if time.as_secs().is_multiple_of(DAY) => {
                write!(f, "{}d", time.as_secs() / DAY)
            }
            Some(time) => humantime::format_duration(time).fmt(f),
            None => f.write_str(FOREVER),
        }
    }
}

/// Compacts what is older than `keep` until it is told to stop.
pub(crate) async fn keep_compacted<S: RetentionStore>(
    store: Arc<S>,
    keep: KeepBlocks,
    meters: Arc<Meters>,
    stop: CancellationToken,
) {
    match store.size().await {
        Ok(Some(size)) => tracing::info!(
            bytes = size.bytes,
            free_bytes = size.free_bytes,
            keep_blocks = %keep,
            "The database has this size on the disk."
        ),
        Ok(None) => {}
        Err(error) => tracing::warn!(%error, "The size of the database cannot be told."),
    }
    let KeepBlocks(Some(keep)) = keep else {
        return;
    };
    let mut ticks = interval_at(tokio::time::Instant::now() + FIRST_PASS, PASSES);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        // A time of day before the year 0 has nothing older.
        let Ok(before) = Timestamp::now().checked_sub(keep) else {
            continue;
        };
        // What is left is found again by the next pass.
        if let Err(error) = compact(&store, before, &meters, &stop).await {
            tracing::warn!(error = chain(&error), "Old blocks could not be compacted.");
        }
    }
}

/// Compacts every series of the sweeps that were over before `before`, one after the other, at half speed. Ends early when it is told to stop.
///
/// # Errors
/// When the store fails. A series that cannot be read, or whose answer cannot be kept exactly, is told and left as it is.
pub async fn compact<S: RetentionStore>(
    store: &Arc<S>,
    before: Timestamp,
    meters: &Meters,
    stop: &CancellationToken,
) -> Result<(), StoreError> {
    let begun = Instant::now();
    let (mut compacted, mut reports, mut left) = (0_u32, 0_u32, 0_u32);
    for series in store.compactable(before).await? {
        match half_time(keep_answer(store, series)).await {
            Ok(true) => {}
            Ok(false) => {
                left += 1;
                continue;
            }
            Err(error @ StoreError::Corrupt { .. }) => {
                tracing::warn!(%series, error = chain(&error), "A series cannot be read, and its blocks are left as they are.");
                left += 1;
                continue;
            }
            Err(error) => return Err(error),
        }
        loop {
            if stop.is_cancelled() {
                return Ok(());
            }
            let dropped = half_time(store.drop_blocks(series, REPORTS_PER_COMMIT)).await?;
            reports += dropped.reports;
            if dropped.complete {
                break;
            }
        }
        meters.compacted();
        compacted += 1;
    }
    if compacted > 0 || left > 0 {
        tracing::info!(
            series = compacted,
            reports,
            left,
            took = ?begun.elapsed(),
            "Old series were compacted: their answers stay, their blocks are gone."
        );
    }
    Ok(())
}

/// Keeps what a series says, unless that was done before; false where it cannot be kept.
async fn keep_answer<S: RetentionStore>(
    store: &Arc<S>,
    series: SeriesId,
) -> Result<bool, StoreError> {
    let Some(history) = store.history(series).await? else {
        return Ok(false);
    };
    if history.kept.is_some() {
        return Ok(true);
    }
    let judged = tokio::task::spawn_blocking(move || {
        let answer = history.answer().into_owned();
        comes_back(&answer).then_some(answer)
    });
    let Ok(Some(answer)) = judged.await else {
        tracing::warn!(%series, "The answer of a series cannot be kept exactly, and its blocks are left as they are.");
        return Ok(false);
    };
    store.keep_answer(Timestamp::now(), series, &answer).await?;
    Ok(true)
}

/// True when an answer that is written down is read back as it was. One with a number that JSON has not, such as infinity, is not.
fn comes_back(answer: &Answer) -> bool {
    let text = serde_json::to_string(answer);
    let back = text.and_then(|text| serde_json::from_str::<Answer>(&text));
    back.is_ok_and(|back| back == *answer)
}

/// Rests as long as the work took: beside everything else a coordinator does, this is not urgent.
async fn half_time<T>(work: impl Future<Output = T>) -> T {
    let begun = Instant::now();
    let outcome = work.await;
    sleep(begun.elapsed()).await;
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_and_written_as_people_write_them() {
        for (text, shown) in [
            ("90d", "90d"),
            ("13weeks", "91d"),
            ("49h", "2days 1h"),
            ("forever", "forever"),
        ] {
            let keep: KeepBlocks = text.parse().unwrap();
            assert_eq!(keep.to_string(), shown);
            assert_eq!(shown.parse(), Ok(keep));
        }
        for (text, problem) in [
            (
                "1d",
                "must be at least 2d, because nights are judged from their blocks; or forever",
            ),
            ("soon", "write a time such as 90d, or forever"),
        ] {
            let error = text.parse::<KeepBlocks>().unwrap_err();
            assert!(error.contains(problem), "{error}");
        }
    }
}
