//! The contract of every store, run against the one in memory and the one on disk; and what only the one on disk can do wrong.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod batches;
mod identity;
mod inventory;
mod migration;
mod nightly;
mod open;
mod restrictions;
mod retention;
mod shared;
#[path = "../support/mod.rs"]
mod support;

use std::{future::Future, os::unix::fs::PermissionsExt as _, sync::Arc, time::Duration};

use batchstep_coordinator::store::{Memory, Sqlite, Store, StoreError};
use batchstep_core::fleet::{
    AttemptState, Disposition, Event, Record, SeriesState, SeriesSummary, SweepState,
};
use batchstep_proto::{
    ids::{AgentId, AttemptId, RequestId, SeriesId, SweepId},
    wire,
};
use jiff::Timestamp;
use support::{plan, report, round, spec};
use tempfile::TempDir;

/// A place where a store can be opened again after its process has gone.
trait Place {
    type Store: Store;
    fn open(&self) -> impl Future<Output = Self::Store>;
}

#[derive(Default)]
struct InMemory(Memory);

impl Place for InMemory {
    type Store = Memory;

    async fn open(&self) -> Memory {
        self.0.clone()
    }
}

struct OnDisk(TempDir);

impl OnDisk {
    fn path(&self) -> &std::path::Path {
        self.0.path()
    }
}

impl Default for OnDisk {
    fn default() -> Self {
        Self(TempDir::new().unwrap())
    }
}

impl Place for OnDisk {
    type Store = Sqlite;

    async fn open(&self) -> Sqlite {
        Sqlite::open(self.0.path()).await.unwrap()
    }
}

macro_rules! contract {
    ($($name:ident),+ $(,)?) => {
        mod memory { $( #[tokio::test] async fn $name() { super::$name(crate::InMemory::default()).await; } )+ }
        mod sqlite { $( #[tokio::test] async fn $name() { super::$name(crate::OnDisk::default()).await; } )+ }
    };
}
use contract;

contract!(
    a_sweep_comes_back_as_it_was_written,
    a_commit_is_all_or_nothing,
    commits_of_several_tasks_do_not_meet,
    reports_that_do_not_count_are_kept_and_known,
    the_journal_is_numbered_without_gaps_across_reopening,
);

struct Sample {
    sweep: SweepId,
    request: RequestId,
    agent: AgentId,
    attempt: AttemptId,
    round: batchstep_proto::domain::Round,
    plan: batchstep_core::sweep::SeriesPlan,
}

impl Sample {
    fn new() -> Self {
        let sweep = SweepId::generate();
        let plan = plan(sweep, "CPU-1");
        let round = round(&plan, 0);
        Self {
            sweep,
            request: RequestId::generate(),
            agent: AgentId::generate(),
            attempt: AttemptId::of(round.id, 0),
            round,
            plan,
        }
    }

    fn submitted(&self) -> Record {
        Record::SweepSubmitted {
            sweep: self.sweep,
            request: self.request,
            spec: spec(),
        }
    }

    fn begun(&self) -> Vec<Record> {
        vec![
            self.submitted(),
            Record::SeriesCreated {
                plan: self.plan.clone(),
                ordinal: 0,
            },
            Record::AttemptAssigned {
                attempt: self.attempt,
                number: 0,
                agent: self.agent,
                round: self.round.clone(),
            },
        ]
    }

    fn reported(&self, part: u32, last: bool, disposition: Disposition) -> Record {
        Record::Report {
            agent: self.agent,
            digest: digest(part),
            disposition,
            report: report(self.attempt, &self.round, part, last),
        }
    }
}

fn digest(part: u32) -> [u8; 32] {
    [u8::try_from(part).unwrap(); 32]
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + second).unwrap()
}

fn event(sweep: Option<SweepId>, hostname: &str) -> Record {
    Record::Event(Event {
        sweep,
        kind: wire::event::Kind::AgentConnected(wire::AgentConnected {
            agent_id: "a".to_owned(),
            hostname: hostname.to_owned(),
        }),
    })
}

async fn a_sweep_comes_back_as_it_was_written(place: impl Place) {
    let sample = Sample::new();
    let store = place.open().await;
    store.commit(at(0), &sample.begun()).await.unwrap();
    let accepted = Record::AttemptAccepted {
        attempt: sample.attempt,
    };
    store.commit(at(1), &[accepted]).await.unwrap();
    let first = sample.reported(0, false, Disposition::Accepted);
    store.commit(at(2), &[first]).await.unwrap();
    drop(store);

    // As after a crash: nothing was closed in good order.
    let store = place.open().await;
    let open = store.open_sweeps().await.unwrap();
    assert_eq!(open.len(), 1);
    let [series] = open[0].series.as_slice() else {
        panic!("one series")
    };
    assert_eq!(
        (open[0].id, open[0].request),
        (sample.sweep, sample.request)
    );
    assert_eq!(open[0].spec, spec());
    assert_eq!(series.plan, sample.plan);
    assert_eq!(series.open[0].record.round, sample.round);
    assert_eq!(
        series.open[0].record.blocks,
        report(sample.attempt, &sample.round, 0, false).blocks
    );
    assert_eq!(series.rounds_done, 0);
    assert_eq!(series.open[0].attempts[0].state, AttemptState::Accepted);
    assert_eq!(series.open[0].attempts[0].agent, sample.agent);
    assert_eq!(
        store.find_request(sample.request).await.unwrap(),
        Some(sample.sweep)
    );
    assert_eq!(
        store.find_request(RequestId::generate()).await.unwrap(),
        None
    );
    let so_far = &store.sweep(sample.sweep).await.unwrap().unwrap().series[0].summary;
    assert_eq!((so_far.blocks, so_far.rounds_done), (2, 0));
    assert_eq!(so_far.measuring, Duration::from_millis(200));

    let summary = SeriesSummary {
        rounds_done: 1,
        blocks: 4,
        measuring: Duration::from_millis(400),
    };
    let end = [
        sample.reported(1, true, Disposition::Accepted),
        Record::RoundEnded {
            round: sample.round.id,
        },
        Record::SeriesEnded {
            series: sample.plan.id,
            state: SeriesState::Done,
            message: "precise".to_owned(),
            summary: Some(summary),
        },
        Record::SweepEnded {
            sweep: sample.sweep,
            state: SweepState::Done,
            message: "all series are over".to_owned(),
        },
    ];
    store.commit(at(3), &end).await.unwrap();
    assert!(store.open_sweeps().await.unwrap().is_empty());
    let stored = store.sweep(sample.sweep).await.unwrap().unwrap();
    assert_eq!(stored.state, SweepState::Done);
    assert_eq!(
        (stored.submitted_at, stored.finished_at),
        (at(0), Some(at(3)))
    );
    assert_eq!(stored.series[0].summary, summary);
    assert_eq!(store.sweeps().await.unwrap(), [stored]);
    let histories = store.histories(Some(sample.sweep)).await.unwrap();
    assert_eq!(histories[0].history.rounds[0].blocks.len(), 4);
    assert_eq!(histories[0].history.rounds[0].outcomes.len(), 1);
    assert_eq!(histories[0].attempts, [vec![sample.attempt; 4]]);
    assert_eq!(store.histories(None).await.unwrap(), histories);
    assert_eq!(store.sweep(SweepId::generate()).await.unwrap(), None);
}

async fn a_commit_is_all_or_nothing(place: impl Place) {
    let sample = Sample::new();
    let store = place.open().await;
    let mut records = sample.begun();
    records.push(event(Some(sample.sweep), "never"));
    // Refers to a series that does not exist.
    records.push(Record::SeriesEnded {
        series: SeriesId::of(sample.sweep, "CPU-2", "linear"),
        state: SeriesState::Done,
        message: String::new(),
        summary: Some(SeriesSummary::default()),
    });
    assert!(store.commit(at(0), &records).await.is_err());
    assert!(store.sweeps().await.unwrap().is_empty());
    assert_eq!(store.last_seq().await.unwrap(), 0);
    // The same things again are a conflict, and the first ones stay.
    store.commit(at(0), &sample.begun()).await.unwrap();
    assert!(store.commit(at(1), &sample.begun()).await.is_err());
    drop(store);
    assert_eq!(place.open().await.sweeps().await.unwrap().len(), 1);
}

async fn commits_of_several_tasks_do_not_meet(place: impl Place) {
    const TASKS: usize = 8;
    const COMMITS: usize = 12;
    let store = Arc::new(place.open().await);
    let tasks: Vec<_> = (0..TASKS)
        .map(|_| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                let mut seqs = Vec::new();
                for _ in 0..COMMITS {
                    let sample = Sample::new();
                    let mut records = sample.begun();
                    records.push(event(Some(sample.sweep), "host"));
                    seqs.extend(store.commit(at(0), &records).await.unwrap());
                    store.open_sweeps().await.unwrap();
                }
                seqs
            })
        })
        .collect();
    let mut seqs = Vec::new();
    for task in tasks {
        seqs.extend(task.await.unwrap());
    }
    seqs.sort_unstable();
    let expected: Vec<u64> = (1..=(TASKS * COMMITS) as u64).collect();
    assert_eq!(seqs, expected);
    assert_eq!(store.sweeps().await.unwrap().len(), TASKS * COMMITS);
}

async fn reports_that_do_not_count_are_kept_and_known(place: impl Place) {
    let sample = Sample::new();
    let store = place.open().await;
    store.commit(at(0), &sample.begun()).await.unwrap();
    let stranger = Record::Report {
        agent: sample.agent,
        digest: digest(9),
        disposition: Disposition::Quarantined,
        report: report(AttemptId::of(sample.round.id, 99), &sample.round, 0, true),
    };
    let late = sample.reported(1, true, Disposition::Superseded);
    store
        .commit(
            at(1),
            &[
                stranger,
                late,
                sample.reported(2, false, Disposition::Accepted),
            ],
        )
        .await
        .unwrap();
    drop(store);
    let store = place.open().await;
    let known = |attempt, part| {
        let store = &store;
        async move { store.report_known(attempt, &digest(part)).await.unwrap() }
    };
    assert_eq!(
        known(AttemptId::of(sample.round.id, 99), 9).await,
        Some(Disposition::Quarantined)
    );
    assert_eq!(
        known(sample.attempt, 1).await,
        Some(Disposition::Superseded)
    );
    assert_eq!(known(sample.attempt, 2).await, Some(Disposition::Accepted));
    assert_eq!(known(sample.attempt, 3).await, None);
    assert_eq!(known(AttemptId::of(sample.round.id, 1), 9).await, None);
    let histories = store.histories(None).await.unwrap();
    assert_eq!(histories[0].history.rounds[0].blocks.len(), 2);
}

async fn the_journal_is_numbered_without_gaps_across_reopening(place: impl Place) {
    let sweep = SweepId::generate();
    let store = place.open().await;
    assert_eq!(store.last_seq().await.unwrap(), 0);
    let first = [event(None, "a"), event(Some(sweep), "b"), event(None, "c")];
    assert_eq!(store.commit(at(0), &first).await.unwrap(), [1, 2, 3]);
    drop(store);
    let store = place.open().await;
    let seqs = store
        .commit(at(5), &[event(Some(sweep), "d")])
        .await
        .unwrap();
    assert_eq!(seqs, [4]);
    assert_eq!(store.last_seq().await.unwrap(), 4);
    let all = store.events_after(1, None, 100).await.unwrap();
    assert_eq!(
        all.iter().map(|event| event.seq).collect::<Vec<_>>(),
        [2, 3, 4]
    );
    assert_eq!(all[2].at, at(5));
    assert_eq!(Record::Event(all[0].event.clone()), first[1]);
    let of_sweep = store.events_after(0, Some(sweep), 100).await.unwrap();
    assert_eq!(
        of_sweep.iter().map(|event| event.seq).collect::<Vec<_>>(),
        [2, 4]
    );
    assert_eq!(store.events_after(0, None, 2).await.unwrap().len(), 2);
    assert!(
        store
            .events_after(u64::MAX, None, 2)
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn a_data_directory_belongs_to_one_coordinator() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("a/b");
    let first = Sqlite::open(&path).await.unwrap();
    let error = Sqlite::open(&path).await.unwrap_err();
    assert!(matches!(error, StoreError::InUse { .. }), "{error}");
    assert!(error.to_string().contains("a/b"), "{error}");
    first.close().await;
    Sqlite::open(&path).await.unwrap();
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[tokio::test]
async fn a_data_directory_that_cannot_be_used_is_named() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "x").unwrap();
    let error = Sqlite::open(&file).await.unwrap_err();
    assert!(matches!(error, StoreError::NotADirectory { .. }), "{error}");
    let error = Sqlite::open(&file.join("below")).await.unwrap_err();
    assert!(
        matches!(error, StoreError::CreateDirectory { .. }),
        "{error}"
    );
    assert!(error.to_string().contains("--data-dir"), "{error}");

    // Unwritable whoever runs the test, root included.
    let error = Sqlite::open("/proc/self".as_ref()).await.unwrap_err();
    assert!(matches!(error, StoreError::Unwritable { .. }), "{error}");
    assert!(error.to_string().contains("/proc/self"), "{error}");
}

#[tokio::test]
async fn a_newer_schema_is_refused_and_left_alone() {
    let folder = TempDir::new().unwrap();
    Sqlite::open(folder.path()).await.unwrap().close().await;
    let file = folder.path().join("coordinator.db");
    let pool = sqlx::SqlitePool::connect(&format!("sqlite://{}", file.display()))
        .await
        .unwrap();
    sqlx::query("INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES (9999, 'later', 1, x'00', 0)")
        .execute(&pool)
        .await
        .unwrap();
    pool.close().await;
    let error = Sqlite::open(folder.path()).await.unwrap_err();
    let StoreError::NewerSchema { found: 9999, .. } = &error else {
        panic!("{error}")
    };
    assert!(
        error.to_string().contains("run the newer batchstep"),
        "{error}"
    );
}

#[tokio::test]
async fn the_file_can_be_read_by_anybody() {
    let folder = TempDir::new().unwrap();
    let sample = Sample::new();
    let store = Sqlite::open(folder.path()).await.unwrap();
    store.commit(at(0), &sample.begun()).await.unwrap();
    let first = sample.reported(0, true, Disposition::Accepted);
    store.commit(at(1), &[first]).await.unwrap();
    // While the coordinator runs.
    let file = folder.path().join("coordinator.db");
    let pool = sqlx::SqlitePool::connect(&format!("sqlite://{}?mode=ro", file.display()))
        .await
        .unwrap();
    let rows: Vec<(String, String, i64, f64)> = sqlx::query_as(
        "SELECT device_model || ', ' || device_kind, workload, batch_size, seconds_per_iteration FROM measurement",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    assert_eq!(rows.len(), 2);
    assert_eq!(rows[0].0, "Example CPU, cpu");
    assert_eq!((rows[0].1.as_str(), rows[0].2), ("linear", 4));
    assert!((rows[0].3 - 0.010_000_000_1).abs() < 1e-15);
}
