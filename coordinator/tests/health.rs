//! Whether the coordinator can do its work, as a load balancer, a gRPC client and monitoring are told it: by a real database that somebody else holds.

#![allow(clippy::unwrap_used, reason = "helpers of tests may fail loudly too")]

mod support;

use std::{path::Path, sync::Arc};

use batchstep_coordinator::{
    engine,
    health::{self, Ailment},
    meters::Meters,
    store::{DATABASE, Memory, Sqlite, Store as _},
};
use batchstep_core::fleet::Config;
use batchstep_daemon::Heart;
use batchstep_proto::wire::report_attempt_response::Disposition;
use sqlx::{ConnectOptions as _, SqliteConnection, sqlite::SqliteConnectOptions};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_util::sync::CancellationToken;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use support::{Agent, Coordinator, measured, soon};

const SERVICES: [&str; 3] = [
    "",
    "batchstep.v1.AgentService",
    "batchstep.v1.OperatorService",
];

async fn get(coordinator: &Coordinator, path: &str) -> String {
    let mut stream = TcpStream::connect(coordinator.address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    soon("an answer", stream.read_to_string(&mut answer))
        .await
        .unwrap();
    answer
}

/// Waits until `/healthz` answers with this status; answers with all of it.
async fn healthz(coordinator: &Coordinator, status: u16) -> String {
    let wanted = format!("HTTP/1.1 {status}");
    let asked = async {
        loop {
            let answer = get(coordinator, "/healthz").await;
            if answer.starts_with(&wanted) {
                return answer;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    soon(&format!("/healthz to answer {status}"), asked).await
}

/// Waits until every service that can be unwell has this status.
async fn serving(coordinator: &Coordinator, status: ServingStatus) {
    let mut client = HealthClient::new(coordinator.channel().await);
    for service in SERVICES {
        let asked = async {
            loop {
                let request = HealthCheckRequest {
                    service: service.to_owned(),
                };
                let answer = client.check(request).await.unwrap().into_inner();
                if answer.status() == status {
                    return;
                }
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        soon(&format!("{service:?} to be {status:?}"), asked).await;
    }
}

async fn lock(folder: &Path) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(folder.join(DATABASE));
    let mut connection = options.connect().await.unwrap();
    sqlx::query("BEGIN IMMEDIATE")
        .execute(&mut connection)
        .await
        .unwrap();
    connection
}

#[tokio::test]
async fn a_store_that_takes_no_writes_is_told_everywhere_and_so_is_its_recovery() {
    let folder = TempDir::new().unwrap();
    let store = Sqlite::open(folder.path()).await.unwrap();
    let coordinator = Coordinator::start(store).await;
    let answer = healthz(&coordinator, 200).await;
    assert!(answer.contains("application/json"), "{answer}");
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(body["status"], "ok");
    assert_eq!(body["active_sweeps"], 0);
    serving(&coordinator, ServingStatus::Serving).await;

    let locked = lock(folder.path()).await;
    let answer = healthz(&coordinator, 503).await;
    assert!(answer.contains("takes no writes"), "{answer}");
    assert!(answer.contains("locked"), "{answer}");
    serving(&coordinator, ServingStatus::NotServing).await;
    let metrics = get(&coordinator, "/metrics").await;
    assert!(metrics.contains("\nbatchstep_healthy{} 0"), "{metrics}");

    drop(locked);
    healthz(&coordinator, 200).await;
    serving(&coordinator, ServingStatus::Serving).await;
    coordinator.stop().await;
}

/// An empty transaction would find a lock, and no full disk.
#[tokio::test]
async fn a_look_at_the_store_writes_to_the_disk() {
    let folder = TempDir::new().unwrap();
    let store = Sqlite::open(folder.path()).await.unwrap();
    let log = folder.path().join(format!("{DATABASE}-wal"));
    let written = || std::fs::metadata(&log).unwrap().len();
    let before = written();
    store.probe().await.unwrap();
    store.probe().await.unwrap();
    assert!(written() > before);
    store.close().await;
}

#[tokio::test]
async fn health_ends_with_the_word_that_the_coordinator_stops() {
    let (shutdown, stop) = (CancellationToken::new(), CancellationToken::new());
    let store = Arc::new(Memory::new());
    let (engine, task) = engine::start(
        Arc::clone(&store),
        Config::default(),
        Arc::new(Meters::default()),
        shutdown.clone(),
        stop.clone(),
    )
    .await
    .unwrap();
    let task = tokio::spawn(task);
    let heart = Heart::unheard();
    let (mut health, looking) = health::watch(engine, store, heart, shutdown.clone(), stop.clone());
    assert_eq!(health.verdict(), Err(Ailment::Starting));
    let looking = tokio::spawn(looking);
    assert!(soon("the first look", health.changed()).await);
    assert!(health.verdict().is_ok());
    shutdown.cancel();
    assert_eq!(health.verdict(), Err(Ailment::Stopping));
    assert!(!health.changed().await, "nothing more will be said");
    stop.cancel();
    soon("the task", looking).await.unwrap();
    soon("the engine", task).await.unwrap();
}

#[tokio::test]
async fn a_task_that_does_not_answer_is_unwell() {
    let (shutdown, stop) = (CancellationToken::new(), CancellationToken::new());
    let store = Arc::new(Memory::new());
    let (engine, task) = engine::start(
        Arc::clone(&store),
        Config::default(),
        Arc::new(Meters::default()),
        shutdown.clone(),
        stop.clone(),
    )
    .await
    .unwrap();
    // Nobody drives it, as if it hung.
    let _task = task;
    let (heart, mut pulses) = Heart::new(std::time::Duration::from_millis(100));
    let (_health, looking) = health::watch(engine, store, heart, shutdown, stop.clone());
    let looking = tokio::spawn(looking);
    soon("a pulse", pulses.changed()).await.unwrap();
    let pulse = pulses.borrow().clone().unwrap();
    assert!(
        !pulse.is_well && pulse.status.contains("has not answered"),
        "{pulse:?}"
    );
    stop.cancel();
    soon("the task", looking).await.unwrap();
}

/// The value of a metric; 0 where it is not told.
fn value(metrics: &str, series: &str) -> f64 {
    let line = metrics.lines().find_map(|line| line.strip_prefix(series));
    let value = line.map(|rest| rest.trim_start_matches("{}").trim());
    value.map_or(0.0, |value| value.parse().unwrap())
}

#[tokio::test]
async fn the_coordinators_own_work_is_counted() {
    let coordinator = Coordinator::start(Memory::new()).await;
    let mut agent = Agent::connect(&coordinator, "CPU-1").await;
    coordinator.submit().await;
    let assignment = agent.assignment().await.unwrap();
    agent.accept(&assignment).await;
    let report = measured(&assignment);
    assert_eq!(
        agent.report(report.clone()).await.unwrap(),
        Disposition::Accepted
    );
    assert_eq!(agent.report(report).await.unwrap(), Disposition::Duplicate);
    let mut unknown = measured(&assignment);
    unknown.attempt_id = "0190d3a0-0000-7000-8000-0000000000ff".to_owned();
    assert_eq!(
        agent.report(unknown).await.unwrap(),
        Disposition::Quarantined
    );
    let seen = async {
        loop {
            // Of the fleet the newest look is told, a few seconds old.
            let metrics = get(&coordinator, "/metrics").await;
            // One between the agent's hello and the sweep tells of the agent alone.
            let has = |series: &str| value(&metrics, series) == 1.0;
            if has("batchstep_agents{state=\"online\"}") && has("batchstep_sweeps_active") {
                return metrics;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    let metrics = soon("the agent to be counted", seen).await;
    for (series, wanted) in [
        ("batchstep_reports_total{disposition=\"accepted\"}", 1.0),
        ("batchstep_reports_total{disposition=\"duplicate\"}", 1.0),
        ("batchstep_reports_total{disposition=\"quarantined\"}", 1.0),
        ("batchstep_attempts_ended_total{outcome=\"reported\"}", 1.0),
        ("batchstep_attempts_accepted_total", 1.0),
        ("batchstep_agents{state=\"lost\"}", 0.0),
        ("batchstep_sessions", 1.0),
        ("batchstep_sweeps_active", 1.0),
        ("batchstep_series_unread", 0.0),
        ("batchstep_healthy", 1.0),
        ("batchstep_store_commit_failures_total", 0.0),
    ] {
        assert_eq!(value(&metrics, series), wanted, "{series}\n{metrics}");
        assert!(metrics.contains(series), "{series}");
    }
    assert!(value(&metrics, "batchstep_attempts_assigned_total") >= 1.0);
    assert!(value(&metrics, "batchstep_store_commit_seconds_count") >= 4.0);
    assert!(value(&metrics, "process_resident_memory_bytes") > 1e6);
    assert!(value(&metrics, "process_cpu_seconds_total") > 0.0);
    assert!(value(&metrics, "process_open_fds") > 3.0);
    assert!(value(&metrics, "process_start_time_seconds") > 1.7e9);
    let build = format!("version=\"{}\"", env!("CARGO_PKG_VERSION"));
    assert!(metrics.contains("batchstep_build_info{") && metrics.contains(&build));
    coordinator.stop().await;
}
