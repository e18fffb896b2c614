//! Reads sweeps, histories and the journal back. Nothing here writes, and a value that cannot be read names its kind instead of being skipped.

use std::{str::FromStr, time::Duration};

use batchstep_core::{
    fleet::{AttemptState, Event, SeriesState, SeriesSummary, StoredAttempt, StoredRound},
    sweep::{RoundRecord, SeriesPlan},
};
use batchstep_proto::{
    domain::{
        AttemptOutcome, AttemptReport, Block, Round, SweepSpec, VisitFailure, VisitFailureKind,
    },
    ids::{AttemptId, RequestId, RoundId, SweepId},
    wire,
};
use prost::Message;
use sqlx::{Row as _, SqliteConnection, sqlite::SqliteRow};

use super::{words::Word, write::WriteError};
use crate::store::{ReadRound, StoreError, StoredEvent, StoredSeries, StoredSweep};

type Read<T> = Result<T, WriteError>;

/// A sweep and the request that made it.
pub(super) struct SweepRow {
    pub stored: StoredSweep,
    pub request: RequestId,
}

/// Which sweeps to read.
pub(super) enum Which {
    All,
    Open,
    One(SweepId),
}

/// Sweeps with their series, oldest first.
pub(super) async fn sweeps(db: &mut SqliteConnection, which: &Which) -> Read<Vec<SweepRow>> {
    let query = match which {
        Which::All => sqlx::query("SELECT * FROM sweep ORDER BY rowid"),
        Which::Open => sqlx::query(
            "SELECT * FROM sweep WHERE state = 'active' OR id IN (SELECT series.sweep_id FROM attempt JOIN round ON round.id = attempt.round_id \
             JOIN series ON series.id = round.series_id WHERE attempt.state IN ('assigned', 'accepted')) ORDER BY rowid",
        ),
        Which::One(sweep) => {
            sqlx::query("SELECT * FROM sweep WHERE id = ?").bind(sweep.to_string())
        }
    };
    let rows = query.fetch_all(&mut *db).await?;
    let mut sweeps = Vec::with_capacity(rows.len());
    for row in rows {
        let id: SweepId = parsed("sweep id", row.try_get("id")?)?;
        let spec: SweepSpec = message::<wire::SweepSpec, _>("sweep's spec", row.try_get("spec")?)?;
        let finished_at: Option<&str> = row.try_get("finished_at")?;
        sweeps.push(SweepRow {
            request: parsed("request id", row.try_get("request_id")?)?,
            stored: StoredSweep {
                id,
                state: word(row.try_get("state")?)?,
                message: row.try_get("message")?,
                submitted_at: parsed("time", row.try_get("submitted_at")?)?,
                finished_at: finished_at.map(|at| parsed("time", at)).transpose()?,
                series: series(db, id, &spec).await?,
                spec,
            },
        });
    }
    Ok(sweeps)
}

async fn series(
    db: &mut SqliteConnection,
    sweep: SweepId,
    spec: &SweepSpec,
) -> Read<Vec<StoredSeries>> {
    // What an unfinished series has come to so far is counted; a finished one has it written down.
    let rows = sqlx::query(
        "SELECT series.*, \
         COALESCE(rounds_done, (SELECT COUNT(*) FROM round WHERE round.series_id = series.id AND round.ended = 1)) AS rounds_so_far, \
         COALESCE(blocks, (SELECT COUNT(*) FROM block JOIN report ON report.seq = block.report_seq JOIN round ON round.id = report.round_id \
           WHERE round.series_id = series.id AND report.disposition = 'accepted')) AS blocks_so_far, \
         COALESCE(measuring_ns, (SELECT SUM(report.measuring_ns) FROM report JOIN round ON round.id = report.round_id \
           WHERE round.series_id = series.id AND report.disposition = 'accepted'), 0) AS measuring_so_far_ns \
         FROM series WHERE sweep_id = ? ORDER BY ordinal",
    )
    .bind(sweep.to_string())
    .fetch_all(db)
    .await?;
    rows.iter()
        .map(|row| {
            let device: &str = row.try_get("device")?;
            Ok(StoredSeries {
                plan: SeriesPlan {
                    id: parsed("series id", row.try_get("id")?)?,
                    sweep,
                    spec: spec.clone(),
                    workload: parsed("workload", row.try_get("workload")?)?,
                    device: from_json("device", device)?,
                    hostname: row.try_get("hostname")?,
                    threads: row.try_get("threads")?,
                },
                state: word::<SeriesState>(row.try_get("state")?)?,
                message: row.try_get("message")?,
                summary: SeriesSummary {
                    rounds_done: row.try_get("rounds_so_far")?,
                    blocks: row.try_get("blocks_so_far")?,
                    measuring: ns(row, "measuring_so_far_ns")?,
                },
            })
        })
        .collect()
}

/// The rounds of a series with all that counts, by index.
pub(super) async fn rounds(db: &mut SqliteConnection, plan: &SeriesPlan) -> Read<Vec<ReadRound>> {
    let rows =
        sqlx::query("SELECT id, assignment, ended FROM round WHERE series_id = ? ORDER BY idx")
            .bind(plan.id.to_string())
            .fetch_all(&mut *db)
            .await?;
    let mut rounds = Vec::with_capacity(rows.len());
    for row in rows {
        let assignment: Round = message::<wire::Round, _>("round", row.try_get("assignment")?)?;
        let id = assignment.id;
        let mut record = RoundRecord::new(assignment);
        let block_attempts = reports(db, id, &mut record).await?;
        rounds.push(ReadRound {
            stored: StoredRound {
                record,
                ended: row.try_get("ended")?,
                attempts: attempts(db, id).await?,
            },
            block_attempts,
        });
    }
    Ok(rounds)
}

async fn attempts(db: &mut SqliteConnection, round: RoundId) -> Read<Vec<StoredAttempt>> {
    sqlx::query("SELECT id, agent_id, state FROM attempt WHERE round_id = ? ORDER BY number")
        .bind(round.to_string())
        .fetch_all(db)
        .await?
        .iter()
        .map(|row| {
            Ok(StoredAttempt {
                id: parsed("attempt id", row.try_get("id")?)?,
                agent: parsed("agent id", row.try_get("agent_id")?)?,
                state: word::<AttemptState>(row.try_get("state")?)?,
            })
        })
        .collect()
}

/// Adds every report that counts; answers with the attempt behind each block.
async fn reports(
    db: &mut SqliteConnection,
    round: RoundId,
    record: &mut RoundRecord,
) -> Read<Vec<AttemptId>> {
    let rows = sqlx::query(
        "SELECT * FROM report WHERE round_id = ? AND disposition = 'accepted' ORDER BY seq",
    )
    .bind(round.to_string())
    .fetch_all(&mut *db)
    .await?;
    let mut block_attempts = Vec::new();
    for row in rows {
        let seq: i64 = row.try_get("seq")?;
        let attempt: AttemptId = parsed("attempt id", row.try_get("attempt_id")?)?;
        let outcome: Option<&str> = row.try_get("outcome")?;
        let facts: Option<&str> = row.try_get("facts")?;
        let report = AttemptReport {
            attempt,
            round,
            part: row.try_get("part")?,
            outcome: outcome.map(word::<AttemptOutcome>).transpose()?,
            message: row.try_get("message")?,
            blocks: blocks(db, seq).await?,
            failures: failures(db, seq).await?,
            facts: facts
                .map(|facts| from_json("worker's facts", facts))
                .transpose()?,
            measuring: ns(&row, "measuring_ns")?,
            warm_up: ns(&row, "warm_up_ns")?,
            elapsed: ns(&row, "elapsed_ns")?,
        };
        block_attempts.resize(block_attempts.len() + report.blocks.len(), attempt);
        record.add(report);
    }
    Ok(block_attempts)
}

async fn blocks(db: &mut SqliteConnection, report: i64) -> Read<Vec<Block>> {
    sqlx::query("SELECT * FROM block WHERE report_seq = ? ORDER BY position")
        .bind(report)
        .fetch_all(db)
        .await?
        .iter()
        .map(|row| {
            let device_ns: Option<i64> = row.try_get("device_ns")?;
            let throttle_reasons: Option<i64> = row.try_get("throttle_reasons")?;
            let peak_memory_bytes: Option<i64> = row.try_get("peak_memory_bytes")?;
            Ok(Block {
                visit: row.try_get("visit")?,
                batch_size: row.try_get("batch_size")?,
                role: parsed("visit role", row.try_get("role")?)?,
                iterations: row.try_get("iterations")?,
                elapsed: ns(row, "elapsed_ns")?,
                device_elapsed: device_ns.map(|ns| Duration::from_nanos(ns.max(0).cast_unsigned())),
                started_after: ns(row, "started_after_ns")?,
                warm_up_iterations: row.try_get("warm_up_iterations")?,
                warm_up: ns(row, "warm_up_ns")?,
                foreign_cores: row.try_get("foreign_cores")?,
                peak_memory_bytes: peak_memory_bytes.map(i64::cast_unsigned),
                temperature_celsius: row.try_get("temperature_celsius")?,
                power_watts: row.try_get("power_watts")?,
                sm_clock_mhz: row.try_get("sm_clock_mhz")?,
                throttle_reasons: throttle_reasons.map(i64::cast_unsigned),
                foreign_processes: row.try_get("foreign_processes")?,
            })
        })
        .collect()
}

async fn failures(db: &mut SqliteConnection, report: i64) -> Read<Vec<VisitFailure>> {
    sqlx::query("SELECT * FROM visit_failure WHERE report_seq = ? ORDER BY position")
        .bind(report)
        .fetch_all(db)
        .await?
        .iter()
        .map(|row| {
            Ok(VisitFailure {
                visit: row.try_get("visit")?,
                batch_size: row.try_get("batch_size")?,
                kind: word::<VisitFailureKind>(row.try_get("kind")?)?,
                message: row.try_get("message")?,
            })
        })
        .collect()
}

/// Entries of the journal.
pub(super) async fn events(
    db: &mut SqliteConnection,
    after: i64,
    sweep: Option<SweepId>,
    limit: u32,
) -> Read<Vec<StoredEvent>> {
    let query = match sweep {
        None => sqlx::query("SELECT * FROM event WHERE seq > ? ORDER BY seq LIMIT ?").bind(after),
        Some(sweep) => {
            sqlx::query("SELECT * FROM event WHERE seq > ? AND sweep_id = ? ORDER BY seq LIMIT ?")
                .bind(after)
                .bind(sweep.to_string())
        }
    };
    query
        .bind(limit)
        .fetch_all(db)
        .await?
        .iter()
        .map(|row| {
            let seq: i64 = row.try_get("seq")?;
            let sweep: Option<&str> = row.try_get("sweep_id")?;
            let bytes: &[u8] = row.try_get("event")?;
            let event = wire::Event::decode(bytes).map_err(|error| corrupt("event", &error))?;
            Ok(StoredEvent {
                seq: seq.cast_unsigned(),
                at: parsed("time", row.try_get("at")?)?,
                event: Event {
                    sweep: sweep.map(|sweep| parsed("sweep id", sweep)).transpose()?,
                    kind: event
                        .kind
                        .ok_or_else(|| corrupt("event", &"it says nothing"))?,
                },
            })
        })
        .collect()
}

/// A stored value that cannot be read.
pub(super) fn corrupt(what: &'static str, problem: &impl ToString) -> WriteError {
    WriteError::Store(StoreError::Corrupt {
        what,
        problem: problem.to_string(),
    })
}

/// A text column through its type's own parser.
pub(super) fn parsed<T: FromStr<Err: ToString>>(what: &'static str, text: &str) -> Read<T> {
    text.parse().map_err(|error: T::Err| corrupt(what, &error))
}

/// A column of one of the database's words.
pub(super) fn word<T: Word>(text: &str) -> Read<T> {
    T::from_word(text).map_err(WriteError::Store)
}

/// A JSON column.
pub(super) fn from_json<T: serde::de::DeserializeOwned>(what: &'static str, text: &str) -> Read<T> {
    serde_json::from_str(text).map_err(|error| corrupt(what, &error))
}

/// A protobuf column.
fn message<M, T>(what: &'static str, bytes: &[u8]) -> Read<T>
where
    M: Message + Default,
    T: TryFrom<M, Error: ToString>,
{
    M::decode(bytes)
        .map_err(|error| corrupt(what, &error))?
        .try_into()
        .map_err(|error: T::Error| corrupt(what, &error))
}

fn ns(row: &SqliteRow, column: &str) -> Read<Duration> {
    let ns: i64 = row.try_get(column)?;
    Ok(Duration::from_nanos(ns.max(0).cast_unsigned()))
}
