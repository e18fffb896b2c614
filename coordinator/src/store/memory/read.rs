//! Puts together what was recorded: rounds with all that counts, and what series have come to.

use batchstep_core::{
    fleet::{Disposition, SeriesSummary, StoredRound},
    sweep::RoundRecord,
};
use batchstep_proto::ids::SeriesId;

use super::{Series, Sweep, Tables};
use crate::store::{ReadRound, StoredHistory, StoredSeries, StoredSweep, history};

impl Tables {
    /// The rounds of a series with all that counts, by index.
    pub(super) fn read_rounds(&self, series: SeriesId) -> Vec<ReadRound> {
        self.rounds
            .range((series, 0)..=(series, u32::MAX))
            .map(|(_, row)| {
                let mut record = RoundRecord::new(row.round.clone());
                let mut block_attempts = Vec::new();
                for stored in self.reports.iter().filter(|stored| {
                    stored.disposition == Disposition::Accepted
                        && stored.report.round == row.round.id
                }) {
                    let blocks = stored.report.blocks.len();
                    block_attempts.resize(block_attempts.len() + blocks, stored.report.attempt);
                    record.add(stored.report.clone());
                }
                ReadRound {
                    stored: StoredRound {
                        record,
                        attempts: row.attempts.values().cloned().collect(),
                    },
                    ended: row.ended,
                    block_attempts,
                }
            })
            .collect()
    }

    /// Those of them that are over, or those that are not.
    pub(super) fn stored_rounds(&self, series: SeriesId, ended: bool) -> Vec<StoredRound> {
        let rounds = self.read_rounds(series).into_iter();
        rounds
            .filter(|round| round.ended == ended)
            .map(|round| round.stored)
            .collect()
    }

    /// What a series has come to so far.
    pub(super) fn summary(&self, series: SeriesId) -> SeriesSummary {
        let rounds = self.read_rounds(series);
        let records = || rounds.iter().map(|round| &round.stored.record);
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        SeriesSummary {
            rounds_done: count(rounds.iter().filter(|round| round.ended).count()),
            blocks: count(records().map(|record| record.blocks.len()).sum()),
            measuring: records().map(|record| record.measuring).sum(),
        }
    }

    /// A sweep for lists and details.
    pub(super) fn stored_sweep(&self, sweep: &Sweep) -> StoredSweep {
        StoredSweep {
            id: sweep.id,
            spec: sweep.spec.clone(),
            state: sweep.state,
            message: sweep.message.clone(),
            submitted_at: sweep.submitted_at,
            finished_at: sweep.finished_at,
            series: self
                .series_of(sweep.id)
                .map(|series| self.stored_series(series))
                .collect(),
        }
    }

    /// What was measured of a series.
    pub(super) fn history(&self, series: &Series) -> StoredHistory {
        let id = series.plan.id;
        let kept = self.retention.answers.get(&id).cloned();
        history(self.stored_series(series), self.read_rounds(id), kept)
    }

    /// A series for lists and details.
    pub(super) fn stored_series(&self, series: &Series) -> StoredSeries {
        StoredSeries {
            plan: series.plan.clone(),
            state: series.state,
            message: series.message.clone(),
            summary: series
                .summary
                .unwrap_or_else(|| self.summary(series.plan.id)),
        }
    }
}
