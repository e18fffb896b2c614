//! How a GPU is set up, as far as its times depend on it: from its newest inventory.

use std::collections::BTreeMap;

use batchstep_core::inventory::{DeviceView, Fleet, Wanted};
use batchstep_judge::Property;
use batchstep_proto::inventory::catalogue::gpu;
use jiff::Timestamp;

/// Settings of one device; what is not known is absent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeviceSettings(BTreeMap<Property, String>);

impl DeviceSettings {
    fn of(view: &DeviceView) -> Self {
        let facts = &view.gpu.facts;
        let mut known = BTreeMap::new();
        if let Some(watts) = facts.get(gpu::POWER_LIMIT_WATTS) {
            known.insert(Property::PowerLimit, format!("{watts:.0} W"));
        }
        // Both or none: a value that could not be read tonight is no change.
        let sm = facts.get(gpu::APPLICATION_SM_CLOCK_MHZ);
        let memory = facts.get(gpu::APPLICATION_MEMORY_CLOCK_MHZ);
        if let (Some(sm), Some(memory)) = (sm, memory) {
            let clocks = format!("SM {sm} MHz, memory {memory} MHz");
            known.insert(Property::Clocks, clocks);
        }
        if let Some(is_on) = facts.get(gpu::ECC_ENABLED) {
            let word = if is_on { "on" } else { "off" };
            known.insert(Property::Ecc, word.to_owned());
        }
        Self(known)
    }

    /// By property.
    #[must_use]
    pub fn properties(&self) -> BTreeMap<Property, String> {
        self.0.clone()
    }
}

/// The settings of every device of the inventory, by its id; a MIG instance has those of its GPU.
#[must_use]
pub fn all(fleet: &Fleet, now: Timestamp) -> BTreeMap<String, DeviceSettings> {
    let mut found = BTreeMap::new();
    for host in fleet.hosts(now, &Wanted::default()) {
        for device in &host.devices {
            let settings = DeviceSettings::of(device);
            for instance in &device.instances {
                found.insert(instance.device.uuid.clone(), settings.clone());
            }
            found.insert(device.device.uuid.clone(), settings);
        }
    }
    found
}
