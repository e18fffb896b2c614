//! What a store keeps of the inventory: the newest report of each agent, hosts and devices over time, and what happened to them.

use std::future::Future;

use batchstep_core::inventory::{Change, Device as KnownDevice, Host, Observation, Seen, Snapshot};
use batchstep_proto::{
    domain::{Device, HostFacts},
    ids::AgentId,
};
use jiff::Timestamp;

use super::StoreError;

/// The part of a [`Store`](super::Store) that keeps the inventory.
pub trait InventoryStore: Send + Sync + 'static {
    /// Keeps an agent's inventory in place of its earlier one, together with everything it means: all of it or nothing.
    fn save_inventory(
        &self,
        inventory: &Inventory,
        observation: &Observation,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// The newest inventory of an agent.
    fn inventory(
        &self,
        agent: AgentId,
    ) -> impl Future<Output = Result<Option<Inventory>, StoreError>> + Send;

    /// Everything that is known now: what a coordinator begins with.
    fn known_inventory(&self) -> impl Future<Output = Result<KnownInventory, StoreError>> + Send;

    /// Notes when hosts and devices were last seen, in one transaction; those that are not known are passed over.
    fn save_seen(&self, seen: &Seen) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Entries of the history, ascending.
    fn inventory_changes(
        &self,
        wanted: &ChangesWanted,
    ) -> impl Future<Output = Result<Vec<StoredChange>, StoreError>> + Send;

    /// The largest sequence number of the history, which is the number of changes there were; 0 when it is empty.
    fn last_inventory_change(&self) -> impl Future<Output = Result<u64, StoreError>> + Send;
}

/// What an agent found on its host.
#[derive(Debug, Clone, PartialEq)]
pub struct Inventory {
    /// The host.
    pub host: HostFacts,
    /// Its devices.
    pub devices: Vec<Device>,
    /// The whole document, as sent; empty: by an agent that sends none.
    pub document: Vec<u8>,
    /// Changes when the document does; the agent's own word.
    pub digest: Vec<u8>,
}

/// The rows that describe the fleet as it is.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct KnownInventory {
    /// By machine id.
    pub hosts: Vec<Host>,
    /// By UUID.
    pub devices: Vec<KnownDevice>,
    /// The newest report of each agent that can still be read.
    pub snapshots: Vec<(AgentId, Snapshot)>,
}

/// Which entries of the history are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChangesWanted {
    /// After this sequence number.
    pub after_seq: u64,
    /// Not before.
    pub since: Option<Timestamp>,
    /// Before.
    pub until: Option<Timestamp>,
    /// So many at most.
    pub limit: u32,
}

/// An entry of the history.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredChange {
    /// Grows; never used twice.
    pub seq: u64,
    /// When it was reported.
    pub at: Timestamp,
    /// What happened.
    pub change: Change,
}
