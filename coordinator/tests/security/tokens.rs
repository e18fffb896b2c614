//! Tokens that are no good.

use std::{sync::Arc, time::Duration};

use batchstep_coordinator::{
    pki::{Identities, NewToken, PkiError},
    store::{IdentityStore as _, Memory, StoredToken},
};
use batchstep_identity::{Fingerprint, Token, TokenKind};
use batchstep_proto::wire::{self, identity_service_client::IdentityServiceClient};
use jiff::{SignedDuration, Timestamp};
use rcgen::KeyPair;
use tempfile::TempDir;
use tonic::Code;

use crate::{
    guarded::{Guarded, HOUR, authority_in, join, signing_request},
    support::soon,
};

#[tokio::test]
async fn a_join_token_brings_in_as_many_agents_as_it_says() {
    let coordinator = Guarded::start().await;
    let token = coordinator
        .token(wire::CreateTokenRequest { uses: 2, ..join() })
        .await;
    let keys: Vec<_> = (0..6).map(|_| KeyPair::generate().unwrap()).collect();
    // All at once: the count must hold where they meet.
    let joined =
        futures_util::future::join_all(keys.iter().map(|key| coordinator.enroll(&token, key)))
            .await;
    let (good, bad): (Vec<_>, Vec<_>) = joined.into_iter().partition(Result::is_ok);
    assert_eq!((good.len(), bad.len()), (2, 4));
    for status in bad.into_iter().map(Result::unwrap_err) {
        assert_eq!(status.code(), Code::Unauthenticated);
        assert!(status.message().contains("used"), "{status}");
    }
    coordinator.serves_others().await;
    coordinator.stop().await;
}

#[tokio::test]
async fn tokens_that_are_no_good_enrol_nobody() {
    let coordinator = Guarded::start().await;
    let key = KeyPair::generate().unwrap();
    let good = coordinator.join_token().await;
    let revoked = coordinator.join_token().await;
    let id = revoked.split('_').nth(1).unwrap().to_owned();
    let request = wire::RevokeTokenRequest { token_id: id };
    coordinator
        .identity()
        .await
        .revoke_token(request)
        .await
        .unwrap();
    let authority = coordinator.operator.authority;
    let unknown = Token::generate(TokenKind::Join, authority).unwrap();
    // The id of a good one with another secret.
    let mut parts: Vec<_> = good.split('_').map(str::to_owned).collect();
    parts[2] = unknown.reveal().split('_').nth(2).unwrap().to_owned();
    let guessed = parts.join("_");
    let for_operators = coordinator.operator.reveal();
    for (what, token, code) in [
        ("revoked", revoked.as_str(), Code::Unauthenticated),
        ("unknown", &unknown.reveal(), Code::Unauthenticated),
        ("guessed", &guessed, Code::Unauthenticated),
        ("for operators", &for_operators, Code::PermissionDenied),
        ("cut off", &good[..40], Code::InvalidArgument),
        ("nothing", "", Code::InvalidArgument),
    ] {
        let status = coordinator.enroll(token, &key).await.unwrap_err();
        assert_eq!(status.code(), code, "{what}: {status}");
    }
    // None of that used the good one up.
    coordinator.enroll(&good, &key).await.unwrap();
    coordinator.serves_others().await;
    coordinator.stop().await;
}

#[tokio::test]
async fn a_token_ends_at_its_time() {
    let directory = TempDir::new().unwrap();
    let authority = Arc::new(authority_in(directory.path()));
    let identities = Identities::guarded(Arc::new(Memory::new()), authority, HOUR).await;
    let identities = identities.unwrap();
    let start = Timestamp::now();
    let wanted = NewToken {
        kind: TokenKind::Join,
        name: String::new(),
        ttl: Duration::from_secs(60),
        uses: 2,
        agent: None,
    };
    let (token, _) = identities.create_token(wanted, start).await.unwrap();
    let request = signing_request(&KeyPair::generate().unwrap());
    let at = async |second| {
        let now = start + Duration::from_secs(second);
        let host = "host".to_owned();
        identities.enroll(&token, &request, host, now).await
    };
    at(59).await.unwrap();
    let error = at(60).await.unwrap_err();
    assert!(matches!(error, PkiError::ExpiredToken(_)), "{error}");
}

#[tokio::test]
async fn an_expired_token_is_refused_by_a_running_coordinator() {
    let coordinator = Guarded::start().await;
    let brief = wire::CreateTokenRequest {
        ttl_ns: 1,
        ..join()
    };
    let token = coordinator.token(brief).await;
    let key = KeyPair::generate().unwrap();
    let status = coordinator.enroll(&token, &key).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
    assert!(status.message().contains("ended at"), "{status}");
    coordinator.serves_others().await;
    coordinator.stop().await;
}

#[tokio::test]
async fn only_operators_tokens_open_operators_calls() {
    use wire::operator_service_client::OperatorServiceClient;
    let coordinator = Guarded::start().await;
    let named = |kind: wire::TokenKind| wire::CreateTokenRequest {
        kind: kind as i32,
        name: "ada".to_owned(),
        uses: 0,
        ..join()
    };
    let operator = coordinator.token(named(wire::TokenKind::Operator)).await;
    let monitor = coordinator.token(named(wire::TokenKind::Monitor)).await;
    let join_token = coordinator.join_token().await;
    let foreign = Token::generate(TokenKind::Operator, Fingerprint::of(b"")).unwrap();
    let ask = async |token: &str| {
        let mut client = OperatorServiceClient::new(coordinator.bearing(token).await);
        let asked = client.list_sweeps(wire::ListSweepsRequest {}).await;
        asked.map(drop).map_err(|status| status.code())
    };
    assert_eq!(ask(&operator).await, Ok(()));
    assert_eq!(ask(&monitor).await, Err(Code::PermissionDenied));
    assert_eq!(ask(&join_token).await, Err(Code::PermissionDenied));
    assert_eq!(ask(&foreign.reveal()).await, Err(Code::Unauthenticated));
    assert_eq!(ask("nonsense").await, Err(Code::Unauthenticated));
    let id = operator.split('_').nth(1).unwrap().to_owned();
    let request = wire::RevokeTokenRequest { token_id: id };
    coordinator
        .identity()
        .await
        .revoke_token(request)
        .await
        .unwrap();
    assert_eq!(ask(&operator).await, Err(Code::Unauthenticated));
    coordinator.serves_others().await;
    coordinator.stop().await;
}

/// A watcher's stream, which has begun.
async fn watching(coordinator: &Guarded, token: &str) -> tonic::Streaming<wire::Event> {
    use wire::operator_service_client::OperatorServiceClient;
    let mut client = OperatorServiceClient::new(coordinator.bearing(token).await);
    let request = wire::WatchEventsRequest::default();
    client.watch_events(request).await.unwrap().into_inner()
}

async fn end_of(stream: &mut tonic::Streaming<wire::Event>) -> tonic::Status {
    soon("the stream to end", async {
        loop {
            match stream.message().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("the stream ends without a word"),
                Err(status) => return status,
            }
        }
    })
    .await
}

#[tokio::test]
async fn a_revoked_token_ends_what_it_has_opened() {
    let coordinator = Guarded::start().await;
    let named = |name: &str| wire::CreateTokenRequest {
        kind: wire::TokenKind::Operator as i32,
        name: name.to_owned(),
        uses: 0,
        ..join()
    };
    let eve = coordinator.token(named("eve")).await;
    let ada = coordinator.token(named("ada")).await;
    let mut of_eve = watching(&coordinator, &eve).await;
    let mut of_ada = watching(&coordinator, &ada).await;
    let request = wire::RevokeTokenRequest {
        token_id: eve.split('_').nth(1).unwrap().to_owned(),
    };
    // Her own: she is told that it is done.
    let mut identity = IdentityServiceClient::new(coordinator.bearing(&eve).await);
    identity.revoke_token(request).await.unwrap();
    let status = end_of(&mut of_eve).await;
    assert_eq!(status.code(), Code::Unauthenticated, "{status}");
    assert!(status.message().contains("revoked"), "{status}");
    // The others go on, until the coordinator ends.
    let (status, ()) = tokio::join!(end_of(&mut of_ada), coordinator.stop());
    assert_eq!(status.code(), Code::Unavailable, "{status}");
}

#[tokio::test]
async fn a_token_whose_time_is_over_ends_what_it_has_opened() {
    let coordinator = Guarded::start().await;
    let brief = wire::CreateTokenRequest {
        kind: wire::TokenKind::Operator as i32,
        name: "guest".to_owned(),
        uses: 0,
        ttl_ns: 3_000_000_000,
        ..join()
    };
    let token = coordinator.token(brief).await;
    let mut stream = watching(&coordinator, &token).await;
    let status = end_of(&mut stream).await;
    assert_eq!(status.code(), Code::Unauthenticated, "{status}");
    assert!(status.message().contains("ended at"), "{status}");
    coordinator.serves_others().await;
    coordinator.stop().await;
}

#[tokio::test]
async fn a_whole_rack_joins_at_the_same_time() {
    const RACK: u32 = 100;
    let coordinator = Guarded::start().await;
    let token = coordinator
        .token(wire::CreateTokenRequest {
            uses: RACK,
            ..join()
        })
        .await;
    let keys: Vec<_> = (0..RACK).map(|_| KeyPair::generate().unwrap()).collect();
    let joining = keys.iter().map(|key| coordinator.enroll(&token, key));
    let joined = futures_util::future::join_all(joining).await;
    let agents: std::collections::BTreeSet<_> = joined
        .into_iter()
        .map(|answer| answer.unwrap().agent_id)
        .collect();
    assert_eq!(agents.len(), RACK as usize);
    coordinator.serves_others().await;
    coordinator.stop().await;
}

#[tokio::test]
async fn an_agent_is_enrolled_again_under_its_old_id_where_an_operator_says_so() {
    let coordinator = Guarded::start().await;
    let agent = coordinator.agent().await.agent;
    let again = wire::CreateTokenRequest {
        agent_id: Some(agent.to_string()),
        ..join()
    };
    let token = coordinator.token(again.clone()).await;
    let key = KeyPair::generate().unwrap();
    let answer = coordinator.enroll(&token, &key).await.unwrap();
    assert_eq!(answer.agent_id, agent.to_string());
    let mut identity = coordinator.identity().await;
    let request = wire::RevokeAgentRequest {
        agent_id: agent.to_string(),
        reason: String::new(),
    };
    identity.revoke_agent(request).await.unwrap();
    let status = identity.create_token(again).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    coordinator.stop().await;
}

#[tokio::test]
async fn what_was_made_and_taken_back_is_so_after_a_restart() {
    let store = Memory::new();
    let coordinator = Guarded::start_on(store.clone()).await;
    let used = coordinator.join_token().await;
    let key = KeyPair::generate().unwrap();
    let enrolled = coordinator.enroll(&used, &key).await.unwrap();
    let agent = enrolled.agent_id;
    let request = wire::RevokeAgentRequest {
        agent_id: agent.clone(),
        reason: "left".to_owned(),
    };
    coordinator
        .identity()
        .await
        .revoke_agent(request)
        .await
        .unwrap();
    let directory = TempDir::new().unwrap();
    let authority = Arc::new(authority_in(directory.path()));
    let identities = Identities::guarded(Arc::new(store), authority, HOUR)
        .await
        .unwrap();
    let token = used.parse().unwrap();
    let now = Timestamp::now();
    let request = signing_request(&key);
    let again = identities
        .enroll(&token, &request, String::new(), now)
        .await;
    assert!(matches!(again, Err(PkiError::UsedToken)), "{again:?}");
    let agent = agent.parse().unwrap();
    let renewed = identities.renew(agent, &request, now).await;
    assert!(
        matches!(renewed, Err(PkiError::RevokedAgent(_))),
        "{renewed:?}"
    );
    coordinator.stop().await;
}

#[tokio::test]
async fn tokens_are_forgotten_a_month_after_their_end() {
    let store = Memory::new();
    let now = Timestamp::now();
    let ended = |id: &str, days: i64| StoredToken {
        id: id.parse().unwrap(),
        kind: TokenKind::Join,
        name: String::new(),
        digest: [7; 32],
        created_at: now - SignedDuration::from_hours(24 * 365),
        expires_at: now - SignedDuration::from_hours(24 * days),
        uses: 1,
        used: 1,
        revoked: false,
        agent: None,
    };
    let (recent, old) = (ended("00000000000000a1", 29), ended("00000000000000b2", 31));
    for token in [&recent, &old] {
        store.save_token(token).await.unwrap();
    }
    let coordinator = Guarded::start_on(store.clone()).await;
    soon("the old token to be forgotten", async {
        while store.identities().await.unwrap().tokens != [recent.clone()] {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    let mut identity = coordinator.identity().await;
    let listed = identity.list_tokens(wire::ListTokensRequest {}).await;
    let listed = listed.unwrap().into_inner().tokens;
    let ids: Vec<_> = listed.into_iter().map(|token| token.id).collect();
    assert_eq!(ids, [recent.id.to_string()]);
    coordinator.stop().await;
}
