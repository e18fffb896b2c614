//! Keeps the inventory true: looks at the start, and again and again, and publishes what it saw.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use batchstep_nvml::{Depth, Root, Survey, sees_host_pids};
use batchstep_proto::{
    domain::{Device, HostFacts, Ineligibility},
    inventory::{
        Document, Gpu, Nvml, NvmlState, Record,
        catalogue::{gpu, host::DRIVER_VERSION},
    },
    limits,
};
use tokio::{
    sync::watch,
    time::{self, Instant},
};
use tracing::{info, warn};

use super::{
    eligibility::{self, Circumstances},
    host::{self, Described},
    offer,
    thread::{Answer, NvmlThread, Trouble},
};
use crate::{
    device::{
        DescribeError, Description, Host, Selection, describe, nvidia_driver, of_selection,
        processors,
    },
    own_workers::OwnWorkers,
    worker_path::WorkerNotFound,
};

/// First wait after NVML could not be started; doubled each time.
const FIRST_RETRY: Duration = Duration::from_secs(1);
/// Longest such wait: a driver is installed, or a container is mended, by people.
const LONGEST_RETRY: Duration = Duration::from_secs(300);

/// How long a device that is not there any more is told as lost.
const MISSED_FOR: Duration = Duration::from_secs(3600);
/// How the inventory is kept.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where the host's file system is.
    pub root: Root,
    /// Between two readings of live values.
    pub telemetry_interval: Duration,
    /// Between two readings of everything.
    pub full_interval: Duration,
    /// How long a call into NVML may take before it counts as hung.
    pub nvml_deadline: Duration,
    /// Others may compute on a GPU: trials start all the same.
    pub share_gpus: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            root: Root::default(),
            telemetry_interval: Duration::from_secs(30),
            full_interval: Duration::from_secs(300),
            nvml_deadline: Duration::from_secs(10),
            share_gpus: false,
        }
    }
}

/// The newest look at the host.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// Facts about the machine, as the hello tells them.
    pub host: HostFacts,
    /// What was found.
    pub document: Document,
    /// What is offered of it: GPUs, MIG instances, and the processors.
    pub devices: Vec<Device>,
    /// When the GPUs were last read; older than the snapshot when NVML does not answer.
    pub read_at: Instant,
}

/// The inventory of this host.
pub struct Inventory {
    options: Options,
    host: Host,
    worker: Result<PathBuf, WorkerNotFound>,
    own: OwnWorkers,
    nvml: NvmlThread,
    /// NVML's last answer.
    survey: Option<Survey>,
    read_at: Instant,
    state: Nvml,
    described: Described,
    /// Driver and GPUs that the worker was asked about.
    described_for: Option<(Option<String>, Vec<String>)>,
    described_at: Instant,
    /// Everything offered so far, so that nothing vanishes without a word, and when it was last there.
    offered: BTreeMap<String, (Device, Instant)>,
    selection: Selection,
}

impl Inventory {
    /// For this host. Nothing is looked at yet.
    #[must_use]
    pub fn new(options: Options, worker: Result<PathBuf, WorkerNotFound>, own: OwnWorkers) -> Self {
        let host = Host::read_at(&options.root);
        let machine = host.facts.machine_id.chars().take(12).collect();
        let nvml = NvmlThread::start(options.root.clone(), machine, options.nvml_deadline);
        Self {
            host,
            worker,
            own,
            nvml,
            survey: None,
            read_at: Instant::now(),
            state: Nvml {
                state: NvmlState::NoDriver,
                message: None,
            },
            described: None,
            described_for: None,
            described_at: Instant::now(),
            offered: BTreeMap::new(),
            selection: Selection::All,
            options,
        }
    }

    /// Facts for the hello.
    #[must_use]
    pub const fn host(&self) -> &Host {
        &self.host
    }

    /// The way to NVML, for samples during trials.
    #[must_use]
    pub fn nvml(&self) -> NvmlThread {
        self.nvml.clone()
    }

    /// Offers only these of the devices, now and later.
    pub fn offer_only(&mut self, selection: Selection) {
        self.offered
            .retain(|_, (device, _)| !of_selection(vec![device.clone()], &selection).is_empty());
        self.selection = selection;
    }

    /// Looks at everything once; takes as long as NVML and the worker do.
    pub async fn look(&mut self, depth: Depth) -> Snapshot {
        let result = self.nvml.survey(depth).await;
        self.take(result);
        let driver = nvidia_driver(&self.options.root);
        if driver.is_some() || self.survey.is_some() {
            self.describe().await;
        }
        self.snapshot()
    }

    /// Looks at everything once, the worker's libtorch included; answers with what the worker said, too, where there is one.
    pub async fn look_once(mut self) -> (Snapshot, Option<Result<Description, DescribeError>>) {
        let result = self.nvml.survey(Depth::Full).await;
        self.take(result);
        self.describe().await;
        (self.snapshot(), self.described)
    }

    /// Looks again and again, and publishes every look, until nobody reads any more.
    pub async fn keep(mut self, snapshots: watch::Sender<Arc<Snapshot>>) {
        let mut full_at = Instant::now() + self.options.full_interval;
        let mut retry = FIRST_RETRY;
        if self.described.is_none() {
            // On a host without GPUs nobody waits for the worker; the host's record tells its libtorch all the same.
            self.describe().await;
            snapshots.send_replace(Arc::new(self.snapshot()));
        }
        loop {
            let is_well = self.state.state == NvmlState::Running;
            let pause = if is_well {
                retry = FIRST_RETRY;
                self.options.telemetry_interval
            } else {
                let pause = retry;
                retry = (retry * 2).min(LONGEST_RETRY);
                if self.state.state == NvmlState::Hung {
                    // Nothing is tried, only looked whether the call has come back.
                    pause.min(self.options.telemetry_interval)
                } else {
                    pause
                }
            };
            tokio::select! {
                () = time::sleep(pause) => {}
                () = snapshots.closed() => return,
            }
            let depth = if Instant::now() >= full_at || !is_well {
                full_at = Instant::now() + self.options.full_interval;
                // A new kernel means a reboot, but not the other way round: names and memory change in containers and virtual machines.
                self.host = Host::read_at(&self.options.root);
                Depth::Full
            } else {
                Depth::Live
            };
            let snapshot = self.look(depth).await;
            snapshots.send_replace(Arc::new(snapshot));
        }
    }

    /// Takes NVML's answer, or notes why there is none.
    fn take(&mut self, answer: Answer) {
        let before = self.state.state;
        let (state, message) = match answer {
            Ok((survey, read_at)) => {
                self.survey = Some(survey);
                self.read_at = Instant::from_std(read_at);
                (NvmlState::Running, None)
            }
            Err(Trouble::NoLibrary(_)) if nvidia_driver(&self.options.root).is_none() => {
                (NvmlState::NoDriver, None)
            }
            Err(trouble @ Trouble::Hung) => (NvmlState::Hung, Some(trouble.to_string())),
            Err(trouble) => (NvmlState::Failed, Some(trouble.to_string())),
        };
        if state != before {
            match &message {
                Some(message) => warn!(error = message, "NVML cannot be asked; it is tried again."),
                None if state == NvmlState::Running => info!("NVML answers."),
                None => {}
            }
        }
        self.state = Nvml { state, message };
    }

    /// Asks the worker about libtorch and CUDA, once for each set of driver and GPUs: it takes a second of a processor.
    async fn describe(&mut self) {
        let uuids = self
            .survey
            .iter()
            .flat_map(|survey| &survey.gpus)
            .flat_map(|gpu| std::iter::once(gpu).chain(&gpu.instances))
            .map(Gpu::uuid)
            .collect();
        let of = Some((self.driver(), uuids));
        // What is wrong may be mended: a service that was late, a library that was missing.
        let is_well =
            matches!(&self.described, Some(Ok(described)) if described.cuda_problem.is_none());
        let is_due = !is_well && self.described_at.elapsed() >= self.options.full_interval;
        if self.described_for == of && !is_due {
            return;
        }
        self.described_at = Instant::now();
        if let Ok(worker) = &self.worker {
            let described = describe(worker).await;
            if let Err(error) = &described {
                warn!(
                    error = %error,
                    "The worker cannot say which libtorch and GPUs there are. `batchstep-agent doctor` tells more."
                );
            }
            self.described = Some(described);
        }
        self.described_for = of;
    }

    fn driver(&self) -> Option<String> {
        let system = self.survey.as_ref().map(|survey| &survey.system);
        system
            .and_then(|system| system.get(DRIVER_VERSION))
            .or_else(|| nvidia_driver(&self.options.root).filter(|driver| driver != "unknown"))
    }

    /// The document, and the devices in it.
    fn snapshot(&mut self) -> Snapshot {
        let system: Option<&Record> = self.survey.as_ref().map(|survey| &survey.system);
        let host = host::record(&self.host, &self.options.root, &self.described, system);
        let mut problems = self
            .survey
            .as_ref()
            .map(|survey| survey.problems.clone())
            .unwrap_or_default();
        problems.extend(eligibility::worker_problem(&self.described));
        problems.truncate(limits::PROBLEMS);
        let mut gpus = self
            .survey
            .as_ref()
            .map(|survey| survey.gpus.clone())
            .unwrap_or_default();
        self.judge(&mut gpus);
        let document = Document {
            host,
            nvml: self.state.clone(),
            gpus,
            problems,
        };
        let mut devices = offer::devices(&document);
        devices.extend(self.only_in_cuda(&document));
        let mut processors = processors(&self.host);
        if let Err(error) = &self.worker {
            processors.ineligible.push(no_worker(error));
        }
        devices.push(processors);
        let mut devices = of_selection(devices, &self.selection);
        devices.truncate(limits::DEVICES_PER_AGENT);
        let now = Instant::now();
        for device in &devices {
            self.offered
                .insert(device.id.clone(), (device.clone(), now));
        }
        self.offered
            .retain(|_, (_, there)| now.duration_since(*there) < MISSED_FOR);
        let is_there: BTreeSet<String> = devices.iter().map(|device| device.id.clone()).collect();
        let missed = self
            .offered
            .values()
            .filter(|(it, _)| !is_there.contains(&it.id));
        let room = limits::DEVICES_PER_AGENT - devices.len();
        devices.extend(missed.take(room).map(|(device, _)| offer::vanished(device)));
        let mut host = self.host.facts.clone();
        if let Some(Ok(description)) = &self.described {
            host.software = Some(description.software());
        }
        Snapshot {
            host,
            document,
            devices,
            read_at: if self.survey.is_some() {
                self.read_at
            } else {
                Instant::now()
            },
        }
    }

    /// Adds what CUDA and this agent know of the GPUs, and whether trials may start.
    fn judge(&self, gpus: &mut [Gpu]) {
        let driver = self.driver();
        let circumstances = Circumstances {
            worker: self.worker.as_ref().map(|_| ()),
            described: &self.described,
            driver: driver.as_deref(),
            nvml: self.state.state,
            sees_host_pids: sees_host_pids(),
            share_gpus: self.options.share_gpus,
        };
        for card in gpus {
            if let Some(Ok(description)) = &self.described {
                let uuid = card.uuid();
                let by_cuda = description.devices.iter().find(|it| it.uuid == uuid);
                if let Some(found) = by_cuda.filter(|_| card.instances.is_empty()) {
                    // CUDA counts what NVML does not tell.
                    let count = Ok(u64::from(found.multiprocessors));
                    card.facts.set(gpu::SM_COUNT, count);
                }
            }
            for instance in &mut card.instances {
                self.judge_one(instance, &circumstances);
            }
            self.judge_one(card, &circumstances);
        }
    }

    fn judge_one(&self, card: &mut Gpu, circumstances: &Circumstances<'_>) {
        let own = self.own.on(&card.uuid());
        // Those on its instances are listed on the whole GPU, too.
        let mut known = own.clone();
        for instance in &card.instances {
            known.extend(self.own.on(&instance.uuid()));
        }
        for process in &mut card.processes {
            process.own = known.contains(&process.pid);
        }
        card.ineligible = eligibility::judge(card, &own, circumstances);
    }

    /// GPUs that CUDA reaches where NVML cannot be asked, as in some containers.
    fn only_in_cuda(&self, document: &Document) -> Vec<Device> {
        let Some(Ok(description)) = &self.described else {
            return Vec::new();
        };
        if self.survey.is_some() {
            return Vec::new();
        }
        let driver = self.driver().unwrap_or_else(|| "unknown".to_owned());
        let known = |id: &str| document.gpus.iter().any(|gpu| gpu.uuid() == id);
        description
            .gpus(&driver)
            .filter(|device| !known(&device.id))
            .collect()
    }
}

fn no_worker(error: &WorkerNotFound) -> Ineligibility {
    Ineligibility {
        code: "no_worker".to_owned(),
        message: error.to_string(),
    }
}
