//! Restrictions of agents in both stores: they outlast the process, and go when nothing is left of them.

use batchstep_coordinator::store::Store as _;
use batchstep_core::fleet::{Record, Restriction};
use batchstep_proto::ids::AgentId;

use super::{Place, at, contract};

contract!(restrictions_last_until_they_are_lifted);

async fn restrictions_last_until_they_are_lifted(place: impl Place) {
    let (one, other) = (AgentId::generate(), AgentId::generate());
    let restricted = |agent, drain: Option<&str>, cordon: Option<&str>| Record::AgentRestricted {
        agent,
        restriction: Restriction {
            hostname: "gpu-07".to_owned(),
            drain: drain.map(ToOwned::to_owned),
            cordon: cordon.map(ToOwned::to_owned),
        },
    };
    let store = place.open().await;
    let records = [
        restricted(one, Some(""), None),
        restricted(other, None, Some("it fails")),
        restricted(one, Some("new fans"), Some("it fails")),
    ];
    store.commit(at(0), &records).await.unwrap();
    drop(store);
    let store = place.open().await;
    let known = store.restrictions().await.unwrap();
    assert_eq!(known.len(), 2);
    assert_eq!(known[&one].drain.as_deref(), Some("new fans"));
    assert_eq!(known[&one].cordon.as_deref(), Some("it fails"));
    assert_eq!(known[&other].drain, None);
    assert_eq!(known[&other].hostname, "gpu-07");
    let lifted = [
        restricted(one, None, None),
        restricted(other, Some(""), None),
    ];
    store.commit(at(1), &lifted).await.unwrap();
    let known = store.restrictions().await.unwrap();
    assert_eq!(known.keys().collect::<Vec<_>>(), [&other]);
    assert_eq!(known[&other].drain.as_deref(), Some(""));
    assert_eq!(known[&other].cordon, None);
}
