//! Messages that are too large, and names that try to be paths.

use batchstep_proto::{
    ids::AgentId,
    wire::{
        self, agent_message::Message, agent_service_client::AgentServiceClient,
        operator_service_client::OperatorServiceClient,
    },
};
use rcgen::KeyPair;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, transport::Channel};

use crate::{
    guarded::{Guarded, stray_report},
    support::{hello, soon},
};

const TEN_MEGABYTES: usize = 10 << 20;
/// Names that would be dangerous if one of them became a path.
const PATHS: [&str; 4] = [
    "../../../../tmp/batchstep-escaped",
    "/etc/batchstep-escaped",
    "..",
    "a\0b",
];

fn long() -> String {
    "x".repeat(TEN_MEGABYTES)
}

fn is_refused(what: &str, status: &Status) {
    let expected = [
        Code::OutOfRange,
        Code::InvalidArgument,
        Code::ResourceExhausted,
    ];
    assert!(expected.contains(&status.code()), "{what}: {status}");
}

async fn say_hello(
    client: &mut AgentServiceClient<Channel>,
    hello: wire::AgentHello,
) -> Result<(), Status> {
    let (outbound, queue) = tokio::sync::mpsc::channel(1);
    let first = wire::AgentMessage {
        message: Some(Message::Hello(hello)),
    };
    outbound.send(first).await.unwrap();
    let answer = soon("an answer", client.session(ReceiverStream::new(queue))).await?;
    let first = soon("a welcome", answer.into_inner().message()).await?;
    assert!(first.is_some());
    Ok(())
}

#[tokio::test]
async fn ten_megabytes_are_refused_wherever_they_stand() {
    let coordinator = Guarded::start().await;
    let agent = coordinator.agent().await;
    let mut agents = coordinator.agents(&agent).await;
    let mut report = stray_report(agent.agent);
    if let Some(report) = &mut report.report {
        report.message = long();
    }
    let status = agents.report_attempt(report).await.unwrap_err();
    is_refused("a report", &status);
    let mut told = hello("CPU-1");
    told.agent_id = agent.agent.to_string();
    told.host = Some(wire::HostFacts {
        hostname: long(),
        ..wire::HostFacts::default()
    });
    let status = say_hello(&mut agents, told).await.unwrap_err();
    is_refused("a hello", &status);
    let inventory = wire::ReportInventoryRequest {
        agent_id: agent.agent.to_string(),
        host: hello("CPU-1").host,
        document: vec![b' '; TEN_MEGABYTES],
        ..wire::ReportInventoryRequest::default()
    };
    let status = agents.report_inventory(inventory).await.unwrap_err();
    is_refused("an inventory", &status);
    let key = KeyPair::generate().unwrap();
    let status = coordinator.enroll(&long(), &key).await.unwrap_err();
    is_refused("a join token", &status);
    let revocation = wire::RevokeAgentRequest {
        agent_id: agent.agent.to_string(),
        reason: long(),
    };
    let status = coordinator.identity().await.revoke_agent(revocation).await;
    is_refused("a reason", &status.unwrap_err());
    // A header of that size never gets as far as a call.
    let mut operators = OperatorServiceClient::new(coordinator.bearing(&long()).await);
    let asked = operators.list_sweeps(wire::ListSweepsRequest {});
    soon("a refusal", asked).await.unwrap_err();
    coordinator.serves_others().await;
    coordinator.stop().await;
}

#[tokio::test]
async fn names_never_become_paths() {
    let coordinator = Guarded::start().await;
    let files = || {
        let mut files: Vec<_> = walk(coordinator.directory.path());
        files.sort();
        files
    };
    let agent = coordinator.agent().await;
    let before = files();
    let mut agents = coordinator.agents(&agent).await;
    let mut operators = coordinator.operators().await;
    for name in PATHS {
        let mut told = hello(name);
        told.agent_id = agent.agent.to_string();
        told.host = Some(wire::HostFacts {
            hostname: name.to_owned(),
            machine_id: name.to_owned(),
            ..wire::HostFacts::default()
        });
        // Taken as what it is, a text, or refused.
        if let Err(status) = say_hello(&mut agents, told).await {
            is_refused("a hello", &status);
        }
        let upload = wire::UploadModelRequest {
            part: Some(wire::upload_model_request::Part::Begin(wire::ModelUpload {
                digest: vec![7; 32],
                name: name.to_owned(),
                size_bytes: 1,
                offset: 0,
            })),
        };
        let uploaded = operators.upload_model(tokio_stream::iter([upload])).await;
        let status = uploaded.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{name:?}: {status}");
        let found = operators.get_sweep(wire::GetSweepRequest {
            sweep_id: name.to_owned(),
        });
        is_refused("a sweep's id", &found.await.unwrap_err());
        let mut report = stray_report(AgentId::generate());
        report.agent_id = name.to_owned();
        let status = agents.report_attempt(report).await.unwrap_err();
        is_refused("an agent's id", &status);
        let named = wire::CreateTokenRequest {
            kind: wire::TokenKind::Operator as i32,
            name: name.to_owned(),
            uses: 0,
            ..crate::guarded::join()
        };
        let created = coordinator.identity().await.create_token(named).await;
        if let Err(status) = created {
            is_refused("a token's name", &status);
        }
    }
    assert_eq!(files(), before);
    for path in ["/tmp/batchstep-escaped", "/etc/batchstep-escaped"] {
        assert!(!std::path::Path::new(path).exists(), "{path}");
    }
    coordinator.serves_others().await;
    coordinator.stop().await;
}

fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap();
    entries
        .flat_map(|entry| {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path)
            } else {
                vec![path]
            }
        })
        .collect()
}
