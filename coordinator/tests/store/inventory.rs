//! The inventory in both stores: what is written together comes back together, the history is only added to, and last seen is written by itself.

use std::time::Duration;

use batchstep_coordinator::store::{ChangesWanted, Inventory, InventoryStore, KnownInventory};
use batchstep_core::inventory::{ChangeKind, Fleet, Observation, Report, Seen};
use batchstep_proto::{
    domain::HostFacts,
    ids::AgentId,
    inventory::{Absent, Document, catalogue::gpu},
};

use super::{
    Place, at, contract,
    support::{
        device,
        lab::{h200, machine},
    },
};

contract!(
    an_inventory_replaces_the_earlier_one,
    rows_and_history_come_back_as_they_were_written,
    the_history_is_chosen_by_time_and_read_in_pages,
    last_seen_is_written_by_itself,
);

const ALL: ChangesWanted = ChangesWanted {
    after_seq: 0,
    since: None,
    until: None,
    limit: 1000,
};

fn inventory(document: &Document) -> Inventory {
    Inventory {
        host: HostFacts::default(),
        devices: vec![device("CPU-1")],
        document: document.to_bytes(),
        digest: document.digest().to_vec(),
    }
}

/// Observes, commits and applies, as the coordinator does.
async fn take(
    store: &impl InventoryStore,
    fleet: &mut Fleet,
    second: i64,
    agent: AgentId,
    document: Document,
) -> Observation {
    let machine_id = format!("m-{}", hostname(&document));
    let inventory = inventory(&document);
    let report = Report {
        agent,
        machine_id,
        document,
        age: Duration::from_secs(2),
    };
    let observation = fleet.observe(at(second), report);
    store
        .save_inventory(&inventory, &observation)
        .await
        .unwrap();
    fleet.apply(observation.clone());
    observation
}

fn hostname(document: &Document) -> String {
    document
        .host
        .get(batchstep_proto::inventory::catalogue::host::HOSTNAME)
        .unwrap()
}

async fn an_inventory_replaces_the_earlier_one(place: impl Place) {
    let agent = AgentId::generate();
    let store = place.open().await;
    let mut fleet = Fleet::default();
    assert_eq!(store.inventory(agent).await.unwrap(), None);
    take(&store, &mut fleet, 0, agent, machine("node1", vec![])).await;
    let next = machine("node1", vec![h200("GPU-a")]);
    take(&store, &mut fleet, 1, agent, next.clone()).await;
    assert_eq!(
        store.inventory(agent).await.unwrap(),
        Some(inventory(&next))
    );
}

async fn rows_and_history_come_back_as_they_were_written(place: impl Place) {
    let (first, second) = (AgentId::generate(), AgentId::generate());
    let store = place.open().await;
    let mut fleet = Fleet::default();
    let document = machine("node1", vec![h200("GPU-a"), h200("GPU-b")]);
    let mut written = Vec::new();
    let mut all = Vec::new();
    let mut changed = document.clone();
    changed.gpus[0]
        .facts
        .set(gpu::POWER_LIMIT_WATTS, Ok(500.25));
    changed.gpus[0]
        .facts
        .set(gpu::ECC_ENABLED, Err(Absent::NoPermission));
    changed.gpus[0]
        .facts
        .set(gpu::ECC_UNCORRECTED, Ok(u64::MAX));
    changed.gpus.pop();
    for (second_of_time, agent, document) in [
        (0, first, document),
        (1, first, changed.clone()),
        (2, second, machine("node2", vec![h200("GPU-b")])),
    ] {
        let observation = take(&store, &mut fleet, second_of_time, agent, document).await;
        for change in &observation.changes {
            all.push((at(second_of_time), change.clone()));
        }
        written.push(observation);
    }
    drop(store);
    let store = place.open().await;
    let stored = store.inventory_changes(&ALL).await.unwrap();
    let seqs: Vec<u64> = stored.iter().map(|entry| entry.seq).collect();
    assert_eq!(seqs, (1..=seqs.len() as u64).collect::<Vec<_>>());
    let came_back: Vec<_> = stored
        .into_iter()
        .map(|entry| (entry.at, entry.change))
        .collect();
    assert_eq!(came_back, all);
    assert!(all.iter().any(|(_, it)| it.kind == ChangeKind::Moved));
    assert_eq!(
        store.last_inventory_change().await.unwrap(),
        all.len() as u64
    );

    let KnownInventory {
        hosts,
        devices,
        snapshots,
    } = store.known_inventory().await.unwrap();
    assert_eq!(hosts.len(), 2);
    assert_eq!(
        snapshots
            .iter()
            .find(|(agent, _)| *agent == first)
            .map(|(_, snapshot)| snapshot),
        Some(&written[1].snapshot)
    );
    let moved = devices.iter().find(|it| it.uuid == "GPU-b").unwrap();
    assert_eq!(*moved, written[2].devices[0]);
    assert_eq!(moved.stays.len(), 2);
    // A coordinator that begins with these rows sees nothing new in the same reports.
    let mut again = Fleet::restore(jiff::Timestamp::UNIX_EPOCH, hosts, devices, snapshots);
    for (agent, document) in [
        (first, changed),
        (second, machine("node2", vec![h200("GPU-b")])),
    ] {
        let observation = take(&store, &mut again, 9, agent, document).await;
        assert!(!observation.is_news(), "{:?}", observation.changes);
    }
    assert_eq!(
        store.last_inventory_change().await.unwrap(),
        all.len() as u64
    );
}

async fn the_history_is_chosen_by_time_and_read_in_pages(place: impl Place) {
    let store = place.open().await;
    let mut fleet = Fleet::default();
    let agent = AgentId::generate();
    for watts in 1..=5_i32 {
        let mut document = machine("node1", vec![h200("GPU-a")]);
        let limit = Ok(f64::from(watts));
        document.gpus[0].facts.set(gpu::POWER_LIMIT_WATTS, limit);
        take(&store, &mut fleet, 10 * i64::from(watts), agent, document).await;
    }
    let seqs = async |wanted: ChangesWanted| -> Vec<u64> {
        let entries = store.inventory_changes(&wanted).await.unwrap();
        entries.iter().map(|entry| entry.seq).collect()
    };
    // The host, its device, and four changes.
    assert_eq!(seqs(ALL).await, [1, 2, 3, 4, 5, 6]);
    let since = Some(at(20));
    let until = Some(at(40));
    assert_eq!(seqs(ChangesWanted { since, ..ALL }).await, [3, 4, 5, 6]);
    assert_eq!(seqs(ChangesWanted { until, ..ALL }).await, [1, 2, 3, 4]);
    let both = ChangesWanted {
        since,
        until,
        ..ALL
    };
    assert_eq!(seqs(both).await, [3, 4]);
    let page = ChangesWanted {
        after_seq: 2,
        limit: 3,
        ..ALL
    };
    assert_eq!(seqs(page).await, [3, 4, 5]);
}

async fn last_seen_is_written_by_itself(place: impl Place) {
    let store = place.open().await;
    let mut fleet = Fleet::default();
    let agent = AgentId::generate();
    let document = machine("node1", vec![h200("GPU-a")]);
    take(&store, &mut fleet, 0, agent, document).await;
    let seen = Seen {
        hosts: vec![
            ("m-node1".to_owned(), at(600)),
            ("nobody".to_owned(), at(1)),
        ],
        devices: vec![("GPU-a".to_owned(), at(599)), ("GPU-?".to_owned(), at(1))],
    };
    store.save_seen(&seen).await.unwrap();
    let known = store.known_inventory().await.unwrap();
    assert_eq!(known.hosts.len(), 1);
    assert_eq!(known.hosts[0].last_seen, at(600));
    assert_eq!(known.hosts[0].first_seen, at(0));
    assert_eq!(known.devices[0].last_seen, at(599));
}

#[tokio::test]
async fn people_can_read_the_history_with_sqlite() {
    use sqlx::Row as _;

    let place = super::OnDisk::default();
    let store = place.open().await;
    let mut fleet = Fleet::default();
    let agent = AgentId::generate();
    let mut document = machine("node1", vec![h200("GPU-a")]);
    take(&store, &mut fleet, 0, agent, document.clone()).await;
    document.gpus[0].facts.set(gpu::ECC_ENABLED, Ok(false));
    take(&store, &mut fleet, 1, agent, document).await;
    let url = format!("sqlite://{}/coordinator.db?mode=ro", place.path().display());
    let pool = sqlx::SqlitePool::connect(&url).await.unwrap();
    let row = sqlx::query(
        "SELECT hostname, model, before, after, before_absent FROM inventory_event WHERE uuid = 'GPU-a' AND field = 'ecc_enabled'",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    let text = |column: &str| row.get::<String, _>(column);
    assert_eq!(
        [
            text("hostname"),
            text("model"),
            text("before"),
            text("after")
        ],
        ["node1", "NVIDIA H200", "true", "false"]
    );
    assert_eq!(row.get::<Option<String>, _>("before_absent"), None);
    let power: f64 = sqlx::query(
        "SELECT json_extract(facts, '$.power_limit_watts') FROM inventory_device WHERE state = 'present'",
    )
    .fetch_one(&pool)
    .await
    .unwrap()
    .get(0);
    assert!((power - 700.0).abs() < f64::EPSILON);
}

#[tokio::test]
async fn a_report_that_cannot_be_written_whole_leaves_nothing() {
    let place = super::OnDisk::default();
    let store = place.open().await;
    let url = format!("sqlite://{}/coordinator.db", place.path().display());
    let pool = sqlx::SqlitePool::connect(&url).await.unwrap();
    sqlx::query(
        "CREATE TRIGGER full BEFORE INSERT ON inventory_event WHEN NEW.uuid = 'GPU-b' BEGIN SELECT RAISE(ABORT, 'full'); END",
    )
    .execute(&pool)
    .await
    .unwrap();
    let agent = AgentId::generate();
    let document = machine("node1", vec![h200("GPU-a"), h200("GPU-b")]);
    let report = Report {
        agent,
        machine_id: "m-node1".to_owned(),
        document: document.clone(),
        age: Duration::ZERO,
    };
    let observation = Fleet::default().observe(at(0), report);
    let refused = store
        .save_inventory(&inventory(&document), &observation)
        .await;
    assert!(refused.is_err());
    assert_eq!(store.inventory(agent).await.unwrap(), None);
    assert_eq!(
        store.known_inventory().await.unwrap(),
        KnownInventory::default()
    );
    assert_eq!(store.last_inventory_change().await.unwrap(), 0);
}
