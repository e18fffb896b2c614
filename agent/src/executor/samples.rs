//! Looks at a GPU while a round runs on it, so that each timed block can be told with the clocks, power, temperature and neighbours it was measured
//! under; and looks once before a worker is started, whether the GPU is free.
//!
//! It never changes a time: what the samples mean is for the coordinator's rules.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use batchstep_proto::wire;
use tokio::time::{self, Instant};
use tokio_util::task::AbortOnDropHandle;

use crate::{
    inventory::{NvmlThread, Sample},
    own_workers::{self, OwnWorkers},
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
    _task: AbortOnDropHandle<()>,
}

type Samples = Arc<Mutex<VecDeque<(Instant, Sample)>>>;

impl Watch {
    pub(super) fn start(nvml: NvmlThread, device_id: String) -> Self {
        let samples = Samples::default();
        let sink = Arc::clone(&samples);
        let task = tokio::spawn(async move {
            let mut ticks = time::interval(PERIOD);
            ticks.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                let Some(sample) = nvml.sample(&device_id).await else {
                    continue;
                };
                let mut samples = sink.lock().unwrap_or_else(PoisonError::into_inner);
                if samples.len() == KEPT {
                    samples.pop_front();
                }
                samples.push_back((Instant::now(), sample));
            }
        });
        Self {
            samples,
            _task: AbortOnDropHandle::new(task),
        }
    }

    /// Adds to a block that has just ended what was seen during it.
    pub(super) fn tag(&self, block: &mut wire::Block, own: &BTreeSet<u32>) {
        let end = Instant::now();
        let samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(begin) = end.checked_sub(Duration::from_nanos(block.elapsed_ns)) else {
            return;
        };
        // A sample from before or after would tell of an idle GPU.
        let during: Vec<&Sample> = samples
            .iter()
            .filter(|(at, _)| (begin..=end).contains(at))
            .map(|(_, sample)| sample)
            .collect();
        tag(block, &during, own);
    }
}

fn tag(block: &mut wire::Block, samples: &[&Sample], own: &BTreeSet<u32>) {
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
        .map(|pids| u32::try_from(own_workers::foreign(pids, own)).unwrap_or(u32::MAX))
        .max();
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (count, sum) = values.fold((0_u32, 0.0), |(count, sum), value| (count + 1, sum + value));
    (count > 0).then(|| sum / f64::from(count))
}

/// Why a worker should not be started on a GPU now; `None`: nobody else works on it, or NVML cannot be asked.
pub(super) async fn occupied(
    nvml: &NvmlThread,
    device_id: &str,
    own: &OwnWorkers,
) -> Option<String> {
    for look in 0..LOOKS {
        if look > 0 {
            time::sleep(LOOK_PAUSE).await;
        }
        let sample = nvml.sample(device_id).await?;
        let foreign = sample
            .compute_pids
            .as_ref()
            .map_or(0, |pids| own_workers::foreign(pids, &own.on(device_id)));
        if foreign > 0 {
            return Some(match foreign {
                1 => {
                    "another process computes on the GPU; the round is tried again later".to_owned()
                }
                more => format!(
                    "{more} other processes compute on the GPU; the round is tried again later"
                ),
            });
        }
        match sample.utilization {
            Some(busy) if busy > BUSY && look + 1 == LOOKS => {
                return Some(format!(
                    "the GPU is busy for {:.0} % of the time with what is not batchstep's; the round is tried again later",
                    busy * 100.0
                ));
            }
            Some(busy) if busy > BUSY => {}
            _ => return None,
        }
    }
    None
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
        let own = BTreeSet::from([1]);
        let (first, second) = (sample(1000.0, 4, &[1]), sample(2000.0, 8, &[1, 9]));
        let mut block = wire::Block::default();
        tag(&mut block, &[&first, &second], &own);
        assert_eq!(block.sm_clock_mhz, Some(1500.0));
        assert_eq!(block.power_watts, Some(150.0));
        assert_eq!(block.temperature_celsius, Some(20.0));
        assert_eq!(block.throttle_reasons, Some(12));
        assert_eq!(block.foreign_processes, Some(1));
    }

    #[test]
    fn what_was_not_seen_is_absent() {
        let mut block = wire::Block::default();
        tag(&mut block, &[], &BTreeSet::new());
        assert_eq!(block, wire::Block::default());
        let silent = sample(1000.0, 0, &[]);
        tag(&mut block, &[&silent], &BTreeSet::from([1]));
        assert_eq!(block.foreign_processes, None);
        assert_eq!(block.throttle_reasons, Some(0));
    }

    #[tokio::test(start_paused = true)]
    async fn only_samples_from_within_a_block_count() {
        let samples = Samples::default();
        let watch = Watch {
            samples: Arc::clone(&samples),
            _task: AbortOnDropHandle::new(tokio::spawn(async {})),
        };
        let push = |clock| {
            let mut samples = samples.lock().unwrap();
            samples.push_back((Instant::now(), sample(clock, 1, &[1])));
        };
        push(210.0);
        time::advance(Duration::from_millis(100)).await;
        push(1980.0);
        time::advance(Duration::from_millis(20)).await;
        let mut block = wire::Block {
            elapsed_ns: 50_000_000,
            ..Default::default()
        };
        watch.tag(&mut block, &BTreeSet::from([1]));
        assert_eq!(block.sm_clock_mhz, Some(1980.0));
    }
}
