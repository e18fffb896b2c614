//! Identities in both stores: rows come back as they were written, also in place of earlier ones, and a token's use is written with the agent it let in.

use batchstep_coordinator::store::{
    Claimed, EnrolledAgent, IdentityStore as _, Revocation, StoredIdentities, StoredToken,
};
use batchstep_identity::TokenKind;
use batchstep_proto::ids::AgentId;

use super::{Place, at, contract};

contract!(
    identities_come_back_as_they_were_written,
    a_row_is_replaced_whole,
    a_claim_has_one_holder,
);

fn token(id: &str, kind: TokenKind) -> StoredToken {
    StoredToken {
        id: id.parse().unwrap(),
        kind,
        name: "ada".to_owned(),
        digest: [7; 32],
        created_at: at(1),
        expires_at: at(3600),
        uses: 2,
        used: 1,
        revoked: false,
        agent: None,
    }
}

fn agent(token: &StoredToken) -> EnrolledAgent {
    EnrolledAgent {
        agent: AgentId::generate(),
        hostname: "host".to_owned(),
        token: token.id,
        enrolled_at: at(2),
        serial: "4a".repeat(16),
        expires_at: at(7200),
        revoked: None,
        removed: false,
    }
}

async fn identities_come_back_as_they_were_written(place: impl Place) {
    let store = place.open().await;
    let join = StoredToken {
        agent: Some(AgentId::generate()),
        ..token("00000000000000a1", TokenKind::Join)
    };
    let operator = token("00000000000000b2", TokenKind::Operator);
    let monitor = token("00000000000000c3", TokenKind::Monitor);
    for token in [&operator, &monitor] {
        store.save_token(token).await.unwrap();
    }
    let agent = agent(&join);
    store.save_agent(&agent, Some(&join)).await.unwrap();
    let gone = token("00000000000000d4", TokenKind::Join);
    store.save_token(&gone).await.unwrap();
    store.remove_tokens(&[gone.id]).await.unwrap();
    drop(store);
    let expected = StoredIdentities {
        tokens: vec![join, operator, monitor],
        agents: vec![agent],
        ..StoredIdentities::default()
    };
    assert_eq!(place.open().await.identities().await.unwrap(), expected);
}

async fn a_row_is_replaced_whole(place: impl Place) {
    let store = place.open().await;
    let mut join = token("00000000000000a1", TokenKind::Join);
    let mut agent = agent(&join);
    store.save_agent(&agent, Some(&join)).await.unwrap();
    join.revoked = true;
    join.used = 2;
    store.save_token(&join).await.unwrap();
    agent.revoked = Some(Revocation {
        at: at(9),
        reason: "stolen".to_owned(),
    });
    agent.removed = true;
    store.save_agent(&agent, None).await.unwrap();
    drop(store);
    let expected = StoredIdentities {
        tokens: vec![join],
        agents: vec![agent],
        ..StoredIdentities::default()
    };
    assert_eq!(place.open().await.identities().await.unwrap(), expected);
}

async fn a_claim_has_one_holder(place: impl Place) {
    let store = place.open().await;
    let host = || Claimed::Host("m-1".to_owned());
    // A host may have the name of a device.
    let device = |id: &str| Claimed::Device(id.to_owned());
    let (one, other) = (AgentId::generate(), AgentId::generate());
    let both = [host(), device("m-1"), device("GPU-1")].into();
    store.save_claims(one, &both).await.unwrap();
    let less = [host(), device("GPU-1")].into();
    store.save_claims(one, &less).await.unwrap();
    let taken = [device("GPU-1")].into();
    store.save_claims(other, &taken).await.unwrap();
    drop(store);
    let claims = place.open().await.identities().await.unwrap().claims;
    assert_eq!(claims, [(host(), one), (device("GPU-1"), other)].into());
}
