//! One visit of a round, and the warming of the device before the first: what is prepared, warmed up and timed, as `batchstep-worker` does it.

use std::time::Duration;

use batchstep_measurement::{memory::admit_network, pace};
use batchstep_proto::domain::{Block, RoundKind, Visit, VisitFailureKind};

use super::{RoundInProgress, number};
use crate::{
    Behaviour, Iteration, Machine, Timings,
    machine::duration,
    worker::{Miss, Worker},
};

/// A visit that is warm.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ready {
    warm_up: WarmUp,
    iterations: u32,
    one: Iteration,
}

/// Iterations that nobody counts.
#[derive(Debug, Clone, Copy)]
struct WarmUp {
    iterations: u32,
    elapsed: Duration,
    fastest: Duration,
}

/// No iteration is shorter, so that a block is never without end.
const SHORTEST_SECONDS: f64 = 1e-9;

impl<T: Timings> RoundInProgress<'_, T> {
    pub(super) fn worker(&mut self) -> &mut Worker {
        let Machine {
            worker, behaviour, ..
        } = &mut *self.machine;
        worker.get_or_insert_with(|| Worker::new(self.round, behaviour.memory.as_ref()))
    }

    pub(super) fn network_would_not_fit(&self) -> Option<String> {
        let memory = self.machine.behaviour.memory?;
        let share = self.round.timing.memory_share;
        admit_network(memory.peak_bytes(1), Some(memory.total_bytes), share)
            .err()
            .map(|refused| refused.to_string())
    }

    /// The reference batch that the device has to be warmed on first.
    pub(super) fn cold_reference(&mut self) -> Option<u32> {
        let round = self.round;
        let reference = round
            .reference_batch_size
            .filter(|_| !round.timing.device_warm_up_max.is_zero())?;
        let cold = match self.worker().warmed_on {
            None => true,
            Some(warmed_on) => round.kind == RoundKind::Measure && warmed_on != reference,
        };
        cold.then_some(reference)
    }

    /// Runs the reference batch until its blocks agree.
    pub(super) fn warm_device(&mut self, batch_size: u32) -> Result<(), Miss> {
        let timing = &self.round.timing;
        self.worker().warmed_on = Some(batch_size);
        let began = self.machine.now;
        let (one, _, iterations) = self.make_warm(batch_size)?;
        let mut seconds = Vec::new();
        loop {
            let spent = self.machine.now.saturating_sub(began);
            let settled = spent >= timing.device_warm_up_min
                && pace::settled(&seconds, timing.device_warm_up_drift);
            if spent >= timing.device_warm_up_max || settled {
                return Ok(());
            }
            let each = self.machine.scattered(one.seconds, iterations);
            let elapsed = duration(each * f64::from(iterations));
            self.spend(elapsed, duration(each));
            self.times.warm_up = self.times.warm_up.saturating_add(elapsed);
            seconds.push(each);
        }
    }

    pub(super) fn begin_visit(&mut self, visit: Visit) -> Result<Ready, Miss> {
        self.machine.visits += 1;
        let killed_every = u64::from(self.machine.behaviour.faults.killed_every);
        if killed_every > 0 && self.machine.visits.is_multiple_of(killed_every) {
            return Err(Miss::Died);
        }
        let (one, warm_up, settled) = self.make_warm(visit.batch_size)?;
        Ok(Ready {
            warm_up,
            iterations: visit.iterations.unwrap_or(settled),
            one,
        })
    }

    /// Prepares and warms up a batch size; gives back one iteration of it, the warm-up and the iterations of a block.
    fn make_warm(&mut self, batch_size: u32) -> Result<(Iteration, WarmUp, u32), Miss> {
        let timing = &self.round.timing;
        let known = self.worker().iterations.get(&batch_size).copied();
        if known.is_none() {
            self.climb_to(batch_size)?;
        }
        let one = self.prepare(batch_size)?;
        let (iterations, least) = pace::visit_warm_up(timing, known.is_none());
        let warm_up = self.iterate(batch_size, one, iterations, least)?;
        let block = known.unwrap_or_else(|| pace::block_iterations(timing, warm_up.fastest));
        self.worker().iterations.insert(batch_size, block);
        Ok((one, warm_up, block))
    }

    /// Makes sure that an untried batch size fits and is fast enough, trying smaller ones where too little is known; as in the worker, one of them
    /// that the workload refuses says nothing about the larger ones.
    fn climb_to(&mut self, batch_size: u32) -> Result<(), Miss> {
        let Some(memory) = self.machine.behaviour.memory else {
            return Ok(());
        };
        let share = self.round.timing.memory_share;
        let admit = |worker: &Worker, size| {
            worker
                .memory
                .admit(size, Some(memory.total_bytes), share)
                .map_err(Miss::WouldNotFit)
        };
        for rung in self.worker().memory.rungs_below(batch_size) {
            admit(self.worker(), rung)?;
            let one = match self.prepare(rung) {
                Err(Miss::Failed {
                    kind: VisitFailureKind::Error,
                    ..
                }) => continue,
                prepared => prepared?,
            };
            self.iterate(rung, one, 1, Duration::ZERO)?;
            self.worker().memory.record(rung, memory.peak_bytes(rung));
        }
        admit(self.worker(), batch_size)
    }

    /// Everything that keeps a batch size from running.
    fn prepare(&mut self, batch_size: u32) -> Result<Iteration, Miss> {
        let failed = |kind, message| Err(Miss::Failed { kind, message });
        let Behaviour { faults, memory, .. } = &self.machine.behaviour;
        if faults.crashes_at.contains(&batch_size) {
            return Err(Miss::Died);
        }
        if faults.hangs_at.contains(&batch_size) {
            return Err(Miss::Hangs);
        }
        if faults.errors_at.contains(&batch_size) {
            return failed(
                VisitFailureKind::Error,
                format!("simulated: the workload fails at batch size {batch_size}, to order"),
            );
        }
        if let Some(memory) = memory
            && memory.peak_bytes(batch_size) > memory.total_bytes
        {
            return failed(
                VisitFailureKind::OutOfMemory,
                format!(
                    "simulated: out of memory: batch size {batch_size} takes {} bytes of {}",
                    memory.peak_bytes(batch_size),
                    memory.total_bytes
                ),
            );
        }
        if faults
            .out_of_memory_at
            .is_some_and(|least| batch_size >= least)
        {
            return failed(
                VisitFailureKind::OutOfMemory,
                format!("simulated: out of memory at batch size {batch_size}, to order"),
            );
        }
        match self
            .machine
            .timings
            .iteration(self.round, batch_size, self.machine.now)
        {
            Ok(one) => Ok(Iteration {
                seconds: one.seconds.max(SHORTEST_SECONDS),
                ..one
            }),
            Err(message) => failed(VisitFailureKind::Error, message),
        }
    }

    /// Iterations that nobody counts; a miss where one takes longer than the round allows. As in the worker, one above the limit is tried once more,
    /// unless it is above twice the limit.
    fn iterate(
        &mut self,
        batch_size: u32,
        one: Iteration,
        iterations: u32,
        least: Duration,
    ) -> Result<WarmUp, Miss> {
        let usual = duration(one.seconds * self.machine.behaviour.slowdown(self.machine.now));
        let wanted = least.as_nanos().div_ceil(usual.as_nanos());
        let wanted = u32::try_from(wanted).unwrap_or(u32::MAX).max(iterations);
        let fastest = duration(self.machine.scattered(one.seconds, wanted));
        let limit = self.round.timing.iteration_limit;
        let iterations = match limit {
            Some(limit) if fastest > limit.saturating_mul(2) => 1,
            Some(limit) if fastest > limit => 2,
            _ => wanted,
        };
        let elapsed = fastest.saturating_mul(iterations);
        self.spend(elapsed, fastest);
        self.times.warm_up = self.times.warm_up.saturating_add(elapsed);
        match limit.filter(|limit| fastest > *limit) {
            Some(limit) => Err(Miss::TooSlow {
                batch_size,
                fastest,
                limit,
            }),
            None => Ok(WarmUp {
                iterations,
                elapsed,
                fastest,
            }),
        }
    }

    /// The timed block of a visit that is warm.
    pub(super) fn time(&mut self, index: usize, visit: Visit, ready: Ready) -> Block {
        let Ready {
            warm_up,
            iterations,
            one,
        } = ready;
        let began = self.machine.now;
        let each = self.machine.scattered(one.seconds, iterations);
        let elapsed = duration(each * f64::from(iterations));
        let memory = self.machine.behaviour.memory;
        let peak_memory_bytes = memory.map(|memory| {
            let peak = memory.peak_bytes(visit.batch_size);
            self.worker().memory.record(visit.batch_size, peak);
            peak
        });
        let told = self.machine.behaviour.telemetry(began);
        self.spend(elapsed, duration(each));
        self.times.measuring = self.times.measuring.saturating_add(elapsed);
        Block {
            visit: number(index),
            batch_size: visit.batch_size,
            role: visit.role,
            iterations,
            elapsed,
            device_elapsed: one.device_seconds.map(|device| {
                let share = (device / one.seconds).clamp(0.0, 1.0);
                duration(each * f64::from(iterations) * share)
            }),
            started_after: began.saturating_sub(self.began),
            warm_up_iterations: warm_up.iterations,
            warm_up: warm_up.elapsed,
            foreign_cores: told.foreign_cores,
            peak_memory_bytes,
            temperature_celsius: None,
            power_watts: None,
            sm_clock_mhz: told.sm_clock_mhz,
            throttle_reasons: told.throttle_reasons,
            foreign_processes: told.foreign_processes,
        }
    }

    fn spend(&mut self, time: Duration, iteration: Duration) {
        self.machine.now = self.machine.now.saturating_add(time);
        self.iteration = Some(iteration);
    }
}
