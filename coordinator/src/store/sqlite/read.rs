//! Reads sweeps, histories and the journal back. Nothing here writes, and a value that cannot be read names its kind instead of being skipped.

use std::{
    collections::{BTreeMap, HashMap},
    num::NonZero,
    ops::RangeInclusive,
    str::FromStr,
    thread::available_parallelism,
    time::Duration,
};

use batchstep_core::{
    fleet::{AttemptState, Event, SeriesState, SeriesSummary, StoredAttempt, StoredRound},
    sweep::{RoundRecord, SeriesPlan},
};
use batchstep_proto::{
    domain::{AttemptOutcome, AttemptReport, Round, SweepSpec, VisitFailure, VisitFailureKind},
    ids::{RequestId, RoundId, SeriesId, SweepId},
    wire,
};
use futures_util::TryStreamExt as _;
use prost::Message;
use sqlx::{QueryBuilder, Row as _, Sqlite, SqliteConnection, sqlite::SqliteRow};
use tokio::task::spawn_blocking;

use super::{
    blocks::{self, duration},
    words::Word,
    write::WriteError,
};
use crate::store::{ReadRound, StoreError, StoredEvent, StoredSeries, StoredSweep};

type Read<T> = Result<T, WriteError>;

/// Reports that are decoded together: some milliseconds of work, so that handing it over costs nothing beside it.
const ROWS_TOGETHER: usize = 128;

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

/// Which rounds of a sweep to read.
pub(super) enum WhichRounds {
    All,
    /// Those of one series.
    Of(SeriesId),
    /// Those that are not over.
    Open,
    /// Those that are over, of the series with these ordinals.
    Ended(RangeInclusive<u32>),
}

impl WhichRounds {
    /// A query of these rounds of a sweep, as far as their series have not only an answer any more.
    fn query(
        &self,
        sweep: SweepId,
        columns: &'static str,
        joined: &'static str,
        order: &'static str,
    ) -> QueryBuilder<Sqlite> {
        let mut query = QueryBuilder::new("SELECT ");
        query.push(columns).push(" FROM series JOIN round ");
        if matches!(self, Self::Open) {
            // Left to itself SQLite looks at all rounds of the sweep for the sake of their order.
            query.push("INDEXED BY round_open ");
        }
        query
            .push("ON round.series_id = series.id ")
            .push(joined)
            .push(" WHERE sweep_id = ")
            .push_bind(sweep.to_string());
        match self {
            Self::All => {}
            Self::Of(series) => {
                query
                    .push(" AND series.id = ")
                    .push_bind(series.to_string());
            }
            // As the index has it.
            Self::Open => {
                query.push(" AND round.ended = 0");
            }
            Self::Ended(ordinals) => {
                query
                    .push(" AND round.ended = 1 AND ordinal BETWEEN ")
                    .push_bind(*ordinals.start())
                    .push(" AND ")
                    .push_bind(*ordinals.end());
            }
        }
        query
            .push(" AND NOT EXISTS (SELECT 1 FROM series_answer WHERE series_answer.series_id = series.id) ORDER BY ")
            .push(order);
        query
    }
}

/// Sweeps with their series, oldest first. Of the series of open sweeps only the rounds that are over are counted.
pub(super) async fn sweeps(db: &mut SqliteConnection, which: &Which) -> Read<Vec<SweepRow>> {
    let query = match which {
        Which::All => sqlx::query("SELECT * FROM sweep ORDER BY rowid"),
        Which::Open => sqlx::query(
            "SELECT * FROM sweep WHERE state = 'active' OR id IN (SELECT series.sweep_id FROM round JOIN attempt ON attempt.round_id = round.id \
             JOIN series ON series.id = round.series_id WHERE round.ended = 0 AND attempt.state IN ('assigned', 'accepted')) ORDER BY rowid",
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
                series: series(db, id, &spec, !matches!(which, Which::Open)).await?,
                spec,
            },
        });
    }
    Ok(sweeps)
}

/// What an unfinished series has come to so far is counted, a finished one has it written down.
const SERIES_SO_FAR: &str = "SELECT series.*, \
     COALESCE(rounds_done, (SELECT COUNT(*) FROM round WHERE round.series_id = series.id AND round.ended = 1)) AS rounds_so_far, \
     COALESCE(blocks, (SELECT SUM(report.block_count) FROM round JOIN attempt ON attempt.round_id = round.id \
       JOIN report ON report.attempt_id = attempt.id WHERE round.series_id = series.id AND report.disposition = 'accepted'), 0) AS blocks_so_far, \
     COALESCE(measuring_ns, (SELECT SUM(report.measuring_ns) FROM round JOIN attempt ON attempt.round_id = round.id \
       JOIN report ON report.attempt_id = attempt.id WHERE round.series_id = series.id AND report.disposition = 'accepted'), 0) AS measuring_so_far_ns \
     FROM series WHERE sweep_id = ? ORDER BY ordinal";
/// The same with only the rounds that are over counted, without looking at them: rounds are on record from the first to the last without a gap, and few are open.
const SERIES: &str = "SELECT series.*, COALESCE((SELECT MAX(idx) + 1 FROM round WHERE round.series_id = series.id), 0) \
       - (SELECT COUNT(*) FROM round INDEXED BY round_open WHERE round.series_id = series.id AND round.ended = 0) AS rounds_so_far, \
     0 AS blocks_so_far, 0 AS measuring_so_far_ns FROM series WHERE sweep_id = ? ORDER BY ordinal";

async fn series(
    db: &mut SqliteConnection,
    sweep: SweepId,
    spec: &SweepSpec,
    counted: bool,
) -> Read<Vec<StoredSeries>> {
    let query = if counted { SERIES_SO_FAR } else { SERIES };
    let rows = sqlx::query(query)
        .bind(sweep.to_string())
        .fetch_all(db)
        .await?;
    rows.iter()
        .map(|row| {
            let device: &str = row.try_get("device")?;
            let others: Option<&str> = row.try_get("others")?;
            let others = others.map(|others| from_json("devices", others));
            let departed: Option<&str> = row.try_get("departed")?;
            let departed = departed.map(|departed| from_json("departed devices", departed));
            Ok(StoredSeries {
                plan: SeriesPlan {
                    id: parsed("series id", row.try_get("id")?)?,
                    sweep,
                    spec: spec.clone(),
                    workload: parsed("workload", row.try_get("workload")?)?,
                    device: from_json("device", device)?,
                    hostname: row.try_get("hostname")?,
                    threads: row.try_get("threads")?,
                    others: others.transpose()?.unwrap_or_default(),
                    departed: departed.transpose()?.unwrap_or_default(),
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

/// Rounds of a sweep's series with all that counts, by index; none of series that only have an answer any more. One query for each table, in the order of its
/// indexes: a sweep may have many thousands of rounds.
pub(super) async fn rounds(
    db: &mut SqliteConnection,
    sweep: SweepId,
    which: &WhichRounds,
) -> Read<BTreeMap<SeriesId, Vec<ReadRound>>> {
    let mut rounds = Rounds::default();
    let mut query = which.query(sweep, "assignment, ended", "", "ordinal, idx");
    let mut rows = query.build().fetch(&mut *db);
    while let Some(row) = rows.try_next().await? {
        rounds.add(&row)?;
    }
    drop(rows);
    let mut query = which.query(
        sweep,
        "round_id, attempt.id, agent_id, attempt.state, attempt.device_id",
        "JOIN attempt ON attempt.round_id = round.id",
        "ordinal, idx, number",
    );
    let mut rows = query.build().fetch(&mut *db);
    while let Some(row) = rows.try_next().await? {
        rounds.add_attempt(&row)?;
    }
    drop(rows);
    let mut failures = failures(db, sweep, which).await?;
    let mut query = which.query(
        sweep,
        "seq, report.round_id, attempt_id, part, outcome, report.message, facts, report.measuring_ns, warm_up_ns, elapsed_ns, report.blocks",
        "JOIN attempt ON attempt.round_id = round.id JOIN report ON report.attempt_id = attempt.id AND disposition = 'accepted'",
        "ordinal, idx, seq",
    );
    let decoders = available_parallelism().map_or(1, NonZero::get) + 1;
    let mut decoded = query
        .build()
        .fetch(db)
        .try_chunks(ROWS_TOGETHER)
        .map_err(|error| WriteError::from(error.1))
        .map_ok(decoded)
        .try_buffered(decoders);
    while let Some(reports) = decoded.try_next().await? {
        for (seq, report) in reports {
            let failures = failures.remove(&seq).unwrap_or_default();
            rounds.add_report(AttemptReport { failures, ..report })?;
        }
    }
    Ok(rounds.by_series)
}

/// The reports in these rows with their numbers, their failures left out. Their blocks are most of what is read, and taking them out of their text is
/// most of its work: it is done beside the reading, on as many processors as there are.
async fn decoded(rows: Vec<SqliteRow>) -> Read<Vec<(i64, AttemptReport)>> {
    let decode = move || rows.iter().map(report).collect();
    // Nobody stops it, so it ends otherwise only if it panics.
    spawn_blocking(decode)
        .await
        .unwrap_or_else(|error| Err(corrupt("report", &error)))
}

fn report(row: &SqliteRow) -> Read<(i64, AttemptReport)> {
    let outcome: Option<&str> = row.try_get("outcome")?;
    let facts: Option<&str> = row.try_get("facts")?;
    let report = AttemptReport {
        attempt: parsed("attempt id", row.try_get("attempt_id")?)?,
        round: parsed("round id", row.try_get("round_id")?)?,
        part: row.try_get("part")?,
        outcome: outcome.map(word::<AttemptOutcome>).transpose()?,
        message: row.try_get("message")?,
        blocks: blocks::from_json(row.try_get("blocks")?)?,
        failures: Vec::new(),
        facts: facts
            .map(|facts| from_json("worker's facts", facts))
            .transpose()?,
        measuring: ns(row, "measuring_ns")?,
        warm_up: ns(row, "warm_up_ns")?,
        elapsed: ns(row, "elapsed_ns")?,
    };
    Ok((row.try_get("seq")?, report))
}

/// Rounds while they are read.
#[derive(Default)]
struct Rounds {
    by_series: BTreeMap<SeriesId, Vec<ReadRound>>,
    /// Where each is: its series, and its place among that one's rounds.
    places: HashMap<RoundId, (SeriesId, usize)>,
}

impl Rounds {
    fn add(&mut self, row: &SqliteRow) -> Read<()> {
        let assignment: Round = message::<wire::Round, _>("round", row.try_get(0)?)?;
        let rounds = self.by_series.entry(assignment.series).or_default();
        self.places
            .insert(assignment.id, (assignment.series, rounds.len()));
        rounds.push(ReadRound {
            stored: StoredRound {
                record: RoundRecord::new(assignment),
                attempts: Vec::new(),
            },
            ended: row.try_get(1)?,
            block_attempts: Vec::new(),
        });
        Ok(())
    }

    fn add_attempt(&mut self, row: &SqliteRow) -> Read<()> {
        let device: Option<String> = row.try_get(4)?;
        let StoredRound {
            record, attempts, ..
        } = &mut self.round(parsed("round id", row.try_get(0)?)?)?.stored;
        // The latest attempt is the one that counts.
        if let Some(device) = device {
            record.round.device_id = device;
        }
        attempts.push(StoredAttempt {
            id: parsed("attempt id", row.try_get(1)?)?,
            agent: parsed("agent id", row.try_get(2)?)?,
            device: record.round.device_id.clone(),
            state: word::<AttemptState>(row.try_get(3)?)?,
        });
        Ok(())
    }

    fn add_report(&mut self, report: AttemptReport) -> Read<()> {
        let round = self.round(report.round)?;
        let blocks = round.block_attempts.len() + report.blocks.len();
        round.block_attempts.resize(blocks, report.attempt);
        round.stored.record.add(report);
        Ok(())
    }

    fn round(&mut self, id: RoundId) -> Read<&mut ReadRound> {
        self.places
            .get(&id)
            .and_then(|(series, index)| self.by_series.get_mut(series)?.get_mut(*index))
            .ok_or_else(|| corrupt("round", &format!("{id} has attempts and is not stored")))
    }
}

/// The failures of rounds of a sweep's series, by report, in their order.
async fn failures(
    db: &mut SqliteConnection,
    sweep: SweepId,
    which: &WhichRounds,
) -> Read<HashMap<i64, Vec<VisitFailure>>> {
    let mut query = which.query(
        sweep,
        "visit_failure.*",
        "JOIN attempt ON attempt.round_id = round.id JOIN report ON report.attempt_id = attempt.id \
         JOIN visit_failure ON visit_failure.report_seq = report.seq",
        "report_seq, position",
    );
    let rows = query.build().fetch_all(db).await?;
    let mut failures: HashMap<i64, Vec<VisitFailure>> = HashMap::new();
    for row in &rows {
        failures
            .entry(row.try_get("report_seq")?)
            .or_default()
            .push(VisitFailure {
                visit: row.try_get("visit")?,
                batch_size: row.try_get("batch_size")?,
                kind: word::<VisitFailureKind>(row.try_get("kind")?)?,
                message: row.try_get("message")?,
            });
    }
    Ok(failures)
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
pub(super) fn from_json<'a, T: serde::Deserialize<'a>>(
    what: &'static str,
    text: &'a str,
) -> Read<T> {
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
    Ok(duration(row.try_get(column)?))
}
