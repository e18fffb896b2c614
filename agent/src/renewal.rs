//! Renews the agent's certificate at half of its life, over the connection that there is. A renewal that fails is tried again until the certificate ends,
//! and long before that somebody can read about it in the log.

use std::time::{Duration, SystemTime};

use batchstep_proto::wire::{RenewRequest, enrollment_service_client::EnrollmentServiceClient};
use tokio::{sync::watch, time};
use tonic::{Code, Status, transport::Channel};
use tracing::{debug, info, warn};

use crate::{
    credentials::{Credentials, CredentialsError, NewKey},
    retry,
};

#[derive(Debug, thiserror::Error)]
enum RenewalError {
    #[error("the coordinator refuses: {}", .0.message())]
    Refused(Status),
    #[error("the coordinator does not answer in time")]
    Silent,
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
}

/// Runs until its task is dropped. `link` holds the channel while the coordinator has welcomed this agent.
pub(crate) async fn keep(credentials: Credentials, mut link: watch::Receiver<Option<Channel>>) {
    // A fleet that was enrolled in one go need not come back in one go.
    let mut random = retry::random();
    loop {
        // Looked at again and again: the clock may be set, and somebody may have put another file there for the next start.
        let wait = until_due(&credentials, SystemTime::now(), random);
        if !wait.is_zero() {
            time::sleep(wait.min(retry::RENEWAL_LOOK)).await;
            continue;
        }
        let channel = link.borrow_and_update().clone();
        let Some(channel) = channel else {
            if link.changed().await.is_err() {
                return;
            }
            continue;
        };
        match renew(&credentials, channel).await {
            Ok(()) => {
                random = retry::random();
                let ends = humantime::format_rfc3339_seconds(credentials.ends());
                info!(%ends, "The agent's certificate was renewed.");
            }
            Err(RenewalError::Refused(status)) if status.code() == Code::FailedPrecondition => {
                debug!(reason = status.message(), "The certificate is not renewed.");
                return;
            }
            Err(error) => {
                let left = credentials.ends().duration_since(SystemTime::now());
                let left = left.unwrap_or_default();
                let wait = left.mul_f64(retry::RENEWAL_STEP * (0.5 + retry::random()));
                let wait = wait.clamp(retry::RENEWAL_STEP_MIN, retry::RENEWAL_LOOK);
                let ends = humantime::format_rfc3339_seconds(credentials.ends());
                warn!(%error, %ends, retry_in_s = wait.as_secs(), "The agent's certificate could not be renewed.");
                time::sleep(wait).await;
            }
        }
    }
}

/// From now to the renewal: between 45 and 50 % of the certificate's life after its beginning, by `random` in 0..1.
fn until_due(credentials: &Credentials, now: SystemTime, random: f64) -> Duration {
    let validity = credentials.current().validity();
    let half = validity.half_life();
    let life = validity
        .ends
        .duration_since(validity.begins)
        .unwrap_or_default();
    let due = half - life.mul_f64(random * 0.05);
    due.duration_since(now).unwrap_or_default()
}

async fn renew(credentials: &Credentials, channel: Channel) -> Result<(), RenewalError> {
    let key = NewKey::generate()?;
    let request = RenewRequest {
        signing_request: key.signing_request.clone(),
    };
    let mut client = EnrollmentServiceClient::new(channel);
    let answer = time::timeout(retry::RENEWAL_TIMEOUT, client.renew(request))
        .await
        .map_err(|_| RenewalError::Silent)?
        .map_err(RenewalError::Refused)?
        .into_inner();
    let identity = key.with(answer.certificate_chain, answer.ca_certificate)?;
    if identity.authority() != credentials.current().authority() {
        let problem = "it comes with another authority".to_owned();
        return Err(CredentialsError::Unfitting(problem).into());
    }
    Ok(credentials.replace(identity)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credentials::tests::issued;

    #[test]
    fn a_renewal_is_due_a_little_before_half_of_the_certificates_life() {
        let directory = tempfile::tempdir().unwrap();
        let begins = SystemTime::UNIX_EPOCH + Duration::from_secs(2_000_000_000);
        let life = Duration::from_secs(1000);
        let path = directory.path().join("identity.pem");
        Credentials::write(&path, &issued(begins, begins + life)).unwrap();
        let credentials = Credentials::read(&path).unwrap().unwrap();
        for (random, due) in [(0.0, 500), (1.0, 450)] {
            assert_eq!(until_due(&credentials, begins, random).as_secs(), due);
        }
        let later = begins + Duration::from_secs(501);
        assert_eq!(until_due(&credentials, later, 0.0), Duration::ZERO);
    }
}
