//! The worker processes of this agent, by device: what tells them apart from other people's work on a GPU. The executor keeps it; the inventory reads it.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use batchstep_nvml::sees_host_pids;
use tokio::{runtime::Handle, time};

/// A killed process leaves its GPU when all of its memory there is given back.
const LEAVING_LIMIT: Duration = Duration::from_secs(30);
const LEAVING_STEP: Duration = Duration::from_millis(100);

/// Clones are the same book.
#[derive(Debug, Clone)]
pub struct OwnWorkers {
    book: Arc<Mutex<BTreeMap<String, BTreeSet<u32>>>>,
    sees_host_pids: bool,
}

impl Default for OwnWorkers {
    fn default() -> Self {
        Self {
            book: Arc::default(),
            sees_host_pids: sees_host_pids(),
        }
    }
}

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

    /// How many of the processes that NVML lists on a device are not this agent's.
    pub(crate) fn foreign(&self, pids: &[u32], device_id: &str) -> usize {
        foreign(pids, &self.on(device_id), self.sees_host_pids)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, BTreeSet<u32>>> {
        // Each statement leaves the map whole.
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OwnWorker {
    /// Takes the worker out of the book when its process is gone: until then its memory on the GPU is its own.
    pub(crate) fn leave(self) {
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        let process = format!("/proc/{}", self.pid);
        runtime.spawn(async move {
            let _entry = self;
            let gone = async {
                while Path::new(&process).exists() {
                    time::sleep(LEAVING_STEP).await;
                }
            };
            let _ = time::timeout(LEAVING_LIMIT, gone).await;
        });
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

/// How many of a GPU's processes are not `own`. Where the process ids are not the host's, none of them can be known, and as many as this agent has
/// workers there are its own.
pub(crate) fn foreign(pids: &[u32], own: &BTreeSet<u32>, sees_host_pids: bool) -> usize {
    if sees_host_pids {
        pids.iter().filter(|pid| !own.contains(pid)).count()
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

    #[tokio::test]
    async fn a_worker_that_leaves_is_known_until_its_process_is_gone() {
        let book = OwnWorkers::default();
        let mut process = tokio::process::Command::new("sleep")
            .arg("600")
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        book.enter("GPU-1", process.id().unwrap()).leave();
        tokio::task::yield_now().await;
        assert_eq!(book.on("GPU-1").len(), 1);
        process.kill().await.unwrap();
        while !book.on("GPU-1").is_empty() {
            tokio::task::yield_now().await;
        }
    }

    #[test]
    fn others_are_counted_also_behind_a_wall_of_process_ids() {
        let own = BTreeSet::from([10]);
        assert_eq!(foreign(&[10, 99], &own, true), 1);
        assert_eq!(
            foreign(&[99], &own, true),
            1,
            "the own one is not there yet"
        );
        assert_eq!(foreign(&[10], &own, true), 0);
        assert_eq!(
            foreign(&[4711], &own, false),
            0,
            "the same by the host's id"
        );
        assert_eq!(foreign(&[4711, 4712], &own, false), 1);
        assert_eq!(foreign(&[99], &BTreeSet::new(), false), 1);
        assert_eq!(foreign(&[], &own, true), 0);
    }
}
