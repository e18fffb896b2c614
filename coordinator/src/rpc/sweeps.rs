//! Sweeps as people see them: what the store keeps of them, and for active ones what the state machine knows now.

use batchstep_core::fleet::{SeriesState, SweepState};
use batchstep_proto::{domain::nanos, ids::SweepId, wire};
use tonic::Status;

use super::store_failed;
use crate::{
    engine::Engine,
    store::{Store, StoredSeries, StoredSweep},
};

/// The status for a sweep that does not exist.
pub(super) fn unknown(sweep: SweepId) -> Status {
    Status::not_found(format!(
        "there is no sweep {sweep}; `batchstep sweep list` shows those there are"
    ))
}

/// One sweep.
pub(super) async fn one(
    engine: &Engine,
    store: &impl Store,
    id: SweepId,
) -> Result<wire::Sweep, Status> {
    // Asked first: a sweep that ends in between is then shown as the store has it.
    let live = engine.sweep(id).await?;
    let stored = store
        .sweep(id)
        .await
        .map_err(store_failed)?
        .ok_or_else(|| unknown(id))?;
    Ok(merged(stored, live))
}

/// All sweeps, newest first.
pub(super) async fn all(engine: &Engine, store: &impl Store) -> Result<Vec<wire::Sweep>, Status> {
    let live = engine.sweeps().await?;
    let stored = store.sweeps().await.map_err(store_failed)?;
    Ok(stored
        .into_iter()
        .map(|sweep| {
            let id = sweep.id.to_string();
            let live = live.iter().find(|live| live.sweep_id == id).cloned();
            merged(sweep, live)
        })
        .collect())
}

fn merged(stored: StoredSweep, live: Option<wire::Sweep>) -> wire::Sweep {
    let live = live.filter(|_| stored.state == SweepState::Active);
    let mut sweep = wire::Sweep {
        sweep_id: stored.id.to_string(),
        spec: Some(stored.spec.into()),
        state: match stored.state {
            SweepState::Active => wire::SweepState::Active,
            SweepState::Done => wire::SweepState::Done,
            SweepState::Cancelled => wire::SweepState::Cancelled,
            SweepState::Failed => wire::SweepState::Failed,
        } as i32,
        submitted_at: stored.submitted_at.to_string(),
        finished_at: stored.finished_at.map(|at| at.to_string()),
        series: stored.series.into_iter().map(series).collect(),
        explanation: Vec::new(),
    };
    if let Some(live) = live {
        let stored = std::mem::replace(&mut sweep.series, live.series);
        for (series, stored) in sweep.series.iter_mut().zip(stored) {
            // What is still to be read back only the store has counted.
            series.blocks = series.blocks.max(stored.blocks);
            series.measuring_ns = series.measuring_ns.max(stored.measuring_ns);
        }
        sweep.explanation = live.explanation;
    } else if !stored.message.is_empty() {
        sweep.explanation = vec![stored.message];
    }
    sweep
}

fn series(stored: StoredSeries) -> wire::Series {
    let plan = &stored.plan;
    let sharing = plan.places().filter(|_| plan.is_shared());
    let devices = sharing
        .map(|(device, hostname)| wire::SharingDevice {
            device_id: device.to_owned(),
            hostname: hostname.to_owned(),
            explanation: plan.departure(device).unwrap_or_default(),
            ..wire::SharingDevice::default()
        })
        .collect();
    wire::Series {
        shared_by: plan.shared_by(),
        devices,
        series_id: stored.plan.id.to_string(),
        device_id: stored.plan.device.id,
        device_model: stored.plan.device.model,
        device_kind: stored.plan.device.kind.to_wire(),
        hostname: stored.plan.hostname,
        workload: stored.plan.workload.labelled().to_string(),
        threads: stored.plan.threads,
        state: match stored.state {
            SeriesState::Waiting => wire::SeriesState::Waiting,
            SeriesState::Running => wire::SeriesState::Running,
            SeriesState::Done => wire::SeriesState::Done,
            SeriesState::Failed => wire::SeriesState::Failed,
            SeriesState::Cancelled => wire::SeriesState::Cancelled,
        } as i32,
        rounds_done: stored.summary.rounds_done,
        blocks: stored.summary.blocks,
        measuring_ns: nanos(stored.summary.measuring),
        remaining_ns: 0,
        explanation: stored.message,
    }
}
