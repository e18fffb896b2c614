//! Every stored block of a sweep with what it belongs to and its corrected time, as `ExportBlocks` streams them.

use batchstep_core::sweep;
use batchstep_proto::wire::BlockRecord;

use crate::store::StoredHistory;

/// The blocks in order of series, round and visit.
pub(super) fn records(histories: &[StoredHistory]) -> Vec<BlockRecord> {
    histories.iter().flat_map(series).collect()
}

fn series(stored: &StoredHistory) -> Vec<BlockRecord> {
    let plan = &stored.plan;
    let corrected = sweep::correct(plan, &stored.history);
    // Both lists hold every block in the order of rounds and, within them, as reported.
    let attempts = stored.attempts.iter().flatten();
    corrected
        .blocks
        .iter()
        .zip(attempts)
        .map(|(corrected, attempt)| BlockRecord {
            series_id: plan.id.to_string(),
            device_id: corrected.device.to_owned(),
            device_model: plan.device.model.clone(),
            workload: plan.workload.labelled().to_string(),
            mode: plan.spec.mode.to_wire(),
            dtype: plan.spec.dtype.to_wire(),
            threads: plan.threads,
            round: corrected.round,
            block: Some(corrected.block.clone().into()),
            corrected_seconds: corrected.corrected_seconds,
            flags: corrected
                .flags
                .iter()
                .map(|flag| flag.word().to_owned())
                .collect(),
            attempt_id: attempt.to_string(),
            device_kind: plan.device.kind.to_wire(),
        })
        .collect()
}
