//! Delivers the outbox: one report at a time, oldest first, again and again until there is a receipt. It decides which refusals are final;
//! nothing else talks to `ReportAttempt`.

use std::sync::Arc;

use batchstep_proto::{
    domain::AttemptReport,
    ids::AgentId,
    wire::{self, report_attempt_response::Disposition},
};
use tokio::{sync::watch, time};
use tonic::{Code, Status, transport::Channel};
use tracing::{debug, info, warn};

use crate::{client, outbox::Outbox, retry, spool::Summary};

/// Runs until its task is dropped. `link` holds the channel while the coordinator has welcomed this agent.
pub(crate) async fn deliver(
    agent_id: AgentId,
    outbox: Arc<Outbox>,
    mut link: watch::Receiver<Option<Channel>>,
) {
    let mut failures = 0;
    loop {
        let pending = outbox.write_pending();
        let channel = link.borrow_and_update().clone();
        let (Some(channel), Some((summary, report))) = (channel, outbox.front()) else {
            tokio::select! {
                changed = link.changed() => if changed.is_err() { return },
                () = outbox.changed() => {}
                () = time::sleep(retry::SPOOL_STEP), if pending => {}
            }
            continue;
        };
        match send(agent_id, channel, report).await {
            Ok(disposition) => {
                failures = 0;
                told(&summary, disposition);
                outbox.delivered(&summary);
            }
            Err(status) if is_final(&status) => {
                failures = 0;
                outbox.refused(&summary, status.message());
            }
            Err(status) => {
                let wait = retry::report_step(failures);
                failures = failures.saturating_add(1);
                warn!(
                    attempt = summary.attempt_id,
                    part = summary.part,
                    code = %status.code(),
                    error = status.message(),
                    retry_in_ms = wait.as_millis(),
                    "A report was not taken; it stays in the spool."
                );
                tokio::select! {
                    () = time::sleep(wait) => {}
                    changed = link.changed() => if changed.is_err() { return },
                }
            }
        }
    }
}

async fn send(
    agent_id: AgentId,
    channel: Channel,
    report: wire::AttemptReport,
) -> Result<Disposition, Status> {
    let request = wire::ReportAttemptRequest {
        agent_id: agent_id.to_string(),
        digest: AttemptReport::digest(&report).to_vec(),
        report: Some(report),
    };
    let mut client = client::over(channel);
    let answer = time::timeout(retry::REPORT_TIMEOUT, client.report_attempt(request))
        .await
        .map_err(|_| Status::deadline_exceeded("no receipt in time"))??;
    Ok(answer.into_inner().disposition())
}

fn told(summary: &Summary, disposition: Disposition) {
    let (attempt, part) = (&summary.attempt_id, summary.part);
    match disposition {
        Disposition::Quarantined => warn!(
            attempt,
            part, "The coordinator does not know this attempt and keeps its report apart."
        ),
        Disposition::Superseded => info!(
            attempt,
            part,
            "Another attempt finished this round first; the report is kept as an extra sample."
        ),
        _ => debug!(attempt, part, disposition = ?disposition, "A report has its receipt."),
    }
}

/// True for answers about the report itself: sending it again cannot change them.
fn is_final(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::InvalidArgument | Code::OutOfRange | Code::FailedPrecondition
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_answers_about_the_report_itself_are_final() {
        assert!(is_final(&Status::invalid_argument("field `report.part`")));
        for code in [
            Code::Unavailable,
            Code::ResourceExhausted,
            Code::DeadlineExceeded,
            Code::Internal,
            Code::Unknown,
            Code::Unauthenticated,
            Code::Unimplemented,
        ] {
            assert!(!is_final(&Status::new(code, "")), "{code}");
        }
    }
}
