//! Writes the records of a commit within the caller's transaction: one statement for all rows of a table. Nothing here begins, commits or decides.
//!
//! Each statement is a journey to the database's thread and back, so a commit's cost is that of its statements more than that of its rows.

use batchstep_core::{
    fleet::{Event, Record, Restriction},
    sweep::SeriesPlan,
};
use batchstep_proto::{
    domain::{SweepSpec, VisitFailure},
    ids::{AgentId, AttemptId, RequestId, RoundId, SeriesId, SweepId},
    wire,
};
use jiff::Timestamp;
use prost::Message as _;
use sqlx::{QueryBuilder, Sqlite, SqliteConnection, sqlite::SqliteQueryResult};

use super::{
    blocks::{self, ns},
    changes::{AttemptChange, Changes, NewAttempt, NewReport, SeriesEnd, SweepEnd},
    words::Word as _,
};
use crate::store::StoreError;

/// What a write can end with, before the database's path is known.
pub(super) enum WriteError {
    Sqlx(sqlx::Error),
    Store(StoreError),
}

impl From<sqlx::Error> for WriteError {
    fn from(error: sqlx::Error) -> Self {
        Self::Sqlx(error)
    }
}

type Written<T> = Result<T, WriteError>;

/// Rows of one statement at most. Statements are kept prepared, one for each power of two up to this.
const ROWS: usize = 64;

/// Writes `records`; answers with the sequence numbers of the events among them, in order.
pub(super) async fn records(
    db: &mut SqliteConnection,
    at: Timestamp,
    records: &[Record],
) -> Written<Vec<u64>> {
    let changes = Changes::of(records);
    let at = at.to_string();
    for (sweep, request, spec) in changes.sweeps {
        submitted(db, &at, sweep, request, spec).await?;
    }
    for (plan, ordinal) in changes.series {
        series(db, plan, ordinal).await?;
    }
    for some in powers_of_two(&changes.attempts) {
        assigned(db, some).await?;
    }
    for some in powers_of_two(&changes.reports) {
        reports(db, &at, some).await?;
    }
    let states: Vec<_> = changes.attempt_states.iter().collect();
    for some in powers_of_two(&states) {
        attempt_states(db, some).await?;
    }
    for some in powers_of_two(&changes.rounds_ended) {
        rounds_ended(db, some).await?;
    }
    for departure in changes.departures {
        departed(db, departure).await?;
    }
    for end in changes.series_ended {
        series_ended(db, end).await?;
    }
    for end in changes.sweeps_ended {
        sweep_ended(db, &at, end).await?;
    }
    for (agent, restriction) in changes.restrictions {
        restricted(db, &at, agent, restriction).await?;
    }
    let mut seqs = Vec::with_capacity(changes.events.len());
    for some in powers_of_two(&changes.events) {
        seqs.extend(events(db, &at, some).await?);
    }
    Ok(seqs)
}

/// The rows in slices whose lengths are powers of two up to [`ROWS`], so that few different statements are enough for any number of them.
fn powers_of_two<T>(rows: &[T]) -> impl Iterator<Item = &[T]> {
    let mut rest = rows;
    std::iter::from_fn(move || {
        let length = 1 << rest.len().min(ROWS).checked_ilog2()?;
        let (slice, left) = rest.split_at(length);
        rest = left;
        Some(slice)
    })
}

async fn submitted(
    db: &mut SqliteConnection,
    at: &str,
    sweep: SweepId,
    request: RequestId,
    spec: &SweepSpec,
) -> Written<()> {
    sqlx::query("INSERT INTO sweep (id, request_id, spec, state, message, submitted_at) VALUES (?, ?, ?, 'active', '', ?)")
        .bind(sweep.to_string())
        .bind(request.to_string())
        .bind(wire::SweepSpec::from(spec.clone()).encode_to_vec())
        .bind(at)
        .execute(db)
        .await?;
    Ok(())
}

async fn series(db: &mut SqliteConnection, plan: &SeriesPlan, ordinal: u32) -> Written<()> {
    let device = json("device", &plan.device)?;
    let others = plan.is_shared().then(|| json("devices", &plan.others));
    sqlx::query(
        "INSERT INTO series (id, sweep_id, ordinal, workload, mode, dtype, threads, device_id, device_model, device_kind, hostname, device, \
         others, state, message) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'waiting', '')",
    )
    .bind(plan.id.to_string())
    .bind(plan.sweep.to_string())
    .bind(ordinal)
    .bind(plan.workload.labelled().to_string())
    .bind(plan.spec.mode.word())
    .bind(plan.spec.dtype.word())
    .bind(plan.threads)
    .bind(&plan.device.id)
    .bind(&plan.device.model)
    .bind(plan.device.kind.word())
    .bind(&plan.hostname)
    .bind(device)
    .bind(others.transpose()?)
    .execute(db)
    .await?;
    Ok(())
}

async fn assigned(db: &mut SqliteConnection, attempts: &[NewAttempt<'_>]) -> Written<()> {
    // A round is the same for each of its attempts, but for the device, which is read from the attempt.
    QueryBuilder::<Sqlite>::new("INSERT INTO round (id, series_id, idx, kind, assignment, ended) ")
        .push_values(attempts, |mut row, new| {
            row.push_bind(new.round.id.to_string())
                .push_bind(new.round.series.to_string())
                .push_bind(new.round.index)
                .push_bind(new.round.kind.word())
                .push_bind(wire::Round::from(new.round.clone()).encode_to_vec())
                .push("0");
        })
        .push(" ON CONFLICT (id) DO NOTHING")
        .build()
        .execute(&mut *db)
        .await?;
    QueryBuilder::<Sqlite>::new(
        "INSERT INTO attempt (id, round_id, number, agent_id, device_id, state, message) ",
    )
    .push_values(attempts, |mut row, new| {
        row.push_bind(new.attempt.to_string())
            .push_bind(new.round.id.to_string())
            .push_bind(new.number)
            .push_bind(new.agent.to_string())
            .push_bind(new.round.device_id.clone())
            .push("'assigned'")
            .push("''");
    })
    .build()
    .execute(db)
    .await?;
    Ok(())
}

async fn reports(db: &mut SqliteConnection, at: &str, reports: &[NewReport<'_>]) -> Written<()> {
    // What can fail is made before the statement is.
    let columns = reports
        .iter()
        .map(|new| {
            let facts = new.report.facts.as_ref();
            let facts = facts.map(|facts| json("worker's facts", facts));
            Ok((
                new,
                facts.transpose()?,
                blocks::to_json(&new.report.blocks)?,
            ))
        })
        .collect::<Written<Vec<_>>>()?;
    let stored = QueryBuilder::<Sqlite>::new(
        "INSERT INTO report (attempt_id, round_id, agent_id, digest, disposition, part, outcome, message, facts, measuring_ns, warm_up_ns, \
         elapsed_ns, received_at, block_count, blocks) ",
    )
    .push_values(columns, |mut row, (new, facts, blocks)| {
        let report = new.report;
        row.push_bind(report.attempt.to_string())
            .push_bind(report.round.to_string())
            .push_bind(new.agent.to_string())
            .push_bind(new.digest.to_vec())
            .push_bind(new.disposition.word())
            .push_bind(report.part)
            .push_bind(report.outcome.map(|outcome| outcome.word()))
            .push_bind(report.message.clone())
            .push_bind(facts)
            .push_bind(ns(report.measuring))
            .push_bind(ns(report.warm_up))
            .push_bind(ns(report.elapsed))
            .push_bind(at.to_owned())
            .push_bind(u32::try_from(report.blocks.len()).unwrap_or(u32::MAX))
            .push_bind(blocks);
    })
    .build()
    .execute(&mut *db)
    .await?;
    for (seq, new) in numbers(&stored, reports.len()).zip(reports) {
        for (failure, position) in new.report.failures.iter().zip(0_u32..) {
            self::failure(db, seq, position, failure).await?;
        }
    }
    Ok(())
}

async fn failure(
    db: &mut SqliteConnection,
    seq: i64,
    position: u32,
    failure: &VisitFailure,
) -> Written<()> {
    sqlx::query("INSERT INTO visit_failure (report_seq, position, visit, batch_size, kind, message) VALUES (?, ?, ?, ?, ?, ?)")
        .bind(seq)
        .bind(position)
        .bind(failure.visit)
        .bind(failure.batch_size)
        .bind(failure.kind.word())
        .bind(&failure.message)
        .execute(db)
        .await?;
    Ok(())
}

async fn restricted(
    db: &mut SqliteConnection,
    at: &str,
    agent: AgentId,
    restriction: &Restriction,
) -> Written<()> {
    if restriction.is_lifted() {
        sqlx::query("DELETE FROM agent_restriction WHERE agent_id = ?")
            .bind(agent.to_string())
            .execute(db)
            .await?;
        return Ok(());
    }
    sqlx::query("INSERT OR REPLACE INTO agent_restriction (agent_id, hostname, drain_reason, cordon_reason, since) VALUES (?, ?, ?, ?, ?)")
        .bind(agent.to_string())
        .bind(&restriction.hostname)
        .bind(&restriction.drain)
        .bind(&restriction.cordon)
        .bind(at)
        .execute(db)
        .await?;
    Ok(())
}

async fn attempt_states(
    db: &mut SqliteConnection,
    states: &[(&AttemptId, &AttemptChange<'_>)],
) -> Written<()> {
    let done = QueryBuilder::<Sqlite>::new(
        "UPDATE attempt SET state = new.column2, message = COALESCE(new.column3, message) FROM (",
    )
    .push_values(states, |mut row, (attempt, new)| {
        row.push_bind(attempt.to_string())
            .push_bind(new.state.word())
            .push_bind(new.message.map(ToOwned::to_owned));
    })
    .push(") AS new WHERE attempt.id = new.column1")
    .build()
    .execute(db)
    .await?;
    existed(&done, "attempt", states.iter().map(|(attempt, _)| attempt))
}

async fn rounds_ended(db: &mut SqliteConnection, rounds: &[RoundId]) -> Written<()> {
    let mut query = QueryBuilder::<Sqlite>::new("UPDATE round SET ended = 1 WHERE id IN (");
    let mut ids = query.separated(", ");
    for round in rounds {
        ids.push_bind(round.to_string());
    }
    ids.push_unseparated(")");
    let done = query.build().execute(db).await?;
    existed(&done, "round", rounds.iter())
}

/// Adds a device to those that take no further part in a series.
async fn departed(
    db: &mut SqliteConnection,
    (series, device, reason): (SeriesId, &str, &str),
) -> Written<()> {
    let done = sqlx::query("UPDATE series SET departed = json_patch(COALESCE(departed, '{}'), json_object(?, ?)) WHERE id = ?")
        .bind(device)
        .bind(reason)
        .bind(series.to_string())
        .execute(db)
        .await?;
    existed(&done, "series", [series].iter())
}

async fn series_ended(db: &mut SqliteConnection, end: SeriesEnd<'_>) -> Written<()> {
    let done = sqlx::query("UPDATE series SET state = ?, message = ?, rounds_done = ?, blocks = ?, measuring_ns = ? WHERE id = ?")
        .bind(end.state.word())
        .bind(end.message)
        .bind(end.summary.map(|summary| summary.rounds_done))
        .bind(end.summary.map(|summary| summary.blocks))
        .bind(end.summary.map(|summary| ns(summary.measuring)))
        .bind(end.series.to_string())
        .execute(db)
        .await?;
    existed(&done, "series", [end.series].iter())
}

async fn sweep_ended(db: &mut SqliteConnection, at: &str, end: SweepEnd<'_>) -> Written<()> {
    let done = sqlx::query("UPDATE sweep SET state = ?, message = ?, finished_at = ? WHERE id = ?")
        .bind(end.state.word())
        .bind(end.message)
        .bind(at)
        .bind(end.sweep.to_string())
        .execute(db)
        .await?;
    existed(&done, "sweep", [end.sweep].iter())
}

async fn events(db: &mut SqliteConnection, at: &str, events: &[&Event]) -> Written<Vec<u64>> {
    let stored = QueryBuilder::<Sqlite>::new("INSERT INTO event (at, sweep_id, kind, event) ")
        .push_values(events, |mut row, event| {
            let message = wire::Event {
                kind: Some(event.kind.clone()),
                ..wire::Event::default()
            };
            row.push_bind(at.to_owned())
                .push_bind(event.sweep.map(|sweep| sweep.to_string()))
                .push_bind(kind(&event.kind))
                .push_bind(message.encode_to_vec());
        })
        .build()
        .execute(db)
        .await?;
    Ok(numbers(&stored, events.len())
        .map(i64::cast_unsigned)
        .collect())
}

const fn kind(kind: &wire::event::Kind) -> &'static str {
    use wire::event::Kind;
    match kind {
        Kind::SweepSubmitted(_) => "sweep_submitted",
        Kind::SweepEnded(_) => "sweep_ended",
        Kind::SeriesStarted(_) => "series_started",
        Kind::SeriesEnded(_) => "series_ended",
        Kind::RoundAssigned(_) => "round_assigned",
        Kind::RoundEnded(_) => "round_ended",
        Kind::AgentConnected(_) => "agent_connected",
        Kind::AgentDisconnected(_) => "agent_disconnected",
        Kind::Progress(_) => "progress",
        Kind::AgentRestricted(_) => "agent_restricted",
        Kind::DeviceDeparted(_) => "device_departed",
    }
}

/// The row numbers of one insertion: each is one above the largest so far, because nobody else writes within the transaction.
fn numbers(stored: &SqliteQueryResult, rows: usize) -> std::ops::RangeInclusive<i64> {
    let last = stored.last_insert_rowid();
    let rows = i64::try_from(rows).unwrap_or(i64::MAX);
    last - rows + 1..=last
}

/// A JSON column.
pub(super) fn json(
    what: &'static str,
    value: &impl serde::Serialize,
) -> Result<String, WriteError> {
    serde_json::to_string(value).map_err(|error| {
        WriteError::Store(StoreError::Corrupt {
            what,
            problem: error.to_string(),
        })
    })
}

/// Refuses when fewer rows were changed than were meant.
fn existed<T: ToString>(
    done: &SqliteQueryResult,
    noun: &str,
    ids: impl ExactSizeIterator<Item = T>,
) -> Written<()> {
    if done.rows_affected() == ids.len() as u64 {
        return Ok(());
    }
    let ids: Vec<String> = ids.map(|id| id.to_string()).collect();
    let what = match ids.as_slice() {
        [one] => format!("{noun} {one}"),
        several => format!("one of {noun} {}", several.join(", ")),
    };
    Err(WriteError::Store(StoreError::Dangling { what }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_are_powers_of_two_and_leave_nothing_out() {
        for length in 0..300 {
            let rows: Vec<usize> = (0..length).collect();
            let slices: Vec<&[usize]> = powers_of_two(&rows).collect();
            assert!(
                slices
                    .iter()
                    .all(|slice| slice.len().is_power_of_two() && slice.len() <= ROWS)
            );
            assert_eq!(slices.concat(), rows);
        }
    }
}
