//! What a series of nights is of: one device with one workload, its mode, dtype and threads. Its key outlasts sweeps, agents and restarts.

use batchstep_core::sweep::SeriesPlan;
use batchstep_judge::Group;
use batchstep_proto::domain::{DeviceKind, Dtype, Mode};
use serde::{Deserialize, Serialize};

/// A series, by parts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// GPU or MIG UUID, `CPU-<machine id>`, or `SIM-<name>`.
    pub device: String,
    /// Name of its host that night.
    pub hostname: String,
    /// Marketing name.
    pub device_model: String,
    /// `cuda`, `cpu` or `simulated`.
    pub device_kind: DeviceKind,
    /// MIG profile.
    pub mig_profile: Option<String>,
    /// Canonical workload; people's own networks by their name.
    pub workload: String,
    /// The same by content, which is what the key is made of.
    pub workload_key: String,
    /// `train` or `infer`.
    pub mode: Mode,
    /// Arithmetic.
    pub dtype: Dtype,
    /// CPU threads; `null` on GPUs.
    pub threads: Option<u32>,
}

impl About {
    /// That of a series of a sweep.
    #[must_use]
    pub fn of(plan: &SeriesPlan) -> Self {
        Self {
            device: plan.device.id.clone(),
            hostname: plan.hostname.clone(),
            device_model: plan.device.model.clone(),
            device_kind: plan.device.kind,
            mig_profile: plan.device.mig_profile.clone(),
            workload: plan.workload.labelled().to_string(),
            workload_key: plan.workload.to_string(),
            mode: plan.spec.mode,
            dtype: plan.spec.dtype,
            threads: plan.threads,
        }
    }

    /// Its key.
    #[must_use]
    pub fn key(&self) -> String {
        format!("{}|{}", self.device, self.setting(&self.workload_key))
    }

    /// The devices that it is compared with.
    #[must_use]
    pub fn group(&self) -> Group {
        let model = match &self.mig_profile {
            Some(profile) => format!("{} MIG {profile}", self.device_model),
            None => self.device_model.clone(),
        };
        Group {
            model,
            workload: self.setting(&self.workload_key),
        }
    }

    /// Whether an alarm's subject is this series, or its host, device or model as a whole.
    #[must_use]
    pub fn is_of(&self, subject: &str) -> bool {
        subject == self.key()
            || subject == group_key(&self.group())
            || subject.strip_prefix("host ") == Some(self.hostname.as_str())
            || subject.strip_prefix("device ") == Some(self.device.as_str())
    }

    /// What is run, in words.
    #[must_use]
    pub fn setting(&self, workload: &str) -> String {
        let mut text = format!("{workload}|{}|{}", self.mode.word(), self.dtype.word());
        if let Some(threads) = self.threads {
            text.push_str(&format!("|{threads} threads"));
        }
        text
    }
}

/// The key of a group, as its book has it.
#[must_use]
pub fn group_key(group: &Group) -> String {
    format!("{}|{}", group.model, group.workload)
}
