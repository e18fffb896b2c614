//! The people of a simulation: submit sweeps, cancel some, drain agents, and look at what they see until every sweep is over.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use batchstep_proto::{
    ids::{RequestId, SweepId},
    wire::{
        CancelSweepRequest, DrainAgentRequest, ListSweepsRequest, SeriesState, SubmitSweepRequest,
        Sweep, SweepState, operator_service_client::OperatorServiceClient,
    },
};
use tokio::time;
use tonic::{Code, Status, transport::Channel};

use crate::{chronicle::Chronicle, network, scenario::Request};

/// Between two looks, and two tries of a call.
const STEP: Duration = Duration::from_secs(2);
/// Longest wait for an answer.
const TIMEOUT: Duration = Duration::from_secs(20);

type Client = OperatorServiceClient<Channel>;

/// Drains that the world wants from the operator: agent id, and whether it is drained.
pub type Drains = Arc<Mutex<Vec<(String, bool)>>>;

/// Sweeps by the place of their request.
pub type Submitted = Arc<Mutex<BTreeMap<usize, SweepId>>>;

/// One person who wants one sweep. Ends when it is over.
pub async fn measure(
    place: usize,
    request: Request,
    submitted: Submitted,
    chronicle: Arc<Chronicle>,
) -> turmoil::Result {
    time::sleep(request.at).await;
    // One id for all tries: the answer may be lost.
    let call = SubmitSweepRequest {
        request_id: RequestId::generate().to_string(),
        spec: Some(request.spec.into()),
    };
    let sweep_id = submit(&call, &chronicle).await;
    if let Ok(sweep) = sweep_id.parse() {
        let mut submitted = submitted.lock().unwrap_or_else(PoisonError::into_inner);
        submitted.insert(place, sweep);
    }
    asked_again(&call, &sweep_id, &chronicle).await;
    let cancel_at = request
        .cancelled_after
        .map(|wait| time::Instant::now() + wait);
    follow(&sweep_id, cancel_at, &chronicle).await;
    asked_again(&call, &sweep_id, &chronicle).await;
    Ok(())
}

/// Asks for a sweep until there is an answer.
async fn submit(call: &SubmitSweepRequest, chronicle: &Chronicle) -> String {
    loop {
        match ask(async |mut client: Client| client.submit_sweep(call.clone()).await).await {
            Ok(answer) => return answer.sweep_id,
            Err(status) if status.code() == Code::InvalidArgument => {
                chronicle.violation(format_args!("a sweep was refused: {status}"));
            }
            Err(_) => {}
        }
        time::sleep(STEP).await;
    }
}

/// The same request is the same sweep, also when that is over.
async fn asked_again(call: &SubmitSweepRequest, sweep_id: &str, chronicle: &Chronicle) {
    let again = submit(call, chronicle).await;
    if again != sweep_id {
        chronicle.violation(format_args!(
            "one request made sweeps {sweep_id} and {again}"
        ));
    }
}

/// Looks at a sweep until it is over, and cancels it on the way if somebody wants that.
async fn follow(sweep_id: &str, cancel_at: Option<time::Instant>, chronicle: &Chronicle) {
    let mut cancelled = false;
    loop {
        time::sleep(STEP).await;
        if !cancelled && cancel_at.is_some_and(|at| at <= time::Instant::now()) {
            let call = CancelSweepRequest {
                sweep_id: sweep_id.to_owned(),
                reason: "enough".to_owned(),
            };
            let answer = ask(async |mut client: Client| client.cancel_sweep(call.clone()).await);
            cancelled = answer.await.is_ok();
        }
        let listed = ask(async |mut client: Client| client.list_sweeps(ListSweepsRequest {}).await);
        let Ok(listed) = listed.await else { continue };
        let mut sweeps = listed.sweeps.iter();
        match sweeps.find(|sweep| sweep.sweep_id == sweep_id) {
            None => chronicle.violation(format_args!("sweep {sweep_id} is not listed")),
            Some(sweep) if sweep.state() == SweepState::Active => explained(sweep, chronicle),
            Some(sweep) => {
                chronicle.note(format_args!(
                    "an operator sees sweep {sweep_id} end: {:?}",
                    sweep.state()
                ));
                return;
            }
        }
    }
}

/// Everything that waits says what it waits for.
fn explained(sweep: &Sweep, chronicle: &Chronicle) {
    if sweep.series.is_empty() && sweep.explanation.is_empty() {
        chronicle.violation(format_args!(
            "sweep {} has no series and does not say why",
            sweep.sweep_id
        ));
    }
    for series in &sweep.series {
        if series.state() == SeriesState::Waiting && series.explanation.is_empty() {
            chronicle.violation(format_args!(
                "series {} waits and does not say what for",
                series.series_id
            ));
        }
    }
}

/// The person who drains agents. Runs for ever.
pub async fn drain(drains: Drains) -> turmoil::Result {
    loop {
        time::sleep(STEP / 2).await;
        let next = {
            let mut drains = drains.lock().unwrap_or_else(PoisonError::into_inner);
            (!drains.is_empty()).then(|| drains.remove(0))
        };
        let Some((agent_id, drain)) = next else {
            continue;
        };
        let call = DrainAgentRequest {
            agent_id: agent_id.clone(),
            drain,
            reason: "maintenance".to_owned(),
        };
        let answer = ask(async |mut client: Client| client.drain_agent(call.clone()).await).await;
        // An agent that the coordinator has not seen since it was started cannot be drained; taking it back has to succeed at last.
        if answer.is_err() && !drain {
            let mut drains = drains.lock().unwrap_or_else(PoisonError::into_inner);
            drains.push((agent_id, drain));
        }
    }
}

/// One call on a connection of its own, within [`TIMEOUT`].
async fn ask<T>(
    call: impl AsyncFn(Client) -> Result<tonic::Response<T>, Status>,
) -> Result<T, Status> {
    let answer = time::timeout(TIMEOUT, async {
        let channel = network::dial()
            .await
            .map_err(|error| Status::unavailable(error.to_string()))?;
        call(OperatorServiceClient::new(channel)).await
    });
    let answer = answer
        .await
        .map_err(|_| Status::deadline_exceeded("no answer in time"))??;
    Ok(answer.into_inner())
}
