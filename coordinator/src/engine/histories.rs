//! Reads back what was measured before a start, beside the task that owns the state and while that serves; hands it over series by series, no more at a time than the
//! task takes.
//!
//! A reading belongs to the state it was begun for, and is dropped with it: for another one it could miss what has ended since. It decides nothing.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use batchstep_core::fleet::{Input, StoredRound, Unread};
use batchstep_proto::{causes::chain, ids::SeriesId};
use tokio::{
    sync::mpsc::{self, error::TryRecvError},
    time::{Instant, sleep},
};

use crate::store::{Store, StoreError};

/// Series that are read together: some ten thousand blocks, beside which the queries themselves cost nothing, and some milliseconds of reading.
const TOGETHER: usize = 16;
/// Histories that wait for the task at most: it takes them between its other inputs, and what waits is memory.
const AHEAD: usize = 2 * TOGETHER;
/// Between two tries to read from a failing store.
pub(super) const PAUSE: Duration = Duration::from_secs(1);

/// What a series had measured, or why that can never be read.
pub(super) struct History {
    series: SeriesId,
    rounds: Result<Vec<StoredRound>, String>,
}

impl From<History> for Input {
    fn from(History { series, rounds }: History) -> Self {
        Self::HistoryRead { series, rounds }
    }
}

/// A reading that is under way.
pub(super) struct Histories {
    read: mpsc::Receiver<History>,
    wanted: usize,
    begun: Instant,
}

impl Histories {
    /// Begins to read `wanted` in its order, after a pause.
    pub(super) fn begin<S: Store>(store: Arc<S>, wanted: &[Unread], after: Duration) -> Self {
        let (sender, read) = mpsc::channel(AHEAD);
        let portions = portions(wanted);
        tokio::spawn(async move {
            sleep(after).await;
            read_all(&*store, portions, &sender).await;
        });
        Self {
            read,
            wanted: wanted.len(),
            begun: Instant::now(),
        }
    }

    /// How many series are read.
    pub(super) const fn wanted(&self) -> usize {
        self.wanted
    }

    /// How long ago it was begun.
    pub(super) fn age(&self) -> Duration {
        self.begun.elapsed()
    }

    /// The next history; `None` when no more will come.
    pub(super) async fn next(&mut self) -> Option<History> {
        self.read.recv().await
    }

    /// The next history, if it is here already.
    pub(super) fn try_next(&mut self) -> Result<History, TryRecvError> {
        self.read.try_recv()
    }
}

/// Some neighbours among the series of one sweep, in their order.
type Portion = Vec<Unread>;

fn portions(wanted: &[Unread]) -> VecDeque<Portion> {
    wanted
        .chunk_by(|one, next| one.sweep == next.sweep && one.ordinal + 1 == next.ordinal)
        .flat_map(|neighbours| neighbours.chunks(TOGETHER))
        .map(<[Unread]>::to_vec)
        .collect()
}

/// Reads until everything is handed over or nobody wants it any more.
async fn read_all(
    store: &impl Store,
    mut portions: VecDeque<Portion>,
    out: &mpsc::Sender<History>,
) {
    while let Some(portion) = portions.pop_front() {
        let (Some(first), Some(last)) = (portion.first(), portion.last()) else {
            continue;
        };
        let read = store
            .ended_rounds(first.sweep, first.ordinal..=last.ordinal)
            .await;
        match read {
            Ok(mut rounds) => {
                for Unread { series, .. } in portion {
                    let rounds = Ok(rounds.remove(&series).unwrap_or_default());
                    if out.send(History { series, rounds }).await.is_err() {
                        return;
                    }
                }
            }
            // One of them is to blame, and the others are not to wait for it.
            Err(_) if portion.len() > 1 => {
                portions.extend(portion.into_iter().map(|one| vec![one]));
            }
            Err(error @ StoreError::Corrupt { .. }) => {
                let (series, sweep) = (first.series, first.sweep);
                tracing::error!(%series, %sweep, error = chain(&error), "What a series had measured cannot be read back; it is given up.");
                let rounds = Err(error.to_string());
                if out.send(History { series, rounds }).await.is_err() {
                    return;
                }
            }
            Err(error) => {
                tracing::error!(series = %first.series, error = chain(&error), "What a series had measured cannot be read back now; it is tried again.");
                portions.push_back(portion);
                tokio::select! {
                    () = out.closed() => return,
                    () = sleep(PAUSE) => {}
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use batchstep_proto::ids::SweepId;

    use super::*;

    #[test]
    fn neighbours_of_one_sweep_are_read_together_and_no_others() {
        let (one, other) = (SweepId::generate(), SweepId::generate());
        let unread = |sweep: SweepId, ordinal: u32| Unread {
            sweep,
            ordinal,
            series: SeriesId::of(sweep, &ordinal.to_string(), "linear"),
        };
        let many = (0..40).map(|ordinal| unread(one, ordinal));
        let rest = [
            unread(other, 40),
            unread(other, 42),
            unread(other, 43),
            unread(one, 44),
        ];
        let wanted: Vec<Unread> = many.chain(rest).collect();
        let portions: Vec<Portion> = portions(&wanted).into();
        let lengths: Vec<usize> = portions.iter().map(Vec::len).collect();
        assert_eq!(lengths, [16, 16, 8, 1, 2, 1]);
        assert_eq!(portions.concat(), wanted);
    }
}
