//! What makes two series comparable: everything that is part of a row's key.
//!
//! Series with different keys never share a row; the order of keys is the order of the table.

use std::borrow::Cow;

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
    pub(super) fn of(plan: &SeriesPlan, software: Software, compute_units: Option<u32>) -> Self {
        Self {
            device_model: plan.device.model.clone(),
            workload: plan.workload.to_string(),
            mode: plan.spec.mode,
            dtype: plan.spec.dtype,
            threads: plan.threads,
            mig_profile: plan.device.mig_profile.clone(),
            compute_units,
            device_kind: plan.device.kind,
            software,
        }
    }
}

/// What the worker told that is part of the key: its software, and the compute units of its device; completed by what the agent knew of the device.
pub(super) fn told(plan: &SeriesPlan, history: &History) -> (Software, Option<u32>) {
    let facts = history
        .rounds
        .iter()
        .rev()
        .find_map(|record| record.facts.as_ref());
    let mut software = facts
        .map(|facts| facts.software.clone())
        .unwrap_or_default();
    software.driver = software.driver.or_else(|| plan.device.driver.clone());
    let compute_units = plan.device.compute_units;
    let compute_units = compute_units.or_else(|| facts.and_then(|facts| facts.compute_units));
    (software, compute_units)
}

/// The history, in parts if its rounds were measured with different software: a driver or an agent may be replaced while a sweep goes on. In order of
/// first use; rounds that tell of no software belong to what was in use before them.
pub(super) fn by_software(history: &History) -> Vec<Cow<'_, History>> {
    let mut parts: Vec<(&Software, Vec<usize>)> = Vec::new();
    let mut current = None;
    let mut untold = Vec::new();
    for (index, record) in history.rounds.iter().enumerate() {
        if let Some(facts) = &record.facts {
            let known = parts
                .iter()
                .position(|(software, _)| **software == facts.software);
            current = Some(known.unwrap_or_else(|| {
                parts.push((&facts.software, Vec::new()));
                parts.len() - 1
            }));
        }
        match current {
            Some(part) => parts[part].1.push(index),
            None => untold.push(index),
        }
    }
    if parts.len() < 2 {
        return vec![Cow::Borrowed(history)];
    }
    parts[0].1.splice(0..0, untold);
    parts
        .into_iter()
        .map(|(_, rounds)| {
            let rounds = rounds
                .into_iter()
                .map(|index| history.rounds[index].clone())
                .collect();
            Cow::Owned(History { rounds })
        })
        .collect()
}
