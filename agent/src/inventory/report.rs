//! Tells the coordinator: the whole document when what lasts of it has changed or a new connection begins, and a sample of the moment with every look.

use std::{sync::Arc, time::Duration};

use batchstep_proto::{domain::nanos, ids::AgentId, wire};
use tokio::{sync::watch, time};
use tonic::{Code, Status, transport::Channel};
use tracing::{debug, warn};

use super::Snapshot;
use crate::{client, retry};

/// Longest sample that is sent, bytes.
const SAMPLE_BYTES: usize = 1 << 20;

/// Runs until its task is dropped. `link` holds the channel while the coordinator has welcomed this agent.
pub(crate) async fn report(
    agent_id: AgentId,
    mut snapshots: watch::Receiver<Arc<Snapshot>>,
    mut link: watch::Receiver<Option<Channel>>,
) {
    // Of the document that this connection's coordinator has.
    let mut told: Option<[u8; 32]> = None;
    let mut failures = 0;
    loop {
        let snapshot = Arc::clone(&snapshots.borrow_and_update());
        let channel = link.borrow_and_update().clone();
        let digest = snapshot.document.digest();
        let mut wait = Duration::MAX;
        if let Some(channel) = channel
            && told != Some(digest)
        {
            match send(agent_id, channel, &snapshot, digest).await {
                Ok(()) => {
                    debug!("The inventory was sent.");
                    told = Some(digest);
                    failures = 0;
                }
                // Sent again as it is it would be refused again.
                Err(status)
                    if matches!(status.code(), Code::InvalidArgument | Code::Unimplemented) =>
                {
                    warn!(
                        error = status.message(),
                        "The coordinator does not take the inventory."
                    );
                    told = Some(digest);
                }
                Err(status) => {
                    wait = retry::report_step(failures);
                    failures = failures.saturating_add(1);
                    debug!(
                        error = status.message(),
                        "The inventory was not taken; it is sent again."
                    );
                }
            }
        }
        tokio::select! {
            changed = link.changed() => match changed {
                // Another coordinator may be behind it, or the same one without its memory.
                Ok(()) => told = None,
                Err(_) => return,
            },
            changed = snapshots.changed() => if changed.is_err() { return },
            () = time::sleep(wait) => {}
        }
    }
}

async fn send(
    agent_id: AgentId,
    channel: Channel,
    snapshot: &Snapshot,
    digest: [u8; 32],
) -> Result<(), Status> {
    let request = wire::ReportInventoryRequest {
        agent_id: agent_id.to_string(),
        host: Some(snapshot.host.clone().into()),
        devices: snapshot.devices.iter().cloned().map(Into::into).collect(),
        document: snapshot.document.to_bytes(),
        digest: digest.to_vec(),
        age_ns: age_ns(snapshot),
    };
    let mut client = client::over(channel);
    time::timeout(retry::REPORT_TIMEOUT, client.report_inventory(request))
        .await
        .map_err(|_| Status::deadline_exceeded("no answer in time"))??;
    Ok(())
}

/// The sample of a snapshot; `None` where it would be too long for a message.
pub(crate) fn telemetry(snapshot: &Snapshot) -> Option<wire::Telemetry> {
    let document = snapshot.document.live().to_bytes();
    (document.len() <= SAMPLE_BYTES).then(|| wire::Telemetry {
        document,
        age_ns: age_ns(snapshot),
    })
}

fn age_ns(snapshot: &Snapshot) -> u64 {
    nanos(snapshot.read_at.elapsed())
}
