//! Series that devices share, in both stores: which devices they are, and which of them measured.

use batchstep_coordinator::store::Store as _;
use batchstep_core::{
    fleet::{AttemptState, Disposition, Record},
    sweep::PoolDevice,
};
use batchstep_proto::{
    domain::Round,
    ids::{AgentId, AttemptId},
};
use sqlx::SqlitePool;
use tempfile::TempDir;

use super::{OnDisk, Place, Sample, at, contract, digest, support};

contract!(
    a_shared_series_comes_back_with_who_measured_it,
    a_series_comes_back_with_the_devices_that_have_left_it,
);

/// Two devices share a series: the first is lost with a round, the other measures it.
fn handed_over() -> (Sample, Vec<Record>) {
    let mut sample = Sample::new();
    sample.plan.others = vec![PoolDevice {
        device: support::device("CPU-2"),
        hostname: "another host".to_owned(),
    }];
    let (agent, attempt) = (AgentId::generate(), AttemptId::of(sample.round.id, 1));
    let mut records = sample.begun();
    records.extend([
        Record::AttemptEnded {
            attempt: sample.attempt,
            state: AttemptState::Expired,
            message: "its agent was lost".to_owned(),
        },
        Record::AttemptAssigned {
            attempt,
            number: 1,
            agent,
            round: Round {
                device_id: "CPU-2".to_owned(),
                ..sample.round.clone()
            },
        },
        Record::Report {
            agent,
            digest: digest(0),
            disposition: Disposition::Accepted,
            report: support::report(attempt, &sample.round, 0, false),
        },
    ]);
    (sample, records)
}

async fn a_shared_series_comes_back_with_who_measured_it(place: impl Place) {
    let (sample, records) = handed_over();
    let store = place.open().await;
    store.commit(at(0), &records).await.unwrap();
    drop(store);
    let store = place.open().await;
    let open = store.open_sweeps().await.unwrap();
    let series = &open[0].series[0];
    assert_eq!(series.plan, sample.plan);
    let devices: Vec<&str> = series.open[0]
        .attempts
        .iter()
        .map(|attempt| attempt.device.as_str())
        .collect();
    assert_eq!(devices, ["CPU-1", "CPU-2"]);
    let histories = store.histories(Some(sample.sweep)).await.unwrap();
    assert_eq!(histories[0].plan, sample.plan);
    assert_eq!(histories[0].history.rounds[0].round.device_id, "CPU-2");
    assert_eq!(series.open[0].record, histories[0].history.rounds[0]);
}

async fn a_series_comes_back_with_the_devices_that_have_left_it(place: impl Place) {
    let (mut sample, records) = handed_over();
    let store = place.open().await;
    store.commit(at(0), &records).await.unwrap();
    // Names and reasons are text of others.
    let departures = [
        ("CPU-1", "it said: \"no\""),
        ("CPU-2", "null"),
        ("a.b[0]'$", ""),
    ];
    for (device, reason) in departures {
        let departed = Record::DeviceDeparted {
            series: sample.plan.id,
            device: device.to_owned(),
            reason: reason.to_owned(),
        };
        store.commit(at(1), &[departed]).await.unwrap();
        let departed = &mut sample.plan.departed;
        departed.insert(device.to_owned(), reason.to_owned());
    }
    drop(store);
    let store = place.open().await;
    let open = store.open_sweeps().await.unwrap();
    assert_eq!(open[0].series[0].plan, sample.plan);
    let listed = store.sweep(sample.sweep).await.unwrap().unwrap();
    assert_eq!(listed.series[0].plan, sample.plan);
    let histories = store.histories(Some(sample.sweep)).await.unwrap();
    assert_eq!(histories[0].plan, sample.plan);
}

#[tokio::test]
async fn readers_of_the_database_see_the_device_that_measured() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("coordinator.db");
    let place = OnDisk(folder);
    let store = place.open().await;
    store.commit(at(0), &handed_over().1).await.unwrap();
    store.close().await;
    let url = format!("sqlite://{}", file.display());
    let pool = SqlitePool::connect(&url).await.unwrap();
    let devices: Vec<String> = sqlx::query_scalar("SELECT DISTINCT device_id FROM measurement")
        .fetch_all(&pool)
        .await
        .unwrap();
    assert_eq!(devices, ["CPU-2"]);
    pool.close().await;
}
