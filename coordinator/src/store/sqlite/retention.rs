//! Compaction in the database: the answer of a series is written first, then its blocks go, some reports at a time.

use std::collections::HashMap;

use batchstep_core::steptable::Answer;
use batchstep_proto::ids::{SeriesId, SweepId};
use jiff::Timestamp;
use sqlx::{Row as _, SqliteConnection};

use super::{
    Sqlite,
    read::{self, Which, WhichRounds, from_json, parsed},
    write::{WriteError, json},
};
use crate::store::{
    Dropped, KeptAnswer, RetentionStore, StoreError, StoreSize, StoredHistory, history,
};

/// Series with blocks to take away. Times as text: within the second in which a sweep ended it may be seen as older than it is.
const COMPACTABLE: &str = "SELECT series.id FROM sweep JOIN series ON series.sweep_id = sweep.id \
     LEFT JOIN series_answer ON series_answer.series_id = series.id \
     WHERE sweep.state <> 'active' AND sweep.finished_at < ? AND COALESCE(series_answer.cleared, 0) = 0 \
     AND NOT EXISTS (SELECT 1 FROM series AS any_of JOIN round ON round.series_id = any_of.id JOIN attempt ON attempt.round_id = round.id \
       WHERE any_of.sweep_id = sweep.id AND round.ended = 0 AND attempt.state IN ('assigned', 'accepted')) \
     ORDER BY sweep.rowid, series.ordinal";

/// Takes blocks away; of reports that do not count as well.
const DROP_BLOCKS: &str = "UPDATE report SET blocks = '[]' WHERE seq IN (SELECT report.seq FROM series_answer \
     JOIN round ON round.series_id = series_answer.series_id JOIN attempt ON attempt.round_id = round.id \
     JOIN report ON report.attempt_id = attempt.id AND report.block_count > 0 AND report.blocks <> '[]' \
     WHERE series_answer.series_id = ? LIMIT ?)";

/// What was measured of the series of some sweeps, or of one series of them.
pub(super) async fn histories(
    db: &mut SqliteConnection,
    which: &Which,
    only: Option<SeriesId>,
) -> Result<Vec<StoredHistory>, WriteError> {
    let mut histories = Vec::new();
    for sweep in read::sweeps(&mut *db, which).await? {
        let mut answers = answers(&mut *db, sweep.stored.id).await?;
        let wanted = only.map_or(WhichRounds::All, WhichRounds::Of);
        let mut rounds = read::rounds(&mut *db, sweep.stored.id, &wanted).await?;
        let series = sweep.stored.series.into_iter();
        let wanted = series.filter(|one| only.is_none_or(|only| one.plan.id == only));
        histories.extend(wanted.map(|one| {
            let rounds = rounds.remove(&one.plan.id).unwrap_or_default();
            let kept = answers.remove(&one.plan.id);
            history(one, rounds, kept)
        }));
    }
    Ok(histories)
}

/// What those series of a sweep say that have no blocks any more.
async fn answers(
    db: &mut SqliteConnection,
    sweep: SweepId,
) -> Result<HashMap<SeriesId, KeptAnswer>, WriteError> {
    let rows = sqlx::query(
        "SELECT series_id, kept_at, answer FROM series JOIN series_answer ON series_answer.series_id = series.id WHERE sweep_id = ?",
    )
    .bind(sweep.to_string())
    .fetch_all(db)
    .await?;
    rows.iter()
        .map(|row| {
            let kept = KeptAnswer {
                at: parsed("time", row.try_get(1)?)?,
                answer: from_json("answer", row.try_get(2)?)?,
            };
            Ok((parsed("series id", row.try_get(0)?)?, kept))
        })
        .collect()
}

impl RetentionStore for Sqlite {
    async fn compactable(&self, before: Timestamp) -> Result<Vec<SeriesId>, StoreError> {
        let rows = sqlx::query(COMPACTABLE)
            .bind(before.to_string())
            .fetch_all(&self.readers)
            .await
            .map_err(|error| self.failed(error))?;
        rows.iter()
            .map(|row| parsed("series id", row.try_get(0)?))
            .collect::<Result<_, WriteError>>()
            .map_err(|error| self.failed(error))
    }

    async fn history(&self, series: SeriesId) -> Result<Option<StoredHistory>, StoreError> {
        let read = async {
            let mut view = self.readers.begin().await?;
            let row = sqlx::query("SELECT sweep_id FROM series WHERE id = ?")
                .bind(series.to_string())
                .fetch_optional(&mut *view)
                .await?;
            let Some(row) = row else {
                return Ok(None);
            };
            let sweep = parsed("sweep id", row.try_get(0)?)?;
            let histories = histories(&mut view, &Which::One(sweep), Some(series)).await?;
            Ok(histories.into_iter().next())
        };
        read.await.map_err(|error: WriteError| self.failed(error))
    }

    async fn keep_answer(
        &self,
        at: Timestamp,
        series: SeriesId,
        answer: &Answer,
    ) -> Result<(), StoreError> {
        let keep = async {
            let text = json("answer", answer)?;
            let mut transaction = self.begin_write().await?;
            sqlx::query("INSERT INTO series_answer (series_id, kept_at, answer, cleared) VALUES (?, ?, ?, 0) ON CONFLICT (series_id) DO NOTHING")
                .bind(series.to_string())
                .bind(at.to_string())
                .bind(text)
                .execute(&mut *transaction)
                .await?;
            transaction.commit().await?;
            Ok(())
        };
        keep.await.map_err(|error: WriteError| self.failed(error))
    }

    async fn drop_blocks(&self, series: SeriesId, reports: u32) -> Result<Dropped, StoreError> {
        let drop = async {
            let id = series.to_string();
            let mut transaction = self.begin_write().await?;
            let done = sqlx::query(DROP_BLOCKS)
                .bind(&id)
                .bind(reports)
                .execute(&mut *transaction)
                .await?;
            let dropped = u32::try_from(done.rows_affected()).unwrap_or(u32::MAX);
            let complete = dropped < reports;
            if complete {
                sqlx::query("UPDATE series_answer SET cleared = 1 WHERE series_id = ?")
                    .bind(&id)
                    .execute(&mut *transaction)
                    .await?;
            }
            transaction.commit().await?;
            Ok(Dropped {
                reports: dropped,
                complete,
            })
        };
        drop.await.map_err(|error: WriteError| self.failed(error))
    }

    async fn size(&self) -> Result<Option<StoreSize>, StoreError> {
        let free: i64 = sqlx::query(
            "SELECT freelist_count * page_size FROM pragma_freelist_count, pragma_page_size",
        )
        .fetch_one(&self.readers)
        .await
        .and_then(|row| row.try_get(0))
        .map_err(|error| self.failed(error))?;
        // The log comes and goes, and so does its index.
        let files = ["", "-wal", "-shm"].map(|suffix| {
            let mut path = self.path.clone().into_os_string();
            path.push(suffix);
            std::fs::metadata(path).map_or(0, |file| file.len())
        });
        Ok(Some(StoreSize {
            bytes: files.iter().sum(),
            free_bytes: free.max(0).cast_unsigned(),
        }))
    }
}
