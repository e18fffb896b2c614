//! The worker processes of this agent, by device: what tells them apart from other people's work on a GPU. The executor keeps it; the inventory reads it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Clones are the same book.
#[derive(Debug, Clone, Default)]
pub struct OwnWorkers(Arc<Mutex<BTreeMap<String, BTreeSet<u32>>>>);

/// A worker that lives; dropped with it.
#[derive(Debug)]
pub(crate) struct OwnWorker {
    book: OwnWorkers,
    device_id: String,
    pid: u32,
}

impl OwnWorkers {
    pub(crate) fn enter(&self, device_id: &str, pid: u32) -> OwnWorker {
        self.lock()
            .entry(device_id.to_owned())
            .or_default()
            .insert(pid);
        OwnWorker {
            book: self.clone(),
            device_id: device_id.to_owned(),
            pid,
        }
    }

    /// The process ids on a device, as this process sees them.
    pub(crate) fn on(&self, device_id: &str) -> BTreeSet<u32> {
        self.lock().get(device_id).cloned().unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, BTreeSet<u32>>> {
        // Each statement leaves the map whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for OwnWorker {
    fn drop(&mut self) {
        let mut book = self.book.lock();
        if let Some(pids) = book.get_mut(&self.device_id) {
            pids.remove(&self.pid);
            if pids.is_empty() {
                book.remove(&self.device_id);
            }
        }
    }
}

/// How many of a GPU's processes are not `own`. NVML tells the host's process ids; in a container with ids of its own none of them is known, and
/// then as many as this agent has workers are its own.
pub(crate) fn foreign(pids: &[u32], own: &BTreeSet<u32>) -> usize {
    let known = pids.iter().filter(|pid| own.contains(pid)).count();
    if known > 0 {
        pids.len() - known
    } else {
        pids.len().saturating_sub(own.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_workers_are_known_while_they_live() {
        let book = OwnWorkers::default();
        let first = book.enter("GPU-1", 10);
        let second = book.enter("GPU-1", 11);
        assert_eq!(book.on("GPU-1"), BTreeSet::from([10, 11]));
        drop(first);
        drop(second);
        assert!(book.on("GPU-1").is_empty() && book.lock().is_empty());
    }

    #[test]
    fn others_are_counted_also_behind_a_wall_of_process_ids() {
        let own = BTreeSet::from([10]);
        assert_eq!(foreign(&[10, 99], &own), 1);
        assert_eq!(foreign(&[10], &own), 0);
        assert_eq!(
            foreign(&[4711], &own),
            0,
            "the same process by the host's id"
        );
        assert_eq!(foreign(&[4711, 4712], &own), 1);
        assert_eq!(foreign(&[99], &BTreeSet::new()), 1);
        assert_eq!(foreign(&[], &own), 0);
    }
}
