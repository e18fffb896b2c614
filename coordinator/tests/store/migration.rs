//! Databases of earlier versions: brought up to date without losing a bit of what was measured.

use std::{fs, path::Path};

use batchstep_coordinator::store::{
    NewAction, NightlyRecord, NightlyStore as _, Sqlite, Store as _,
};
use batchstep_core::fleet::{AttemptState, Disposition};
use batchstep_proto::{
    domain::{AttemptReport, Block},
    wire,
};
use prost::Message as _;
use sqlx::{
    Row as _, SqlitePool,
    migrate::{Migration, Migrator},
    sqlite::SqliteRow,
};
use tempfile::TempDir;

use super::{Sample, digest, support};

static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");

/// The last version in which every block had a row of its own.
const BLOCKS_AS_ROWS: i64 = 3;
/// The last version that knew no nights.
const NO_NIGHTS: i64 = 8;

pub(super) async fn connect(folder: &Path) -> SqlitePool {
    let file = folder.join("coordinator.db");
    SqlitePool::connect(&format!("sqlite://{}?mode=rwc", file.display()))
        .await
        .unwrap()
}

/// An empty database as version `last` made it.
pub(super) async fn older(folder: &Path, last: i64) -> SqlitePool {
    let pool = connect(folder).await;
    let known: Vec<Migration> = MIGRATIONS
        .iter()
        .filter(|step| step.version <= last)
        .cloned()
        .collect();
    assert_eq!(known.len(), usize::try_from(last).unwrap());
    Migrator::with_migrations(known).run(&pool).await.unwrap();
    pool
}

/// Writes a sweep with one round as version 3 did.
async fn write_round(db: &SqlitePool, sample: &Sample) {
    sqlx::query("INSERT INTO sweep VALUES (?, ?, ?, 'active', '', '2026-11-25T10:00:00Z', NULL)")
        .bind(sample.sweep.to_string())
        .bind(sample.request.to_string())
        .bind(wire::SweepSpec::from(support::spec()).encode_to_vec())
        .execute(db)
        .await
        .unwrap();
    let plan = &sample.plan;
    sqlx::query(
        "INSERT INTO series VALUES (?, ?, 0, ?, 'train', 'f32', 2, ?, ?, 'cpu', ?, ?, 'waiting', '', NULL, NULL, NULL)",
    )
    .bind(plan.id.to_string())
    .bind(plan.sweep.to_string())
    .bind(plan.workload.labelled().to_string())
    .bind(&plan.device.id)
    .bind(&plan.device.model)
    .bind(&plan.hostname)
    .bind(serde_json::to_string(&plan.device).unwrap())
    .execute(db)
    .await
    .unwrap();
    sqlx::query("INSERT INTO round VALUES (?, ?, 0, 'measure', ?, 0)")
        .bind(sample.round.id.to_string())
        .bind(plan.id.to_string())
        .bind(wire::Round::from(sample.round.clone()).encode_to_vec())
        .execute(db)
        .await
        .unwrap();
    sqlx::query("INSERT INTO attempt VALUES (?, ?, 0, ?, 'accepted', '')")
        .bind(sample.attempt.to_string())
        .bind(sample.round.id.to_string())
        .bind(sample.agent.to_string())
        .execute(db)
        .await
        .unwrap();
}

async fn write_report(db: &SqlitePool, sample: &Sample, report: &AttemptReport) {
    let seq = sqlx::query(
        "INSERT INTO report VALUES (NULL, ?, ?, ?, ?, 'accepted', ?, NULL, '', NULL, 200000000, 0, 250000000, '2026-11-25T10:01:00Z')",
    )
    .bind(report.attempt.to_string())
    .bind(report.round.to_string())
    .bind(sample.agent.to_string())
    .bind(digest(report.part).as_slice())
    .bind(report.part)
    .execute(db)
    .await
    .unwrap()
    .last_insert_rowid();
    let ns = |time: std::time::Duration| i64::try_from(time.as_nanos()).unwrap();
    for (position, block) in report.blocks.iter().enumerate() {
        sqlx::query(
            "INSERT INTO block VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(seq)
        .bind(i64::try_from(position).unwrap())
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
        .bind(block.peak_memory_bytes.map(u64::cast_signed))
        .bind(block.temperature_celsius)
        .bind(block.power_watts)
        .bind(block.sm_clock_mhz)
        .bind(block.throttle_reasons.map(u64::cast_signed))
        .bind(block.foreign_processes)
        .execute(db)
        .await
        .unwrap();
    }
}

/// All of a query's values as text, typed: a number that became another one, or another kind of value, shows.
async fn rows(db: &SqlitePool, query: &'static str, columns: &[&str]) -> Vec<String> {
    let typed: Vec<String> = columns
        .iter()
        .map(|column| format!("typeof({column}) || ' ' || COALESCE(printf('%!.17g', {column}), '') || COALESCE({column}, '')"))
        .collect();
    let query = format!("SELECT {} FROM {query}", typed.join(" || ', ' || "));
    let rows: Vec<SqliteRow> = sqlx::query(sqlx::AssertSqlSafe(query))
        .fetch_all(db)
        .await
        .unwrap();
    rows.iter().map(|row| row.get::<String, _>(0)).collect()
}

const BLOCK: &str = "block ORDER BY report_seq, position";
const BLOCK_COLUMNS: [&str; 18] = [
    "report_seq",
    "position",
    "visit",
    "batch_size",
    "role",
    "iterations",
    "elapsed_ns",
    "device_ns",
    "started_after_ns",
    "warm_up_iterations",
    "warm_up_ns",
    "foreign_cores",
    "peak_memory_bytes",
    "temperature_celsius",
    "power_watts",
    "sm_clock_mhz",
    "throttle_reasons",
    "foreign_processes",
];
const MEASUREMENT: &str = "measurement";
const MEASUREMENT_COLUMNS: [&str; 7] = [
    "device_id",
    "device_kind",
    "round",
    "batch_size",
    "seconds_per_iteration",
    "device_seconds_per_iteration",
    "power_watts",
];

/// Numbers that a decimal of 15 digits would not bring back.
fn awkward(number: u32) -> Block {
    let part = f64::from(number) / 7.0;
    Block {
        foreign_cores: Some(part / 1e6),
        temperature_celsius: Some(part * 1e9),
        power_watts: Some(0.1 + part),
        sm_clock_mhz: number.is_multiple_of(2).then_some(1980.0),
        device_elapsed: None,
        ..support::block(number, 4)
    }
}

#[tokio::test]
async fn blocks_that_were_rows_come_back_bit_for_bit() {
    let folder = TempDir::new().unwrap();
    let sample = Sample::new();
    let reports: Vec<AttemptReport> = (0..3)
        .map(|part| AttemptReport {
            // The last part brings nothing.
            blocks: (0..500 * (2 - part)).map(awkward).collect(),
            ..support::report(sample.attempt, &sample.round, part, false)
        })
        .collect();
    let old = older(folder.path(), BLOCKS_AS_ROWS).await;
    write_round(&old, &sample).await;
    for report in &reports {
        write_report(&old, &sample, report).await;
    }
    let blocks = rows(&old, BLOCK, &BLOCK_COLUMNS).await;
    let measurements = rows(&old, MEASUREMENT, &MEASUREMENT_COLUMNS).await;
    assert_eq!((blocks.len(), measurements.len()), (1500, 1500));
    old.close().await;

    let store = Sqlite::open(folder.path()).await.unwrap();
    let expected: Vec<Block> = reports.into_iter().flat_map(|part| part.blocks).collect();
    let open = store.open_sweeps().await.unwrap();
    let round = &open[0].series[0].open[0];
    assert_eq!(round.record.blocks, expected);
    assert_eq!(round.attempts[0].state, AttemptState::Accepted);
    let so_far = &store.sweep(sample.sweep).await.unwrap().unwrap().series[0].summary;
    assert_eq!(so_far.blocks, 1500);
    let known = store.report_known(sample.attempt, &digest(2)).await;
    assert_eq!(known.unwrap(), Some(Disposition::Accepted));
    store.close().await;

    // For readers nothing has changed either.
    let new = connect(folder.path()).await;
    assert_eq!(rows(&new, BLOCK, &BLOCK_COLUMNS).await, blocks);
    assert_eq!(
        rows(&new, MEASUREMENT, &MEASUREMENT_COLUMNS).await,
        measurements
    );
    new.close().await;
    assert!(fs::exists(folder.path().join("coordinator.db")).unwrap());
}

#[tokio::test]
async fn a_database_that_knew_no_nights_keeps_what_it_has_and_takes_them() {
    let folder = TempDir::new().unwrap();
    let sample = Sample::new();
    let old = older(folder.path(), NO_NIGHTS).await;
    sqlx::query("INSERT INTO sweep VALUES (?, ?, ?, 'done', '', '2026-11-25T10:00:00Z', '2026-11-25T10:09:00Z')")
        .bind(sample.sweep.to_string())
        .bind(sample.request.to_string())
        .bind(wire::SweepSpec::from(support::spec()).encode_to_vec())
        .execute(&old)
        .await
        .unwrap();
    sqlx::query("INSERT INTO agent_restriction VALUES (?, 'gpu-07', 'new fans', NULL, '2026-11-25T10:00:00Z')")
        .bind(sample.agent.to_string())
        .execute(&old)
        .await
        .unwrap();
    old.close().await;

    let action = NewAction {
        at: super::at(0),
        user: "ada".to_owned(),
        caller: "local".to_owned(),
        action: "add schedule".to_owned(),
        schedule: "lab".to_owned(),
        alarm: None,
        reason: String::new(),
    };
    let store = Sqlite::open(folder.path()).await.unwrap();
    assert_eq!(store.nightly().schedules().await.unwrap(), []);
    assert_eq!(store.nightly().last_alarm().await.unwrap(), 0);
    let records = [NightlyRecord::Action(action.clone())];
    store.nightly().save_nightly(&records).await.unwrap();
    store.close().await;

    let store = Sqlite::open(folder.path()).await.unwrap();
    let sweep = store.sweep(sample.sweep).await.unwrap().unwrap();
    assert_eq!(sweep.spec, support::spec());
    let restrictions = store.restrictions().await.unwrap();
    assert_eq!(
        restrictions[&sample.agent].drain.as_deref(),
        Some("new fans")
    );
    assert_eq!(store.nightly().actions(9).await.unwrap()[0].action, action);
}
