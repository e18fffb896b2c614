//! Series whose history is on record and not here: a start reads only what must be known at once, and serves; what was measured before it comes later, series by
//! series, as [`Input::HistoryRead`](super::Input::HistoryRead).
//!
//! Until then a series is unread: its rounds that are open go on as ever, and nothing is planned for it, since a plan is a function of the whole history. An attempt
//! that the state does not know may be one of a round that is over.

use std::cmp::Reverse;

use batchstep_proto::ids::{AttemptId, SeriesId, SweepId};

use super::{State, StoredRound};

/// A series whose history is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unread {
    /// The sweep it belongs to.
    pub sweep: SweepId,
    /// Position among the sweep's series, from 0.
    pub ordinal: u32,
    /// Which.
    pub series: SeriesId,
}

impl State {
    /// The series whose rounds that are over are to be read, in the order in which they are wanted: those that go on by priority, then by submission; last those of
    /// which only late reports may come.
    #[must_use]
    pub fn unread(&self) -> Vec<Unread> {
        let mut wanted: Vec<_> = self
            .unread
            .iter()
            .filter_map(|id| self.series.get(id))
            .map(|series| {
                (
                    series.over.is_some(),
                    Reverse(series.turn.priority),
                    series.turn,
                )
            })
            .collect();
        wanted.sort_unstable();
        wanted
            .into_iter()
            .map(|(_, _, turn)| Unread {
                sweep: turn.sweep,
                ordinal: turn.ordinal,
                series: turn.series,
            })
            .collect()
    }

    /// True while some history is still to be read.
    #[must_use]
    pub fn is_reading(&self) -> bool {
        !self.unread.is_empty()
    }

    /// True of an attempt that is not known now and may be once everything is read: what it brings cannot be judged before that.
    #[must_use]
    pub fn may_be_unread(&self, attempt: AttemptId) -> bool {
        self.is_reading() && !self.attempts.contains_key(&attempt)
    }

    /// Takes in what a series had measured before the state was made, and goes on with it.
    pub(super) fn history_read(&mut self, id: SeriesId, read: Result<Vec<StoredRound>, String>) {
        if !self.unread.contains(&id) {
            return;
        }
        match read {
            Ok(rounds) => {
                self.unread.remove(&id);
                self.add_history(id, rounds);
                self.look_at_software(id);
                self.reconsider(id);
            }
            Err(problem) => {
                let message = format!(
                    "what it measured before the coordinator started cannot be read back: {problem}"
                );
                // Ended as the unread series that it is: its blocks cannot be counted here.
                self.give_up(id, message);
                self.unread.remove(&id);
            }
        }
    }

    /// Adds rounds that are over. What the state knows of a round by itself is at least as new.
    fn add_history(&mut self, id: SeriesId, rounds: Vec<StoredRound>) {
        let Some(series) = self.series.get(&id) else {
            return;
        };
        let stopping = series.over.is_some();
        let is_new = |round: &StoredRound| series.round(round.record.round.index).is_none();
        let rounds: Vec<StoredRound> = rounds.into_iter().filter(is_new).collect();
        for StoredRound { record, attempts } in rounds {
            self.restore_attempts(id, record.round.index, attempts, stopping);
            if let Some(series) = self.series.get_mut(&id) {
                series.summary.add(&record);
                series.history.rounds.push(record);
            }
        }
        if let Some(series) = self.series.get_mut(&id) {
            let rounds = &mut series.history.rounds;
            rounds.sort_by_key(|record| record.round.index);
        }
        self.look_at_budget(id);
    }
}
