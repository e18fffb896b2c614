//! Who somebody is, and what they may not do.

use std::{error::Error as _, sync::Arc};

use batchstep_identity::{COORDINATOR_NAME, client_config};
use batchstep_proto::{
    domain::AttemptReport,
    ids::AgentId,
    wire::{
        self, agent_message::Message, agent_service_client::AgentServiceClient,
        enrollment_service_client::EnrollmentServiceClient,
        identity_service_client::IdentityServiceClient,
        operator_service_client::OperatorServiceClient, report_attempt_response::Disposition,
    },
};
use jiff::{SignedDuration, Timestamp};
use rcgen::KeyPair;
use rustls::{AlertDescription, pki_types::ServerName};
use tempfile::TempDir;
use tokio::{io::AsyncReadExt as _, net::TcpStream, sync::mpsc};
use tokio_rustls::TlsConnector;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming, transport::Channel};

use crate::{
    guarded::{Credentials, Guarded, HOUR, authority_in, signing_request, stray_report},
    support::{hello, measured, soon, spec},
};

/// An agent's stream from its hello on; the sender keeps it open.
async fn session(
    client: &mut AgentServiceClient<Channel>,
    agent: AgentId,
) -> Result<
    (
        mpsc::Sender<wire::AgentMessage>,
        Streaming<wire::CoordinatorMessage>,
    ),
    Status,
> {
    let (outbound, queue) = mpsc::channel(8);
    let mut hello = hello("CPU-1");
    hello.agent_id = agent.to_string();
    if let Some(host) = &mut hello.host {
        host.machine_id = format!("m-{agent}");
    }
    let first = wire::AgentMessage {
        message: Some(Message::Hello(hello)),
    };
    outbound.send(first).await.unwrap();
    let answer = soon("a session", client.session(ReceiverStream::new(queue))).await?;
    Ok((outbound, answer.into_inner()))
}

#[tokio::test]
async fn without_an_identity_only_enrolment_and_health_answer() {
    use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
    let coordinator = Guarded::start().await;
    let channel = coordinator.channel().await;
    let mut operators = OperatorServiceClient::new(channel.clone());
    let status = operators.list_sweeps(wire::ListSweepsRequest {}).await;
    let status = status.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
    assert!(status.message().contains("BATCHSTEP_TOKEN"), "{status}");
    let mut identity = IdentityServiceClient::new(channel.clone());
    let status = identity.list_tokens(wire::ListTokensRequest {}).await;
    assert_eq!(status.unwrap_err().code(), Code::Unauthenticated);
    let mut agents = AgentServiceClient::new(channel.clone());
    let agent = AgentId::generate();
    let status = agents
        .report_attempt(stray_report(agent))
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
    assert!(status.message().contains("enroll"), "{status}");
    let status = session(&mut agents, agent).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
    let mut enrollment = EnrollmentServiceClient::new(channel.clone());
    let renewed = enrollment.renew(wire::RenewRequest::default()).await;
    assert_eq!(renewed.unwrap_err().code(), Code::Unauthenticated);
    let mut health = HealthClient::new(channel);
    let checked = health.check(HealthCheckRequest::default()).await;
    checked.unwrap();
    coordinator.serves_others().await;
    coordinator.stop().await;
}

/// Why a handshake with these credentials is refused, from a client that says nothing after it: with TLS 1.3 its own part is over before the server has seen
/// them, and what it said meanwhile would be answered by a reset of the connection, which may overtake the reason.
async fn refusal(coordinator: &Guarded, credentials: &Credentials) -> AlertDescription {
    let connector = TlsConnector::from(Arc::new(credentials.config(coordinator)));
    let name = ServerName::try_from(COORDINATOR_NAME).unwrap();
    let stream = TcpStream::connect(coordinator.address).await.unwrap();
    let mut stream = connector.connect(name, stream).await.unwrap();
    let answer = soon("a refusal", stream.read_u8()).await;
    let error = answer.unwrap_err().into_inner().expect("an alert");
    match error.downcast_ref::<rustls::Error>() {
        Some(rustls::Error::AlertReceived(alert)) => *alert,
        _ => panic!("{error}"),
    }
}

#[tokio::test]
async fn certificates_that_are_no_good_do_not_pass_the_handshake() {
    let coordinator = Guarded::start().await;
    let agent = coordinator.agent().await.agent;
    let now = Timestamp::now();
    let ours = coordinator.authority();
    let elsewhere = TempDir::new().unwrap();
    let other = authority_in(elsewhere.path());
    let day = SignedDuration::from_hours(24);
    for (authority, issued_at, alert) in [
        (&ours, now - day, AlertDescription::CertificateExpired),
        // Not valid yet, for which there is no word of its own.
        (&ours, now + day, AlertDescription::CertificateExpired),
        (&other, now, AlertDescription::UnknownCA),
    ] {
        let credentials = Credentials::of(authority, agent, issued_at, HOUR);
        let told = refusal(&coordinator, &credentials).await;
        assert_eq!(told, alert, "issued at {issued_at}");
        // Nor does a call get through.
        if let Ok(mut agents) = coordinator.try_agents(&credentials).await {
            let called = agents.report_attempt(stray_report(agent));
            let status = soon("a refusal", called).await.unwrap_err();
            assert!(status.source().is_some(), "answered by a call: {status}");
        }
        coordinator.serves_others().await;
    }
    // The same authority and agent, in its time: the certificate is what made the difference.
    let good = Credentials::of(&ours, agent, now, HOUR);
    let mut agents = coordinator.agents(&good).await;
    agents.report_attempt(stray_report(agent)).await.unwrap();
    coordinator.stop().await;
}

#[tokio::test]
async fn an_agent_that_the_coordinator_never_enrolled_is_refused() {
    let coordinator = Guarded::start().await;
    let stranger = AgentId::generate();
    let credentials = Credentials::of(&coordinator.authority(), stranger, Timestamp::now(), HOUR);
    let mut agents = coordinator.agents(&credentials).await;
    let status = agents.report_attempt(stray_report(stranger)).await;
    let status = status.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    assert!(status.message().contains("enrol it again"), "{status}");
    coordinator.serves_others().await;
    coordinator.stop().await;
}

#[tokio::test]
async fn a_client_does_not_talk_to_a_coordinator_with_another_authority() {
    let coordinator = Guarded::start().await;
    let elsewhere = TempDir::new().unwrap();
    let other = authority_in(elsewhere.path()).fingerprint();
    let config = client_config(other, None).unwrap();
    let error = coordinator.try_channel(config).await.unwrap_err();
    let told = batchstep_proto::causes::innermost(&error);
    assert!(told.contains(&other.to_string()), "{told}");
    coordinator.serves_others().await;
    coordinator.stop().await;
}

#[tokio::test]
async fn an_agent_cannot_do_what_operators_do() {
    let coordinator = Guarded::start().await;
    let agent = coordinator.agent().await;
    let channel = coordinator.try_channel(agent.config(&coordinator)).await;
    let channel = channel.unwrap();
    let mut operators = OperatorServiceClient::new(channel.clone());
    let refused = [
        operators
            .list_sweeps(wire::ListSweepsRequest {})
            .await
            .map(drop),
        operators
            .submit_sweep(wire::SubmitSweepRequest {
                request_id: AgentId::generate().to_string(),
                spec: Some(spec().into()),
            })
            .await
            .map(drop),
        operators
            .drain_agent(wire::DrainAgentRequest::default())
            .await
            .map(drop),
        IdentityServiceClient::new(channel.clone())
            .create_token(crate::guarded::join())
            .await
            .map(drop),
        IdentityServiceClient::new(channel)
            .revoke_agent(wire::RevokeAgentRequest::default())
            .await
            .map(drop),
    ];
    for status in refused.map(Result::unwrap_err) {
        assert_eq!(status.code(), Code::PermissionDenied, "{status}");
    }
    let mut operators = coordinator.operators().await;
    let sweeps = operators.list_sweeps(wire::ListSweepsRequest {}).await;
    assert!(sweeps.unwrap().into_inner().sweeps.is_empty());
    coordinator.serves_others().await;
    coordinator.stop().await;
}

#[tokio::test]
async fn an_agent_cannot_speak_for_another() {
    let coordinator = Guarded::start().await;
    let (one, other) = (coordinator.agent().await, coordinator.agent().await);
    let mut agents = coordinator.agents(&one).await;
    let status = agents.report_attempt(stray_report(other.agent)).await;
    let status = status.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    assert!(
        status.message().contains(&one.agent.to_string()),
        "{status}"
    );
    let status = session(&mut agents, other.agent).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    let inventory = wire::ReportInventoryRequest {
        agent_id: other.agent.to_string(),
        host: hello("CPU-1").host,
        ..wire::ReportInventoryRequest::default()
    };
    let status = agents.report_inventory(inventory).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    coordinator.serves_others().await;
    coordinator.stop().await;
}

#[tokio::test]
async fn a_hostile_agent_adds_nothing_to_anothers_attempt_and_a_replay_counts_once() {
    let coordinator = Guarded::start().await;
    let (honest, hostile) = (coordinator.agent().await, coordinator.agent().await);
    let mut agents = coordinator.agents(&honest).await;
    let (_stream, mut inbound) = session(&mut agents, honest.agent).await.unwrap();
    let request = wire::SubmitSweepRequest {
        request_id: AgentId::generate().to_string(),
        spec: Some(spec().into()),
    };
    let mut operators = coordinator.operators().await;
    operators.submit_sweep(request).await.unwrap();
    let assignment = loop {
        use wire::coordinator_message::Message;
        let message = soon("an assignment", inbound.message()).await.unwrap();
        if let Some(Message::Assignment(assignment)) = message.unwrap().message {
            break assignment;
        }
    };
    let report = measured(&assignment);
    let of = |agent: AgentId| wire::ReportAttemptRequest {
        agent_id: agent.to_string(),
        digest: AttemptReport::digest(&report).to_vec(),
        report: Some(report.clone()),
    };
    let mut others = coordinator.agents(&hostile).await;
    let answer = others.report_attempt(of(hostile.agent)).await.unwrap();
    assert_eq!(answer.into_inner().disposition(), Disposition::Quarantined);
    for expected in [
        Disposition::Accepted,
        Disposition::Duplicate,
        Disposition::Duplicate,
    ] {
        let answer = agents.report_attempt(of(honest.agent)).await.unwrap();
        assert_eq!(answer.into_inner().disposition(), expected);
    }
    coordinator.serves_others().await;
    coordinator.stop().await;
}

#[tokio::test]
async fn a_revoked_agents_session_ends_and_its_calls_are_refused() {
    let coordinator = Guarded::start().await;
    let (revoked, other) = (coordinator.agent().await, coordinator.agent().await);
    let mut agents = coordinator.agents(&revoked).await;
    let (_stream, mut inbound) = session(&mut agents, revoked.agent).await.unwrap();
    let mut others = coordinator.agents(&other).await;
    let (_others_stream, mut others_inbound) = session(&mut others, other.agent).await.unwrap();
    let request = wire::RevokeAgentRequest {
        agent_id: revoked.agent.to_string(),
        reason: "stolen".to_owned(),
    };
    let mut identity = coordinator.identity().await;
    let answer = identity.revoke_agent(request.clone()).await.unwrap();
    assert!(answer.into_inner().revoked);
    soon("the session to end", async {
        while let Ok(Some(_)) = inbound.message().await {}
    })
    .await;
    // On the connection that is still open, and on a new one.
    for mut client in [agents, coordinator.agents(&revoked).await] {
        let status = client.report_attempt(stray_report(revoked.agent)).await;
        let status = status.unwrap_err();
        assert_eq!(status.code(), Code::PermissionDenied);
        assert!(status.message().contains("stolen"), "{status}");
        let status = session(&mut client, revoked.agent).await.unwrap_err();
        assert_eq!(status.code(), Code::PermissionDenied);
    }
    let channel = coordinator.try_channel(revoked.config(&coordinator)).await;
    let key = KeyPair::generate().unwrap();
    let renewal = wire::RenewRequest {
        signing_request: signing_request(&key),
    };
    let mut enrollment = EnrollmentServiceClient::new(channel.unwrap());
    let status = enrollment.renew(renewal).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    let answer = identity.revoke_agent(request).await.unwrap();
    assert!(!answer.into_inner().revoked, "it was revoked before");
    // The other session lives: it was welcomed, and goes on to answer.
    let welcome = soon("the other's welcome", others_inbound.message()).await;
    assert!(welcome.unwrap().is_some());
    others
        .report_attempt(stray_report(other.agent))
        .await
        .unwrap();
    coordinator.serves_others().await;
    coordinator.stop().await;
}

#[tokio::test]
async fn a_renewed_certificate_is_for_the_same_agent() {
    let coordinator = Guarded::start().await;
    let agent = coordinator.agent().await;
    let channel = coordinator.try_channel(agent.config(&coordinator)).await;
    let key = KeyPair::generate().unwrap();
    let renewal = wire::RenewRequest {
        signing_request: signing_request(&key),
    };
    let mut enrollment = EnrollmentServiceClient::new(channel.unwrap());
    let answer = enrollment.renew(renewal).await.unwrap().into_inner();
    let renewed = Credentials::new(agent.agent, &key, answer.certificate_chain);
    for credentials in [&renewed, &agent] {
        let mut agents = coordinator.agents(credentials).await;
        agents
            .report_attempt(stray_report(agent.agent))
            .await
            .unwrap();
    }
    coordinator.stop().await;
}
