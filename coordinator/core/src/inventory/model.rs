//! Devices of one model: name, MIG profile, and as far as they are known memory, PCI device id, compute capability and multiprocessors. A value that is not
//! known never makes another model.

use std::collections::BTreeMap;

use batchstep_proto::inventory::{Field, Record, Value, catalogue::gpu};

use super::{
    version,
    view::{HostView, State},
};

/// Memory sizes that differ by less are the same: ECC in the memory itself takes a sixteenth of it, and drivers count what they reserve differently.
const MEMORY_TOLERANCE: f64 = 1.0 / 12.0;

/// One model, with every device of it that is asked for.
#[derive(Debug, Clone)]
pub struct Model {
    /// Marketing name.
    pub name: String,
    /// Size of a MIG instance.
    pub mig_profile: Option<String>,
    /// Of the largest.
    pub memory_total_bytes: Option<u64>,
    /// PCI vendor and device id.
    pub pci_device_id: Option<String>,
    /// CUDA compute capability.
    pub compute_capability: Option<String>,
    /// Streaming multiprocessors.
    pub sm_count: Option<u64>,
    /// Its devices, by host.
    pub members: Vec<Member>,
}

/// A device of a model.
#[derive(Debug, Clone)]
pub struct Member {
    /// Its UUID.
    pub uuid: String,
    /// Its host.
    pub machine_id: String,
    /// That host's name.
    pub hostname: String,
    /// Whether it is there.
    pub state: State,
    /// Its newest values.
    pub facts: Record,
    /// Those of its host.
    pub host: Record,
}

impl Member {
    /// The value of a field of the device or its host.
    pub(super) fn value(&self, field: &Field) -> Option<&Value> {
        self.facts.value(field).or_else(|| self.host.value(field))
    }
}

impl Model {
    /// Name and, of an instance, profile.
    #[must_use]
    pub fn label(&self) -> String {
        match &self.mig_profile {
            Some(profile) if !self.name.contains(profile.as_str()) => {
                format!("{} MIG {profile}", self.name)
            }
            _ => self.name.clone(),
        }
    }

    /// Names of its hosts.
    #[must_use]
    pub fn hostnames(&self) -> Vec<String> {
        let mut names: Vec<String> = self
            .members
            .iter()
            .map(|member| member.hostname.clone())
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// The values that a field has among its devices and their hosts, each with how often; in ascending order.
    #[must_use]
    pub fn values(&self, field: &Field) -> Vec<(String, usize)> {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for value in self.members.iter().filter_map(|member| member.value(field)) {
            *counts.entry(value.to_string()).or_default() += 1;
        }
        let mut counts: Vec<_> = counts.into_iter().collect();
        counts.sort_by(|(a, _), (b, _)| version::compare(a, b).then_with(|| a.cmp(b)));
        counts
    }

    fn new(name: String, mig_profile: Option<String>) -> Self {
        Self {
            name,
            mig_profile,
            memory_total_bytes: None,
            pci_device_id: None,
            compute_capability: None,
            sm_count: None,
            members: Vec::new(),
        }
    }

    /// True when nothing that is known of both differs.
    fn admits(&self, facts: &Record) -> bool {
        fn same<T: PartialEq>(known: &Option<T>, found: &Option<T>) -> bool {
            known.is_none() || found.is_none() || known == found
        }
        let memory = match (self.memory_total_bytes, facts.get(gpu::MEMORY_TOTAL_BYTES)) {
            (Some(known), Some(found)) => {
                let (small, large) = (known.min(found), known.max(found));
                (large - small) as f64 <= large as f64 * MEMORY_TOLERANCE
            }
            _ => true,
        };
        memory
            && same(&self.pci_device_id, &facts.get(gpu::PCI_DEVICE_ID))
            && same(
                &self.compute_capability,
                &facts.get(gpu::COMPUTE_CAPABILITY),
            )
            && same(&self.sm_count, &facts.get(gpu::SM_COUNT))
    }

    fn add(&mut self, member: Member) {
        let facts = &member.facts;
        let memory = facts.get(gpu::MEMORY_TOTAL_BYTES);
        self.memory_total_bytes = self.memory_total_bytes.max(memory);
        let known = self.pci_device_id.take();
        self.pci_device_id = known.or_else(|| facts.get(gpu::PCI_DEVICE_ID));
        let known = self.compute_capability.take();
        self.compute_capability = known.or_else(|| facts.get(gpu::COMPUTE_CAPABILITY));
        self.sm_count = self.sm_count.or_else(|| facts.get(gpu::SM_COUNT));
        self.members.push(member);
    }
}

/// On which of the hosts each device counts that is there: on the one that has it; where that one was not asked for, on one that reports it as well.
pub(super) fn homes(hosts: &[HostView]) -> BTreeMap<&str, &str> {
    let mut homes = BTreeMap::new();
    for view in hosts {
        let there = view
            .all_devices()
            .filter(|device| device.is_wanted && device.state != State::Vanished);
        for device in there {
            let here = view.host.machine_id.as_str();
            let home = homes.entry(device.device.uuid.as_str()).or_insert(here);
            if device.device.machine_id == here {
                *home = here;
            }
        }
    }
    homes
}

/// The models among the devices that were asked for, by name; those that have vanished are of no model any more.
#[must_use]
pub fn models(hosts: &[HostView]) -> Vec<Model> {
    let homes = homes(hosts);
    let mut members: Vec<Member> = Vec::new();
    for view in hosts {
        let is_home = |uuid: &str| homes.get(uuid) == Some(&view.host.machine_id.as_str());
        let there = view
            .all_devices()
            .filter(|device| device.is_wanted && device.state != State::Vanished)
            .filter(|device| is_home(&device.device.uuid));
        members.extend(there.map(|device| Member {
            uuid: device.device.uuid.clone(),
            machine_id: view.host.machine_id.clone(),
            hostname: view.hostname(),
            state: device.state,
            // What was last known also counts for a device that does not answer.
            facts: known(&device.device.facts, &device.gpu.facts),
            host: known(&view.host.facts, &view.facts),
        }));
    }
    // Those of which most is known come first: they say which models there are, and the others join them.
    members.sort_by_key(|member| std::cmp::Reverse(parts_known(&member.facts)));
    let mut models: Vec<Model> = Vec::new();
    for member in members {
        let name = member.facts.get(gpu::NAME);
        let name = name.unwrap_or_else(|| "unknown GPU".to_owned());
        let profile = member.facts.get(gpu::MIG_PROFILE);
        let fitting = models
            .iter_mut()
            .filter(|model| model.name == name && model.mig_profile == profile)
            .filter(|model| model.admits(&member.facts))
            .max_by_key(|model| model.members.len());
        match fitting {
            Some(model) => model.add(member),
            None => {
                let mut model = Model::new(name, profile);
                model.add(member);
                models.push(model);
            }
        }
    }
    for model in &mut models {
        model
            .members
            .sort_by(|a, b| (&a.hostname, &a.uuid).cmp(&(&b.hostname, &b.uuid)));
    }
    models.sort_by(|a, b| {
        (&a.name, &a.mig_profile, a.memory_total_bytes, a.sm_count).cmp(&(
            &b.name,
            &b.mig_profile,
            b.memory_total_bytes,
            b.sm_count,
        ))
    });
    models
}

/// What is read now, and where it is absent what was last known.
fn known(kept: &Record, read: &Record) -> Record {
    let mut known = read.clone();
    for (field, reading) in kept.iter() {
        if known.value(field).is_none() {
            known.set_value(field, reading.clone());
        }
    }
    known
}

fn parts_known(facts: &Record) -> usize {
    [
        gpu::MEMORY_TOTAL_BYTES.field(),
        gpu::PCI_DEVICE_ID.field(),
        gpu::COMPUTE_CAPABILITY.field(),
        gpu::SM_COUNT.field(),
    ]
    .into_iter()
    .filter(|field| facts.value(field).is_some())
    .count()
}
