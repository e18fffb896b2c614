//! What makes two series comparable: everything that is part of a row's key.
//!
//! Series with different keys never share a row; the order of keys is the order of the table.

use batchstep_proto::domain::{DeviceKind, Dtype, Mode, Software};

use crate::sweep::{History, SeriesPlan};

/// Ordered as the table is: device model, workload, parameters, mode, dtype, threads, then the rest.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub device_model: String,
    /// Canonical, parameters included.
    pub workload: String,
    pub mode: Mode,
    pub dtype: Dtype,
    pub threads: Option<u32>,
    pub mig_profile: Option<String>,
    pub compute_units: Option<u32>,
    pub device_kind: DeviceKind,
    pub software: Software,
}

impl Key {
    pub(super) fn of(plan: &SeriesPlan, history: &History) -> Self {
        let facts = history
            .rounds
            .iter()
            .rev()
            .find_map(|record| record.facts.as_ref());
        let mut software = facts
            .map(|facts| facts.software.clone())
            .unwrap_or_default();
        software.driver = software.driver.or_else(|| plan.device.driver.clone());
        Self {
            device_model: plan.device.model.clone(),
            workload: plan.workload.to_string(),
            mode: plan.spec.mode,
            dtype: plan.spec.dtype,
            threads: plan.threads,
            mig_profile: plan.device.mig_profile.clone(),
            compute_units: plan
                .device
                .compute_units
                .or_else(|| facts.and_then(|facts| facts.compute_units)),
            device_kind: plan.device.kind,
            software,
        }
    }
}
