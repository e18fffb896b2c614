//! Runs one round: visit after visit, each warmed up, timed and told at once.
//!
//! `serve` calls [`Runner::run`] with a sink for what happens. A batch that does not fit, or takes too long, is a result and bounds the
//! rest of the round; only a lost device ends it without its visits.

use std::{
    collections::BTreeMap,
    sync::atomic::AtomicBool,
    time::{Duration, Instant},
};

pub use batchstep_measurement::Phase;
use batchstep_proto::domain::{Block, Round, RoundKind, Visit, VisitFailure, VisitFailureKind};

use super::{
    Subject,
    block::{self, Halt},
    memory::MemoryModel,
    miss::Miss,
    pace,
};
use crate::failure::{Failure, FailureKind};

/// Something to tell the agent.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A phase begins.
    Progress {
        /// Position of the visit in the round.
        visit: u32,
        /// Its batch size.
        batch_size: u32,
        /// What begins.
        phase: Phase,
    },
    /// A visit's block.
    Block(Block),
    /// Why a visit has none.
    Failure(VisitFailure),
}

/// How a round ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Every visit that the round still owed was made.
    Finished,
    /// It was asked to stop.
    Stopped,
    /// The device is of no more use to this process.
    DeviceLost(Failure),
}

/// A round's end and where its time went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// How it ended.
    pub outcome: Outcome,
    /// In timed blocks.
    pub measuring: Duration,
    /// In warm-up.
    pub warm_up: Duration,
    /// Everything.
    pub elapsed: Duration,
}

/// What this process has learned about one network: which batch sizes it has run, how long their blocks are, what memory they take, and
/// on which of them it warmed the device.
#[derive(Debug, Default)]
pub struct History {
    /// Iterations of a block, by batch size visited; `None` where rounds fixed them so far.
    iterations: BTreeMap<u32, Option<u32>>,
    memory: MemoryModel,
    /// The reference batch that the device was last warmed on.
    warmed_on: Option<u32>,
}

impl History {
    /// For a network that holds `idle_bytes` without a batch.
    #[must_use]
    pub fn new(idle_bytes: Option<u64>) -> Self {
        Self {
            iterations: BTreeMap::new(),
            memory: MemoryModel::new(idle_bytes),
            warmed_on: None,
        }
    }
}

/// A batch size that does not work, and so all above it.
#[derive(Debug, Clone)]
struct Bound {
    batch_size: u32,
    kind: VisitFailureKind,
    message: String,
}

/// One round in progress.
pub struct Runner<'a> {
    round: &'a Round,
    subject: &'a mut dyn Subject,
    history: &'a mut History,
    stop: &'a AtomicBool,
    emit: &'a mut dyn FnMut(Event),
    began: Instant,
    measuring: Duration,
    warm_up: Duration,
}

impl<'a> Runner<'a> {
    /// A round that began at `began`.
    pub fn new(
        round: &'a Round,
        subject: &'a mut dyn Subject,
        history: &'a mut History,
        stop: &'a AtomicBool,
        emit: &'a mut dyn FnMut(Event),
        began: Instant,
    ) -> Self {
        Self {
            round,
            subject,
            history,
            stop,
            emit,
            began,
            measuring: Duration::ZERO,
            warm_up: Duration::ZERO,
        }
    }

    /// Makes the visits.
    pub fn run(mut self) -> Ended {
        let outcome = match self.visits() {
            Ok(()) => Outcome::Finished,
            Err(Halt::Stopped) => Outcome::Stopped,
            Err(Halt::Failed(failure)) => Outcome::DeviceLost(failure),
        };
        Ended {
            outcome,
            measuring: self.measuring,
            warm_up: self.warm_up,
            elapsed: self.began.elapsed(),
        }
    }

    fn visits(&mut self) -> Result<(), Halt> {
        self.warm_device()?;
        let mut bound: Option<Bound> = None;
        for (index, visit) in (0_u32..).zip(&self.round.visits) {
            if let Some(bound) = bound
                .as_ref()
                .filter(|bound| bound.batch_size <= visit.batch_size)
            {
                self.tell_failure(index, visit, bound.kind, bound.message.clone());
                continue;
            }
            let Err(miss) = self.visit(index, visit) else {
                continue;
            };
            let smallest = miss.smallest().unwrap_or(visit.batch_size);
            let (kind, message) = self.judge(miss)?;
            self.tell_failure(index, visit, kind, message.clone());
            if !kind.bounds_the_sweep() {
                continue;
            }
            if self.round.kind == RoundKind::Probe {
                break;
            }
            bound = Some(Bound {
                batch_size: smallest,
                kind,
                message,
            });
        }
        Ok(())
    }

    /// What a visit without a block means; gives back what its batch held.
    fn judge(&mut self, miss: Miss) -> Result<(VisitFailureKind, String), Halt> {
        let judged = miss.judged()?;
        self.subject.release();
        Ok(judged)
    }

    fn tell_failure(&mut self, index: u32, visit: &Visit, kind: VisitFailureKind, message: String) {
        (self.emit)(Event::Failure(VisitFailure {
            visit: index,
            batch_size: visit.batch_size,
            kind,
            message,
        }));
    }

    fn tell(&mut self, visit: u32, batch_size: u32, phase: Phase) {
        (self.emit)(Event::Progress {
            visit,
            batch_size,
            phase,
        });
    }

    /// True unless the device is warm from this reference batch, or from any where only the range is looked for.
    fn is_cold_for(&self, reference: u32) -> bool {
        match self.history.warmed_on {
            None => true,
            Some(warmed_on) => self.round.kind == RoundKind::Measure && warmed_on != reference,
        }
    }

    /// Runs the reference batch until its blocks agree, unless that is done.
    fn warm_device(&mut self) -> Result<(), Halt> {
        let timing = &self.round.timing;
        let Some(batch_size) = self
            .round
            .reference_batch_size
            .filter(|size| !timing.device_warm_up_max.is_zero() && self.is_cold_for(*size))
        else {
            return Ok(());
        };
        self.history.warmed_on = Some(batch_size);
        self.tell(0, batch_size, Phase::DeviceWarmUp);
        let began = Instant::now();
        let mut seconds = Vec::new();
        let result = self.make_warm(batch_size).and_then(|(_, iterations)| {
            let settled = |seconds: &[f64], spent: Duration| {
                spent >= timing.device_warm_up_min
                    && pace::settled(seconds, timing.device_warm_up_drift)
            };
            while began.elapsed() < timing.device_warm_up_max && !settled(&seconds, began.elapsed())
            {
                let timed = block::time(self.subject, iterations, self.stop)?;
                self.warm_up += timed.elapsed;
                seconds.push(timed.elapsed.as_secs_f64() / f64::from(iterations));
            }
            Ok(())
        });
        match result {
            Ok(()) => Ok(()),
            // Whatever else is wrong with the reference batch, its own visit tells it.
            Err(miss) => self.judge(miss).map(|_| ()),
        }
    }

    /// Prepares and warms up a batch size; gives back the warm-up and the iterations of a block.
    fn make_warm(&mut self, batch_size: u32) -> Result<(block::WarmUp, u32), Miss> {
        let timing = &self.round.timing;
        let known = self.history.iterations.get(&batch_size).copied();
        if known.is_none() {
            self.climb_to(batch_size)?;
        }
        self.subject.prepare(batch_size)?;
        // Once is enough: giving all freed memory back costs more than a short block.
        if self.history.memory.peak(batch_size).is_none() {
            self.subject.reset_peak_memory();
        }
        let (iterations, least) = pace::visit_warm_up(timing, known.is_none());
        let warm_up = self.iterate(batch_size, iterations, least)?;
        let block = known
            .flatten()
            .unwrap_or_else(|| pace::block_iterations(timing, warm_up.fastest));
        self.history.iterations.insert(batch_size, Some(block));
        Ok((warm_up, block))
    }

    /// Iterations that nobody counts at the prepared batch size; a miss where one takes longer than the round allows.
    fn iterate(
        &mut self,
        batch_size: u32,
        iterations: u32,
        least: Duration,
    ) -> Result<block::WarmUp, Miss> {
        let limit = self.round.timing.iteration_limit;
        let done = block::warm_up(self.subject, iterations, least, limit, self.stop)?;
        self.warm_up += done.elapsed;
        match limit.filter(|limit| done.fastest > *limit) {
            Some(limit) => Err(Miss::TooSlow {
                batch_size,
                fastest: done.fastest,
                limit,
            }),
            None => Ok(done),
        }
    }

    /// Makes sure that an untried batch size fits and is fast enough, trying smaller ones where too little is known. One of them that the network
    /// refuses, as batch normalisation refuses a single sample, says nothing about the larger ones.
    fn climb_to(&mut self, batch_size: u32) -> Result<(), Miss> {
        let share = self.round.timing.memory_share;
        for rung in self.history.memory.rungs_below(batch_size) {
            self.admit(rung, share)?;
            match self.try_once(rung) {
                Err(Miss::Failed(failure)) if failure.kind == FailureKind::Workload => {}
                tried => tried?,
            }
        }
        self.admit(batch_size, share)
    }

    fn try_once(&mut self, batch_size: u32) -> Result<(), Miss> {
        self.subject.prepare(batch_size)?;
        self.subject.reset_peak_memory();
        self.iterate(batch_size, 1, Duration::ZERO)?;
        self.record_peak(batch_size);
        Ok(())
    }

    fn admit(&mut self, batch_size: u32, share: f64) -> Result<(), Miss> {
        let budget = self.subject.memory_budget();
        self.history
            .memory
            .admit(batch_size, budget, share)
            .map_err(Miss::WouldNotFit)
    }

    fn record_peak(&mut self, batch_size: u32) -> Option<u64> {
        let peak = self.subject.peak_memory()?;
        self.history.memory.record(batch_size, peak);
        Some(peak)
    }

    fn visit(&mut self, index: u32, visit: &Visit) -> Result<(), Miss> {
        self.tell(index, visit.batch_size, Phase::WarmUp);
        let known_peak = self.history.memory.peak(visit.batch_size);
        let (warm_up, settled) = self.make_warm(visit.batch_size)?;
        let iterations = visit.iterations.unwrap_or(settled);
        self.tell(index, visit.batch_size, Phase::Timing);
        let timed = block::time(self.subject, iterations, self.stop)?;
        self.measuring += timed.elapsed;
        let peak_memory_bytes = known_peak.or_else(|| self.record_peak(visit.batch_size));
        (self.emit)(Event::Block(Block {
            visit: index,
            batch_size: visit.batch_size,
            role: visit.role,
            iterations,
            elapsed: timed.elapsed,
            device_elapsed: timed.device_elapsed,
            started_after: timed.began.saturating_duration_since(self.began),
            warm_up_iterations: warm_up.iterations,
            warm_up: warm_up.elapsed,
            foreign_cores: timed.foreign_cores,
            peak_memory_bytes,
            temperature_celsius: None,
            power_watts: None,
            sm_clock_mhz: None,
            throttle_reasons: None,
            foreign_processes: None,
        }));
        Ok(())
    }
}
