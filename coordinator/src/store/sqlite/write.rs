//! Writes one record each within the caller's transaction. Nothing here begins, commits or decides.

use std::time::Duration;

use batchstep_core::{
    fleet::{Disposition, Event, Record, Restriction},
    sweep::SeriesPlan,
};
use batchstep_proto::{
    domain::{AttemptReport, Block, Round, VisitFailure},
    ids::{AgentId, AttemptId},
    wire,
};
use jiff::Timestamp;
use prost::Message as _;
use sqlx::{SqliteConnection, sqlite::SqliteQueryResult};

use super::words::Word as _;
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

/// Writes `record`; answers with the sequence number of an event.
pub(super) async fn record(
    db: &mut SqliteConnection,
    at: Timestamp,
    record: &Record,
) -> Result<Option<u64>, WriteError> {
    match record {
        Record::SweepSubmitted {
            sweep,
            request,
            spec,
        } => {
            sqlx::query("INSERT INTO sweep (id, request_id, spec, state, message, submitted_at) VALUES (?, ?, ?, 'active', '', ?)")
                .bind(sweep.to_string())
                .bind(request.to_string())
                .bind(wire::SweepSpec::from(spec.clone()).encode_to_vec())
                .bind(at.to_string())
                .execute(db)
                .await?;
        }
        Record::SeriesCreated { plan, ordinal } => series(db, plan, *ordinal).await?,
        Record::AttemptAssigned {
            attempt,
            number,
            agent,
            round,
        } => assigned(db, *attempt, *number, *agent, round).await?,
        Record::AttemptAccepted { attempt } => {
            let done = sqlx::query("UPDATE attempt SET state = 'accepted' WHERE id = ?")
                .bind(attempt.to_string())
                .execute(db)
                .await?;
            existed(&done, || format!("attempt {attempt}"))?;
        }
        Record::AttemptEnded {
            attempt,
            state,
            message,
        } => {
            let done = sqlx::query("UPDATE attempt SET state = ?, message = ? WHERE id = ?")
                .bind(state.word())
                .bind(message)
                .bind(attempt.to_string())
                .execute(db)
                .await?;
            existed(&done, || format!("attempt {attempt}"))?;
        }
        Record::Report {
            agent,
            digest,
            disposition,
            report: part,
        } => report(db, at, *agent, digest, *disposition, part).await?,
        Record::RoundEnded { round } => {
            let done = sqlx::query("UPDATE round SET ended = 1 WHERE id = ?")
                .bind(round.to_string())
                .execute(db)
                .await?;
            existed(&done, || format!("round {round}"))?;
        }
        Record::SeriesEnded {
            series,
            state,
            message,
            summary,
        } => {
            let done = sqlx::query("UPDATE series SET state = ?, message = ?, rounds_done = ?, blocks = ?, measuring_ns = ? WHERE id = ?")
                .bind(state.word())
                .bind(message)
                .bind(summary.rounds_done)
                .bind(summary.blocks)
                .bind(ns(summary.measuring))
                .bind(series.to_string())
                .execute(db)
                .await?;
            existed(&done, || format!("series {series}"))?;
        }
        Record::SweepEnded {
            sweep,
            state,
            message,
        } => {
            let done = sqlx::query(
                "UPDATE sweep SET state = ?, message = ?, finished_at = ? WHERE id = ?",
            )
            .bind(state.word())
            .bind(message)
            .bind(at.to_string())
            .bind(sweep.to_string())
            .execute(db)
            .await?;
            existed(&done, || format!("sweep {sweep}"))?;
        }
        Record::AgentRestricted { agent, restriction } => {
            restricted(db, at, *agent, restriction).await?;
        }
        Record::Event(what) => return event(db, at, what).await.map(Some),
    }
    Ok(None)
}

async fn series(
    db: &mut SqliteConnection,
    plan: &SeriesPlan,
    ordinal: u32,
) -> Result<(), WriteError> {
    let device = json("device", &plan.device)?;
    sqlx::query(
        "INSERT INTO series (id, sweep_id, ordinal, workload, mode, dtype, threads, device_id, device_model, device_kind, hostname, device, \
         state, message) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'waiting', '')",
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
    .execute(db)
    .await?;
    Ok(())
}

async fn assigned(
    db: &mut SqliteConnection,
    attempt: AttemptId,
    number: u32,
    agent: AgentId,
    round: &Round,
) -> Result<(), WriteError> {
    // The same for every attempt of the round.
    sqlx::query("INSERT INTO round (id, series_id, idx, kind, assignment, ended) VALUES (?, ?, ?, ?, ?, 0) ON CONFLICT (id) DO NOTHING")
        .bind(round.id.to_string())
        .bind(round.series.to_string())
        .bind(round.index)
        .bind(round.kind.word())
        .bind(wire::Round::from(round.clone()).encode_to_vec())
        .execute(&mut *db)
        .await?;
    sqlx::query("INSERT INTO attempt (id, round_id, number, agent_id, state, message) VALUES (?, ?, ?, ?, 'assigned', '')")
        .bind(attempt.to_string())
        .bind(round.id.to_string())
        .bind(number)
        .bind(agent.to_string())
        .execute(db)
        .await?;
    Ok(())
}

async fn report(
    db: &mut SqliteConnection,
    at: Timestamp,
    agent: AgentId,
    digest: &[u8; 32],
    disposition: Disposition,
    report: &AttemptReport,
) -> Result<(), WriteError> {
    let facts = report
        .facts
        .as_ref()
        .map(|facts| json("worker's facts", facts))
        .transpose()?;
    let stored = sqlx::query(
        "INSERT INTO report (attempt_id, round_id, agent_id, digest, disposition, part, outcome, message, facts, measuring_ns, warm_up_ns, \
         elapsed_ns, received_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(report.attempt.to_string())
    .bind(report.round.to_string())
    .bind(agent.to_string())
    .bind(digest.as_slice())
    .bind(disposition.word())
    .bind(report.part)
    .bind(report.outcome.map(|outcome| outcome.word()))
    .bind(&report.message)
    .bind(facts)
    .bind(ns(report.measuring))
    .bind(ns(report.warm_up))
    .bind(ns(report.elapsed))
    .bind(at.to_string())
    .execute(&mut *db)
    .await?;
    let seq = stored.last_insert_rowid();
    for (block, position) in report.blocks.iter().zip(0_u32..) {
        self::block(db, seq, position, block).await?;
    }
    for (failure, position) in report.failures.iter().zip(0_u32..) {
        self::failure(db, seq, position, failure).await?;
    }
    if report.outcome.is_some() && disposition == Disposition::Accepted {
        sqlx::query("UPDATE attempt SET state = 'reported', message = ? WHERE id = ?")
            .bind(&report.message)
            .bind(report.attempt.to_string())
            .execute(db)
            .await?;
    }
    Ok(())
}

async fn block(
    db: &mut SqliteConnection,
    seq: i64,
    position: u32,
    block: &Block,
) -> Result<(), WriteError> {
    sqlx::query(
        "INSERT INTO block (report_seq, position, visit, batch_size, role, iterations, elapsed_ns, device_ns, started_after_ns, \
         warm_up_iterations, warm_up_ns, foreign_cores, peak_memory_bytes, temperature_celsius, power_watts, sm_clock_mhz, throttle_reasons, \
         foreign_processes) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(seq)
    .bind(position)
    .bind(block.visit)
    .bind(block.batch_size)
    .bind(block.role.word())
    .bind(block.iterations)
    .bind(ns(block.elapsed))
    .bind(block.device_elapsed.map(ns))
    .bind(ns(block.started_after))
    .bind(block.warm_up_iterations)
    .bind(ns(block.warm_up))
    .bind(block.foreign_cores)
    .bind(block.peak_memory_bytes.map(saturating))
    .bind(block.temperature_celsius)
    .bind(block.power_watts)
    .bind(block.sm_clock_mhz)
    // A bit set, kept bit for bit.
    .bind(block.throttle_reasons.map(u64::cast_signed))
    .bind(block.foreign_processes)
    .execute(db)
    .await?;
    Ok(())
}

async fn failure(
    db: &mut SqliteConnection,
    seq: i64,
    position: u32,
    failure: &VisitFailure,
) -> Result<(), WriteError> {
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
    at: Timestamp,
    agent: AgentId,
    restriction: &Restriction,
) -> Result<(), WriteError> {
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
        .bind(at.to_string())
        .execute(db)
        .await?;
    Ok(())
}

async fn event(db: &mut SqliteConnection, at: Timestamp, event: &Event) -> Result<u64, WriteError> {
    let message = wire::Event {
        kind: Some(event.kind.clone()),
        ..wire::Event::default()
    };
    let stored = sqlx::query("INSERT INTO event (at, sweep_id, kind, event) VALUES (?, ?, ?, ?)")
        .bind(at.to_string())
        .bind(event.sweep.map(|sweep| sweep.to_string()))
        .bind(kind(&event.kind))
        .bind(message.encode_to_vec())
        .execute(db)
        .await?;
    Ok(stored.last_insert_rowid().cast_unsigned())
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
    }
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

fn existed(done: &SqliteQueryResult, what: impl Fn() -> String) -> Result<(), WriteError> {
    if done.rows_affected() == 0 {
        Err(WriteError::Store(StoreError::Dangling { what: what() }))
    } else {
        Ok(())
    }
}

/// Nanoseconds; saturates after 292 years.
fn ns(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

fn saturating(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
