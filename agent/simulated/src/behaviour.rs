//! What a simulated device does beside its timings: scatter, memory, disturbances and faults to order. Plain data.

use std::{collections::BTreeSet, time::Duration};

use batchstep_laws::Scatter;

/// Everything about a device but its timings. The default is a device that nothing disturbs and that never runs out of memory.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Behaviour {
    /// How its blocks scatter.
    pub scatter: Scatter,
    /// What its batches take; `None`: not told, and never too much.
    pub memory: Option<Memory>,
    /// When it slows itself down.
    pub throttling: Vec<Throttling>,
    /// When others use it.
    pub contention: Vec<Contention>,
    /// Its SM clock while it is not throttled, megahertz; `None`: not told.
    pub sm_clock_mhz: Option<f64>,
    /// What goes wrong.
    pub faults: Faults,
}

/// What a block tells beside its times.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Telemetry {
    pub(crate) throttle_reasons: Option<u64>,
    pub(crate) sm_clock_mhz: Option<f64>,
    pub(crate) foreign_processes: Option<u32>,
    pub(crate) foreign_cores: Option<f64>,
}

impl Behaviour {
    /// By how much the device is slower than undisturbed, others and itself taken together.
    pub(crate) fn slowdown(&self, now: Duration) -> f64 {
        let throttled = self.throttled(now).map(|it| it.slowdown);
        let contended = self.contended(now).map(|it| it.slowdown);
        throttled.chain(contended).product()
    }

    /// What a block that begins at `now` tells. A device that is never throttled, or never contended, tells nothing of it.
    pub(crate) fn telemetry(&self, now: Duration) -> Telemetry {
        let lowered = self.throttled(now).filter_map(|it| it.sm_clock_mhz);
        let shared = !self.contention.is_empty();
        Telemetry {
            throttle_reasons: (!self.throttling.is_empty())
                .then(|| self.throttled(now).fold(0, |bits, it| bits | it.reasons)),
            sm_clock_mhz: lowered.reduce(f64::min).or(self.sm_clock_mhz),
            foreign_processes: shared.then(|| {
                self.contended(now)
                    .fold(0, |count, it| it.foreign_processes.saturating_add(count))
            }),
            foreign_cores: shared.then(|| self.contended(now).map(|it| it.foreign_cores).sum()),
        }
    }

    fn throttled(&self, now: Duration) -> impl Iterator<Item = &Throttling> {
        self.throttling
            .iter()
            .filter(move |it| it.window.covers(now))
    }

    fn contended(&self, now: Duration) -> impl Iterator<Item = &Contention> {
        self.contention
            .iter()
            .filter(move |it| it.window.covers(now))
    }
}

/// Memory as a straight line of the batch size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// Of the device, bytes.
    pub total_bytes: u64,
    /// Taken by a network without a batch, bytes.
    pub idle_bytes: u64,
    /// Taken by each sample of a batch, bytes.
    pub bytes_per_sample: u64,
}

impl Memory {
    /// Highest use at a batch size, bytes.
    #[must_use]
    pub fn peak_bytes(&self, batch_size: u32) -> u64 {
        self.bytes_per_sample
            .saturating_mul(u64::from(batch_size))
            .saturating_add(self.idle_bytes)
    }
}

/// When something is so, on the device's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// When it begins for the first time.
    pub from: Duration,
    /// How long it lasts; `None`: for ever.
    pub lasts: Option<Duration>,
    /// From one beginning to the next; `None`: it happens once.
    pub every: Option<Duration>,
}

impl Window {
    /// At all times.
    pub const ALWAYS: Self = Self {
        from: Duration::ZERO,
        lasts: None,
        every: None,
    };

    /// Whether it is so at `now`.
    #[must_use]
    pub fn covers(&self, now: Duration) -> bool {
        let Some(since) = now.checked_sub(self.from) else {
            return false;
        };
        let since = match self.every.map(|every| every.as_nanos()) {
            Some(every @ 1..) => since.as_nanos() % every,
            _ => since.as_nanos(),
        };
        self.lasts.is_none_or(|lasts| since < lasts.as_nanos())
    }
}

/// The device slows itself down.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Throttling {
    /// When.
    pub window: Window,
    /// Time over undisturbed time, at least 1.
    pub slowdown: f64,
    /// NVML's clock event bits that it tells meanwhile.
    pub reasons: u64,
    /// Its SM clock meanwhile, megahertz.
    pub sm_clock_mhz: Option<f64>,
}

/// Others use the device, or the processors that it is made of.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Contention {
    /// When.
    pub window: Window,
    /// Time over undisturbed time, at least 1.
    pub slowdown: f64,
    /// Compute processes of others on the device.
    pub foreign_processes: u32,
    /// Processor time of others, in cores.
    pub foreign_cores: f64,
}

/// What goes wrong, wherever one of these batch sizes is run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Faults {
    /// The smallest batch size that the allocator refuses, whatever the memory.
    pub out_of_memory_at: Option<u32>,
    /// The workload fails.
    pub errors_at: BTreeSet<u32>,
    /// The worker dies.
    pub crashes_at: BTreeSet<u32>,
    /// An iteration never returns.
    pub hangs_at: BTreeSet<u32>,
    /// At every so many visits the worker is killed; 0: never.
    pub killed_every: u32,
}
