//! What the services refuse, and what they answer the same way twice: over real gRPC on loopback, with nothing measured.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod support;

use batchstep_coordinator::{
    serve::{self, ServeError},
    store::Memory,
};
use batchstep_proto::{
    ids::{AgentId, RequestId, SweepId},
    wire::{self, agent_message, enrollment_service_client::EnrollmentServiceClient},
};
use support::{Agent, Coordinator, hello, soon, spec};
use tonic::Code;

#[tokio::test]
async fn bad_requests_are_refused_by_name() {
    let coordinator = Coordinator::start(Memory::new()).await;
    let mut operator = coordinator.operator().await;
    let request_id = RequestId::generate().to_string();
    let submit = |change: fn(&mut wire::SweepSpec)| {
        let mut spec: wire::SweepSpec = spec().into();
        change(&mut spec);
        wire::SubmitSweepRequest {
            request_id: request_id.clone(),
            spec: Some(spec),
        }
    };
    for (request, field) in [
        (
            submit(|spec| spec.workloads = vec!["nonsense".to_owned()]),
            "`spec.workloads`",
        ),
        (
            submit(|spec| spec.batch_sizes = vec![0]),
            "`spec.batch_sizes`",
        ),
        (submit(|spec| spec.budget_ns = 0), "`spec.budget_ns`"),
        (submit(|spec| spec.precision = f64::NAN), "`spec.precision`"),
        (
            wire::SubmitSweepRequest {
                request_id: "seven".to_owned(),
                spec: None,
            },
            "`request_id`",
        ),
    ] {
        let refused = operator.submit_sweep(request).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert!(refused.message().contains(field), "{refused}");
    }
    let sweep_id = SweepId::generate().to_string();
    let unknown = [
        operator
            .get_sweep(wire::GetSweepRequest {
                sweep_id: sweep_id.clone(),
            })
            .await
            .unwrap_err(),
        operator
            .export_blocks(wire::ExportBlocksRequest {
                sweep_id: sweep_id.clone(),
            })
            .await
            .unwrap_err(),
        operator
            .cancel_sweep(wire::CancelSweepRequest {
                sweep_id: sweep_id.clone(),
                reason: String::new(),
            })
            .await
            .unwrap_err(),
        operator
            .get_table(wire::GetTableRequest {
                sweep_id: Some(sweep_id.clone()),
                ..wire::GetTableRequest::default()
            })
            .await
            .unwrap_err(),
    ];
    for refused in unknown {
        assert_eq!(refused.code(), Code::NotFound);
        assert!(
            refused.message().contains("batchstep sweep list"),
            "{refused}"
        );
    }
    let beyond = wire::WatchEventsRequest {
        after_seq: 1000,
        sweep_id: None,
    };
    let refused = operator.watch_events(beyond).await.unwrap_err();
    assert_eq!(refused.code(), Code::OutOfRange);
    let drain = wire::DrainAgentRequest {
        agent_id: AgentId::generate().to_string(),
        drain: true,
        reason: String::new(),
    };
    assert_eq!(
        operator.drain_agent(drain).await.unwrap_err().code(),
        Code::NotFound
    );
    let mut enrolment = EnrollmentServiceClient::new(coordinator.channel().await);
    let refused = enrolment
        .enroll(wire::EnrollRequest::default())
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(refused.message().contains("join_token"), "{refused}");
    coordinator.stop().await;
}

#[tokio::test]
async fn a_submission_is_idempotent_and_can_be_cancelled_once() {
    let coordinator = Coordinator::start(Memory::new()).await;
    let mut operator = coordinator.operator().await;
    let request = wire::SubmitSweepRequest {
        request_id: RequestId::generate().to_string(),
        spec: Some(spec().into()),
    };
    let first = operator
        .submit_sweep(request.clone())
        .await
        .unwrap()
        .into_inner();
    let again = operator
        .submit_sweep(request.clone())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(first, again);
    // The same id for something else is a mistake that must not pass for the first sweep.
    let mut other = request.clone();
    other.spec.as_mut().unwrap().seed += 1;
    let refused = operator.submit_sweep(other).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(refused.message().contains("`request_id`"), "{refused}");
    let cancel = wire::CancelSweepRequest {
        sweep_id: first.sweep_id.clone(),
        reason: "enough".to_owned(),
    };
    assert!(
        operator
            .cancel_sweep(cancel.clone())
            .await
            .unwrap()
            .into_inner()
            .cancelled
    );
    assert!(
        !operator
            .cancel_sweep(cancel)
            .await
            .unwrap()
            .into_inner()
            .cancelled
    );
    // Also after it is over.
    assert_eq!(
        operator.submit_sweep(request).await.unwrap().into_inner(),
        first
    );
    coordinator.stop().await;
}

#[tokio::test]
async fn hellos_are_checked_and_the_newest_wins() {
    let coordinator = Coordinator::start(Memory::new()).await;
    let refused = |first: agent_message::Message| {
        let coordinator = &coordinator;
        async move {
            Agent::try_connect(coordinator, first)
                .await
                .err()
                .expect("it is refused")
        }
    };
    let mut newer = hello("CPU-1");
    (newer.protocol_min, newer.protocol_max) = (7, 9);
    let status = refused(agent_message::Message::Hello(newer)).await;
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert!(status.message().contains("7 to 9"), "{status}");
    let status = refused(agent_message::Message::Heartbeat(wire::Heartbeat::default())).await;
    assert_eq!(status.code(), Code::InvalidArgument);
    let mut twice = hello("CPU-1");
    twice.devices.push(twice.devices[0].clone());
    let status = refused(agent_message::Message::Hello(twice)).await;
    assert!(status.message().contains("`devices`"), "{status}");

    let mut older = Agent::connect(&coordinator, "CPU-1").await;
    let mut newer = Agent::connect(&coordinator, "CPU-1").await;
    assert!(newer.welcome.incarnation > older.welcome.incarnation);
    assert!(older.closing().await.is_some());
    newer
        .send(agent_message::Message::Heartbeat(wire::Heartbeat {
            sequence: 5,
            ..wire::Heartbeat::default()
        }))
        .await;
    let ack = newer.next().await.unwrap();
    assert!(
        matches!(&ack, wire::coordinator_message::Message::HeartbeatAck(ack) if ack.sequence == 5),
        "{ack:?}"
    );
    coordinator.stop().await;
}

#[tokio::test]
async fn health_and_reflection_answer() {
    use tonic_health::pb::{
        HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
    };
    let coordinator = Coordinator::start(Memory::new()).await;
    let mut health = HealthClient::new(coordinator.channel().await);
    for service in [
        "",
        "batchstep.v1.AgentService",
        "batchstep.v1.OperatorService",
    ] {
        let request = HealthCheckRequest {
            service: service.to_owned(),
        };
        // It is told once the coordinator has looked at itself for the first time.
        let mut told = health.watch(request).await.unwrap().into_inner();
        let serving = async {
            while let Some(answer) = told.message().await.unwrap() {
                if answer.status() == ServingStatus::Serving {
                    return;
                }
            }
            panic!("the stream of {service:?} ended");
        };
        soon("health", serving).await;
    }
    coordinator.stop().await;
}

#[tokio::test]
async fn addresses_that_cannot_be_used_are_refused() {
    let taken = serve::bind(([127, 0, 0, 1], 0).into()).unwrap();
    let error = serve::bind(taken.local_addr().unwrap()).unwrap_err();
    assert!(matches!(error, ServeError::Bind { .. }), "{error}");
    assert!(error.to_string().contains("--listen"), "{error}");
    let error = serve::bind(([0, 0, 0, 0], 0).into()).unwrap_err();
    assert!(matches!(error, ServeError::NotLoopback { .. }), "{error}");
}
