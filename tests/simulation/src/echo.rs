//! A network that delivers twice: sends reports that are on record once more, up to minutes later, from a host of its own. The coordinator has to say that it
//! knows them.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use batchstep_proto::wire::{
    ReportAttemptRequest, agent_service_client::AgentServiceClient,
    report_attempt_response::Disposition,
};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use tokio::time;

use crate::{chronicle::Chronicle, network, system};

/// Share of reports that come again.
const SHARE: f64 = 0.3;
/// Latest that they do.
const LATEST: Duration = Duration::from_secs(90);
/// Between two looks at what is due.
const STEP: Duration = Duration::from_millis(500);
/// Longest wait for an answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Reports that will be sent again, by the time when. Clones share them.
#[derive(Debug, Clone)]
pub struct Copies(Arc<Mutex<Waiting>>);

#[derive(Debug)]
struct Waiting {
    random: ChaCha8Rng,
    due: BTreeMap<Duration, ReportAttemptRequest>,
}

impl Copies {
    /// None yet; the seed decides which there will be.
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(Waiting {
            random: ChaCha8Rng::seed_from_u64(seed),
            due: BTreeMap::new(),
        })))
    }

    /// A report is on record: it may come again.
    pub fn add(&self, request: ReportAttemptRequest) {
        let mut waiting = self.waiting();
        if waiting.random.random_bool(SHARE) {
            let wait = LATEST.mul_f64(waiting.random.random_range(0.0..1.0));
            waiting.due.insert(system::elapsed() + wait, request);
        }
    }

    fn take(&self) -> Option<ReportAttemptRequest> {
        let mut waiting = self.waiting();
        let entry = waiting.due.first_entry()?;
        (*entry.key() <= system::elapsed()).then(|| entry.remove())
    }

    fn put_back(&self, request: ReportAttemptRequest) {
        self.waiting()
            .due
            .insert(system::elapsed() + 2 * STEP, request);
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The software of the echoing host; runs for ever.
pub async fn run(copies: Copies, chronicle: Arc<Chronicle>) -> turmoil::Result {
    loop {
        time::sleep(STEP).await;
        while let Some(request) = copies.take() {
            match time::timeout(TIMEOUT, send(request.clone())).await {
                Ok(Some(Disposition::Duplicate)) => chronicle.count("echoes"),
                Ok(Some(other)) => chronicle.violation(format_args!(
                    "a report of attempt {:?} that was on record came again and was {other:?}",
                    request.report.map(|report| report.attempt_id)
                )),
                // Nobody there, or its disk is broken.
                Ok(None) | Err(_) => {
                    copies.put_back(request);
                    break;
                }
            }
        }
    }
}

async fn send(request: ReportAttemptRequest) -> Option<Disposition> {
    let mut client = AgentServiceClient::new(network::dial().await.ok()?);
    let answer = client.report_attempt(request).await.ok()?;
    Some(answer.into_inner().disposition())
}
