//! The inventory of the store in the process.

use std::collections::BTreeMap;

use batchstep_core::inventory::{Device, Host, Observation, Seen, Snapshot};
use batchstep_proto::ids::AgentId;

use super::Memory;
use crate::store::{
    ChangesWanted, Inventory, InventoryStore, KnownInventory, StoreError, StoredChange,
};

/// What is kept.
#[derive(Debug, Clone, Default)]
pub(super) struct Tables {
    reports: BTreeMap<AgentId, (Inventory, Snapshot)>,
    hosts: BTreeMap<String, Host>,
    devices: BTreeMap<String, Device>,
    changes: Vec<StoredChange>,
}

impl InventoryStore for Memory {
    async fn save_inventory(
        &self,
        inventory: &Inventory,
        observation: &Observation,
    ) -> Result<(), StoreError> {
        let mut tables = self.tables();
        let tables = &mut tables.inventory;
        let report = (inventory.clone(), observation.snapshot.clone());
        tables.reports.insert(observation.agent, report);
        if let Some(host) = &observation.host {
            tables.hosts.insert(host.machine_id.clone(), host.clone());
        }
        for device in &observation.devices {
            tables.devices.insert(device.uuid.clone(), device.clone());
        }
        for change in &observation.changes {
            let seq = tables.changes.last().map_or(0, |change| change.seq) + 1;
            tables.changes.push(StoredChange {
                seq,
                at: observation.at,
                change: change.clone(),
            });
        }
        Ok(())
    }

    async fn inventory(&self, agent: AgentId) -> Result<Option<Inventory>, StoreError> {
        let tables = self.tables();
        let report = tables.inventory.reports.get(&agent);
        Ok(report.map(|(inventory, _)| inventory.clone()))
    }

    async fn known_inventory(&self) -> Result<KnownInventory, StoreError> {
        let tables = self.tables();
        let tables = &tables.inventory;
        let snapshots = tables.reports.iter();
        Ok(KnownInventory {
            hosts: tables.hosts.values().cloned().collect(),
            devices: tables.devices.values().cloned().collect(),
            snapshots: snapshots
                .map(|(agent, (_, snapshot))| (*agent, snapshot.clone()))
                .collect(),
        })
    }

    async fn save_seen(&self, seen: &Seen) -> Result<(), StoreError> {
        let mut tables = self.tables();
        for (machine_id, at) in &seen.hosts {
            if let Some(host) = tables.inventory.hosts.get_mut(machine_id) {
                host.last_seen = *at;
            }
        }
        for (uuid, at) in &seen.devices {
            if let Some(device) = tables.inventory.devices.get_mut(uuid) {
                device.last_seen = *at;
            }
        }
        Ok(())
    }

    async fn inventory_changes(
        &self,
        wanted: &ChangesWanted,
    ) -> Result<Vec<StoredChange>, StoreError> {
        let tables = self.tables();
        let changes = tables.inventory.changes.iter();
        Ok(changes
            .filter(|change| change.seq > wanted.after_seq)
            .filter(|change| wanted.since.is_none_or(|since| change.at >= since))
            .filter(|change| wanted.until.is_none_or(|until| change.at < until))
            .take(wanted.limit as usize)
            .cloned()
            .collect())
    }

    async fn last_inventory_change(&self) -> Result<u64, StoreError> {
        let tables = self.tables();
        Ok(tables
            .inventory
            .changes
            .last()
            .map_or(0, |change| change.seq))
    }
}
