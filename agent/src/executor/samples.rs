//! Looks at a GPU while a round runs on it, so that each timed block can be told with the clocks, power, temperature and neighbours it was measured
//! under; and looks once before a worker is started, whether the GPU is free.
//!
//! It never changes a time: what the samples mean is for the coordinator's rules.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use batchstep_proto::wire;
use tokio::{sync::watch, time};
use tokio_util::task::AbortOnDropHandle;

use super::company::Company;
use crate::{
    inventory::{NvmlThread, Sample, Sampled},
    own_workers::OwnWorkers,
};

/// Between two samples: two or more in every block of the usual length, and no load worth noticing.
const PERIOD: Duration = Duration::from_millis(50);
/// Samples that are kept: a minute, as long as a block lasts at most.
const KEPT: usize = 1200;
/// Looks at a GPU before a worker is started there, and the time between them: NVML's utilisation is that of up to a second.
const LOOKS: u32 = 3;
const LOOK_PAUSE: Duration = Duration::from_millis(500);
/// Busy share from which others are at work.
const BUSY: f64 = 0.05;

/// The samples of a running round; ends with it.
pub(super) struct Watch {
    samples: Samples,
    company: watch::Receiver<Option<String>>,
    _task: AbortOnDropHandle<()>,
}

type Samples = Arc<Mutex<VecDeque<Sampled>>>;

impl Watch {
    pub(super) fn start(nvml: NvmlThread, own: OwnWorkers, device_id: String) -> Self {
        let samples = Samples::default();
        let sink = Arc::clone(&samples);
        let (seen, company) = watch::channel(None);
        let task = tokio::spawn(async move {
            let mut ticks = time::interval(PERIOD);
            ticks.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                let Some(sampled) = nvml.sample(&device_id).await else {
                    continue;
                };
                let pids = sampled.sample.compute_pids.as_deref().unwrap_or_default();
                let foreign = own.foreign(pids, &device_id);
                seen.send_if_modified(|seen| {
                    let is_new = foreign > 0 && seen.is_none();
                    if is_new {
                        *seen = Some(computing(foreign));
                    }
                    is_new
                });
                let mut samples = sink.lock().unwrap_or_else(PoisonError::into_inner);
                if samples.len() == KEPT {
                    samples.pop_front();
                }
                samples.push_back(sampled);
            }
        });
        Self {
            samples,
            company,
            _task: AbortOnDropHandle::new(task),
        }
    }

    /// Whom else it sees on the GPU.
    pub(super) fn company(&self) -> Company {
        self.company.clone()
    }

    /// Adds to a block that has just ended what was seen during it.
    pub(super) fn tag(&self, block: &mut wire::Block, own: &OwnWorkers, device_id: &str) {
        let end = Instant::now();
        let samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(begin) = end.checked_sub(Duration::from_nanos(block.elapsed_ns)) else {
            return;
        };
        // One that was begun before or ended after it may tell of an idle GPU.
        let during: Vec<&Sample> = samples
            .iter()
            .filter(|sampled| begin <= sampled.begun && sampled.done <= end)
            .map(|sampled| &sampled.sample)
            .collect();
        tag(block, &during, |pids| own.foreign(pids, device_id));
    }
}

fn tag(block: &mut wire::Block, samples: &[&Sample], foreign: impl Fn(&[u32]) -> usize) {
    block.sm_clock_mhz = mean(samples.iter().filter_map(|sample| sample.sm_clock_mhz));
    block.power_watts = mean(samples.iter().filter_map(|sample| sample.power_watts));
    block.temperature_celsius = samples
        .iter()
        .filter_map(|sample| sample.temperature_celsius)
        .reduce(f64::max);
    block.throttle_reasons = samples
        .iter()
        .filter_map(|sample| sample.clock_event_reasons)
        .reduce(|a, b| a | b);
    block.foreign_processes = samples
        .iter()
        .filter_map(|sample| sample.compute_pids.as_ref())
        // While a block runs the worker is one of them; a driver that shows none shows nobody.
        .filter(|pids| !pids.is_empty())
        .map(|pids| u32::try_from(foreign(pids)).unwrap_or(u32::MAX))
        .max();
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (count, sum) = values.fold((0_u32, 0.0), |(count, sum), value| (count + 1, sum + value));
    (count > 0).then(|| sum / f64::from(count))
}

fn computing(foreign: usize) -> String {
    if foreign == 1 {
        "another process computes on the GPU".to_owned()
    } else {
        format!("{foreign} other processes compute on the GPU")
    }
}

/// Why a worker should not be started on a GPU now; `None`: nobody else works on it, or NVML cannot be asked.
pub(super) async fn occupied(
    nvml: &NvmlThread,
    device_id: &str,
    own: &OwnWorkers,
) -> Option<String> {
    if nvml.is_hung() {
        return Some(
            "a call into the NVIDIA driver does not come back; the round is tried again later"
                .to_owned(),
        );
    }
    let mut reason = None;
    for look in 0..LOOKS {
        if look > 0 {
            time::sleep(LOOK_PAUSE).await;
        }
        let Sampled { sample, .. } = nvml.sample(device_id).await?;
        let foreign = sample
            .compute_pids
            .as_ref()
            .map_or(0, |pids| own.foreign(pids, device_id));
        let busy = sample.utilization.filter(|busy| *busy > BUSY);
        // What ends within the second was ending: a worker of ours that was just killed, or its last kernels.
        reason = match (foreign, busy) {
            (0, None) => return None,
            (0, Some(busy)) => Some(format!(
                "the GPU is busy for {:.0} % of the time with what is not batchstep's",
                busy * 100.0
            )),
            (foreign, _) => Some(computing(foreign)),
        };
    }
    reason.map(|reason| format!("{reason}; the round is tried again later"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(clock: f64, reasons: u64, pids: &[u32]) -> Sample {
        Sample {
            sm_clock_mhz: Some(clock),
            power_watts: Some(clock / 10.0),
            temperature_celsius: Some(clock / 100.0),
            clock_event_reasons: Some(reasons),
            compute_pids: Some(pids.to_vec()),
            ..Sample::default()
        }
    }

    #[test]
    fn a_block_is_told_with_what_was_seen_during_it() {
        let (first, second) = (sample(1000.0, 4, &[1]), sample(2000.0, 8, &[1, 9]));
        let mut block = wire::Block::default();
        tag(&mut block, &[&first, &second], |pids| pids.len() - 1);
        assert_eq!(block.sm_clock_mhz, Some(1500.0));
        assert_eq!(block.power_watts, Some(150.0));
        assert_eq!(block.temperature_celsius, Some(20.0));
        assert_eq!(block.throttle_reasons, Some(12));
        assert_eq!(block.foreign_processes, Some(1));
    }

    #[test]
    fn what_was_not_seen_is_absent() {
        let mut block = wire::Block::default();
        tag(&mut block, &[], |_| 0);
        assert_eq!(block, wire::Block::default());
        let silent = sample(1000.0, 0, &[]);
        tag(&mut block, &[&silent], |_| 0);
        assert_eq!(block.foreign_processes, None);
        assert_eq!(block.throttle_reasons, Some(0));
    }

    #[tokio::test]
    async fn only_samples_from_within_a_block_count() {
        let now = Instant::now();
        let ago = |millis| now.checked_sub(Duration::from_millis(millis)).unwrap();
        let sampled = |clock, begun, done| Sampled {
            sample: sample(clock, 1, &[1]),
            begun: ago(begun),
            done: ago(done),
        };
        let watch = Watch {
            // Before the block; begun long before it; within it.
            samples: Arc::new(Mutex::new(VecDeque::from([
                sampled(210.0, 3_600_000, 3_500_000),
                sampled(345.0, 3_000_000, 900),
                sampled(1980.0, 900, 890),
            ]))),
            company: watch::channel(None).1,
            _task: AbortOnDropHandle::new(tokio::spawn(async {})),
        };
        let mut block = wire::Block {
            elapsed_ns: 1_000_000_000_000,
            ..Default::default()
        };
        watch.tag(&mut block, &OwnWorkers::default(), "GPU-1");
        assert_eq!(block.sm_clock_mhz, Some(1980.0));
    }
}
