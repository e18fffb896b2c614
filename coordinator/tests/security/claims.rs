//! Whose a host is, and whose a device: an enrolled agent reports for its own, and another one gets them only when it is gone.

use batchstep_coordinator::store::Memory;
use batchstep_proto::{
    domain::{DeviceSelector, SweepSpec},
    ids::AgentId,
    wire,
};
use tonic::{Code, Status};

use crate::{
    guarded::{Credentials, Guarded},
    stream::{Stream, devices, gpu},
    support::{hello, lab::machine, spec},
};

async fn remove(coordinator: &Guarded, agent: AgentId) -> Result<(), Status> {
    let mut operators = coordinator.operators().await;
    let request = wire::RemoveAgentRequest {
        agent_id: agent.to_string(),
        replaced: true,
    };
    operators.remove_agent(request).await.map(drop)
}

/// A refusal to `agent` that names whose it is and what to do.
fn is_anothers(refused: Result<Stream, Status>, agent: &Credentials, holder: &Credentials) {
    let status = refused.map(drop).unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied, "{status}");
    let remove = format!("`batchstep agents remove {} --replaced`", holder.agent);
    for part in [&agent.agent.to_string(), &remove] {
        assert!(status.message().contains(part), "{status}");
    }
}

#[tokio::test]
async fn a_host_is_its_first_agents_until_that_is_removed_or_revoked() {
    let store = Memory::new();
    let coordinator = Guarded::start_on(store.clone()).await;
    let (first, second) = (coordinator.agent().await, coordinator.agent().await);
    let stream = Stream::open(&coordinator, &first, "m-1", &[])
        .await
        .unwrap();
    let refused = Stream::open(&coordinator, &second, "m-1", &[]).await;
    is_anothers(refused, &second, &first);
    // Whoever is connected is not removed.
    let status = remove(&coordinator, first.agent).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition, "{status}");
    stream.close().await;
    // Gone for a moment, or for as long as the coordinator was: it is still the first one's.
    let refused = Stream::open(&coordinator, &second, "m-1", &[]).await;
    is_anothers(refused, &second, &first);
    let coordinator = coordinator.restart(store).await;
    let refused = Stream::open(&coordinator, &second, "m-1", &[]).await;
    is_anothers(refused, &second, &first);

    remove(&coordinator, first.agent).await.unwrap();
    let stream = Stream::open(&coordinator, &second, "m-1", &[]).await;
    let stream = stream.unwrap();
    let refused = Stream::open(&coordinator, &first, "m-1", &[]).await;
    is_anothers(refused, &first, &second);
    let revocation = wire::RevokeAgentRequest {
        agent_id: second.agent.to_string(),
        reason: String::new(),
    };
    coordinator
        .identity()
        .await
        .revoke_agent(revocation)
        .await
        .unwrap();
    let back = Stream::open(&coordinator, &first, "m-1", &[]).await;
    back.unwrap().close().await;
    drop(stream);
    coordinator.stop().await;
}

#[tokio::test]
async fn an_inventory_of_anothers_host_is_refused_and_changes_nothing() {
    let coordinator = Guarded::start().await;
    let (honest, hostile) = (coordinator.agent().await, coordinator.agent().await);
    let mut stream = Stream::open(&coordinator, &honest, "m-node", &[])
        .await
        .unwrap();
    let report = |agent: &Credentials, machine_id: &str, document: Vec<u8>| {
        let mut host = hello("none").host.unwrap();
        host.machine_id = machine_id.to_owned();
        wire::ReportInventoryRequest {
            agent_id: agent.agent.to_string(),
            host: Some(host),
            document,
            ..wire::ReportInventoryRequest::default()
        }
    };
    let document = machine("node", Vec::new()).to_bytes();
    let own = report(&honest, "m-node", document.clone());
    stream.client.report_inventory(own).await.unwrap();
    let mut agents = coordinator.agents(&hostile).await;
    // In the facts, in the document, and under the name that a host without a machine id has.
    let unnamed = format!("agent-{}", honest.agent);
    for (machine_id, document) in [
        ("m-node", Vec::new()),
        ("m-other", document),
        (&unnamed, Vec::new()),
    ] {
        let status = agents
            .report_inventory(report(&hostile, machine_id, document))
            .await
            .unwrap_err();
        assert_eq!(status.code(), Code::PermissionDenied, "{status}");
        assert!(
            status.message().contains(&honest.agent.to_string()),
            "{status}"
        );
    }
    agents
        .report_inventory(report(&hostile, "", Vec::new()))
        .await
        .expect("its own host, which has no machine id");
    stream.close().await;
    coordinator.stop().await;
}

#[tokio::test]
async fn a_device_stays_its_agents_whoever_comes_first() {
    let store = Memory::new();
    let coordinator = Guarded::start_on(store.clone()).await;
    let (honest, hostile) = (coordinator.agent().await, coordinator.agent().await);
    let own = Stream::open(&coordinator, &honest, "m-1", &["GPU-1"]).await;
    own.unwrap().close().await;
    // While its agent is away, and after a restart even before it.
    let taking = Stream::open(&coordinator, &hostile, "m-2", &["GPU-1", "GPU-2"]).await;
    assert_eq!(devices(&coordinator, hostile.agent).await, ["GPU-2"]);
    taking.unwrap().close().await;
    let coordinator = coordinator.restart(store).await;
    let mut taking = Stream::open(&coordinator, &hostile, "m-2", &["GPU-1"])
        .await
        .unwrap();
    taking.offer("GPU-1").await;
    assert!(devices(&coordinator, hostile.agent).await.is_empty());
    let mut own = Stream::open(&coordinator, &honest, "m-1", &["GPU-1"])
        .await
        .unwrap();
    let on_gpus = SweepSpec {
        devices: DeviceSelector::Gpu,
        threads: None,
        ..spec()
    };
    let request = wire::SubmitSweepRequest {
        request_id: AgentId::generate().to_string(),
        spec: Some(on_gpus.into()),
    };
    let mut operators = coordinator.operators().await;
    operators.submit_sweep(request).await.unwrap();
    assert_eq!(own.assigned().await, "GPU-1");
    own.close().await;

    // An agent without any GPU may have come up before its driver: nothing is free yet.
    let without = Stream::open(&coordinator, &honest, "m-1", &[]).await;
    taking.beat(Vec::new()).await;
    assert!(devices(&coordinator, hostile.agent).await.is_empty());
    without.unwrap().close().await;
    // A device that its agent has no more is free for the next host, which has offered it before.
    let others = Stream::open(&coordinator, &honest, "m-1", &["GPU-3"]).await;
    taking.beat(Vec::new()).await;
    assert_eq!(devices(&coordinator, hostile.agent).await, ["GPU-1"]);
    others.unwrap().close().await;
    taking.close().await;
    coordinator.stop().await;
}

/// Ids of devices cost memory and a row each, and an agent can make up as many as it likes.
#[tokio::test]
async fn an_agent_has_no_more_devices_than_the_fleet_takes_of_one() {
    let coordinator = Guarded::start().await;
    let (greedy, other) = (coordinator.agent().await, coordinator.agent().await);
    let mut greedy = Stream::open(&coordinator, &greedy, "m-1", &["GPU-own"])
        .await
        .unwrap();
    for part in 0..3 {
        let many = (0..200).map(|number| gpu(&format!("GPU-{part}-{number}")));
        greedy.beat(many.collect()).await;
    }
    let stream = Stream::open(&coordinator, &other, "m-2", &["GPU-0-0", "GPU-2-199"]).await;
    assert_eq!(devices(&coordinator, other.agent).await, ["GPU-2-199"]);
    greedy.close().await;
    stream.unwrap().close().await;
    coordinator.stop().await;
}
