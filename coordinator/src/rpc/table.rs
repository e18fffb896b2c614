//! The step table over stored histories, as the published JSON. Inference is work for a processor, so the caller runs this beside the I/O.

use std::borrow::Cow;

use batchstep_core::steptable::{self, Answer, SCHEMA_VERSION, Table};
use batchstep_proto::domain::DeviceKind;

use crate::store::StoredHistory;

/// Which rows are wanted, and how much of them.
#[derive(Debug, Clone, Default)]
pub(super) struct Filter {
    /// Case-insensitive part of the device model.
    pub device_model: Option<String>,
    /// Case-insensitive part of the workload.
    pub workload: Option<String>,
    /// With points and fitted curves.
    pub detailed: bool,
    /// With rows of simulated devices.
    pub simulated: bool,
}

impl Filter {
    fn admits(&self, history: &StoredHistory) -> bool {
        let plan = &history.plan;
        let part = |of: &str, wanted: &Option<String>| {
            wanted
                .as_ref()
                .is_none_or(|wanted| of.to_lowercase().contains(&wanted.to_lowercase()))
        };
        (self.simulated || plan.device.kind != DeviceKind::Simulated)
            && part(&plan.device.model, &self.device_model)
            && part(&plan.workload.labelled().to_string(), &self.workload)
    }
}

/// The rows of these histories.
///
/// # Errors
/// When a number cannot be written as JSON.
pub(super) fn json(
    histories: &[StoredHistory],
    filter: &Filter,
) -> Result<Vec<u8>, serde_json::Error> {
    let wanted: Vec<&StoredHistory> = histories
        .iter()
        .filter(|history| filter.admits(history))
        .collect();
    let answers: Vec<Cow<'_, Answer>> = wanted.iter().map(|history| history.answer()).collect();
    let told = wanted.iter().map(|history| &history.plan);
    let told = told.zip(answers.iter().map(AsRef::as_ref));
    serde_json::to_vec(&Table {
        schema_version: SCHEMA_VERSION,
        rows: steptable::rows_of(told, filter.detailed),
    })
}
