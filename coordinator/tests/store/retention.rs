//! Compaction, in both stores: what goes, what stays, and what is left alone.

use std::sync::Arc;

use batchstep_coordinator::{
    meters::Meters,
    retention,
    store::{RetentionStore as _, Store, StoredHistory},
};
use batchstep_core::{
    fleet::{AttemptState, Disposition, Record},
    steptable::{Answer, rows_of},
};
use batchstep_proto::{
    domain::DeviceKind,
    ids::{AgentId, AttemptId, SweepId},
};
use sqlx::{Row as _, SqlitePool};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::{
    OnDisk, Place, Sample, at, contract, digest, migration,
    support::{
        self, PATIENCE,
        past::{BATCH_SIZES, Past, ROUNDS},
    },
};

contract!(
    blocks_go_and_no_row_changes,
    only_what_is_over_for_long_is_compacted,
    an_answer_is_kept_once_and_blocks_go_step_by_step,
);

/// All rows in full, as they are published.
async fn table(store: &impl Store) -> String {
    let histories = store.histories(None).await.unwrap();
    let answers: Vec<_> = histories.iter().map(StoredHistory::answer).collect();
    let told = histories.iter().map(|history| &history.plan);
    let rows = rows_of(told.zip(answers.iter().map(AsRef::as_ref)), true);
    serde_json::to_string_pretty(&rows).unwrap()
}

async fn compact<S: Store>(store: &Arc<S>, before: i64) {
    let (meters, stop) = (Meters::default(), CancellationToken::new());
    let pass = retention::compact(store, at(before), &meters, &stop);
    let done = tokio::time::timeout(PATIENCE, pass).await;
    done.expect("a pass over a few series ends").unwrap();
}

async fn blocks(store: &impl Store, sweep: SweepId) -> usize {
    let histories = store.histories(Some(sweep)).await.unwrap();
    let rounds = histories.iter().flat_map(|one| &one.history.rounds);
    rounds.map(|round| round.blocks.len()).sum()
}

async fn blocks_go_and_no_row_changes(place: impl Place) {
    let store = Arc::new(place.open().await);
    let real = Past::of(DeviceKind::Cpu, &["CPU-1", "CPU-2"]);
    let simulated = Past::of(DeviceKind::Simulated, &["SIM-1"]);
    let young = Past::of(DeviceKind::Cpu, &["CPU-3"]);
    for (second, past) in [(0, &real), (1, &simulated), (100, &young)] {
        store.commit(at(second), &past.records).await.unwrap();
    }
    let before = table(store.as_ref()).await;
    assert!(before.contains(r#""verdict": "step""#), "{before}");
    assert!(before.contains(r#""fitted": ["#) && before.contains(r#""edges": ["#));
    let listed = store.sweeps().await.unwrap();

    compact(&store, 50).await;
    assert_eq!(table(store.as_ref()).await, before);
    assert_eq!(store.sweeps().await.unwrap(), listed);
    for old in [&real, &simulated] {
        let histories = store.histories(Some(old.sweep)).await.unwrap();
        assert!(histories.iter().all(|one| one.kept.is_some()));
        assert_eq!(blocks(store.as_ref(), old.sweep).await, 0);
    }
    let all = (ROUNDS * BATCH_SIZES) as usize;
    assert_eq!(blocks(store.as_ref(), young.sweep).await, all);
    assert_eq!(store.compactable(at(50)).await.unwrap(), []);
    // What was reported is still known, so that nothing is counted twice.
    let reported = real.records.iter().find_map(|record| match record {
        Record::Report { digest, report, .. } => Some((report.attempt, digest)),
        _ => None,
    });
    let (attempt, digest) = reported.unwrap();
    let known = store.report_known(attempt, digest).await.unwrap();
    assert_eq!(known, Some(Disposition::Accepted));

    drop(store);
    let store = Arc::new(place.open().await);
    compact(&store, 50).await;
    assert_eq!(table(store.as_ref()).await, before);
}

async fn only_what_is_over_for_long_is_compacted(place: impl Place) {
    let store = Arc::new(place.open().await);
    let active = Sample::new();
    store.commit(at(0), &active.begun()).await.unwrap();
    // Over, but for an attempt that an agent may still report.
    let mut out = Past::of(DeviceKind::Cpu, &["CPU-2"]);
    let last = Record::AttemptAssigned {
        attempt: AttemptId::of(support::round(&out.series[0], ROUNDS).id, 0),
        number: 0,
        agent: AgentId::generate(),
        round: support::round(&out.series[0], ROUNDS),
    };
    out.records.push(last);
    store.commit(at(0), &out.records).await.unwrap();
    let over = Past::of(DeviceKind::Cpu, &["CPU-3"]);
    store.commit(at(10), &over.records).await.unwrap();

    assert_eq!(store.compactable(at(5)).await.unwrap(), []);
    let only = over.series[0].id;
    assert_eq!(store.compactable(at(20)).await.unwrap(), [only]);
    compact(&store, 20).await;
    assert!(blocks(store.as_ref(), out.sweep).await > 0);
    assert_eq!(blocks(store.as_ref(), over.sweep).await, 0);
    // A coordinator that starts now goes on with both.
    let open: Vec<SweepId> = store
        .open_sweeps()
        .await
        .unwrap()
        .iter()
        .map(|it| it.id)
        .collect();
    assert_eq!(open, [active.sweep, out.sweep]);

    let lost = Record::AttemptEnded {
        attempt: AttemptId::of(support::round(&out.series[0], ROUNDS).id, 0),
        state: AttemptState::Expired,
        message: "its agent was lost".to_owned(),
    };
    store.commit(at(30), &[lost]).await.unwrap();
    assert_eq!(store.compactable(at(20)).await.unwrap(), [out.series[0].id]);
}

async fn an_answer_is_kept_once_and_blocks_go_step_by_step(place: impl Place) {
    let store = place.open().await;
    let past = Past::of(DeviceKind::Cpu, &["CPU-1"]);
    store.commit(at(0), &past.records).await.unwrap();
    let series = past.series[0].id;
    // Nothing goes before an answer stands for it.
    store.drop_blocks(series, 100).await.unwrap();
    let all = (ROUNDS * BATCH_SIZES) as usize;
    assert_eq!(blocks(&store, past.sweep).await, all);

    let before = table(&store).await;
    let history = store.history(series).await.unwrap().unwrap();
    let answer = history.answer().into_owned();
    store.keep_answer(at(5), series, &answer).await.unwrap();
    // Killed here, the answer is told and the blocks are still there to be taken.
    let told = store.history(series).await.unwrap().unwrap();
    assert_eq!(told.kept.as_ref().map(|kept| kept.at), Some(at(5)));
    assert_eq!(told.answer().as_ref(), &answer);
    assert_eq!(store.compactable(at(50)).await.unwrap(), [series]);

    // The first answer stays, whatever comes.
    let other: Answer = serde_json::from_str(r#"{"parts":[]}"#).unwrap();
    store.keep_answer(at(6), series, &other).await.unwrap();
    assert_eq!(store.history(series).await.unwrap(), Some(told));

    let step = store.drop_blocks(series, ROUNDS - 1).await.unwrap();
    assert_eq!((step.reports, step.complete), (ROUNDS - 1, false));
    assert_eq!(store.compactable(at(50)).await.unwrap(), [series]);
    drop(store);
    let store = place.open().await;
    let step = store.drop_blocks(series, ROUNDS).await.unwrap();
    assert_eq!((step.reports, step.complete), (1, true));
    assert_eq!(store.compactable(at(50)).await.unwrap(), []);
    let step = store.drop_blocks(series, ROUNDS).await.unwrap();
    assert_eq!((step.reports, step.complete), (0, true));
    assert_eq!(table(&store).await, before);
}

async fn count(db: &SqlitePool, query: &'static str) -> i64 {
    sqlx::query(query).fetch_one(db).await.unwrap().get(0)
}

#[tokio::test]
async fn readers_find_a_summary_in_the_place_of_blocks_and_room_is_used_again() {
    let place = OnDisk::default();
    let store = Arc::new(place.open().await);
    let past = Past::of(DeviceKind::Cpu, &["CPU-1"]);
    let mut records = past.records.clone();
    // A late result of the same round, which never counted.
    let round = support::round(&past.series[0], 0);
    records.push(Record::Report {
        agent: AgentId::generate(),
        digest: digest(9),
        disposition: Disposition::Superseded,
        report: support::report(AttemptId::of(round.id, 0), &round, 1, false),
    });
    store.commit(at(0), &records).await.unwrap();
    let db = migration::connect(place.path()).await;
    let all = i64::from(ROUNDS * BATCH_SIZES);
    assert_eq!(count(&db, "SELECT COUNT(*) FROM measurement").await, all);
    let free = store.size().await.unwrap().unwrap().free_bytes;

    compact(&store, 50).await;
    assert_eq!(count(&db, "SELECT COUNT(*) FROM block").await, 0);
    assert_eq!(count(&db, "SELECT COUNT(*) FROM measurement").await, 0);
    let summed = "SELECT SUM(blocks) FROM series_summary WHERE libtorch = '2.11.0'";
    assert_eq!(count(&db, summed).await, all);
    let at_one = "SELECT blocks FROM series_summary WHERE batch_size = 1 AND seconds_low <= seconds_per_iteration";
    assert_eq!(count(&db, at_one).await, i64::from(ROUNDS));
    let size = store.size().await.unwrap().unwrap();
    assert!(size.free_bytes > free, "{size:?}");
    assert!(size.bytes > size.free_bytes, "{size:?}");
    db.close().await;
}

#[tokio::test]
async fn a_database_of_the_version_before_is_compacted_like_any_other() {
    const BEFORE: i64 = 8;
    let (new, old) = (OnDisk::default(), TempDir::new().unwrap());
    let past = Past::of(DeviceKind::Cpu, &["CPU-1"]);
    let store = new.open().await;
    store.commit(at(0), &past.records).await.unwrap();
    let before = table(&store).await;
    store.close().await;

    // The same rows as that version had them.
    let db = migration::older(old.path(), BEFORE).await;
    let mut connection = db.acquire().await.unwrap();
    let file = new.path().join("coordinator.db");
    sqlx::query("ATTACH ? AS new")
        .bind(file.to_string_lossy().into_owned())
        .execute(&mut *connection)
        .await
        .unwrap();
    for copy in [
        // Came later.
        "ALTER TABLE new.series DROP COLUMN departed",
        "INSERT INTO sweep SELECT * FROM new.sweep",
        "INSERT INTO series SELECT * FROM new.series",
        "INSERT INTO round SELECT * FROM new.round",
        "INSERT INTO attempt SELECT * FROM new.attempt",
        "INSERT INTO report SELECT * FROM new.report",
    ] {
        sqlx::query(copy).execute(&mut *connection).await.unwrap();
    }
    drop(connection);
    db.close().await;

    let store = Arc::new(
        batchstep_coordinator::store::Sqlite::open(old.path())
            .await
            .unwrap(),
    );
    assert_eq!(table(store.as_ref()).await, before);
    compact(&store, 50).await;
    assert_eq!(table(store.as_ref()).await, before);
    assert_eq!(blocks(store.as_ref(), past.sweep).await, 0);
}

#[tokio::test]
async fn a_series_that_cannot_be_read_is_left_alone_and_keeps_nobody_waiting() {
    let place = OnDisk::default();
    let store = Arc::new(place.open().await);
    let (broken, fine) = (
        Past::of(DeviceKind::Cpu, &["CPU-1"]),
        Past::of(DeviceKind::Cpu, &["CPU-2"]),
    );
    store.commit(at(0), &broken.records).await.unwrap();
    store.commit(at(1), &fine.records).await.unwrap();
    let db = migration::connect(place.path()).await;
    let spoilt = "UPDATE report SET blocks = '[[1]]' WHERE seq = 1";
    sqlx::query(spoilt).execute(&db).await.unwrap();
    compact(&store, 50).await;
    assert_eq!(
        store.compactable(at(50)).await.unwrap(),
        [broken.series[0].id]
    );
    assert_eq!(
        count(&db, "SELECT COUNT(*) FROM report WHERE blocks = '[]'").await,
        i64::from(ROUNDS)
    );
    db.close().await;
}
