//! Compaction of the store in the process.

use std::collections::{BTreeMap, BTreeSet};

use batchstep_core::{fleet::SweepState, steptable::Answer};
use batchstep_proto::ids::{AttemptId, SeriesId};
use jiff::Timestamp;

use super::Memory;
use crate::store::{Dropped, KeptAnswer, RetentionStore, StoreError, StoreSize, StoredHistory};

/// What is kept.
#[derive(Debug, Clone, Default)]
pub(super) struct Tables {
    pub(super) answers: BTreeMap<SeriesId, KeptAnswer>,
    /// Series without any block left.
    cleared: BTreeSet<SeriesId>,
}

impl RetentionStore for Memory {
    async fn compactable(&self, before: Timestamp) -> Result<Vec<SeriesId>, StoreError> {
        let tables = self.tables();
        let over = tables.sweeps.iter().filter(|sweep| {
            sweep.state != SweepState::Active
                && sweep.finished_at.is_some_and(|at| at < before)
                && !tables.is_out(sweep.id)
        });
        let series = over.flat_map(|sweep| tables.series_of(sweep.id));
        let ids = series.map(|series| series.plan.id);
        Ok(ids
            .filter(|id| !tables.retention.cleared.contains(id))
            .collect())
    }

    async fn history(&self, series: SeriesId) -> Result<Option<StoredHistory>, StoreError> {
        let tables = self.tables();
        let found = tables.series.values().find(|known| known.plan.id == series);
        Ok(found.map(|series| tables.history(series)))
    }

    async fn keep_answer(
        &self,
        at: Timestamp,
        series: SeriesId,
        answer: &Answer,
    ) -> Result<(), StoreError> {
        let mut tables = self.tables();
        tables.series_mut(series)?;
        let answer = answer.clone();
        let answers = &mut tables.retention.answers;
        answers.entry(series).or_insert(KeptAnswer { at, answer });
        Ok(())
    }

    async fn drop_blocks(&self, series: SeriesId, reports: u32) -> Result<Dropped, StoreError> {
        let mut tables = self.tables();
        if !tables.retention.answers.contains_key(&series) {
            return Ok(Dropped {
                reports: 0,
                complete: true,
            });
        }
        let rounds = tables.rounds.range((series, 0)..=(series, u32::MAX));
        let attempts: BTreeSet<AttemptId> = rounds
            .flat_map(|(_, row)| row.attempts.values().map(|attempt| attempt.id))
            .collect();
        let stored = tables.reports.iter_mut().map(|stored| &mut stored.report);
        let full =
            stored.filter(|report| attempts.contains(&report.attempt) && !report.blocks.is_empty());
        let mut dropped = 0;
        for report in full.take(reports as usize) {
            report.blocks = Vec::new();
            dropped += 1;
        }
        let complete = dropped < reports;
        if complete {
            tables.retention.cleared.insert(series);
        }
        Ok(Dropped {
            reports: dropped,
            complete,
        })
    }

    async fn size(&self) -> Result<Option<StoreSize>, StoreError> {
        Ok(None)
    }
}
