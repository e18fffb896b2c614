//! An operator's calls: sweeps that keep a fleet busy, and the empty call that other costs are compared with.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use batchstep_proto::{
    domain::{
        BatchSizes, DeviceSelector, Dtype, Mode, Scheduling, Strategy, SweepSpec, VisitOrder,
    },
    ids::RequestId,
    wire::{self, operator_service_client::OperatorServiceClient},
};
use futures_util::future::try_join_all;
use tonic::transport::Channel;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use super::coordinator::SERVICE;

/// With the reference visits among them these are rounds of 32 blocks.
const BATCH_SIZES: u32 = 27;
/// Far more than fifty rounds of a series take.
const BUDGET: Duration = Duration::from_secs(3600);

/// Submits a sweep of so many workloads on every device: fifty rounds of 32 blocks for each.
///
/// # Errors
/// When it is refused.
pub async fn submit(channel: &Channel, workloads: u32) -> Result<String> {
    let workloads = (0..workloads)
        .map(|number| format!("linear:inputs={}", 64 + number).parse())
        .collect::<Result<Vec<_>, _>>()?;
    let spec = SweepSpec {
        workloads,
        batch_sizes: BatchSizes::Listed((1..=BATCH_SIZES).collect()),
        mode: Mode::Train,
        dtype: Dtype::F32,
        threads: None,
        strategy: Strategy::Dense,
        budget: BUDGET,
        precision: 0.001,
        iterations: None,
        seed: 7,
        devices: DeviceSelector::All,
        preset: None,
        visit_order: VisitOrder::Random,
        scheduling: Scheduling::default(),
    };
    let request = wire::SubmitSweepRequest {
        request_id: RequestId::generate().to_string(),
        spec: Some(spec.into()),
    };
    let answer = OperatorServiceClient::new(channel.clone())
        .submit_sweep(request)
        .await?;
    Ok(answer.into_inner().sweep_id)
}

/// Cancels a sweep.
///
/// # Errors
/// When it cannot be.
pub async fn cancel(channel: &Channel, sweep_id: String) -> Result<()> {
    let request = wire::CancelSweepRequest {
        sweep_id,
        ..wire::CancelSweepRequest::default()
    };
    OperatorServiceClient::new(channel.clone())
        .cancel_sweep(request)
        .await?;
    Ok(())
}

/// Makes empty calls for a while, each after the last one's answer, by so many callers on connections of their own; answers with their number.
///
/// # Errors
/// When one fails.
pub async fn empty_calls(channels: Vec<Channel>, window: Duration) -> Result<u64> {
    let end = Instant::now() + window;
    let callers = channels.into_iter().map(|channel| async move {
        let mut client = HealthClient::new(channel);
        let mut calls = 0_u64;
        while Instant::now() < end {
            let request = HealthCheckRequest {
                service: SERVICE.to_owned(),
            };
            client.check(request).await?;
            calls += 1;
        }
        Ok::<u64, tonic::Status>(calls)
    });
    let calls: u64 = try_join_all(callers).await?.into_iter().sum();
    if calls == 0 {
        bail!("no call was answered");
    }
    Ok(calls)
}
