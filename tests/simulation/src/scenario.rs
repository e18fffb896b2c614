//! What a seed stands for: the hosts and their devices, what people ask for, the fleet's intervals, and what goes wrong when. Pure; made once at the
//! beginning, so that nothing that happens later changes it.

use std::{fmt::Write as _, time::Duration};

use batchstep_core::fleet::Config as FleetConfig;
use batchstep_proto::domain::{
    BatchSizes, DailyWindow, DeviceSelector, Dtype, Mode, Scheduling, Strategy, SweepSpec,
    TimeOfDay, VisitOrder,
};
use rand::{RngExt as _, SeedableRng as _, seq::IndexedRandom as _};
use rand_chacha::ChaCha8Rng;

use crate::fault::{self, Fault};

/// Measuring time per series: enough for every visit of the small grids here, also after rounds that broke.
const BUDGET: Duration = Duration::from_secs(240);
/// Sweeps are asked for within this.
const SUBMISSIONS: Duration = Duration::from_secs(120);
/// Share of the worlds in which devices of several agents are alike, and may share series.
const SHARING: f64 = 0.3;
/// Share of the sweeps that have a daily window, which is closed for some minutes soon after midnight, when every simulation begins.
const WINDOWS: f64 = 0.2;
/// Share of the sweeps that want devices which nobody else uses.
const IDLE_ONLY: f64 = 0.1;

/// Everything that is decided beforehand.
#[derive(Debug, Clone)]
pub struct Scenario {
    pub seed: u64,
    pub fleet: FleetConfig,
    /// Length of the parts in which agents report a long round.
    pub part_interval: Duration,
    /// Of each agent, its devices.
    pub agents: Vec<Vec<SimulatedDevice>>,
    pub sweeps: Vec<Request>,
    /// Ascending by time.
    pub faults: Vec<(Duration, Fault)>,
    /// Whether there are faults that may delay anything.
    pub is_disturbed: bool,
}

/// A device with a step of `period` samples.
#[derive(Debug, Clone)]
pub struct SimulatedDevice {
    pub model: String,
    period: u32,
    /// Seconds of an iteration without samples.
    constant: f64,
    /// The worker dies at every so many visits; 0: never.
    killed_every: u32,
}

/// A sweep that somebody wants.
#[derive(Debug, Clone)]
pub struct Request {
    pub at: Duration,
    pub spec: SweepSpec,
    /// How long after the submission it is cancelled, if it is.
    pub cancelled_after: Option<Duration>,
}

impl Scenario {
    /// The scenario of a seed.
    pub fn new(seed: u64) -> Self {
        let random = &mut ChaCha8Rng::seed_from_u64(seed);
        let agents: Vec<Vec<SimulatedDevice>> = (0..random.random_range(2..=5))
            .map(|agent| {
                (0..random.random_range(1..=3))
                    .map(|place| SimulatedDevice::new(random, agent, place))
                    .collect()
            })
            .collect();
        let sweeps = (0..random.random_range(2..=4))
            .map(|_| Request::new(random))
            .collect();
        let fleet = fleet(random);
        let part_interval = Duration::from_secs(random.random_range(1..=10));
        let faults = fault::schedule(random, agents.len());
        let mut scenario = Self {
            seed,
            fleet,
            part_interval,
            agents,
            sweeps,
            faults,
            is_disturbed: true,
        };
        if random.random_bool(SHARING) {
            scenario.share(random);
        }
        scenario.restrict(random);
        scenario
    }

    /// Lets some sweeps run only at certain times, or only where nobody else computes.
    fn restrict(&mut self, random: &mut ChaCha8Rng) {
        for request in &mut self.sweeps {
            let scheduling = &mut request.spec.scheduling;
            if random.random_bool(WINDOWS) {
                let closes = random.random_range(0..=4);
                let opens = closes + random.random_range(1..=4);
                scheduling.only_between = daily(opens, closes);
            }
            scheduling.idle_only = random.random_bool(IDLE_ONLY);
        }
    }

    /// Makes the first device of every agent one of a model, and lets some sweeps have them share.
    fn share(&mut self, random: &mut ChaCha8Rng) {
        let Some(model) = self.agents.first().and_then(|devices| devices.first()) else {
            return;
        };
        let model = model.clone();
        for device in self.agents.iter_mut().filter_map(|it| it.first_mut()) {
            *device = model.clone();
        }
        for request in &mut self.sweeps {
            request.spec.scheduling.share_across_model = random.random_bool(0.7);
        }
    }

    /// The same without anything that goes wrong but the wall clocks, which must not matter, and nobody who changes their mind.
    pub fn undisturbed(&self) -> Self {
        let sweeps = self.sweeps.iter().map(|request| Request {
            cancelled_after: None,
            ..request.clone()
        });
        Self {
            sweeps: sweeps.collect(),
            faults: self
                .faults
                .iter()
                .filter(|(_, fault)| matches!(fault, Fault::WallClock(..)))
                .cloned()
                .collect(),
            is_disturbed: false,
            ..self.clone()
        }
    }
}

/// Open from one minute of the day to another.
fn daily(opens: u16, closes: u16) -> Option<DailyWindow> {
    Some(DailyWindow {
        from: TimeOfDay::from_minutes(opens)?,
        to: TimeOfDay::from_minutes(closes)?,
        time_zone: "UTC".to_owned(),
    })
}

/// The intervals of a coordinator that is to be put under stress within minutes; sometimes those that it really has.
fn fleet(random: &mut ChaCha8Rng) -> FleetConfig {
    let usual = FleetConfig::default();
    if random.random_bool(0.2) {
        return usual;
    }
    FleetConfig {
        heartbeat_floor: Duration::from_secs(random.random_range(1..=4)),
        offline_budget: Duration::from_secs(random.random_range(10..=120)),
        acceptance_limit: Duration::from_secs(random.random_range(5..=60)),
        overtime: Duration::from_secs(random.random_range(20..=120)),
        stop_limit: Duration::from_secs(random.random_range(5..=30)),
        recovery_grace: Duration::from_secs(random.random_range(5..=15)),
        back_off_ceiling: Duration::from_secs(random.random_range(2..=30)),
        ..usual
    }
}

impl SimulatedDevice {
    fn new(random: &mut ChaCha8Rng, agent: usize, place: usize) -> Self {
        Self {
            model: format!("Model {agent}.{place}"),
            period: random.random_range(3..=6),
            constant: f64::from(random.random_range(2..=9)) / 1e3,
            killed_every: if random.random_bool(0.1) {
                random.random_range(60..=120)
            } else {
                0
            },
        }
    }
}

impl Request {
    fn new(random: &mut ChaCha8Rng) -> Self {
        let most = random.random_range(12..=24);
        let workloads: &[&str] = [&["linear"] as &[&str], &["cnn"], &["linear", "cnn"]]
            .choose(random)
            .copied()
            .unwrap_or(&["linear"]);
        Self {
            at: SUBMISSIONS.mul_f64(random.random_range(0.0..1.0)),
            spec: SweepSpec {
                workloads: workloads
                    .iter()
                    .filter_map(|name| name.parse().ok())
                    .collect(),
                batch_sizes: BatchSizes::Listed((1..=most).collect()),
                mode: Mode::Train,
                dtype: Dtype::F32,
                threads: None,
                strategy: if random.random_bool(0.5) {
                    Strategy::Dense
                } else {
                    Strategy::Adaptive
                },
                budget: BUDGET,
                precision: 0.01,
                iterations: None,
                seed: random.random_range(0..u64::MAX),
                devices: DeviceSelector::All,
                preset: None,
                visit_order: VisitOrder::Random,
                scheduling: Scheduling {
                    priority: random.random_range(-1..=1),
                    ..Scheduling::default()
                },
            },
            cancelled_after: random
                .random_bool(0.2)
                .then(|| Duration::from_secs(random.random_range(1..=60))),
        }
    }
}

/// The file that tells an agent which devices to simulate.
pub fn devices_file(devices: &[SimulatedDevice]) -> String {
    let mut file = String::from("speed = 1\n");
    for device in devices {
        // Writing to a string does not fail.
        let _ = write!(
            file,
            "[[device]]\nmodel = \"{}\"\nlaw = {{ constant = {:?}, slope = 0.0001, combs = [{{ period = {}, jump = 0.002 }}] }}\nfaults = {{ killed_every = {} }}\n",
            device.model, device.constant, device.period, device.killed_every
        );
    }
    file
}
