//! Identities in both stores: rows come back as they were written, also in place of earlier ones, and a token's use is written with the agent it let in.

use batchstep_coordinator::store::{
    EnrolledAgent, IdentityStore as _, Revocation, StoredIdentities, StoredToken,
};
use batchstep_identity::TokenKind;
use batchstep_proto::ids::AgentId;

use super::{Place, at, contract};

contract!(
    identities_come_back_as_they_were_written,
    a_row_is_replaced_whole,
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
    drop(store);
    let expected = StoredIdentities {
        tokens: vec![join, operator, monitor],
        agents: vec![agent],
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
    store.save_agent(&agent, None).await.unwrap();
    drop(store);
    let expected = StoredIdentities {
        tokens: vec![join],
        agents: vec![agent],
    };
    assert_eq!(place.open().await.identities().await.unwrap(), expected);
}
