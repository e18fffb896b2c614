//! The inventory over real gRPC and HTTP on loopback: agents report and sample, operators list and filter, monitoring scrapes, coordinators start again.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod scrape;
#[path = "../support/mod.rs"]
mod support;

use std::time::Duration;

use batchstep_coordinator::store::{Memory, Sqlite};
use batchstep_proto::{
    inventory::{Document, catalogue::gpu},
    wire::{self, InventoryFilter, InventoryItem, agent_message::Message},
};
use serde_json::Value as Json;
use support::{
    Agent, Coordinator,
    lab::{agent_id, connect, h200, machine, report, send},
    soon,
};
use tempfile::TempDir;
use tonic::{Code, Response, Status, Streaming};

async fn collect(answer: Result<Response<Streaming<InventoryItem>>, Status>) -> Vec<Json> {
    let mut stream = answer.unwrap().into_inner();
    let mut items = Vec::new();
    while let Some(item) = soon("an item", stream.message()).await.unwrap() {
        items.push(serde_json::from_slice(&item.json).unwrap());
    }
    items
}

fn filter(expression: &str) -> wire::ListInventoryRequest {
    wire::ListInventoryRequest {
        filter: Some(InventoryFilter {
            r#where: vec![expression.to_owned()],
            ..InventoryFilter::default()
        }),
    }
}

async fn hosts(coordinator: &Coordinator, expression: &str) -> Vec<Json> {
    let mut operator = coordinator.operator().await;
    collect(operator.list_inventory(filter(expression)).await).await
}

async fn kinds(coordinator: &Coordinator) -> Vec<String> {
    let mut operator = coordinator.operator().await;
    let request = wire::ListInventoryChangesRequest::default();
    let changes = collect(operator.list_inventory_changes(request).await).await;
    let kinds = changes.iter().map(|change| {
        let kind = change["kind"].as_str().unwrap();
        let what = change["uuid"].as_str().or(change["hostname"].as_str());
        format!("{kind} {}", what.unwrap())
    });
    kinds.collect()
}

async fn sample(agent: &Agent, document: Vec<u8>) {
    let telemetry = wire::Telemetry {
        document,
        age_ns: 0,
    };
    agent.send(Message::Telemetry(telemetry)).await;
}

/// Waits until the first GPU of the first host is so hot.
async fn until_temperature(coordinator: &Coordinator, celsius: f64) {
    let reached = async {
        loop {
            let hosts = hosts(coordinator, "").await;
            if hosts[0]["gpus"][0]["temperature_celsius"] == celsius {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    soon("the sample", reached).await;
}

fn hot(mut document: Document, celsius: f64) -> Document {
    let facts = &mut document.gpus[0].facts;
    facts.set(gpu::TEMPERATURE_CELSIUS, Ok(celsius));
    document
}

#[tokio::test]
async fn what_agents_report_is_what_operators_see() {
    let coordinator = Coordinator::start(Memory::new()).await;
    let _first = connect(&coordinator, 1, "node1").await;
    let document = machine("node1", vec![h200("GPU-a"), h200("GPU-b")]);
    send(&coordinator, report(1, &document)).await.unwrap();
    send(&coordinator, report(2, &machine("node2", vec![])))
        .await
        .unwrap();

    let listed = hosts(&coordinator, "").await;
    assert_eq!(listed.len(), 2);
    let node1 = &listed[0];
    assert_eq!(node1["hostname"], "node1");
    assert_eq!(node1["connected"], true);
    assert_eq!(node1["host"]["driver_version"], "580.95.05");
    assert_eq!(node1["gpus"][1]["uuid"], "GPU-b");
    assert_eq!(node1["gpus"][1]["state"], "present");
    assert_eq!(node1["gpus"][1]["absent"]["serial"], "not_supported");
    assert!(node1["gpus"][1]["serial"].is_null());
    assert_eq!(
        listed[1]["connected"], false,
        "it reported and has no session"
    );

    let chosen = hosts(&coordinator, "driver<580").await;
    assert!(chosen.is_empty());
    let chosen = hosts(&coordinator, "memory>=100GiB").await;
    assert_eq!(chosen.len(), 1);
    let mut operator = coordinator.operator().await;
    let models = collect(operator.list_inventory_models(filter("")).await).await;
    assert_eq!(models.len(), 1);
    assert_eq!(models[0]["count"], 2);
    let findings = collect(operator.list_inventory_findings(filter("")).await).await;
    assert_eq!(findings.len(), 1);
    assert_eq!(findings[0]["code"], "agent_offline");
    assert_eq!(findings[0]["hostname"], "node2");
    coordinator.stop().await;
}

#[tokio::test]
async fn the_history_is_chosen_by_time_and_names_and_by_what_devices_are() {
    let coordinator = Coordinator::start(Memory::new()).await;
    let mut document = machine("node1", vec![h200("GPU-a"), h200("GPU-b")]);
    send(&coordinator, report(1, &document)).await.unwrap();
    document.gpus[0]
        .facts
        .set(gpu::POWER_LIMIT_WATTS, Ok(500.0));
    send(&coordinator, report(1, &document)).await.unwrap();
    let changes = async |request: wire::ListInventoryChangesRequest| {
        let mut operator = coordinator.operator().await;
        collect(operator.list_inventory_changes(request).await).await
    };
    let filtered = |filter| wire::ListInventoryChangesRequest {
        filter: Some(filter),
        ..Default::default()
    };
    let all = changes(Default::default()).await;
    assert_eq!(all.len(), 4);
    let last = &all[3];
    assert_eq!(last["field"], "power_limit_watts");
    assert_eq!(
        (&last["before"], &last["after"]),
        (&700.0.into(), &500.0.into())
    );
    let low = changes(filtered(InventoryFilter {
        r#where: vec!["power_limit<600".to_owned()],
        ..InventoryFilter::default()
    }));
    assert_eq!(low.await.len(), 2, "appeared, and changed");
    let of_host = changes(filtered(InventoryFilter {
        host: Some("NODE2".to_owned()),
        ..InventoryFilter::default()
    }));
    assert!(of_host.await.is_empty());
    let future = wire::ListInventoryChangesRequest {
        since: Some("2999-01-01T00:00:00Z".to_owned()),
        ..Default::default()
    };
    assert!(changes(future).await.is_empty());
    let mut operator = coordinator.operator().await;
    let wrong = wire::ListInventoryChangesRequest {
        until: Some("yesterday".to_owned()),
        ..Default::default()
    };
    let refused = operator.list_inventory_changes(wrong).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(refused.message().contains("`until`"), "{refused}");
    coordinator.stop().await;
}

#[tokio::test]
async fn a_card_that_moved_is_news_of_both_hosts_also_by_their_agents() {
    let coordinator = Coordinator::start(Memory::new()).await;
    for document in [
        machine("node1", vec![h200("GPU-a")]),
        machine("node1", vec![]),
    ] {
        send(&coordinator, report(1, &document)).await.unwrap();
    }
    let second = machine("node2", vec![h200("GPU-a")]);
    send(&coordinator, report(2, &second)).await.unwrap();
    let kinds = async |host: &str| -> Vec<String> {
        let mut operator = coordinator.operator().await;
        let request = wire::ListInventoryChangesRequest {
            filter: Some(InventoryFilter {
                host: Some(host.to_owned()),
                ..InventoryFilter::default()
            }),
            ..Default::default()
        };
        let changes = collect(operator.list_inventory_changes(request).await).await;
        let kind = |change: &Json| change["kind"].as_str().unwrap().to_owned();
        changes.iter().map(kind).collect()
    };
    let of_first = [
        "host_appeared",
        "appeared",
        "nvml_no_driver",
        "vanished",
        "moved",
    ];
    for host in ["NODE1", "M-node1", &agent_id(1)] {
        assert_eq!(kinds(host).await, of_first, "{host}");
    }
    for host in ["node2", &agent_id(2)] {
        assert_eq!(kinds(host).await, ["host_appeared", "moved"], "{host}");
    }
    coordinator.stop().await;
}

#[tokio::test]
async fn a_wrong_filter_is_an_answer_of_its_own() {
    let coordinator = Coordinator::start(Memory::new()).await;
    let mut operator = coordinator.operator().await;
    let too_long = format!("name='{}'", "x".repeat(5000));
    for (expression, said) in [("drvier<580", "driver_version"), (&too_long, "5007 bytes")] {
        for answer in [
            operator.list_inventory(filter(expression)).await,
            operator.list_inventory_models(filter(expression)).await,
            operator.list_inventory_findings(filter(expression)).await,
        ] {
            let refused = answer.unwrap_err();
            assert_eq!(refused.code(), Code::InvalidArgument);
            assert!(refused.message().contains(said), "{refused}");
        }
    }
    coordinator.stop().await;
}

#[tokio::test]
async fn documents_that_break_a_rule_are_refused_by_name_and_change_nothing() {
    let coordinator = Coordinator::start(Memory::new()).await;
    let good = machine("node1", vec![h200("GPU-a")]);
    send(&coordinator, report(1, &good)).await.unwrap();
    let mut wrong_kind = good.to_json();
    wrong_kind["gpus"][0]["memory_total_bytes"] = "many".into();
    let mut long = good.clone();
    long.gpus[0].facts.set(gpu::NAME, Ok("x".repeat(2_000_000)));
    for (document, field) in [
        (wrong_kind.to_string().into_bytes(), "memory_total_bytes"),
        (long.to_bytes(), "`name`"),
        (b"\xff\xfe garbage".to_vec(), "document"),
        (b"{\"schema_version\": 7}".to_vec(), "schema_version"),
    ] {
        let request = wire::ReportInventoryRequest {
            document,
            ..report(1, &good)
        };
        let refused = send(&coordinator, request).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
        assert!(refused.message().contains(field), "{refused}");
        assert!(refused.message().len() < 1000, "errors are short");
    }
    let endless = wire::ReportInventoryRequest {
        document: vec![b' '; 10 << 20],
        ..report(1, &good)
    };
    assert!(send(&coordinator, endless).await.is_err());
    let listed = hosts(&coordinator, "").await;
    assert_eq!(listed[0]["gpus"][0]["name"], "NVIDIA H200");
    assert_eq!(kinds(&coordinator).await.len(), 2);
    coordinator.stop().await;
}

#[tokio::test]
async fn samples_are_taken_and_a_broken_one_does_not_end_a_session() {
    let coordinator = Coordinator::start(Memory::new()).await;
    let agent = connect(&coordinator, 1, "node1").await;
    let document = machine("node1", vec![h200("GPU-a")]);
    // Before the first report there is nothing that a sample could belong to.
    sample(&agent, hot(document.clone(), 99.0).live().to_bytes()).await;
    send(&coordinator, report(1, &document)).await.unwrap();
    for broken in [
        b"garbage".to_vec(),
        vec![b' '; (1 << 20) + 1],
        b"{}".to_vec(),
    ] {
        sample(&agent, broken).await;
    }
    sample(&agent, hot(document, 61.0).live().to_bytes()).await;
    until_temperature(&coordinator, 61.0).await;
    assert_eq!(
        hosts(&coordinator, "").await[0]["connected"],
        true,
        "the session is still there"
    );
    assert_eq!(kinds(&coordinator).await.len(), 2, "samples are no history");
    coordinator.stop().await;
}

#[tokio::test]
async fn of_an_agent_that_leaves_it_is_said_what_was_last_known() {
    let coordinator = Coordinator::start(Memory::new()).await;
    let agent = connect(&coordinator, 1, "node1").await;
    let document = machine("node1", vec![h200("GPU-a")]);
    send(&coordinator, report(1, &document)).await.unwrap();
    // A second session in place of the first: the end of that one is no news.
    let newer = connect(&coordinator, 1, "node1").await;
    drop(agent);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(hosts(&coordinator, "").await[0]["connected"], true);
    drop(newer);
    let left = async {
        while hosts(&coordinator, "").await[0]["connected"] == true {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    soon("the end of the session", left).await;
    let listed = hosts(&coordinator, "").await;
    assert_eq!(listed[0]["gpus"][0]["state"], "unknown");
    assert_eq!(listed[0]["gpus"][0]["sm_count"], 132);
    assert_eq!(kinds(&coordinator).await.len(), 2, "to leave is no change");
    coordinator.stop().await;
}

#[tokio::test]
async fn a_coordinator_that_starts_again_knows_everything_and_repeats_nothing() {
    let folder = TempDir::new().unwrap();
    let document = machine("node1", vec![h200("GPU-a"), h200("GPU-b")]);
    let coordinator = Coordinator::start(Sqlite::open(folder.path()).await.unwrap()).await;
    let agent = connect(&coordinator, 1, "node1").await;
    send(&coordinator, report(1, &document)).await.unwrap();
    let before = hosts(&coordinator, "").await;
    drop(agent);
    coordinator.stop().await;

    let coordinator = Coordinator::start(Sqlite::open(folder.path()).await.unwrap()).await;
    let known = hosts(&coordinator, "").await;
    assert_eq!(known[0]["connected"], false);
    assert_eq!(known[0]["gpus"][0]["state"], "unknown");
    assert_eq!(known[0]["first_seen"], before[0]["first_seen"]);
    let last_seen = |hosts: &[Json]| hosts[0]["last_seen"].as_str().unwrap().to_owned();
    assert!(
        last_seen(&known) >= last_seen(&before),
        "written when the other one stopped: {} {}",
        last_seen(&known),
        last_seen(&before)
    );
    let _agent = connect(&coordinator, 1, "node1").await;
    for _ in 0..3 {
        send(&coordinator, report(1, &document)).await.unwrap();
    }
    assert_eq!(
        kinds(&coordinator).await,
        ["host_appeared node1", "appeared GPU-a", "appeared GPU-b"]
    );
    let mut less = document.clone();
    less.gpus.pop();
    send(&coordinator, report(1, &less)).await.unwrap();
    assert_eq!(kinds(&coordinator).await[3..], ["vanished GPU-b"]);
    coordinator.stop().await;
}

#[tokio::test]
async fn a_report_that_cannot_be_kept_is_asked_for_again_and_told_once() {
    let folder = TempDir::new().unwrap();
    let store = Sqlite::open(folder.path()).await.unwrap();
    let url = format!("sqlite://{}/coordinator.db", folder.path().display());
    let full = sqlx::SqlitePool::connect(&url).await.unwrap();
    sqlx::query("CREATE TRIGGER full BEFORE INSERT ON inventory_event BEGIN SELECT RAISE(ABORT, 'full'); END")
        .execute(&full)
        .await
        .unwrap();
    let coordinator = Coordinator::start(store).await;
    let document = machine("node1", vec![h200("GPU-a")]);
    for _ in 0..2 {
        let refused = send(&coordinator, report(1, &document)).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unavailable);
        // What is not on record is not known.
        assert!(hosts(&coordinator, "").await.is_empty());
    }
    sqlx::query("DROP TRIGGER full")
        .execute(&full)
        .await
        .unwrap();
    for _ in 0..2 {
        send(&coordinator, report(1, &document)).await.unwrap();
    }
    assert_eq!(
        kinds(&coordinator).await,
        ["host_appeared node1", "appeared GPU-a"]
    );
    coordinator.stop().await;
}

#[tokio::test]
async fn an_upgrade_a_move_and_a_loss_are_seen_across_hosts() {
    let coordinator = Coordinator::start(Memory::new()).await;
    let mut agents = Vec::new();
    for (number, hostname) in [(1, "node1"), (2, "node2"), (3, "node3")] {
        agents.push(connect(&coordinator, number, hostname).await);
        let uuid = format!("GPU-{hostname}");
        let document = machine(hostname, vec![h200(&uuid)]);
        send(&coordinator, report(number, &document)).await.unwrap();
    }
    let appeared = kinds(&coordinator).await.len();
    // node1's card goes to node2, whose driver is upgraded; node3's card is lost.
    send(&coordinator, report(1, &machine("node1", vec![])))
        .await
        .unwrap();
    let mut upgraded = machine("node2", vec![h200("GPU-node2"), h200("GPU-node1")]);
    upgraded.host.set(
        batchstep_proto::inventory::catalogue::host::DRIVER_VERSION,
        Ok("590.48.01".to_owned()),
    );
    send(&coordinator, report(2, &upgraded)).await.unwrap();
    let mut lost = machine("node3", vec![h200("GPU-node3")]);
    lost.gpus[0].facts.lose(
        |field| field.name != "uuid",
        batchstep_proto::inventory::Absent::Lost,
    );
    send(&coordinator, report(3, &lost)).await.unwrap();
    assert_eq!(
        kinds(&coordinator).await[appeared..],
        [
            "nvml_no_driver node1",
            "vanished GPU-node1",
            "changed node2",
            "moved GPU-node1",
            "lost GPU-node3"
        ]
    );
    let mut operator = coordinator.operator().await;
    let findings = collect(operator.list_inventory_findings(filter("")).await).await;
    assert_eq!(findings[0]["code"], "lost");
    assert_eq!(findings[0]["severity"], "critical");
    coordinator.stop().await;
}

#[tokio::test]
async fn one_uuid_on_two_hosts_is_contained() {
    let coordinator = Coordinator::start(Memory::new()).await;
    let _one = connect(&coordinator, 1, "node1").await;
    let _two = connect(&coordinator, 2, "node2").await;
    for _ in 0..3 {
        for (number, hostname) in [(1, "node1"), (2, "node2")] {
            let document = machine(hostname, vec![h200("GPU-x")]);
            send(&coordinator, report(number, &document)).await.unwrap();
        }
    }
    let kinds = kinds(&coordinator).await;
    let duplicates = kinds.iter().filter(|it| *it == "duplicate GPU-x").count();
    assert_eq!((kinds.len(), duplicates), (4, 1), "{kinds:?}");
    let listed = hosts(&coordinator, "").await;
    assert_eq!(listed[0]["gpus"][0]["also_on"][0], "node2");
    assert_eq!(listed[1]["gpus"][0]["also_on"][0], "node1");
    coordinator.stop().await;
}

#[tokio::test]
async fn an_agent_that_sends_no_document_is_listed_with_what_it_says() {
    let coordinator = Coordinator::start(Memory::new()).await;
    let _agent = connect(&coordinator, 1, "node1").await;
    let listed = hosts(&coordinator, "").await;
    assert_eq!(listed[0]["hostname"], "node1");
    assert_eq!(listed[0]["has_inventory"], false);
    let request = wire::ReportInventoryRequest {
        document: Vec::new(),
        digest: Vec::new(),
        host: Some(wire::HostFacts {
            hostname: "node1".to_owned(),
            machine_id: "m-node1".to_owned(),
            agent_version: "0.0.9".to_owned(),
            ..wire::HostFacts::default()
        }),
        ..report(1, &machine("node1", vec![]))
    };
    send(&coordinator, request).await.unwrap();
    let listed = hosts(&coordinator, "").await;
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0]["has_inventory"], true);
    assert!(listed[0]["problems"][0].as_str().unwrap().contains("0.0.9"));
    coordinator.stop().await;
}
