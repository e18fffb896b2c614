//! Rounds in worker processes: one per device, started at the first round, kept for the next ones, ended when there are none for a while.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use batchstep_proto::domain::{AttemptOutcome, DeviceKind};
use tokio::{
    sync::{mpsc, watch},
    time,
};

use super::{
    Executor, Job, RoundEnding, RoundEvent, Stop, company::yielding, samples, worker::Worker,
};
use crate::{inventory::NvmlThread, own_workers::OwnWorkers, worker_path::WorkerNotFound};

/// How long a worker waits for another round. The next one is prefetched and comes within milliseconds; a pause this long means that the
/// work is done, and libtorch's memory goes back to the host.
pub const IDLE_LIMIT: Duration = Duration::from_secs(10);

/// Runs rounds in `batchstep-worker` processes.
pub struct ProcessExecutor {
    worker: Result<PathBuf, WorkerNotFound>,
    idle_limit: Duration,
    idle: Arc<Mutex<Idle>>,
    own: OwnWorkers,
    nvml: Option<NvmlThread>,
    share_gpus: bool,
}

/// Workers between two rounds, by device.
#[derive(Default)]
struct Idle {
    workers: HashMap<String, (u64, Worker)>,
    /// Numbers the parkings, so that a timer ends only the worker it was started for.
    parkings: u64,
}

impl ProcessExecutor {
    /// For a worker binary; where there is none, every round is refused with the reason.
    #[must_use]
    pub fn new(worker: Result<PathBuf, WorkerNotFound>) -> Self {
        Self {
            worker,
            idle_limit: IDLE_LIMIT,
            idle: Arc::default(),
            own: OwnWorkers::default(),
            nvml: None,
            share_gpus: false,
        }
    }

    /// The same with a look at its GPUs through NVML, and its workers entered in a book.
    #[must_use]
    pub fn watching(mut self, nvml: NvmlThread, own: OwnWorkers) -> Self {
        self.nvml = Some(nvml);
        self.own = own;
        self
    }

    /// The same with another idle limit.
    #[must_use]
    pub fn with_idle_limit(mut self, idle_limit: Duration) -> Self {
        self.idle_limit = idle_limit;
        self
    }

    /// The same on GPUs that others compute on, too.
    #[must_use]
    pub fn sharing_gpus(mut self, share_gpus: bool) -> Self {
        self.share_gpus = share_gpus;
        self
    }

    fn take(&self, device_id: &str) -> Option<Worker> {
        let (_, mut worker) = lock(&self.idle).workers.remove(device_id)?;
        worker.is_alive().then_some(worker)
    }

    fn park(&self, device_id: String, worker: Worker) {
        let number = {
            let mut idle = lock(&self.idle);
            idle.parkings += 1;
            let number = idle.parkings;
            idle.workers.insert(device_id.clone(), (number, worker));
            number
        };
        let (idle, limit) = (Arc::clone(&self.idle), self.idle_limit);
        tokio::spawn(async move {
            time::sleep(limit).await;
            let expired = {
                let mut idle = lock(&idle);
                match idle.workers.get(&device_id) {
                    Some((parked, _)) if *parked == number => idle.workers.remove(&device_id),
                    _ => None,
                }
            };
            if let Some((_, worker)) = expired {
                worker.end().await;
            }
        });
    }
}

fn lock(idle: &Mutex<Idle>) -> MutexGuard<'_, Idle> {
    // Each statement leaves the map whole.
    idle.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Executor for ProcessExecutor {
    async fn execute(
        &self,
        job: Job,
        events: mpsc::UnboundedSender<RoundEvent>,
        mut stop: watch::Receiver<Stop>,
    ) -> RoundEnding {
        let path = match &self.worker {
            Ok(path) => path,
            Err(error) => return RoundEnding::new(AttemptOutcome::Refused, error.to_string()),
        };
        // A wish from before the first look counts too.
        stop.mark_changed();
        let device_id = job.device.id.clone();
        let nvml = self
            .nvml
            .as_ref()
            .filter(|_| job.device.kind == DeviceKind::Cuda);
        let kept = self.take(&device_id);
        // A worker that is kept between two rounds holds the GPU against others, unless the sweep is to make room.
        let looks = job.round.idle_only || (kept.is_none() && !self.share_gpus);
        if let Some(nvml) = nvml.filter(|_| looks)
            && let Some(reason) = samples::occupied(nvml, &device_id, &self.own).await
        {
            if let Some(worker) = kept {
                worker.end().await;
            }
            return RoundEnding::new(AttemptOutcome::Stopped, reason);
        }
        let mut worker = match kept {
            Some(worker) => worker,
            None => match Worker::start(path, &job.device, &self.own, &mut stop).await {
                Ok(worker) => worker,
                Err(ending) => return ending,
            },
        };
        let watch = nvml
            .map(|nvml| samples::Watch::start(nvml.clone(), self.own.clone(), device_id.clone()));
        let company = watch.as_ref().filter(|_| job.round.idle_only);
        let mut yielding = company.map(|watch| yielding(stop.clone(), watch.company()));
        let stop = yielding
            .as_mut()
            .map_or(&mut stop, |yielding| &mut yielding.stop);
        let (ending, reusable) = worker.run(job, &events, stop, watch.as_ref()).await;
        if reusable {
            self.park(device_id, worker);
        }
        ending
    }

    async fn shut_down(&self) {
        let workers: Vec<Worker> = {
            let mut idle = lock(&self.idle);
            idle.workers
                .drain()
                .map(|(_, (_, worker))| worker)
                .collect()
        };
        for worker in workers {
            worker.end().await;
        }
    }
}
