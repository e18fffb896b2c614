//! What operators do to agents that are enrolled, whether they have connected or not; and what the list says of one that is turned away.

use batchstep_coordinator::store::Memory;
use batchstep_proto::{
    domain::{DeviceSelector, SweepSpec},
    ids::AgentId,
    wire::{self, coordinator_message::Message as Answer},
};
use tonic::{Code, Status};

use crate::{
    guarded::{Credentials, Guarded},
    stream::Stream,
    support::spec,
};

async fn drain(coordinator: &Guarded, agent: AgentId, drain: bool) -> Result<(), Status> {
    let mut operators = coordinator.operators().await;
    let request = wire::DrainAgentRequest {
        agent_id: agent.to_string(),
        drain,
        reason: "new fans".to_owned(),
    };
    operators.drain_agent(request).await.map(drop)
}

async fn remove(
    coordinator: &Guarded,
    agent: AgentId,
    replaced: bool,
) -> Result<wire::RemoveAgentResponse, Status> {
    let mut operators = coordinator.operators().await;
    let request = wire::RemoveAgentRequest {
        agent_id: agent.to_string(),
        replaced,
    };
    let answer = operators.remove_agent(request).await;
    answer.map(tonic::Response::into_inner)
}

/// Asks for a sweep of one device; answers with its id.
async fn submit(coordinator: &Guarded, device: &str) -> String {
    let spec = SweepSpec {
        devices: DeviceSelector::Listed(vec![device.to_owned()]),
        threads: None,
        ..spec()
    };
    let request = wire::SubmitSweepRequest {
        request_id: AgentId::generate().to_string(),
        spec: Some(spec.into()),
    };
    let mut operators = coordinator.operators().await;
    let answer = operators.submit_sweep(request).await.unwrap();
    answer.into_inner().sweep_id
}

/// The one series of a sweep.
async fn series(coordinator: &Guarded, sweep_id: &str) -> wire::Series {
    let mut operators = coordinator.operators().await;
    let sweep_id = sweep_id.to_owned();
    let answer = operators
        .get_sweep(wire::GetSweepRequest { sweep_id })
        .await;
    let mut sweep = answer.unwrap().into_inner().sweep.unwrap();
    assert_eq!(sweep.series.len(), 1);
    sweep.series.remove(0)
}

async fn enrolled(coordinator: &Guarded, agent: &Credentials) -> wire::EnrolledAgent {
    let mut identity = coordinator.identity().await;
    let listed = identity.list_enrolled(wire::ListEnrolledRequest {}).await;
    let mut listed = listed.unwrap().into_inner().agents.into_iter();
    let found = listed.find(|listed| listed.agent_id == agent.agent.to_string());
    found.expect("it is enrolled")
}

#[tokio::test]
async fn whoever_is_enrolled_can_be_drained_before_it_connects() {
    let store = Memory::new();
    let coordinator = Guarded::start_on(store.clone()).await;
    let agent = coordinator.agent().await;
    let stranger = AgentId::generate();
    for refused in [
        drain(&coordinator, stranger, true).await,
        drain(&coordinator, stranger, false).await,
        remove(&coordinator, stranger, false).await.map(drop),
    ] {
        let status = refused.unwrap_err();
        assert_eq!(status.code(), Code::NotFound, "{status}");
        let known = format!("no agent {stranger}; known: {}", agent.agent);
        assert_eq!(status.message(), known);
    }
    drain(&coordinator, agent.agent, true).await.unwrap();
    let coordinator = coordinator.restart(store).await;
    let mut stream = Stream::open(&coordinator, &agent, "m-1", &["GPU-1"])
        .await
        .unwrap();
    let told = stream.next().await;
    assert!(
        matches!(&told, Some(Answer::Drain(drain)) if drain.reason == "drained: new fans"),
        "{told:?}"
    );
    let sweep = submit(&coordinator, "GPU-1").await;
    let why = series(&coordinator, &sweep).await.explanation;
    assert!(why.ends_with("is draining: new fans"), "{why}");
    drain(&coordinator, agent.agent, false).await.unwrap();
    assert_eq!(stream.assigned().await, "GPU-1");
    stream.close().await;
    coordinator.stop().await;
}

#[tokio::test]
async fn an_agent_that_was_revoked_is_not_drained() {
    let coordinator = Guarded::start().await;
    let agent = coordinator.agent().await;
    let request = wire::RevokeAgentRequest {
        agent_id: agent.agent.to_string(),
        reason: String::new(),
    };
    let mut identity = coordinator.identity().await;
    identity.revoke_agent(request).await.unwrap();
    let status = drain(&coordinator, agent.agent, true).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition, "{status}");
    coordinator.stop().await;
}

#[tokio::test]
async fn the_list_says_why_an_agent_was_turned_away_until_it_is_welcome() {
    let coordinator = Guarded::start().await;
    let (first, second) = (coordinator.agent().await, coordinator.agent().await);
    let stream = Stream::open(&coordinator, &first, "m-1", &[]).await;
    stream.unwrap().close().await;
    assert_eq!(enrolled(&coordinator, &second).await.refused_at, None);
    let refused = Stream::open(&coordinator, &second, "m-1", &[]).await;
    let status = refused.map(drop).unwrap_err();
    let listed = enrolled(&coordinator, &second).await;
    assert_eq!(listed.refused_reason, status.message());
    let at = listed.refused_at.expect("a time");
    assert!(at.parse::<jiff::Timestamp>().is_ok(), "{at}");
    assert_eq!(enrolled(&coordinator, &first).await.refused_at, None);

    remove(&coordinator, first.agent, true).await.unwrap();
    let stream = Stream::open(&coordinator, &second, "m-1", &[]).await;
    let listed = enrolled(&coordinator, &second).await;
    assert_eq!((listed.refused_at, &*listed.refused_reason), (None, ""));
    stream.unwrap().close().await;
    coordinator.stop().await;
}

#[tokio::test]
async fn what_waits_for_a_replaced_agent_goes_on_with_the_one_that_replaces_it() {
    let coordinator = Guarded::start().await;
    let (first, second) = (coordinator.agent().await, coordinator.agent().await);
    let stream = Stream::open(&coordinator, &first, "m-1", &["GPU-1"]).await;
    let sweep = submit(&coordinator, "GPU-1").await;
    stream.unwrap().close().await;
    let removed = remove(&coordinator, first.agent, true).await.unwrap();
    assert_eq!((removed.series_failed, removed.series_waiting), (0, 1));
    let waiting = series(&coordinator, &sweep).await;
    assert_eq!(waiting.state(), wire::SeriesState::Waiting);
    let why = waiting.explanation;
    assert!(why.contains("the one that replaces it"), "{why}");
    let mut stream = Stream::open(&coordinator, &second, "m-1", &["GPU-1"])
        .await
        .unwrap();
    assert_eq!(stream.assigned().await, "GPU-1");
    stream.close().await;
    coordinator.stop().await;
}

/// Also where it has not been back since the coordinator started: its devices are on record.
#[tokio::test]
async fn what_only_a_removed_agent_could_measure_fails() {
    for restarts in [false, true] {
        let store = Memory::new();
        let mut coordinator = Guarded::start_on(store.clone()).await;
        let agent = coordinator.agent().await;
        let stream = Stream::open(&coordinator, &agent, "m-1", &["GPU-1"]).await;
        let sweep = submit(&coordinator, "GPU-1").await;
        stream.unwrap().close().await;
        if restarts {
            coordinator = coordinator.restart(store).await;
        }
        let removed = remove(&coordinator, agent.agent, false).await.unwrap();
        assert_eq!((removed.series_failed, removed.series_waiting), (1, 0));
        let failed = series(&coordinator, &sweep).await;
        assert_eq!(failed.state(), wire::SeriesState::Failed);
        let why = &failed.explanation;
        assert!(
            why.ends_with("was removed, and no other agent offers it"),
            "{why}"
        );
        coordinator.stop().await;
    }
}
